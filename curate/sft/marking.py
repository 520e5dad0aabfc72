"""What drops a row: first what its text tells, then, once there are vectors, what they tell.

Rows are marked, never lost: a drop is a `drop_reason` and its evidence in the ledger. The order decides which reason a
row gets: what one has already, hygiene, copies, contamination, the other filters as asked, scores, near prompts, near
vectors. Near-duplicates differ, so they come after the rules: the one that stays should be one that no rule drops.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import polars as pl

from curate.data.checkpoint import Checkpoint
from curate.data.read import Rows
from curate.data.tasks import read_definitions
from curate.data.tokenizer import Tokenizer
from curate.engine import RAY
from curate.errors import CurateError
from curate.report.progress import Advance, Stages
from curate.sft import filters, language, ledger, outliers, own_columns, spread, strategies, topup
from curate.sft.config import LANGUAGE, LENGTH, SelectConfig
from curate.sft.contamination import Contamination, mark_contaminated
from curate.sft.distance import F32
from curate.sft.duplicates import mark_exact, mark_near, mark_semantic
from curate.sft.evaluation import Item, read_items
from curate.sft.map import place_rows
from curate.sft.measures import Measures
from curate.sft.tokens import count_tokens, load_tokenizer
from curate.sft.vectors import VectorSource, vector_source

if TYPE_CHECKING:
    from curate.sft.score import Scorer, Scores

SOURCE_BOUND = ("lima", "lima-zh")


@dataclass
class Facts:
    """What the steps of a run found out beside the ledger: for the report, and sentences for the user."""

    notes: list[str]
    tokens: dict[str, Any] | None = None
    have: topup.Have | None = None
    contamination: Contamination | None = None
    scored: Scores | None = None
    languages: dict[str, Any] | None = None
    embedder: dict[str, Any] = field(default_factory=dict)
    map: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tools:
    """What the options name, loaded: rules, a strategy, models, and the records of other files.

    `languages` is whether they are to be told; `notes` are sentences for the user about what could not be had.
    """

    rules: list[tuple[str, filters.Filter]]
    strategy: strategies.Strategy | None
    scorer: Scorer | None
    vectors: VectorSource
    counter: Tokenizer | None
    definitions: dict[str, str] | None
    items: list[Item]
    languages: bool
    notes: list[str]


def load_tools(config: SelectConfig, seed: int, advance: Advance) -> Tools:
    """Load what the options name before anything is read: a name that is not known costs no reading."""
    rules = filters.resolve(config.filters)
    languages = config.balance == LANGUAGE or any(name.startswith("language.") for name, _ in rules)
    if languages:
        language.codes()  # an error here costs no reading
    strategy, scorer = strategies.load(config.strategy), _score_model(config, advance)
    vectors = vector_source(config, seed, advance)
    needed = config.budget_tokens is not None or any(name == "quality.tokens" for name, _ in rules)
    most, column = config.max_expand, str(config.task_column)
    definitions = read_definitions(config.join_tasks, column, most) if config.join_tasks else None
    counter, notes = load_tokenizer(config.tokenizer, required=needed)
    items, said = read_items(config.decontaminate, most) if config.decontaminate else ([], [])
    return Tools(rules, strategy, scorer, vectors, counter, definitions, items, languages, [*notes, *said])


def _score_model(config: SelectConfig, advance: Advance) -> Scorer | None:
    if config.score == LENGTH:
        return None
    from curate.sft import score

    return score.load(config.score, device=config.device, workers=config.workers, on_progress=advance)


def _kept_scorer(scorer: Scorer, kept: Checkpoint) -> Scorer:
    from curate.sft.score import Scores

    return lambda prompts, answers: Scores(**kept.once("scores", lambda: scorer(prompts, answers)._asdict()))


def mark_by_text(rows: Rows, tools: Tools, config: SelectConfig, stages: Stages, facts: Facts) -> pl.DataFrame:
    """Open the ledger, count tokens, and mark what the texts tell."""
    with stages("tokens"):  # before the filters, which may ask for them
        table = ledger.open_ledger(rows.frame, rows.unreadable)
        table, facts.tokens, said = count_tokens(table, tools.counter)
        facts.notes += said
    if config.have is not None:
        with stages("have"):
            table, facts.have = topup.mark_have(table, config.have, config.workers, config.max_expand)
            facts.notes += facts.have.notes()
    measures = Measures(table, spread.compute if config.engine == RAY else filters.compute)
    if tools.languages:
        with stages("languages"):
            table, facts.languages = language.add_languages(table, measures, config.workers)
    with stages("filter"):
        table = filters.apply(table, [rule for rule in tools.rules if rule[0].startswith("clean.")], measures.look)
    with stages("duplicates"):
        table = mark_exact(table) if config.dedup != "none" else table
    if config.decontaminate:
        with stages("contamination"):
            table, facts.contamination = mark_contaminated(table, tools.items, config.workers)
    with stages("filter"):
        table = filters.apply(table, [rule for rule in tools.rules if not rule[0].startswith("clean.")], measures.look)
        table = own_columns.mark_other_templates(table) if config.one_prompt_per_task else table
        if config.score_column:
            table = own_columns.mark_without_score(table, f"no number in {config.score_column}")
        asked = {name for name, _ in tools.rules}
        source_bound = [rule for rule in filters.resolve(SOURCE_BOUND) if rule[0] not in asked]
        table = filters.note(table, source_bound, measures.look)  # they drop nothing, and the report tells of them
        facts.notes += measures.save()
    if tools.scorer is not None and table["drop_reason"].has_nulls():  # a tokenizer takes no empty list
        with stages("score"):
            table, facts.scored = own_columns.mark_scored(table, _kept_scorer(tools.scorer, stages.kept))
            facts.notes += facts.scored.notes
    if config.dedup == "near":
        with stages("duplicates"):
            table = mark_near(table, config.workers)
    facts.notes += ledger.loud_filters(table)
    return table


def mark_by_vectors(
    table: pl.DataFrame, readable: int, tools: Tools, config: SelectConfig, seed: int, stages: Stages, facts: Facts
) -> tuple[pl.DataFrame, pl.DataFrame, F32, F32]:
    """Embed the rows alive and mark what their vectors tell.

    Returns the ledger, the live rows, their vectors, and those of the rows of --have. readable: records that could be
    read, for vectors that are given by their order.
    """
    live = live_rows(table, config)
    with stages("embed"):
        texts = live if facts.have is None else pl.concat([live, facts.have.rows], how="diagonal")
        both, facts.embedder, said = stages.kept.once("vectors", partial(tools.vectors, texts, readable))
        vectors, old = both[: live.height], both[live.height :]
        facts.notes += said
    with stages("map"):
        table, facts.map = place_rows(table, live, vectors, config.workers)
    if config.semantic_dedup is not None:
        with stages("duplicates"):
            threshold = float(config.semantic_dedup)
            table, stay, said = mark_semantic(table, live, vectors, threshold, seed, config.workers)
            live, vectors = live_rows(table, config), vectors[stay]
            facts.notes += said
    if config.trim_outliers:
        with stages("outliers"):
            table, stay, said = outliers.trim_outliers(table, live, vectors, config.trim_outliers, config.workers)
            live, vectors = live_rows(table, config), vectors[stay]
            facts.notes += said
    return table, live, vectors, old


def live_rows(table: pl.DataFrame, config: SelectConfig) -> pl.DataFrame:
    """Return the rows alive with their ledger row number, those of the holdout marked; refuse an empty pool."""
    live = table.with_row_index("row").filter(pl.col("drop_reason").is_null())
    if live.is_empty():
        why, hint = ledger.top_reason(table)
        raise CurateError(f"no row is left alive of {table.height:,} read; {why}", hint or "Give other input.")
    held = int((config.holdout * live.height).to_integral_value(ROUND_HALF_UP))
    if held == live.height:
        raise CurateError(f"--holdout {config.holdout} takes all {held:,} rows that are live", "Hold out less.")
    draw = pl.Series([blake2b(f"{config.seed}:{id}".encode(), digest_size=8).digest() for id in live["id"]])
    return live.with_columns(holdout=draw.rank("ordinal") <= held)
