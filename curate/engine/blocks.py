"""Map a function over fixed-size row blocks with a pool of threads: the same numbers for any number of workers.

Floating-point sums depend on how the work is cut. So the blocks depend on the data alone, each block is computed by one
BLAS thread, and the results come back in block order; only how many blocks run at once depends on `workers`. Threads
are enough: numpy and BLAS release the interpreter lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def map_blocks(fn: Callable[[int, int], T], rows: int, block: int, workers: int = 1) -> list[T]:
    """Return `fn(start, stop)` for each block of `block` rows, in order, computed by `workers` threads."""
    starts = range(0, rows, block)
    with one_blas_thread():
        if workers == 1 or len(starts) == 1:
            return [fn(start, min(start + block, rows)) for start in starts]
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(lambda start: fn(start, min(start + block, rows)), starts))


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold numpy's BLAS to one thread; the former setting comes back at the end."""
    with _blas().limit(limits=1, user_api="blas"):
        yield


@cache
def _blas() -> Any:
    """Return the handle of numpy's BLAS (and of others loaded by then); finding it costs 1 ms, so it is done once."""
    import numpy as np  # noqa: F401  (its BLAS must be loaded before it can be found)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
