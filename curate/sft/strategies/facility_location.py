"""Facility location: the rows to which all rows are most similar, f(S) = Σ_i max(0, max over s in S of cos(x_i, x_s)).

Picked greedily, exactly, and without an n × n matrix (`_cover.py`). Cosines below 0 count as 0, so that f starts at 0
and the greedy's bound holds. Libraries of the field (apricot, submodlib) hold all n² similarities. `curate select` asks
for each cluster by itself, which takes n²/K cosines a pass for K clusters of one size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from curate.sft.strategies import Chosen, check
from curate.sft.strategies._cover import Objective, greedy_cover, greedy_cover_reference, sample_to_cover

if TYPE_CHECKING:
    from curate.sft.distance import F32, I64


def pick(
    X: F32,
    k: int,
    *,
    candidates: I64 | None = None,
    chosen: F32 | None = None,
    pool_rows: int | None = None,
    lengths: I64 | None = None,
    seed: int = 0,
    workers: int = 1,
) -> Chosen:
    """Choose `k` of the unit rows of `X` (n, d) that raise f the most, one after the other.

    candidates: the row numbers, at least k, that may be chosen, ascending; all rows count in f. chosen: (m, d) unit
    rows that are in S already. pool_rows: rows of the whole pool, where X is one group of it. Where that is above
    65,536, f is measured on a seeded sample of X (`about["sampled_rows"]`). Rows that would not raise f come last, by
    lowest index. Raises UsageError on rows that are not of length 1 (or 0), and unless 1 <= k <= n.
    """
    check(X, k)
    sample = sample_to_cover(len(X), k, seed, pool_rows)
    rows, beyond = greedy_cover(X, k, _objective(), sample, workers, candidates, chosen)
    return Chosen(rows, beyond, {"sampled_rows": len(sample)} if len(sample) < len(X) else {})


def pick_reference(X: F32, k: int, candidates: Sequence[int] | None = None, chosen: Sequence[int] = ()) -> list[int]:
    """Choose by the definition, in float64; chosen: rows of X that are in S already."""
    return greedy_cover_reference(X, k, _objective(), candidates, chosen)


def _objective() -> Objective:
    """Say that the threshold of a row is its best cosine so far, and that what is above it is gained."""
    from curate.sft.strategies._cover_kernels import excess_bounds

    return Objective(0.0, lambda c, t: np.maximum(c - t, 0), np.maximum, excess_bounds)
