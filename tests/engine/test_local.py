"""Mapping over chunks: order, bounds, errors, and the ends of workers."""

from __future__ import annotations

import json
import operator
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from curate.engine.local import map_chunks
from curate.errors import CurateError, UsageError


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("n", [0, 1, 2, 11])
def test_results_come_in_input_order(workers, n):
    """Results stand in the order of their chunks, for any number of chunks and workers."""
    assert list(map_chunks(operator.neg, iter(range(n)), workers)) == [-number for number in range(n)]


@pytest.mark.parametrize("workers", [1, 2])
def test_setup_makes_the_state_of_a_worker(workers):
    """With a setup, the function gets its result beside each chunk."""
    assert list(map_chunks(operator.add, [1, 2, 3], workers, setup=partial(int, "10"))) == [11, 12, 13]


def test_one_chunk_is_worked_on_in_this_process():
    """A single chunk never costs the start of a worker."""
    assert list(map_chunks(lambda chunk: (chunk, os.getpid()), ["a"], 4)) == [("a", os.getpid())]


def test_only_a_few_chunks_are_in_flight():
    """Chunks are taken from their source no faster than results are taken: two ahead for each worker."""
    taken = []

    def chunks() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

    results = map_chunks(operator.neg, chunks(), 2)
    assert next(results) == 0
    assert len(taken) == 4
    results.close()
    assert len(taken) == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_names_its_chunk(workers):
    """An exception in the function says which chunk it came from, and what it was."""
    with pytest.raises(CurateError, match="chunk 3 failed: JSONDecodeError: Expecting value"):
        list(map_chunks(json.loads, ["1", "2", "?", "4"], workers))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_in_setup_is_told(workers):
    """A worker that cannot be set up ends the map with the reason."""
    with pytest.raises(CurateError, match=r"chunk \d failed: ValueError: invalid literal for int"):
        list(map_chunks(operator.add, [1, 2, 3], workers, setup=partial(int, "ten")))


def test_an_error_for_the_user_passes_as_it_is():
    """A CurateError keeps its class, its hint and so its exit code."""

    def refuse(_chunk: int) -> None:
        raise UsageError("no such column", "Type --map")

    with pytest.raises(UsageError) as caught:
        list(map_chunks(refuse, [1], 1))
    assert caught.value.hint == "Type --map"


def test_a_worker_that_dies_is_told():
    """A worker that is killed ends the map with an error, not with a wait for ever."""
    with pytest.raises(CurateError, match="a worker process died"):
        list(map_chunks(os._exit, [9, 9, 9], 2))


def test_fewer_than_one_worker_is_refused():
    """The number of workers must be at least one."""
    with pytest.raises(UsageError, match="workers is 0"):
        map_chunks(operator.neg, [1], 0)


SLEEPERS = """
import multiprocessing, sys, threading, time
from curate.engine.local import map_chunks
def tell():
    while len(multiprocessing.active_children()) < 2:
        time.sleep(0.01)
    time.sleep(0.5)
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
threading.Thread(target=tell, daemon=True).start()
try:
    list(map_chunks(time.sleep, [60, 60, 60], 2))
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def _sleeping_map() -> tuple[subprocess.Popen[str], list[int]]:
    """Start a map whose workers sleep, in a process group of its own; return it and its workers' ids."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPERS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    return process, [int(pid) for pid in process.stdout.readline().split()]


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _becomes(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + 20
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return condition()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc to see whether a process runs")
def test_workers_die_with_a_parent_that_is_killed():
    """No worker outlives a parent that was killed and could not clean up."""
    process, workers = _sleeping_map()
    assert len(workers) == 2
    assert all(map(_runs, workers))
    process.kill()
    process.communicate()
    assert _becomes(lambda: not any(map(_runs, workers)))


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc to see whether a process runs")
def test_an_interruption_is_clean():
    """Ctrl-C reaches the parent alone: it ends at once, with its workers, and no worker prints a traceback."""
    process, workers = _sleeping_map()
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (out, err, process.returncode) == ("interrupted\n", "", 0)
    assert not any(map(_runs, workers))


def test_a_plain_script_needs_no_main_guard(tmp_path):
    """A user's script that calls us at its top level is not run again by the workers."""
    script = tmp_path / "script.py"
    script.write_text(
        "print('top')\nfrom curate.engine.local import map_chunks\n"
        "print(list(map_chunks(abs, [-1, -2, -3], 2)), __file__ is not None)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["top", "[1, 2, 3] True"]
