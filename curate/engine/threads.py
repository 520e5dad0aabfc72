"""Map a function over chunks with threads: for work that polars, numba and tokenizers do without the interpreter lock.

One process holds one copy of a tokenizer and its caches, and texts are never pickled. Results come in input order, and
few chunks are in flight, so that memory stays bounded.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Full, Queue
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def map_threads(
    fn: Callable[[T], R], items: Iterable[T], workers: int, size: Callable[[T], int] = lambda _: 0, most: int = 0
) -> Iterator[R]:
    """Yield `fn(item)` for each item, in input order, computed by `workers` threads; one item more than that waits.

    Items of over `most` by `size` together are not in work at once: where they are large, fewer are.
    """
    if workers == 1:
        yield from map(fn, items)
        return
    pending: deque[tuple[int, Future[R]]] = deque()
    used = 0

    def first() -> R:
        nonlocal used
        done, result = pending.popleft()
        used -= done
        return result.result()

    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                more = size(item)
                while pending and used + more > most:
                    yield first()
                pending.append((more, pool.submit(fn, item)))
                used += more
                if len(pending) > workers:
                    yield first()
            while pending:
                yield first()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def ahead(items: Iterable[T], depth: int) -> Iterator[T]:
    """Yield the items, which another thread takes from their iterator, at most `depth` of them in advance."""
    queue: Queue[tuple[bool, Any]] = Queue(depth)
    stopped = threading.Event()
    reader = threading.Thread(target=_fill, args=(items, queue, stopped), daemon=True)
    reader.start()
    try:
        while True:
            more, value = queue.get()
            if more:
                yield value
            elif value is None:
                return
            else:
                raise value
    finally:
        stopped.set()
        reader.join()


def _fill(items: Iterable[Any], queue: Queue[tuple[bool, Any]], stopped: threading.Event) -> None:
    try:
        for item in items:
            if not _put(queue, (True, item), stopped):
                return
        _put(queue, (False, None), stopped)
    except BaseException as error:
        _put(queue, (False, error), stopped)


def _put(queue: Queue[tuple[bool, Any]], entry: tuple[bool, Any], stopped: threading.Event) -> bool:
    """Put an entry into a full queue as soon as there is room; return whether anybody still wants it."""
    while not stopped.is_set():
        try:
            queue.put(entry, timeout=0.2)
        except Full:
            continue
        return True
    return False
