"""How far apart are two vectors? Screened in float32 by matrix product, decided in float64 coordinate by coordinate.

Selections must not depend on the device, the BLAS, the number of threads or the order of the rows, so one number is the
truth: the squared Euclidean distance of the *stored float32* vectors, computed in float64, coordinates in order. It is
never negative, it is 0 only for identical rows, and it costs far too much to compute for every pair. A float32
matrix product gives every pair cheaply with a known error bound `slack`; only pairs within twice that bound of the best
are computed in float64. Measured on unit rows of Alpaca: one or two pairs a row.

The bound: any order of summation of a dot product errs by at most g|x||y|, g = du/(1 - du), u = 2^-24 (Higham,
Accuracy and Stability of Numerical Algorithms, 2002, section 3.1), so it covers every BLAS and every GPU with TF32 off.
On |x|^2 + |y|^2 - 2xy that makes 2g R^2, R the largest norm, plus a few roundings of the parts and of the comparison,
for which 16u R^2 is ample, and what vanishes below the smallest float32.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from curate.engine.blocks import map_blocks
from curate.errors import UsageError

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

_PAIRS = 512  # pairs computed in float64 at a time: 1 MB at 256 dimensions stays in the cache; 4,096 took twice as long
_SCREEN = 2**20  # float32 distances of one block: 4 MB
_LARGEST = 1e18  # norms above this have squares that float32 cannot hold


def squared_norms(X: F32) -> F64:
    """Return |x|^2 of each row of `X` (n, d) in float64; UsageError where `X` cannot be compared.

    That is: not two-dimensional float32, no rows or columns, NaN or infinity, or norms whose squares overflow float32.
    """
    if X.ndim != 2 or X.dtype != np.float32 or 0 in X.shape:
        raise UsageError(
            f"vectors are {X.dtype} of shape {X.shape}, but must be float32 of shape (rows, dimensions), not empty",
            "Convert them: np.ascontiguousarray(X, dtype=np.float32)",
        )
    norms = np.concatenate([_squares(X[start : start + _PAIRS]) for start in range(0, len(X), _PAIRS)])
    bad = np.flatnonzero(~(norms <= _LARGEST**2))
    if len(bad):
        raise UsageError(
            f"{len(bad)} of {len(X)} vectors hold NaN, infinity or a length above {_LARGEST:g}; first: row {bad[0]}",
            "Leave these rows out: X[np.isfinite(X).all(axis=1)]",
        )
    return norms


def _squares(X: F32) -> F64:
    wide = X.astype(np.float64)
    squares: F64 = np.einsum("ij,ij->i", wide, wide)
    return squares


def slack(dimensions: int, largest: float, u: float = 2.0**-24) -> float:
    """Return how far a float32 squared distance may be off, for rows whose squared norm is at most `largest`.

    u: unit roundoff of the arithmetic, if it is not that of float32.
    """
    g = dimensions * u / (1 - dimensions * u)
    underflow = (dimensions + 8) * 2.0**-124
    return 1.01 * (2 * g + 16 * u) * largest + underflow


def squared_distances(X: npt.NDArray[np.floating], rows: I64, Y: npt.NDArray[np.floating], others: I64) -> F64:
    """Return |X[rows[p]] - Y[others[p]]|^2 for each pair p in float64, coordinates summed in order."""
    out = np.empty(len(rows), dtype=np.float64)
    for start in range(0, len(rows), _PAIRS):
        part = slice(start, start + _PAIRS)
        diff = X[rows[part]].T.astype(np.float64, order="C")
        diff -= Y[others[part]].T
        diff *= diff
        # Over columns side by side numpy adds row after row; a single column it would add up in pairs.
        out[part] = np.add.reduce(diff, axis=0) if diff.shape[1] > 1 else np.add.accumulate(diff, axis=0)[-1]
    return out


def squared_distance_reference(x: F32, y: F32) -> float:
    """Return |x - y|^2 by a loop over the coordinates in Python floats."""
    total = 0.0
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        total += (a - b) * (a - b)
    return total


def nearest(A: F32, B: F32, B_squares: F32, slack: float) -> tuple[I64, F64]:
    """Return for each row of `A` the nearest row of `B` and its squared distance; the lowest index wins ties.

    `B_squares` are the squared norms in float32. Prior validation of data is assumed.
    """
    screen = (-2 * A) @ B.T
    screen += B_squares
    rows, others = np.nonzero(screen <= screen.min(axis=1, keepdims=True) + 2 * slack)
    exact = squared_distances(A, rows, B, others)
    if len(rows) == len(A):
        return others, exact
    first = np.searchsorted(rows, np.arange(len(A)))
    best = np.minimum.reduceat(exact, first)
    hits = np.flatnonzero(exact == best[rows])
    _, lowest = np.unique(rows[hits], return_index=True)
    return others[hits[lowest]], best


def nearest_rows(X: F32, norms: F64, chosen: I64, workers: int = 1) -> tuple[I64, F64]:
    """Return the nearest of the `chosen` rows to each row of `X`, lowest index on ties, and its distance.

    norms: squared norms of all rows, from `squared_norms`. Prior validation of data is assumed.
    """
    lowest: dict[bytes, int] = {}  # of equal rows the lowest stands for all; digests, since copies would take memory
    for row in np.sort(chosen):
        lowest.setdefault(blake2b(X[row].tobytes(), digest_size=16).digest(), row)
    chosen = np.fromiter(lowest.values(), np.int64, len(lowest))
    centers, squares = X[chosen], norms[chosen].astype(np.float32)
    error, block = slack(X.shape[1], float(norms.max())), min(2048, max(64, _SCREEN // len(chosen)))
    parts = map_blocks(lambda a, b: nearest(X[a:b], centers, squares, error), len(X), block, workers)
    return chosen[np.concatenate([part[0] for part in parts])], np.sqrt(np.concatenate([part[1] for part in parts]))
