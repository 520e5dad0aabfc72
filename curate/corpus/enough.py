"""Question 2 inside question 1: is what the corpus holds enough for the model that `--params` names?

The plan gets the measured unique tokens, by source; with `--weights` each source has its own epochs and warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curate.budget.config import PlanConfig
from curate.budget.plan import Source, plan_for
from curate.budget.plan_page import plan_body
from curate.budget.result import Plan
from curate.budget.words import number, size
from curate.config import resolve
from curate.corpus.config import TokensConfig
from curate.errors import UsageError
from curate.report.page import table

LEVELS = (
    ("total", "read"),
    ("after_exact", "without exact duplicates"),
    ("after_lines", "and lines seen before"),
    ("after_near", "without near-duplicates"),
    ("unique", "unique"),
)


def plan_of(report: Mapping[str, Any], config: TokensConfig) -> Plan | None:
    """Return the plan for `--params` with the unique tokens of `report`; None where it was not asked for.

    Raises UsageError where no tokens were counted, or none are there.
    """
    if config.params is None:
        return None
    unique = report["tokens"]["unique"] or report["tokens"]["total"]
    if not unique:
        raise UsageError("--params needs counted tokens, and there are none", "Leave out --tokenizer none.")
    options = {"params": config.params, "tokens": config.train_tokens, "unique_tokens": unique}
    sources = _sources(report)
    plan, _ = resolve(PlanConfig, [("flag", {name: value for name, value in options.items() if value is not None})])
    return plan_for(plan, sources)


def _sources(report: Mapping[str, Any]) -> list[Source]:
    """Return each source that has unique tokens, with the share that a mixture gives it."""
    if report["mixture"]:
        rows = report["mixture"]["sources"]
        return [Source(row["source"], row["unique_tokens"], row["share"]) for row in rows if row["unique_tokens"]]
    found = [Source(row["source"], row["unique_tokens"]) for row in report["by_source"] if row.get("unique_tokens")]
    return found if len(found) > 1 else []


def enough_body(report: Mapping[str, Any], plan: Plan) -> str:
    """Return the part of the page that holds the plan, and what each level leaves of the tokens that are wanted."""
    wanted = plan.compute_optimal.tokens
    rows = [
        (name, size(tokens), f"{number(tokens / wanted)} times the {size(wanted)} wanted")
        for key, name in LEVELS
        if (tokens := report["tokens"].get(key)) is not None
    ]
    return plan_body(plan) + table(("level", "tokens there", "against tokens wanted"), rows)
