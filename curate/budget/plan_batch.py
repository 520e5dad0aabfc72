"""The batch of a plan: which one, what each law says, and what a larger one costs when the epochs are fixed.

Decided here: a batch of the user's own moves the learning rate by the square root of its ratio to Step Law's batch,
as one does for Adam (McCandlish et al. 2018; Merrill et al. 2025, arXiv:2505.23971). The cost of a large batch is told
under two readings of B_noise in E = E_min (1 + B/B_noise): Kaplan's at the predicted loss, Zhang's at the tokens.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from curate.budget import batch, chinchilla, kaplan
from curate.budget.law import use
from curate.budget.lawset import LawSet
from curate.budget.repetition import Band
from curate.budget.resolve import Sizes
from curate.budget.result import BatchCost, LawBatch

WARMUP = (0.01, 0.02)
"""Share of the steps: 1 % in Muennighoff et al. 2023, App. S; twice that is our choice."""


class BatchPlan(NamedTuple):
    """The part of a plan that is about steps."""

    tokens: Band
    used: float
    by_law: tuple[LawBatch, ...]
    ceiling: float
    costs: tuple[BatchCost, ...]
    steps: int
    warmup: tuple[int, int]
    rate: float
    decay: float


def plan_batch(sizes: Sizes, laws: LawSet, chosen: float | None) -> BatchPlan:
    """Return the batch, steps, learning rate and weight decay for `sizes`; `chosen` is a batch of the user's own."""
    best = batch.step_law_batch(sizes.tokens)
    used = chosen or best
    ceiling = kaplan.critical_batch(kaplan.loss(sizes.non_embedding, sizes.tokens, laws.joint))
    rate = batch.step_law_rate(sizes.non_embedding, sizes.tokens) * math.sqrt(used / best)
    steps = batch.steps(sizes.tokens, used)
    return BatchPlan(
        Band(best / 2, best, best * 2),
        used,
        _by_law(sizes),
        ceiling,
        _costs(sizes, laws, best, chosen, ceiling),
        steps,
        (max(1, round(WARMUP[0] * steps)), max(1, round(WARMUP[1] * steps))),
        rate,
        batch.weight_decay(sizes.active, sizes.tokens, used, rate),
    )


def _by_law(sizes: Sizes) -> tuple[LawBatch, ...]:
    """Return what each law says about the batch."""
    tokens = sizes.tokens
    at = {"non_embedding_params": sizes.non_embedding, "tokens": tokens, "params": tokens / 20}
    return tuple(
        LawBatch(law.name, kind, size, use(law, "", **at).inside_range)
        for law, kind, size in (
            (batch.STEP_LAW, "lowest loss", batch.step_law_batch(tokens)),
            (batch.SCHAIPP, "lowest loss", batch.step_law_batch(tokens, batch.SCHAIPP)),
            (batch.DEEPSEEK, "lowest loss", batch.deepseek_batch(sizes.compute)),
            (batch.ZHANG, "critical", batch.zhang_critical(tokens)),
        )
    )


def _costs(sizes: Sizes, laws: LawSet, best: float, chosen: float | None, ceiling: float) -> tuple[BatchCost, ...]:
    """Return what larger batches cost at the same tokens, by E = E_min (1 + B/B_noise) under both readings."""
    low, high = sorted((ceiling, batch.zhang_noise(sizes.tokens) or ceiling))
    rows = []
    for size in sorted({best, 2 * best, 4 * best, 8 * best, 16 * best, chosen or best}):
        lost, change = [], []
        for noise in (high, (low + high) / 2, low):
            share = 1 / batch.examples_at(size, 1.0, noise)
            at_best = sizes.tokens / batch.examples_at(best, 1.0, noise)
            lost.append(100 * (1 - share))
            loss = chinchilla.loss(sizes.active, sizes.tokens * share, laws.surface)
            change.append(loss - chinchilla.loss(sizes.active, at_best, laws.surface))
        rows.append(BatchCost(size, batch.steps(sizes.tokens, size), Band(*lost), Band(*change)))
    return tuple(rows)
