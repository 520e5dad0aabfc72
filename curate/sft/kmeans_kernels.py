"""The kernels of K-means: which centre is nearest, what a row adds to its centre, and in which order rows stand.

They release the interpreter lock. No number that they give depends on how the rows are cut into blocks, on the BLAS or
on the processor: products of two float32 are exact in float64, their sum is taken in a fixed order, and the sums over
rows are integers.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_LANES = 8  # running sums of one dot product: one vector register
_SEED, _FACTOR, _32 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93), np.uint64(32)

_jit = numba.njit(nogil=True, cache=True)


@_jit
def dot(x: Any, y: Any) -> float:
    """Return the dot product of two float32 vectors in float64: eight running sums over the columns, then their sum."""
    lanes = np.zeros(_LANES)
    whole = len(x) // _LANES * _LANES
    for j in range(0, whole, _LANES):
        for lane in range(_LANES):
            lanes[lane] += np.float64(x[j + lane]) * np.float64(y[j + lane])
    for j in range(whole, len(x)):
        lanes[j - whole] += np.float64(x[j]) * np.float64(y[j])
    total = 0.0
    for lane in range(_LANES):
        total += lanes[lane]
    return total


@_jit
def _within(screen: Any, floor: Any) -> Any:
    count = np.int32(0)
    for j in range(len(screen)):
        count += np.int32(screen[j] >= floor)
    return count


@_jit
def decide(
    screen: Any, highest: Any, window: Any, first: Any, X: Any, centers: Any, half: Any, labels: Any, tops: Any
) -> None:
    """Raise `labels` (b,) IN/OUT to the nearest centre, the lowest on ties, with one more tile of centres.

    screen: (b, t) float32 scores of X (b, d) with the centres from number `first` on; tiles come in ascending order.
    highest: (b,) the largest of each row of `screen`. centers: (K, d). half: (K,) float64, what a score is below the
    dot product: |c|^2 / 2, or 0. tops: (b,) float32 IN/OUT, the float32 score of the label, -inf at first.
    Where several float32 scores are within `window` (float32) of the largest, float64 decides.
    """
    for i in range(len(X)):
        floor = max(highest[i], tops[i]) - window
        if highest[i] < floor:
            continue
        known = tops[i] >= floor
        tied = known or _within(screen[i], floor) > 1
        best = dot(X[i], centers[labels[i]]) - half[labels[i]] if known else -np.inf
        for j in range(screen.shape[1]):
            if screen[i, j] >= floor:
                score = dot(X[i], centers[first + j]) - half[first + j] if tied else np.inf
                if score > best:
                    best, labels[i], tops[i] = score, first + j, screen[i, j]
                if not tied:
                    break


@_jit
def own_scores(X: Any, centers: Any, half: Any, labels: Any, out: Any) -> None:
    """Write the float64 score of each row with its own centre into `out` (n,)."""
    for i in range(len(X)):
        out[i] = dot(X[i], centers[labels[i]]) - half[labels[i]]


@_jit
def move_rows(X: Any, rows: Any, before: Any, after: Any, scale: Any, sums: Any, column: Any, end: Any) -> None:
    """Take each of `rows` from the sum of its cluster `before` (-1: none) and add it to that of `after`.

    sums: (K, d) int64 IN/OUT, in units of 1/scale; only columns from `column` to `end` are touched.
    """
    for i in rows:
        old, new = before[i], after[i]
        for j in range(column, end):
            units = np.int64(np.rint(np.float64(X[i, j]) * scale))
            sums[new, j] += units
            if old >= 0:
                sums[old, j] -= units


@_jit
def hash_rows(bits: Any, seed: Any, out: Any) -> None:
    """Hash each row of `bits` (n, d) uint32 into `out` (n,) uint64."""
    for i in range(bits.shape[0]):
        state = seed ^ _SEED
        for j in range(bits.shape[1]):
            state = (state ^ np.uint64(bits[i, j])) * _FACTOR
            state ^= state >> _32
        out[i] = state
