"""Threads: results in order, bounded, and errors where they belong."""

from __future__ import annotations

import threading
import time

import pytest

from curate.engine.threads import ahead, map_threads


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_input_order(workers):
    """Items that take longer do not fall behind."""

    def slow_first(item: int) -> int:
        time.sleep(0.02 if item % 3 == 0 else 0)
        return item * item

    assert list(map_threads(slow_first, range(20), workers)) == [item * item for item in range(20)]


def test_few_items_are_taken_in_advance():
    """However slow the consumer, at most one more item than there are workers is taken."""
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    results = map_threads(lambda item: item, items(), 2)
    next(results)
    assert len(taken) <= 4
    results.close()


def test_large_items_are_worked_on_one_after_the_other():
    """What is in work together has no more bytes than allowed, unless it is one item; small ones go side by side."""
    lock, at_work, most, together = threading.Lock(), 0, 0, 0
    sizes = [1, 1, 1, 9, 9, 2, 30, 1, 1, 5, 5, 5, 1]

    def work(size: int) -> int:
        nonlocal at_work, most, together
        with lock:
            at_work += size
            most = max(most, at_work if at_work > size else 0)
            together += at_work > size
        time.sleep(0.02)
        with lock:
            at_work -= size
        return size

    assert list(map_threads(work, sizes, 3, lambda size: size, 10)) == sizes
    assert most <= 10
    assert together >= 3


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_of_the_function_comes_out(workers):
    """The first error stops the work."""

    def fail(item: int) -> int:
        if item == 4:
            raise ValueError("item 4")
        return item

    with pytest.raises(ValueError, match="item 4"):
        list(map_threads(fail, range(100), workers))


def test_reading_ahead_changes_nothing():
    """Items, their order, and an error after them come through; the thread ends."""

    def items():
        yield from range(10)
        raise OSError("the disk")

    before = threading.active_count()
    seen = []
    with pytest.raises(OSError, match="the disk"):
        seen.extend(ahead(items(), 2))
    assert seen == list(range(10))
    assert threading.active_count() == before


def test_a_consumer_may_stop_early():
    """When nobody wants the items any more the thread ends."""
    before = threading.active_count()
    found = ahead(iter(range(1_000_000)), 1)
    assert next(found) == 0
    found.close()
    assert threading.active_count() == before
