"""Map a function over chunks on this machine, in this process or in a few others.

Decisions:
- Results come in input order; at most two chunks for each worker are in flight, so that memory stays bounded.
- Workers are spawned, not forked: polars, torch and BLAS hold threads and locks that do not survive a fork.
- `ProcessPoolExecutor`, not `multiprocessing.Pool`: when a worker is killed, the latter waits for ever.
- A worker ends with its parent: a thread in it watches. Ctrl-C is for the parent alone, which then kills its workers.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from itertools import chain, islice
from typing import Any

from curate.errors import CurateError, UsageError

_Setup = Callable[[], Any] | None
_work: Callable[[Any], Any]  # in a worker: what it does with a chunk


def map_chunks(fn: Callable[..., Any], chunks: Iterable[Any], workers: int, setup: _Setup = None) -> Iterator[Any]:
    """Yield `fn(chunk)` for each chunk, in input order; with `setup`, `fn(chunk, state)`.

    `setup()` runs once in each worker and makes the `state` that it holds (a model, a tokenizer). One worker, or one
    chunk, means this process; otherwise `fn`, `setup`, chunks and results must pickle (functions of a module).

    Raises CurateError that names the chunk when `fn` fails or a worker dies (a CurateError from `fn` passes as it is).
    """
    if workers < 1:
        raise UsageError(f"workers is {workers}, and must be at least 1", "Try --workers 2")
    queue = iter(chunks)
    first = list(islice(queue, 2))
    numbered = enumerate(chain(first, queue), start=1)
    return _inline(fn, numbered, setup) if workers == 1 or len(first) < 2 else _pool(fn, numbered, workers, setup)


def _inline(fn: Callable[..., Any], numbered: Iterable[tuple[int, Any]], setup: _Setup) -> Iterator[Any]:
    work = with_state(fn, setup)
    for number, chunk in numbered:
        with _named(number):
            result = work(chunk)
        yield result


def _pool(fn: Callable[..., Any], numbered: Iterable[tuple[int, Any]], workers: int, setup: _Setup) -> Iterator[Any]:
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(fn, setup))
    pending: deque[tuple[int, Future[Any]]] = deque()
    try:
        for number, chunk in numbered:
            with _starting_workers():
                pending.append((number, executor.submit(_run, chunk)))
            if len(pending) == 2 * workers:
                yield _result(*pending.popleft())
        while pending:
            yield _result(*pending.popleft())
    except BaseException:  # also Ctrl-C, and a consumer that stops early: do not wait for what nobody wants
        for process in list((executor._processes or {}).values()):
            process.kill()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def _starting_workers() -> Iterator[None]:
    """Let workers that start here inherit a blocked SIGINT for life, and not run the user's script again.

    A spawned process imports the parent's `__main__`, which a script without `if __name__ == "__main__"` does not
    survive; our functions are in modules and do not need it.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    main = sys.modules["__main__"].__dict__
    hidden: dict[str, Any] = {name: main[name] for name in ("__file__", "__spec__") if name in main}
    main.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        main.update(hidden)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _result(number: int, future: Future[Any]) -> Any:
    with _named(number):
        return future.result()


@contextmanager
def _named(number: int) -> Iterator[None]:
    try:
        yield
    except CurateError:
        raise
    except BrokenProcessPool as error:
        hint = "Out of memory? Try --workers 1."
        raise CurateError(f"a worker process died near chunk {number}", hint) from error
    except Exception as error:
        raise CurateError(f"chunk {number} failed: {type(error).__name__}: {error}") from error


def with_state(fn: Callable[..., Any], setup: _Setup) -> Callable[[Any], Any]:
    """Return what to do with a chunk; `setup` runs with the first one, so that its error is told like any other."""
    state = cache(setup) if setup else None
    return (lambda chunk: fn(chunk, state())) if state else fn


def _start(fn: Callable[..., Any], setup: _Setup) -> None:
    global _work
    _work = with_state(fn, setup)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _run(chunk: Any) -> Any:
    return _work(chunk)
