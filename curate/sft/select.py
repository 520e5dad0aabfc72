"""The story of `curate select`: read, filter, deduplicate, embed, cluster, share out, pick, measure.

Every step adds columns to the ledger, one row per input record; nothing is dropped before the writer. Rows are put in
`id` order before anything is fitted, so that the result does not depend on the order of the input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial
from math import ceil
from typing import Any

import numpy as np
import polars as pl
from numpy.random import SeedSequence  # imported before the work begins: its import swallows Ctrl-C

from curate.config import resolve
from curate.data import quota
from curate.data.produce import produce
from curate.data.read import read_rows
from curate.engine import RAY, local, ray
from curate.errors import CurateError
from curate.report.progress import Stages
from curate.sft import coverage, kcenter, ledger, metrics, own_columns, shares, spread, strategies, topup
from curate.sft.config import CLUSTER, IN_CLUSTERS, SelectConfig
from curate.sft.curve import coverage_curve
from curate.sft.groups import Groups, group_rows, sampled
from curate.sft.marking import Facts, load_tools, mark_by_text, mark_by_vectors
from curate.sft.pick import Greedy, Picks, pick_in_clusters
from curate.sft.report import build_report
from curate.sft.selection import Selection

RANDOM_SELECTIONS = 5


def select_rows(inputs: Any, **options: Any) -> Selection:
    """Select a small, diverse fine-tuning set from instruction data; the Python face of `curate select`.

    `inputs` is a path, a glob, a Hugging Face id, a `datasets.Dataset`, a polars frame, a list of records, or a list
    of these; `options` are those of the command (`fraction=0.005`, `embedder="lexical"`, ...). Raises CurateError
    with what is wrong and what to do.
    """
    config, _ = resolve(SelectConfig, [("argument", options)])
    selection: Selection = produce(select, inputs, config)
    return selection


def select(inputs: Any, config: SelectConfig, stages: Stages | None = None) -> Selection:
    """Run the selection that `config` describes over `inputs`."""
    stages = stages or Stages()
    embedder_seed, cluster_seed, random_seed = SeedSequence(config.seed).generate_state(3).tolist()
    if config.engine == RAY:
        with stages("connect"):
            ray.connect(config.address, config.workers)
    with stages("load"):
        tools = load_tools(config, embedder_seed, stages.advance)
    with stages("read"):
        rows = read_rows(
            inputs,
            columns=config.columns,
            task_column=config.task_column,
            keep=config.kept_columns,
            definitions=tools.definitions,
            chunk_bytes=config.chunk_size,
            max_expand=config.max_expand,
            workers=config.workers,
            on_progress=stages.advance,
            run=ray.map_chunks if config.engine == RAY else local.map_chunks,
        )
    facts = Facts([*rows.notes, *tools.notes])
    readable = rows.frame.height - rows.unreadable.height
    table = mark_by_text(rows, tools, config, stages, facts)
    table, live, vectors, old_vectors = mark_by_vectors(table, readable, tools, config, cluster_seed, stages, facts)

    candidates = np.flatnonzero(~live["holdout"].to_numpy())
    pool = np.ascontiguousarray(vectors[candidates]) if len(candidates) < len(vectors) else vectors
    offered = live[candidates]
    old = None if facts.have is None else topup.that_count(facts.have, old_vectors, offered["task"], config)

    core_sets = spread.CoreSets()

    def pick(k: int) -> tuple[Groups, Picks]:
        greedy = core_sets if config.engine == RAY else kcenter.greedy
        return pick_rows(pool, offered, old, k, tools.strategy, greedy, config, cluster_seed, stages)

    if config.budget_tokens is None:
        groups, picked = pick(rows_wanted(table, len(candidates), config))
    else:
        groups, picked = fit_tokens(pick, live["n_tokens"].to_numpy()[candidates], config.budget_tokens)
    chosen = candidates[picked.rows]
    facts.notes += sampled(groups, len(pool) + (0 if old is None else len(old[0])))
    facts.notes += shares.notes_on(groups.balance, config.balance)
    facts.notes += [*picked.notes(config.strategy), *dict.fromkeys(core_sets.notes)]

    with stages("coverage"):
        nearest, distance = coverage.nearest_selected(vectors, chosen, workers=config.workers)
        seeds = SeedSequence(random_seed).generate_state(RANDOM_SELECTIONS).tolist()
        curve = coverage_curve(vectors, chosen, seeds, workers=config.workers)
    with stages("metrics"):
        compared = metrics.compare(
            vectors, candidates, metrics.row_facts(offered, groups.clusters), picked.rows, seeds,
            level=config.metrics, workers=config.workers,
        )  # fmt: skip

    table = ledger.record_selection(table, live, groups, candidates, picked, chosen, nearest, distance)
    report = build_report(
        table=table, rows=rows, config=config, groups=groups, picked=picked, facts=facts, distance=distance,
        compared=compared, curve=curve, stages=stages,
    )  # fmt: skip
    hits = None if facts.contamination is None else facts.contamination.hits
    return Selection(config, table, rows.unreadable, rows.sources, report, hits)


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
    greedy: Greedy,
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
    values = None if config.balance in (None, CLUSTER) else shares.values_of(offered, str(config.balance))
    with stages("cluster"):
        grouped = partial(group_rows, X, tasks, k, config, seed, stages.advance)
        everything = Groups(**stages.kept.once(f"groups-{k}", lambda: vars(grouped())))
        groups, old_labels = everything.first(n), everything.labels[n:]
    with stages("pick"):
        have = None if old is None else old_labels
        shared = shares.share_out(groups.labels, groups.names, k, config, values, have)
        near = groups.similarity
        if config.quality_weight:
            near = own_columns.mix(near, scores, shared.labels, float(config.quality_weight))
        if strategy is not None:
            told = config.strategy in IN_CLUSTERS  # the others know of no centres and no rows chosen before
            within = strategies.Within(near, config.core_share, X[n:], old_labels) if told else None
            chosen = partial(
                strategies.pick_in_groups, strategy, pool, shared.labels, shared.quotas, shared.names,
                lengths=scores, seed=seed, within=within, workers=config.workers,
            )  # fmt: skip
            picks = stages.kept.once(f"picks-{k}", lambda: vars(chosen()))
            picked: Picks = strategies.StrategyPicks(**picks)
        else:
            picked = pick_in_clusters(
                X, np.concatenate([shared.labels, old_labels]), near, shared.quotas,
                core=config.core_share, chosen=len(old_labels), workers=config.workers, greedy=greedy,
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
