"""Bounds on gains from float32 cosines that are off by at most `error`: one pass over a block, without a temporary.

Sums are in float64. Their order is the compiler's (which may add several lanes side by side): that moves a sum by less
than 1e-12 of itself, and the bounds leave room for more. Counts are exact.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_ROUNDING = 1e-9  # relative

_jit = numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})


@_jit
def excess_bounds(cosine: Any, threshold: Any, error: Any, high: Any, low: Any) -> None:
    """Add to high, low (b,) OUT the sums of max(0, c + error - t) and of max(0, c - error - t).

    cosine: (b, m) float32. threshold: (m,) float32. error: float32. high, low: float64.
    """
    for row in range(cosine.shape[0]):
        upper, lower = 0.0, 0.0
        for i in range(cosine.shape[1]):
            over = np.float64(cosine[row, i] - threshold[i])
            upper += max(over + error, 0.0)
            lower += max(over - error, 0.0)
        high[row] += upper * (1 + _ROUNDING)
        low[row] += lower * (1 - _ROUNDING)


@_jit
def hit_bounds(cosine: Any, threshold: Any, error: Any, high: Any, low: Any) -> None:
    """Add to high, low (b,) OUT how many c + error and how many c - error are at least t; shapes as above."""
    for row in range(cosine.shape[0]):
        upper, lower = 0, 0
        for i in range(cosine.shape[1]):
            upper += cosine[row, i] + error >= threshold[i]
            lower += cosine[row, i] - error >= threshold[i]
        high[row] += upper
        low[row] += lower
