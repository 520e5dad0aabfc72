"""Mapping over chunks on a cluster: order, bounds, errors, and workers and nodes that are lost."""

from __future__ import annotations

import itertools
import json
import operator
import os
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from curate.engine import ray as engine
from curate.errors import CurateError, MissingExtra, UsageError


@pytest.mark.parametrize("n", [0, 1, 2, 11])
def test_results_come_in_input_order(cluster, n):
    """Results stand in the order of their chunks, for any number of chunks."""
    assert list(engine.map_chunks(operator.neg, iter(range(n)), 2)) == [-number for number in range(n)]


def test_setup_makes_the_state_of_a_worker(cluster):
    """With a setup, the function gets its result beside each chunk."""
    assert list(engine.map_chunks(operator.add, [1, 2, 3], 2, setup=partial(int, "10"))) == [11, 12, 13]


def test_a_chunk_may_give_several_results(cluster):
    """What a function yields comes one after the other, chunk after chunk."""
    assert list(engine.stream_chunks(range, [2, 0, 3])) == [0, 1, 0, 1, 2]


def test_both_nodes_work(cluster, tmp_path):
    """The chunks are spread over the cluster: each of two waits until the other has begun, and a node has one CPU."""
    assert len(set(engine.map_chunks(_node, [tmp_path, tmp_path], 2))) == 2


def test_only_a_few_chunks_are_in_flight(cluster):
    """Chunks are taken from their source no faster than results are taken: two ahead for each CPU."""
    taken = []

    def chunks() -> Iterator[int]:
        for number in range(50):
            taken.append(number)
            yield number

    flight = 2 * engine.resource("CPU")
    results = engine.map_chunks(operator.neg, chunks(), 2)
    assert next(results) == 0
    assert len(taken) == flight
    results.close()
    assert len(taken) == flight


def test_a_consumer_that_stops_early_ends_the_work(cluster, tmp_path):
    """The chunk that is being read is not worked on any more either: its worker goes."""
    results = engine.stream_chunks(_first_then_slow, [tmp_path / "finished"])
    worker = next(results)
    results.close()
    while Path(f"/proc/{worker}").exists():
        assert not (tmp_path / "finished").exists()
        time.sleep(0.05)


def test_an_exception_names_its_chunk(cluster):
    """An exception in the function, or in the setup, says which chunk it came from, and what it was."""
    with pytest.raises(CurateError, match="chunk 3 failed: JSONDecodeError: Expecting value"):
        list(engine.map_chunks(json.loads, ["1", "2", "?", "4"], 2))
    with pytest.raises(CurateError, match=r"chunk 1 failed: ValueError: invalid literal for int"):
        list(engine.map_chunks(operator.add, [1, 2, 3], 2, setup=partial(int, "ten")))


def test_an_error_for_the_user_passes_as_it_is(cluster):
    """A CurateError keeps its class, its hint and so its exit code."""
    with pytest.raises(UsageError) as caught:
        list(engine.map_chunks(_refuse, [1], 2))
    assert caught.value.hint == "Type --map"


def test_a_worker_that_is_killed_is_replaced(cluster, tmp_path):
    """What a killed worker had begun is done again; nothing is lost or doubled."""
    chunks = [(tmp_path / "killed", number) for number in range(6)]
    assert list(engine.stream_chunks(_die_once, chunks)) == [number * 10 + i for number in range(6) for i in range(3)]
    assert (tmp_path / "killed").exists()


def test_a_chunk_that_kills_every_worker_ends_the_run(cluster, capfd):
    """As one that needs more memory than there is: one clear error, and nothing of Ray on stdout."""
    with pytest.raises(CurateError, match="the workers for chunk 2 died") as caught:
        list(engine.map_chunks(_die_on_two, [1, 2], 2))
    assert "Out of memory?" in caught.value.hint
    assert capfd.readouterr().out == ""


def test_a_worker_out_of_memory_is_told(cluster):
    """A worker whose memory is limited says so, and which chunk was too much."""
    with pytest.raises(CurateError, match="chunk 1 failed: MemoryError"):
        list(engine.map_chunks(_take_memory, [1 << 48], 2))


def test_a_node_that_is_lost_is_done_without(cluster):
    """What a lost node had done or begun is done again by the others."""
    node = cluster.add_node(num_cpus=1, object_store_memory=200 << 20)
    results = engine.map_chunks(_slow, range(24), 2)
    first = [next(results) for _ in range(3)]
    cluster.remove_node(node, allow_graceful=False)
    assert [number for number, _ in [*first, *results]] == list(range(24))


def test_each_gpu_has_one_worker(gpus):
    """Each of two processes has a GPU of its own, and keeps it and the state that it made; results come in order."""
    found: list[tuple[int, int, str | None, str | None]] = []

    def chunks() -> Iterator[int]:
        until = time.monotonic() + 120  # the second process may start late
        while len({process for _, process, *_ in found}) < 2 and time.monotonic() < until:
            yield next(numbers)
        yield from itertools.islice(numbers, 12)

    numbers = itertools.count()
    for result in engine.map_chunks(_gpu, chunks(), 2, setup=_gpu_now, gpus=1):
        found.append(result)
    assert [number for number, *_ in found] == list(range(next(numbers)))
    assert len({(process, first, now) for _, process, first, now in found}) == 2
    assert all(first == now for _, _, first, now in found)
    assert {now for *_, now in found} == {"0", "1"}


