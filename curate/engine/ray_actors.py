"""Map a function over chunks with one Ray actor for each GPU of a cluster: a model stays on its GPU.

Decisions:
- Actors, not tasks: Ray may give the process of a task another GPU the next time, and the model in it would stay on the
  first one, beside that of a second process.
- A chunk goes to an actor that is up, two to each at most. An actor that dies is not restarted but replaced, as soon as
  there is a GPU for another one: so nothing waits for a node that is gone.
"""

from __future__ import annotations

import pickle
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from curate.engine import ray as engine
from curate.engine.local import with_state
from curate.errors import CurateError

_FLIGHT = 2  # chunks of an actor: the next one is there when one is done
_LOOK_SECONDS = 2.0  # between two looks whether there still is a GPU


class _Given(NamedTuple):
    number: int
    chunk: bytes
    actor: Any
    result: Any


class Actors:
    """The actors that work on the chunks of one map: `fn(chunk, state)` on `gpus` GPUs each."""

    def __init__(self, fn: Callable[..., Any], setup: Callable[[], Any] | None, gpus: int) -> None:
        import ray

        self._make = ray.remote(_Actor).options(num_gpus=gpus, num_cpus=0).remote
        self._work = ray.put(pickle.dumps((fn, setup)))
        self._gpus = gpus
        self._starting: dict[Any, Any] = {}  # actors by what tells that they are up
        self._chunks: Counter[Any] = Counter()  # of each actor that is up

    def map(self, chunks: Iterable[Any]) -> Iterator[Any]:
        """Yield the result of each chunk, in input order. Raises CurateError where a chunk fails or cannot be done."""
        import ray

        pending: deque[_Given] = deque()
        try:
            for number, chunk in enumerate(chunks, start=1):
                pending.append(self._give(number, pickle.dumps(chunk)))
                if len(pending) >= _FLIGHT * len(self._chunks):
                    yield self._result(pending.popleft())
            while pending:
                yield self._result(pending.popleft())
        finally:
            for actor in [*self._chunks, *self._starting.values()]:
                ray.kill(actor)

    def _give(self, number: int, chunk: bytes) -> _Given:
        """Give a chunk to the actor that has the fewest."""
        self._await_one()
        actor = min(self._chunks, key=self._chunks.__getitem__)
        self._chunks[actor] += 1
        return _Given(number, chunk, actor, actor.run.remote(number, chunk))

    def _await_one(self) -> None:
        """See which actors are up, and wait until one is; start one for each GPU that has none."""
        import ray
        from ray.exceptions import RayError

        while True:
            for _ in range(engine.resource("GPU") // self._gpus - len(self._chunks) - len(self._starting)):
                actor: Any = self._make(self._work)
                self._starting[actor.up.remote()] = actor
            starting = list(self._starting)
            if not self._chunks and not starting:
                raise CurateError("no GPU is left in the cluster", "Bring its nodes back, and run again.")
            seconds = 0.0 if self._chunks else _LOOK_SECONDS
            for up in ray.wait(starting, num_returns=len(starting), timeout=seconds)[0] if starting else ():
                actor = self._starting.pop(up)
                try:
                    ray.get(up)
                    self._chunks[actor] = 0
                except RayError:  # it died before it was up
                    ray.kill(actor)
            if self._chunks:
                return

    def _result(self, given: _Given) -> Any:
        import ray
        from ray.exceptions import RayError

        for attempt in range(engine.RETRIES + 1):
            with engine.told(f"chunk {given.number}"):
                try:
                    value = pickle.loads(ray.get(given.result))
                except RayError:
                    ray.kill(given.actor)  # where it lives still, and the result was lost with a node
                    self._chunks.pop(given.actor, None)
                    if attempt == engine.RETRIES:
                        raise
                    given = self._give(given.number, given.chunk)
                    continue
            if given.actor in self._chunks:
                self._chunks[given.actor] -= 1
            if isinstance(value, CurateError):
                raise value
            return value
        raise AssertionError


class _Actor:
    """In a process of its own: what it does with chunks, and the state that it holds."""

    def __init__(self, work: bytes) -> None:
        self._work = with_state(*pickle.loads(work))

    def up(self) -> None:
        """Answer, once it runs."""

    def run(self, number: int, chunk: bytes) -> bytes:
        """Return the pickled result for a chunk, or the error."""
        try:
            result = self._work(pickle.loads(chunk))
        except Exception as error:
            result = engine.failed(number, error)
        return pickle.dumps(result, protocol=5)
