"""Cosines: screened in float32 by matrix product, decided in float64, as `curate/sft/distance.py` does for distances.

The truth is the dot product of the stored float32 unit rows in float64, coordinates summed in order.
"""

from __future__ import annotations

import numpy as np

from curate.sft.distance import F32, F64, I64, slack

_PAIRS = 4096  # rows computed in float64 at a time: 8 MB at 256 dimensions


def cosine_error(dimensions: int) -> float:
    """Return how far a float32 cosine of unit rows may be off: half the bound on their squared distance."""
    return slack(dimensions, 1.002) / 2  # 1.002: rows count as unit within 0.001 of their squared length


def cosines(X: F32, rows: I64, x: F32) -> F64:
    """Return the cosine of each of the `rows` of `X` to `x` in float64."""
    out = np.empty(len(rows), dtype=np.float64)
    wide = x.astype(np.float64)[:, None]
    for start in range(0, len(rows), _PAIRS):
        part = slice(start, start + _PAIRS)
        products = X[rows[part]].T.astype(np.float64, order="C") * wide
        # Over columns side by side numpy adds row after row; a single column it would add up in pairs.
        out[part] = np.add.reduce(products, axis=0) if products.shape[1] > 1 else np.add.accumulate(products)[-1]
    return out


def cosines_reference(X: F32) -> F64:
    """Return all cosines in float64, one coordinate after the other."""
    wide = X.astype(np.float64)
    table = np.zeros((len(X), len(X)))
    for j in range(wide.shape[1]):
        table += wide[:, j, None] * wide[None, :, j]
    return table
