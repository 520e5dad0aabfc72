"""The report of a selection: every count and measure as one JSON object (contract: docs/select.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curate.config import as_text
from curate.data.manifest import SCHEMA_VERSION, versions
from curate.errors import CurateError
from curate.report.progress import Stages, peak_memory_bytes
from curate.sft.coverage import coverage
from curate.sft.diversity import openings
from curate.sft.ledger import dropped, would_drop
from curate.sft.outliers import listed

if TYPE_CHECKING:
    from curate.data.read import Rows
    from curate.sft.config import SelectConfig
    from curate.sft.groups import Groups
    from curate.sft.marking import Facts
    from curate.sft.metrics import Comparison
    from curate.sft.pick import Picks

_LLAMA_FACTORY_TURNS = r"^s?(?:[ut][ac])+$"  # its converter.py: the user or a tool, then the assistant or its call
SMALL_SET = 1000  # below it, fine-tuning lowered scores of strong base models (arXiv 2602.14696, 500-1,000 rows)


def build_report(
    *,
    table: pl.DataFrame,
    rows: Rows,
    config: SelectConfig,
    groups: Groups,
    picked: Picks,
    facts: Facts,
    distance: np.ndarray,
    compared: Comparison,
    curve: Mapping[str, Any],
    stages: Stages,
) -> dict[str, Any]:
    """Put the facts of a run together; the counts must add up, or the run fails."""
    reasons = dropped(table)
    selected = table.filter(pl.col("rank").is_not_null())
    read, unreadable = sum(source.records for source in rows.sources), rows.unreadable.height
    live = int(table["drop_reason"].is_null().sum())
    accounted = live + unreadable + sum(reasons.values())
    if not read == table.height == accounted or selected.height != len(picked.rows):
        raise CurateError(
            f"rows do not add up: {read:,} read, {table.height:,} in the ledger, {accounted:,} accounted for; "
            f"{len(picked.rows):,} picked, {selected.height:,} with a rank",
            "This is a fault of curate: please report it.",
        )
    counts = {
        "read": read,
        "unreadable": unreadable,
        "dropped": reasons,
        "live": live,
        "selected": selected.height,
        "held_out": int((table["split"] == "validation").sum()),
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "command": "select",
        "command_line": as_text(config.command_line([source.path for source in rows.sources])),
        "rows": counts,
        "have": None if facts.have is None else facts.have.about(),
        "score": None if facts.scored is None else facts.scored.about,
        "languages": facts.languages,
        "contamination": None if facts.contamination is None else facts.contamination.about(),
        "outliers": listed(table),
        "would_drop": would_drop(table),
        "prompts": openings(table),
        "sources": [source._asdict() for source in rows.sources],
        "embedder": facts.embedder,
        "clusters": _groups(groups, picked),
        "balance": [entry._asdict() for entry in groups.balance],
        "picks": {"strategy": config.strategy, **picked.counts()},
        "coverage": coverage(distance),
        "random": compared.coverage(),
        "metrics": compared.metrics(),
        "curve": curve,
        "map": facts.map,
        "tokens": _tokens(table, selected, facts.tokens, config),
        "notes": facts.notes,
        "advice": _advice(selected, config.format),
        "config": {f.name: as_text(getattr(config, f.name)) for f in fields(config)},
        "versions": versions(),
        "seconds": {name: round(value, 3) for name, value in stages.seconds.items()},
        "peak_memory_bytes": peak_memory_bytes(),
    }


def _groups(groups: Groups, picked: Picks) -> dict[str, Any]:
    sizes = np.bincount(groups.labels, minlength=len(groups.names))
    given = np.bincount(picked.cluster, minlength=len(groups.names))
    return {
        "kind": groups.kind,
        "count": len(groups.names),
        "smallest": int(sizes.min()),
        "largest": int(sizes.max()),
        **groups.about,
        "quotas": [
            {"name": name, "available": available, "given": taken}
            for name, available, taken in zip(groups.names, sizes.tolist(), given.tolist(), strict=True)
        ],
    }


def _tokens(
    table: pl.DataFrame, selected: pl.DataFrame, about: Mapping[str, Any] | None, config: SelectConfig
) -> dict[str, Any] | None:
    if about is None:
        return None
    long = table.filter(pl.col("n_tokens") > config.max_tokens)
    return {
        "tokenizer": dict(about),
        "pool": int(table["n_tokens"].sum()),
        "selected": int(selected["n_tokens"].sum()),
        "longest": max(selected["n_tokens"].to_list(), default=0),
        "over_max_tokens": {
            "limit": config.max_tokens,
            "rows": long.height,
            "first_ids": long["id"].head(10).to_list(),
        },
    }


def _advice(selected: pl.DataFrame, form: str) -> list[str]:
    """Return what a user should know before training on the rows."""
    advice = []
    skipped = int((~selected["roles"].str.contains(_LLAMA_FACTORY_TURNS)).sum())
    if skipped and form in ("messages", "sharegpt"):
        advice.append(
            f"LLaMA-Factory skips {skipped:,} of the selected rows: the two sides have to alternate, and several "
            "tool results have to stand in one turn"
        )
    if selected.height < SMALL_SET:
        rows = "1 row is" if selected.height == 1 else f"{selected.height:,} rows are"
        advice.append(
            f"{rows} few: on strong recent base models 500-1,000 examples can lower benchmark scores (arXiv "
            "2602.14696); compare with a random selection of the same size before you trust it"
        )
    return advice
