"""Row blocks over a pool of threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from curate.engine import blocks
from curate.engine.blocks import map_blocks, one_blas_thread


def blas_threads() -> list[int]:
    """Return the threads of numpy's BLAS; libraries that other tests loaded later are not its business."""
    return [pool["num_threads"] for pool in blocks._blas().info() if pool["user_api"] == "blas"]


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize(("rows", "block"), [(0, 3), (1, 3), (3, 3), (10, 3), (10, 100)])
def test_blocks_cover_the_rows_in_order(rows, block, workers):
    """Blocks follow each other without gap or overlap, whatever the number of workers."""
    bounds = map_blocks(lambda start, stop: (start, stop), rows, block, workers)
    assert [row for start, stop in bounds for row in range(start, stop)] == list(range(rows))
    assert all(stop - start <= block for start, stop in bounds)


def test_workers_run_at_the_same_time():
    """Two workers work on two blocks at once: each waits for the other."""
    barrier = threading.Barrier(2, timeout=30)
    assert map_blocks(lambda start, stop: barrier.wait() >= 0, 2, 1, workers=2) == [True, True]


def test_blas_has_one_thread_inside_and_its_own_number_after():
    """BLAS runs single-threaded inside, also when nested, and gets back what it had."""
    np.ones((2, 2)) @ np.ones((2, 2))
    with threadpool_limits(limits=2, user_api="blas"):
        before = blas_threads()
        with one_blas_thread():
            assert set(map_blocks(lambda start, stop: max(blas_threads()), 3, 1, workers=2)) == {1}
            assert set(blas_threads()) == {1}
        assert blas_threads() == before


def test_an_error_in_a_block_is_raised():
    """An exception inside a block reaches the caller, and BLAS gets its threads back."""
    before = blas_threads()
    with pytest.raises(ZeroDivisionError):
        map_blocks(lambda start, stop: 1 // (start - 1), 3, 1, workers=2)
    assert blas_threads() == before
