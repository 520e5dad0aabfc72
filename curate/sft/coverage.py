"""How well does a selection cover the pool, and how well would chance have done?

Coverage is the distance of every row to the nearest selected one: its maximum (the covering radius, which
K-Center-Greedy minimises), 95th percentile (which outliers do not rule) and mean. It measures the optimiser and not
what a model learns from the rows, so it is always shown beside random selections of the same size.

The selection's own distances are exact (`distance.py`) and of all rows. The comparison (`metrics.py`) is made on at
most 20,000 rows, evenly spread over the pool, the same for the selection and for chance, and with float32 screening
distances, of which only summaries are kept: off by less than 1e-5 of the squared distance, relative to the squared
norms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from curate.engine.blocks import map_blocks
from curate.errors import UsageError
from curate.sft.distance import F32, F64, I64, nearest_rows, squared_norms

_SCREEN = 2**20  # float32 distances of one block: 4 MB
_COMPARED = 20_000  # rows: the standard error of a mean is then below a hundredth of the spread


def nearest_selected(X: F32, chosen: npt.ArrayLike, workers: int = 1) -> tuple[I64, F64]:
    """Return for each row of `X` (n, d) the nearest of the `chosen` rows, lowest index on ties, and its L2 distance.

    Exact: equal rows are at distance 0. Raises UsageError on vectors that cannot be compared or no rows chosen.
    """
    rows = np.asarray(chosen, dtype=np.int64)
    if rows.ndim != 1 or not len(rows) or rows.min() < 0 or rows.max() >= len(X):
        raise UsageError(f"chosen rows must be row numbers below {len(X)}, and at least one", "Select at least one row")
    return nearest_rows(X, squared_norms(X), rows, workers)


def coverage(distances: F64) -> dict[str, float]:
    """Return radius, p95 (linear interpolation) and mean of the distances to the nearest selected row."""
    return {
        "radius": float(distances.max()),
        "p95": float(np.quantile(distances, 0.95)),
        "mean": float(distances.mean(dtype=np.float64)),
    }


def compared_rows(n: int, most: int | None = None) -> I64:
    """Return the rows that selections are compared on: all, or `most` (20,000) evenly spread ones.

    Rows that stand in the order of a hash, as those of a ledger do, are a random sample then.
    """
    most = most or _COMPARED
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).round().astype(np.int64)


def screened(X: F32, norms: F64, centers: F32, center_norms: F64, workers: int) -> tuple[F64, F32]:
    """Return float32 squared distances of rows to the nearest of `centers`, and the largest dot products with one.

    norms, center_norms: from `squared_norms`. Prior validation of data is assumed.
    """
    squares = center_norms.astype(np.float32)

    def block(start: int, stop: int) -> tuple[F32, F32]:
        screen = X[start:stop] @ centers.T
        largest = screen.max(axis=1)
        screen *= -2
        screen += squares
        return screen.min(axis=1), largest

    parts = map_blocks(block, len(X), max(64, _SCREEN // len(centers)), workers)
    squared = np.maximum(np.concatenate([part[0] for part in parts]) + norms, 0)
    return squared, np.concatenate([part[1] for part in parts])


def mean_and_sd(summaries: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return mean and standard deviation (n - 1; 0 for a single summary) of each number over the summaries."""
    table = {name: np.array([summary[name] for summary in summaries]) for name in summaries[0]}
    return {
        name: {"mean": float(values.mean()), "sd": float(values.std(ddof=1)) if len(values) > 1 else 0.0}
        for name, values in table.items()
    }
