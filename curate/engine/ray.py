"""Map a function over chunks on a Ray cluster, or on a small one that is started on this machine.

Decisions:
- Ray tasks do the work: Ray finds them a free CPU, and runs them again elsewhere when a worker or a node is lost. An
  actor that lost its node would wait for ever for a CPU of its own. Ray keeps the process of a task for the next one,
  so that a state (a model, a tokenizer) is made once in each process. What wants GPUs has actors (`ray_actors.py`).
- Results come in input order; at most two chunks for each CPU of the cluster are in flight. A chunk may give several
  results, one after the other (`stream_chunks`), so that a chunk of any size takes bounded memory.
- A chunk is tried four times: one that kills its worker each time would otherwise be tried for ever.
- Ray says nothing on stdout, where our result goes, and nothing about what it mends itself. It reports no usage.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import socket
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from curate.engine.local import with_state
from curate.errors import CurateError, MissingExtra, UsageError

_Setup = Callable[[], Any] | None

RETRIES = 3
_THREADS = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "RAYON_NUM_THREADS", "NUMBA_NUM_THREADS")
_held: dict[str, Callable[[Any], Iterator[Any]]] = {}  # in a worker: what it does with a chunk, by the digest of it


def connect(address: str | None, workers: int) -> None:
    """Connect to the cluster at `address` (auto, or host:port), or start one of `workers` CPUs on this machine.

    The connection stays for further calls and ends with this process; one that is there already is used as it is.
    Raises MissingExtra where Ray is not installed, CurateError where no cluster answers, UsageError for ray://, whose
    client does not hand out results one by one.
    """
    if address and address.startswith("ray://"):
        raise UsageError(
            f"--address {address}: a run has to be started on a node of the cluster",
            "Log in there, or use: ray job submit. Then give --address auto.",
        )
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or Ray warns of what will come
    try:
        import ray
        from ray._private import worker
    except ImportError:
        raise MissingExtra("--engine ray", "ray", "ray") from None
    if ray.is_initialized():
        return
    worker.print_to_stdstream = lambda *_, **__: None  # it prints on stdout which workers died
    one_thread = {"env_vars": dict.fromkeys(_THREADS, "1")}  # in each worker: there are as many workers as CPUs
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL, "runtime_env": one_thread}
    try:
        if not address:
            ray.init(num_cpus=workers, include_dashboard=False, **quiet)
        else:
            if address != "auto":  # Ray would try for minutes
                host, _, port = address.rpartition(":")
                socket.create_connection((host, int(port)), timeout=10).close()
            ray.init(address=address, **quiet)
    except (OSError, ValueError, RuntimeError) as error:
        where = "can be started on this machine" if not address else f"answers at {address}"
        why = getattr(error, "strerror", None) or next(iter(str(error).splitlines()), type(error).__name__)
        raise CurateError(
            f"no Ray cluster {where}: {why}",
            "Start one with: ray start --head, or leave out --address to use this machine alone.",
        ) from error


def resource(kind: str) -> int:
    """Return how many CPUs or GPUs (`kind` is CPU or GPU) the cluster has now."""
    import ray

    total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(total.get(kind, 0))


def map_chunks(
    fn: Callable[..., Any], chunks: Iterable[Any], workers: int, setup: _Setup = None, gpus: int = 0
) -> Iterator[Any]:
    """Yield `fn(chunk)` for each chunk, in input order; with `setup`, `fn(chunk, state)`.

    `setup()` makes the `state` that a worker holds. How many there are is for the cluster to say: `workers` is only
    checked, as by the local engine; with `gpus` there is one for so many of them, and it keeps them. `fn`, `setup`,
    chunks and results must pickle.

    Raises CurateError that names the chunk when `fn` fails or its workers die (one from `fn` passes as it is).
    """
    if workers < 1:
        raise UsageError(f"workers is {workers}, and must be at least 1", "Try --workers 2")
    if gpus:
        from curate.engine.ray_actors import Actors

        return Actors(fn, setup, gpus).map(chunks)
    return stream_chunks(partial(_one, fn), chunks, setup)


def _one(fn: Callable[..., Any], *arguments: Any) -> Iterator[Any]:
    yield fn(*arguments)


def stream_chunks(fn: Callable[..., Iterator[Any]], chunks: Iterable[Any], setup: _Setup = None) -> Iterator[Any]:
    """Yield what `fn(chunk)` yields, chunk after chunk; the rest as `map_chunks`."""
    import ray

    work = pickle.dumps((fn, setup))
    name, held = hashlib.sha256(work).hexdigest(), [ray.put(work)]
    task = ray.remote(_run).options(num_returns="streaming", max_retries=RETRIES, num_cpus=1)
    flight = 2 * max(resource("CPU"), 1)
    pending: deque[tuple[int, Any]] = deque()
    try:
        for number, chunk in enumerate(chunks, start=1):
            pending.append((number, task.remote(name, held, number, pickle.dumps(chunk))))
            if len(pending) == flight:
                yield from _results(*pending[0])
                pending.popleft()
        while pending:
            yield from _results(*pending[0])
            pending.popleft()
    finally:  # an error, or a consumer that stops early: do not work on what nobody wants
        for _, results in pending:
            ray.cancel(results, force=True)


class Held(NamedTuple):
    """A result that stays where it was made; its consumer gets a reference, for `map_held` and `sort`."""

    value: Any


def map_held(fn: Callable[[Any, Any], Any], held: Sequence[Any], chunks: Iterable[Any]) -> Iterator[Any]:
    """Yield `fn(value, chunk)` for each held value and its chunk, in order, computed where the value is."""
    import ray

    task, flight, pending = ray.remote(fn), 2 * max(resource("CPU"), 1), deque[Any]()
    with _told("what they hold"):
        for ref, chunk in zip(held, chunks, strict=True):
            pending.append(task.remote(ref, chunk))
            if len(pending) == flight:
                yield ray.get(pending.popleft())
        yield from map(ray.get, pending)


def sort(tables: Sequence[Any], key: str, fn: Callable[[Any], Any]) -> Callable[[], Iterator[Any]]:
    """Sort held Arrow tables by `key`, all together, and return what yields the sorted rows, as often as it is called.

    They come in tables, each the result of `fn` on rows whose keys stand in no other one.
    """
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Ray, for reading its own settings
        context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    with ray.data.DataContext.current(context), _told("sorting"):
        rows = ray.data.from_arrow_refs(list(tables)).sort(key)
        found = rows.map_batches(fn, batch_size=None, batch_format="pyarrow").materialize()

    def sorted_tables() -> Iterator[Any]:
        with _told("what is sorted"):
            yield from found.iter_batches(batch_size=None, batch_format="pyarrow")

    return sorted_tables


@contextmanager
def _told(work: str) -> Iterator[None]:
    """Say what could not be done, although it was tried again."""
    from ray.exceptions import RayError

    try:
        yield
    except RayError as error:
        raise CurateError(
            f"the workers for {work} died: {type(error).__name__}",
            "Out of memory? Let fewer run at once: --workers 1, or fewer CPUs for each node of the cluster.",
        ) from error


def _results(number: int, results: Any) -> Iterator[Any]:
    import ray

    for ref in results:
        with _told(f"chunk {number}"):
            value = pickle.loads(ray.get(ref))
        if isinstance(value, CurateError):
            raise value
        yield next(results) if value is Held else value


def _run(name: str, work: list[Any], number: int, chunk: bytes) -> Iterator[Any]:
    """Work on a chunk, in a worker; an error is the last result."""
    import ray

    try:
        if name not in _held:
            _held.clear()  # what an earlier map held
            _held[name] = with_state(*pickle.loads(ray.get(work[0])))
        for result in _held[name](pickle.loads(chunk)):
            if isinstance(result, Held):
                yield pickle.dumps(Held)  # what comes next is to be left where it is
                yield result.value
            else:
                yield pickle.dumps(result, protocol=5)
    except Exception as error:
        yield pickle.dumps(failed(number, error))


def failed(number: int, error: Exception) -> CurateError:
    """Return what to say of an error in a chunk; one that is for the user passes as it is."""
    if isinstance(error, CurateError):
        return error
    return CurateError(f"chunk {number} failed: {type(error).__name__}: {error}")
