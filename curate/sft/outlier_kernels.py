"""The kernel of the outliers: the k largest numbers of each row, block by block. It releases the interpreter lock."""

from __future__ import annotations

from typing import Any

import numba


@numba.njit(nogil=True, cache=True)
def keep_largest(block: Any, rows: Any, others: Any, largest: Any, which: Any) -> None:
    """Merge `block` into the k largest numbers seen so far of each row; the earlier column wins ties.

    block: (b, c) float32, closeness of rows (b,) to others (c,), both row numbers; a row is not close to itself.
    largest: (b, k) float32 OUT, descending. which: (b, k) int64 OUT, the row numbers they belong to.
    """
    k = largest.shape[1]
    for i in range(block.shape[0]):
        for j in range(block.shape[1]):
            value = block[i, j]
            if value > largest[i, k - 1] and others[j] != rows[i]:
                place = k - 1
                while place > 0 and value > largest[i, place - 1]:
                    largest[i, place], which[i, place] = largest[i, place - 1], which[i, place - 1]
                    place -= 1
                largest[i, place], which[i, place] = value, others[j]
