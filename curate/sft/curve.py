"""How the pool is covered as picks are added, one after the other, beside random rows added one after the other.

Measured on at most 4,000 evenly spread rows and at up to 24 sizes, in float32 as random selections are: a curve to look
at, at a fraction of what the comparison at the full size costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from curate.sft.coverage import compared_rows, coverage, mean_and_sd, screened
from curate.sft.distance import F32, I64, squared_norms

_POINTS, _ROWS = 24, 4_000


def coverage_curve(X: F32, chosen: I64, seeds: Sequence[int], workers: int = 1) -> dict[str, Any]:
    """Return `coverage` after the first of the `chosen` rows of `X` (n, d), after more, and so on to all of them.

    `sizes` are those numbers of rows; `selected` has the coverage at each, `random` mean and standard deviation over
    one random order of rows for each seed; `rows` is how many rows it was measured on.
    """
    rows = compared_rows(len(X), _ROWS)
    sizes = np.unique(np.geomspace(1, len(chosen), _POINTS).round().astype(np.int64))
    orders = [np.random.default_rng(seed).choice(len(X), len(chosen), replace=False) for seed in seeds]
    chance = [_prefixes(X, rows, order, sizes, workers) for order in orders]
    return {
        "rows": len(rows),
        "sizes": sizes.tolist(),
        "selected": _prefixes(X, rows, chosen, sizes, workers),
        "random": [mean_and_sd(same_size) for same_size in zip(*chance, strict=True)],
    }


def _prefixes(X: F32, rows: I64, order: I64, sizes: I64, workers: int) -> list[dict[str, float]]:
    """Return the coverage of `rows` by each prefix of `order`; each row of it is measured once."""
    some, norms = X[rows], squared_norms(X[rows])
    squared, found = np.full(len(rows), np.inf), []
    for start, stop in pairwise([0, *sizes.tolist()]):
        added = order[start:stop]
        squared = np.minimum(squared, screened(some, norms, X[added], squared_norms(X[added]), workers)[0])
        squared[np.isin(rows, added)] = 0
        found.append(coverage(np.sqrt(squared)))
    return found