def test_a_worker_of_a_gpu_that_is_killed_is_replaced(gpus, tmp_path):
    """What it had begun, and what waited for it, is done by another one; nothing is lost or doubled."""
    chunks = [(tmp_path / "killed", number) for number in range(8)]
    assert list(engine.map_chunks(_die_on_three, chunks, 2, gpus=1)) == list(range(8))
    assert (tmp_path / "killed").exists()
    with pytest.raises(CurateError, match="the workers for chunk 2 died"):
        list(engine.map_chunks(_die_on_two, [1, 2], 2, gpus=1))


def test_a_node_with_gpus_that_is_lost_is_done_without(cluster, gpus):
    """The GPUs of other nodes do what those of a lost one had done or begun; without any the run ends."""
    other = cluster.add_node(num_cpus=1, num_gpus=1, object_store_memory=200 << 20)
    large = cluster.add_node(num_cpus=1, num_gpus=5, object_store_memory=200 << 20)  # more than a chunk has tries
    results = engine.map_chunks(_slow, range(100), 2, gpus=1)
    first = [next(results) for _ in range(40)]
    cluster.remove_node(large, allow_graceful=False)
    cluster.remove_node(gpus, allow_graceful=False)
    assert [number for number, _ in [*first, *results]] == list(range(100))
    results = engine.map_chunks(_slow, range(24), 2, gpus=1)
    assert next(results)[0] == 0
    cluster.remove_node(other, allow_graceful=False)
    with pytest.raises(CurateError, match="no GPU is left in the cluster"):
        list(results)


def test_errors_on_a_gpu_are_told_like_others(gpus):
    """An exception names its chunk, an error for the user passes, and a consumer may stop early."""
    with pytest.raises(CurateError, match="chunk 3 failed: JSONDecodeError"):
        list(engine.map_chunks(json.loads, ["1", "2", "?", "4"], 2, gpus=1))
    with pytest.raises(UsageError, match="no such column"):
        list(engine.map_chunks(_refuse, [1], 2, gpus=1))
    with pytest.raises(CurateError, match="chunk 1 failed: MemoryError"):
        list(engine.map_chunks(_take_memory, [1 << 48], 2, gpus=1))
    with pytest.raises(CurateError, match="chunk 1 failed: TypeError: cannot pickle"):
        list(engine.map_chunks(open, [os.devnull], 2, gpus=1))
    with pytest.raises(CurateError, match="chunk 1 failed: ModuleNotFoundError"):
        list(engine.map_chunks(_not_there(), [1], 2, gpus=1))
    results = engine.map_chunks(_slow, range(24), 2, gpus=1)
    next(results)
    results.close()
    assert list(engine.map_chunks(operator.neg, range(3), 2, gpus=1)) == [0, -1, -2]


def test_fewer_than_one_worker_is_refused():
    """The number of workers must be at least one, as for the local engine."""
    with pytest.raises(UsageError, match="workers is 0"):
        engine.map_chunks(operator.neg, [1], 0)


def test_without_ray_the_install_line_is_told(monkeypatch):
    """A missing extra is named with what to type."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra) as caught:
        engine.connect(None, 2)
    assert caught.value.hint == 'Install: pip install "curate[ray]"'


def test_no_cluster_at_an_address_is_told():
    """An address where nothing answers ends in one error, and so does one of a client."""
    with pytest.raises(UsageError, match="on a node of the cluster"):
        engine.connect("ray://head:10001", 2)
    code = "from curate.engine.ray import connect; connect('127.0.0.1:9', 2)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert "CurateError: no Ray cluster answers at 127.0.0.1:9" in done.stderr


def _node(place: Path) -> str:
    import ray

    node = ray.get_runtime_context().get_node_id()
    (place / node).touch()
    until = time.monotonic() + 120  # a node that has had no work yet starts a worker first
    while len(list(place.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    return node


def _slow(number: int) -> tuple[int, bytes]:
    time.sleep(0.1)
    return number, bytes(200_000)  # too much to travel beside the answer: it lies in the store of the node


def _refuse(_chunk: int) -> None:
    raise UsageError("no such column", "Type --map")


def _first_then_slow(finished: Path) -> Iterator[int]:
    yield os.getpid()
    time.sleep(30)
    finished.touch()


def _die_once(chunk: tuple[Path, int]) -> Iterator[int]:
    marker, number = chunk
    for i in range(3):
        if (number, i) == (2, 1) and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield number * 10 + i


def _die_on_two(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def _take_memory(size: int) -> int:
    return len(bytearray(size))


def _gpu_now() -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def _gpu(number: int, first: str | None) -> tuple[int, int, str | None, str | None]:
    time.sleep(0.1)  # so that no worker does all of them
    return number, os.getpid(), first, _gpu_now()


def _die_on_three(chunk: tuple[Path, int]) -> int:
    marker, number = chunk
    if number == 3 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def _not_there() -> Callable[[int], int]:
    """Return a function of a module that the workers do not have."""
    module = types.ModuleType("only_here")
    sys.modules["only_here"] = module
    exec("def negative(number):\n    return -number", vars(module))
    found: Callable[[int], int] = module.negative
    return found
