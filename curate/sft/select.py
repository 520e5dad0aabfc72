"""The story of `curate select`: read, filter, deduplicate, embed, cluster, share out, pick, measure.

Every step adds columns to the ledger, one row per input record; nothing is dropped before the writer. Rows are put in
`id` order before anything is fitted, so that the result does not depend on the order of the input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import ROUND_HALF_UP, Decimal
from hashlib import blake2b
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.random import SeedSequence  # imported before the work begins: its import swallows Ctrl-C

from curate.config import resolve
from curate.data import quota
from curate.data.manifest import OutputDirectory
from curate.data.read import read_rows
from curate.data.tasks import read_definitions
from curate.errors import CurateError
from curate.report.progress import Advance, Stages
from curate.sft import coverage, filters, ledger, outliers, own_columns, shares, strategies, topup
from curate.sft.config import LENGTH, TASK_CENTER, SelectConfig
from curate.sft.contamination import mark_contaminated
from curate.sft.duplicates import mark_exact, mark_near, mark_semantic
from curate.sft.evaluation import read_items
from curate.sft.groups import Groups, group_rows, sampled
from curate.sft.pick import Picks, pick_in_clusters
from curate.sft.report import build_report
from curate.sft.selection import Selection
from curate.sft.tokens import count_tokens, load_tokenizer
from curate.sft.vectors import vector_source

if TYPE_CHECKING:
    from curate.sft.score import Scorer

RANDOM_SELECTIONS = 5
SOURCE_BOUND = ("lima", "lima-zh")


def select_rows(inputs: Any, **options: Any) -> Selection:
    """Select a small, diverse fine-tuning set from instruction data; the Python face of `curate select`.

    `inputs` is a path, a glob, a Hugging Face id, a `datasets.Dataset`, a polars frame, a list of records, or a list
    of these; `options` are those of the command (`fraction=0.005`, `embedder="lexical"`, ...). Raises CurateError
    with what is wrong and what to do.
    """
    config, _ = resolve(SelectConfig, [("argument", options)])
    if config.out is None:
        return select(inputs, config)
    with OutputDirectory(config.out, force=config.force) as out:  # a refusal to write comes before the work
        selection = select(inputs, config)
        selection.write_into(out.path)
    return selection


def select(inputs: Any, config: SelectConfig, stages: Stages | None = None) -> Selection:
    """Run the selection that `config` describes over `inputs`."""
    stages = stages or Stages()
    embedder_seed, cluster_seed, random_seed = SeedSequence(config.seed).generate_state(3).tolist()

    with stages("load"):  # first, so that a name that is not known costs no reading
        rules = filters.resolve(config.filters)
        strategy = strategies.load(config.strategy)
        scorer = score_model(config, stages.advance)
        embed = vector_source(config, embedder_seed, stages.advance)
        needed = config.budget_tokens is not None or any(name == "quality.tokens" for name, _ in rules)
        definitions = read_definitions(config.join_tasks, str(config.task_column)) if config.join_tasks else None
        counter, notes = load_tokenizer(config.tokenizer, required=needed)
        items, said = read_items(config.decontaminate) if config.decontaminate else ([], [])

    with stages("read"):
        rows = read_rows(
            inputs,
            columns=config.columns,
            task_column=config.task_column,
            keep=config.kept_columns,
            definitions=definitions,
            chunk_bytes=config.chunk_size,
            workers=config.workers,
            on_progress=stages.advance,
        )
    notes = [*rows.notes, *notes, *said]

    with stages("tokens"):  # before the filters, which may ask for them
        table = ledger.open_ledger(rows.frame, rows.unreadable)
        table, tokens_about, said = count_tokens(table, counter)
        notes += said

    have = None
    if config.have is not None:
        with stages("have"):
            table, have = topup.mark_have(table, config.have, config.workers)
            notes += have.notes()
    with stages("filter"):  # hygiene first, then duplicates and contamination, then the other filters as asked
        table = filters.apply(table, [rule for rule in rules if rule[0].startswith("clean.")])
    with stages("duplicates"):
        table = mark_exact(table) if config.dedup != "none" else table
        table = mark_near(table, config.workers) if config.dedup == "near" else table
    found = None
    if config.decontaminate:
        with stages("contamination"):
            table, found = mark_contaminated(table, items, config.workers)
    with stages("filter"):
        table = filters.apply(table, [rule for rule in rules if not rule[0].startswith("clean.")])
        table = own_columns.mark_other_templates(table) if config.one_prompt_per_task else table
        if config.score_column:
            table = own_columns.mark_without_score(table, f"no number in {config.score_column}")
        table = note_source_bound(table, rules)
        notes += ledger.loud_filters(table)

    scored = None
    if scorer is not None:
        with stages("score"):
            table, scored = own_columns.mark_scored(table, scorer)
            notes += scored.notes
    live = live_rows(table, config)
    with stages("embed"):
        texts = live if have is None else pl.concat([live, have.rows], how="diagonal")
        vectors, embedder_about, said = embed(texts, rows.frame.height - rows.unreadable.height)
        vectors, old_vectors = vectors[: live.height], vectors[live.height :]
        notes += said
    if config.semantic_dedup is not None:
        with stages("duplicates"):
            table, stay, said = mark_semantic(
                table, live, vectors, float(config.semantic_dedup), cluster_seed, config.workers
            )
            live, vectors = live_rows(table, config), vectors[stay]
            notes += said
    if config.trim_outliers:
        with stages("outliers"):
            table, stay, said = outliers.trim_outliers(table, live, vectors, config.trim_outliers, config.workers)
            live, vectors = live_rows(table, config), vectors[stay]
            notes += said

    candidates = np.flatnonzero(~live["holdout"].to_numpy())
    pool = np.ascontiguousarray(vectors[candidates]) if len(candidates) < len(vectors) else vectors
    offered = live[candidates]
    old = None if have is None else topup.that_count(have, old_vectors, offered["task"], config)

    def pick(k: int) -> tuple[Groups, Picks]:
        return pick_rows(pool, offered, old, k, strategy, config, cluster_seed, stages)

    if config.budget_tokens is None:
        groups, picked = pick(rows_wanted(table, len(candidates), config))
    else:
        groups, picked = fit_tokens(pick, live["n_tokens"].to_numpy()[candidates], config.budget_tokens)
    chosen = candidates[picked.rows]
    notes += sampled(groups, len(pool) + (0 if old is None else len(old[0])))
    notes += shares.notes_on(groups.balance, config.balance)
    notes += picked.notes(config.strategy)

    with stages("coverage"):
        nearest, distance = coverage.nearest_selected(vectors, chosen, workers=config.workers)
        seeds = SeedSequence(random_seed).generate_state(RANDOM_SELECTIONS).tolist()
        chance = coverage.random_coverage(vectors, len(chosen), seeds, workers=config.workers)

    table = ledger.record_selection(table, live, groups, candidates, picked, chosen, nearest, distance)
    report = build_report(
        table=table, rows=rows, config=config, groups=groups, picked=picked,
        embedder=embedder_about, tokens=tokens_about, distance=distance, chance=chance,
        contamination=found, have=have, scored=scored, seeds=seeds, notes=notes, stages=stages,
    )  # fmt: skip
    return Selection(
        config=config, ledger=table, unreadable=rows.unreadable, sources=rows.sources, report=report,
        hits=None if found is None else found.hits,
    )  # fmt: skip


def score_model(config: SelectConfig, on_progress: Advance) -> Scorer | None:
    """Load the model of --score, if one is named."""
    if config.score == LENGTH:
        return None
    from curate.sft import score

    return score.load(config.score, device=config.device, workers=config.workers, on_progress=on_progress)


def note_source_bound(table: pl.DataFrame, rules: Sequence[tuple[str, filters.Filter]]) -> pl.DataFrame:
    """Note in `would_drop` the rules that are bound to one kind of source, where nobody asked for them."""
    asked = {name for name, _ in rules}
    return filters.note(table, [rule for rule in filters.resolve(SOURCE_BOUND) if rule[0] not in asked])


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


def rows_wanted(table: pl.DataFrame, available: int, config: SelectConfig) -> int:
    """Return k, or say what left too few rows."""
    k = config.count if config.count is not None else quota.budget(table.height, Decimal(str(config.fraction)))
    if k > available:
        why, hint = ledger.top_reason(table)
        held = f", and --holdout {config.holdout} keeps some out" if config.holdout else ""
        raise CurateError(
            f"{k:,} rows are wanted, but {available:,} of {table.height:,} are left; {why}{held}",
            f"Ask for fewer: --count {available}. {hint}".strip(),
        )
    return k


def pick_rows(
    pool: np.ndarray,
    offered: pl.DataFrame,
    old: tuple[np.ndarray, pl.Series] | None,
    k: int,
    strategy: strategies.Strategy | None,
    config: SelectConfig,
    seed: int,
    stages: Stages,
) -> tuple[Groups, Picks]:
    """Group the rows `offered` (vectors: pool), share `k` out, pick; old: vectors and tasks of rows chosen before."""
    n, X, tasks = len(pool), pool, offered["task"]
    if old is not None:
        X, tasks = np.concatenate([pool, old[0]]), pl.concat([tasks, old[1]])
    score = pl.col("score") if config.scored else pl.col("response").str.len_bytes().cast(pl.Int64)
    scores = offered.select(score).to_series().to_numpy()
    values = None if config.balance is None else shares.values_of(offered, config.balance)
    with stages("cluster"):
        everything = group_rows(X, tasks, k, config, seed, stages.advance)
        groups, old_labels = everything.first(n), everything.labels[n:]
    with stages("pick"):
        have = None if old is None else old_labels
        shared = shares.share_out(groups.labels, groups.names, k, config, values, have)
        if strategy is not None:
            picked: Picks = strategies.pick_in_groups(
                strategy, pool, shared.labels, shared.quotas, shared.names,
                lengths=scores, seed=seed, workers=config.workers,
            )  # fmt: skip
        else:
            whole = groups.kind == "global" or config.strategy == TASK_CENTER  # the paper knows no core
            order = groups.similarity
            if config.quality_weight:
                order = own_columns.mix(order, scores, shared.labels, float(config.quality_weight))
            picked = pick_in_clusters(
                X, np.concatenate([shared.labels, old_labels]), order, shared.quotas,
                core=1.0 if whole else float(config.core), chosen=len(old_labels), workers=config.workers,
            )  # fmt: skip
        by_group = replace(picked, cluster=picked.cluster % len(groups.names))
        return replace(groups, balance=shared.balance), by_group


def fit_tokens(pick: Callable[[int], tuple[Groups, Picks]], costs: np.ndarray, budget: int) -> tuple[Groups, Picks]:
    """Pick as many rows as `budget` tokens allow: the longest prefix of the pick order that fits.

    costs: tokens of each candidate.
    """
    k = max(1, ceil(budget / max(1.0, float(costs.mean()))))
    while True:
        k = min(k, len(costs))
        groups, picked = pick(k)
        fits = int(np.searchsorted(np.cumsum(costs[picked.rows]), budget, side="right"))
        if fits == 0:
            first = int(costs[picked.rows[0]])
            raise CurateError(
                f"--budget-tokens {budget:,} holds not one row: the first pick has {first:,} tokens",
                "Raise the budget.",
            )
        if fits < k or k == len(costs):
            return groups, picked.first(fits)
        k *= 2
