"""Outliers: live rows that are far from all others, as the distance to their 10th nearest neighbour tells.

K-Center-Greedy picks such rows first, and many of them are not rare but broken. So `--trim-outliers` takes the given
share off before anything is clustered, and lists it for review: in the ledger with `drop_reason` `outlier` and the
distance as evidence, the farthest in `report.json`.

The tenth neighbour, not the first: a few copies of a broken row do not hide it. Up to 65,536 rows every pair is
compared; above that each row is compared with 2^32 / n rows evenly spaced, so that the time stays the same. The rows of
a pool stand in id order, and ids are hashes, so every so-manieth row is as good as a random one.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import polars as pl

from curate.engine.blocks import map_blocks
from curate.errors import UsageError
from curate.sft.distance import F32, F64, I64, squared_distances, squared_norms

REASON = "outlier"
NEIGHBOUR = 10
_PAIRS = 2**32  # distances computed at most: a quarter of a minute at 256 dimensions on two cores
_ROWS, _OTHERS = 512, 2048  # shape of one matrix product: 4 MB
_LISTED = 20


def trim_outliers(
    table: pl.DataFrame, live: pl.DataFrame, vectors: F32, share: Decimal, workers: int = 1
) -> tuple[pl.DataFrame, np.ndarray, list[str]]:
    """Mark the `share` of the live rows, rounded half up, that are farthest from their 10th nearest neighbour.

    live: rows of `table` with their number in it, `row`; vectors: (n_live, d). Ties go to the lowest row. Returns the
    table, which of the live rows stay, and notes.
    """
    count = int((share * live.height).to_integral_value(ROUND_HALF_UP))
    distance, compared = neighbour_distances(vectors, workers=workers)
    far = np.argsort(-distance, kind="stable")[:count]
    said = [f"to the 10th nearest row {value:.4f}" for value in distance[far]]
    marks = pl.DataFrame({"row": live["row"].gather(far), "said": pl.Series(said, dtype=pl.String)})
    out = pl.col("said").is_not_null()
    marked = table.with_row_index("row").join(marks, on="row", how="left", maintain_order="left")
    marked = marked.with_columns(
        drop_reason=pl.when(out).then(pl.lit(REASON)).otherwise("drop_reason"),
        rules=pl.when(out).then(pl.concat_list("rules", pl.lit(REASON))).otherwise("rules"),
        evidence=pl.when(out).then("said").otherwise("evidence"),
    ).drop("row", "said")
    stay = np.ones(live.height, dtype=bool)
    stay[far] = False
    notes = []
    if compared < live.height:
        notes.append(f"outliers are judged by an even sample of {compared:,} of the {live.height:,} live rows")
    return marked, stay, notes


def listed(table: pl.DataFrame) -> list[dict[str, str]]:
    """Return the farthest outliers for review: id, evidence and the beginning of the prompt."""
    far = table.filter(pl.col("drop_reason") == REASON).sort("evidence", "id", descending=[True, False]).head(_LISTED)
    return far.select("id", "evidence", pl.col("prompt").str.slice(0, 200)).to_dicts()


def neighbour_distances(X: F32, k: int = NEIGHBOUR, workers: int = 1) -> tuple[F64, int]:
    """Return the L2 distance of each row of `X` (n, d) to its `k`-th nearest other row, and how many are compared.

    With all n rows up to 65,536, above that with an even sample. Which row is the k-th is decided in float32, its
    distance is float64. Where there are only k or fewer others the farthest of them counts; a single row is at 0.
    Raises UsageError on vectors that cannot be compared and on a `k` below 1.
    """
    norms = squared_norms(X)
    if k < 1:
        raise UsageError(f"neighbour {k} is asked for", "Ask for the first (1) or a later one.")
    n = len(X)
    compared = min(n, max(k + 1, _PAIRS // n))
    if compared == 1:
        return np.zeros(n), compared
    others = np.arange(compared) * n // compared
    nearest = _kth_nearest(X, norms.astype(np.float32), others, min(k, compared - 1), workers)
    return np.sqrt(squared_distances(X, np.arange(n), X, nearest)), compared


def _kth_nearest(X: F32, squares: F32, others: I64, k: int, workers: int) -> I64:
    """Return which of `others` is the k-th nearest to each row of `X`, itself left out."""
    from curate.sft.outlier_kernels import keep_largest

    def block(start: int, stop: int) -> I64:
        rows, doubled = np.arange(start, stop), 2 * X[start:stop]
        largest = np.full((len(rows), k), -np.inf, dtype=np.float32)
        which = np.zeros((len(rows), k), dtype=np.int64)
        for first in range(0, len(others), _OTHERS):
            part = others[first : first + _OTHERS]
            closeness = doubled @ X[part].T  # 2xy - |y|^2 = |x|^2 - |x - y|^2
            closeness -= squares[part]
            keep_largest(closeness, rows, part, largest, which)
        kth: I64 = which[:, -1]
        return kth

    return np.concatenate(map_blocks(block, len(X), _ROWS, workers))


def neighbour_distances_reference(X: F32, k: int) -> F64:
    """Compute every distance in float64 and sort."""
    wide = X.astype(np.float64)
    table = ((wide[:, None] - wide[None]) ** 2).sum(axis=2)
    np.fill_diagonal(table, np.inf)
    distance: F64 = np.sqrt(np.sort(table, axis=1)[:, k - 1])
    return distance
