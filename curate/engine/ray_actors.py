"""Map a function over chunks with one Ray actor for each GPU of a cluster: for as long, a model stays on its GPU.

Decisions:
- Actors, not tasks: Ray may give the process of a task another GPU the next time, and the model in it would stay on the
  first one, beside that of a second process.
- A chunk goes to an actor that is up. An actor that dies is not restarted but replaced, as soon as there is a GPU for
  another one: so nothing waits for a node that is gone.
- A chunk that was lost goes to another node, if there is one: with a node all its actors die, and it would be lost with
  each of them.
- There are no more actors than chunks. They end with the map: what comes next may want the GPU.
"""

from __future__ import annotations

import pickle
from collections import deque
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
    lost_on: tuple[str, ...]  # the nodes where it was lost before


class Actors:
    """The actors that work on the chunks of one map: `fn(chunk, state)` on `gpus` GPUs each."""

    def __init__(self, fn: Callable[..., Any], setup: Callable[[], Any] | None, gpus: int) -> None:
        import ray

        self._make = ray.remote(_Actor).options(num_gpus=gpus, num_cpus=0).remote
        self._work = ray.put(pickle.dumps((fn, setup)))
        self._gpus = gpus
        self._starting: dict[Any, Any] = {}  # actors by what tells their node, once they are up
        self._most = 0  # actors that there was room for at once: so many starts fail with the largest node
        self._failed: list[str] = []  # why, of starts one after the other
        self._node: dict[Any, str] = {}  # of each actor that is up
        self._chunks: dict[Any, int] = {}  # of each of these, how many it has

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

    def _give(self, number: int, chunk: bytes, lost_on: tuple[str, ...] = ()) -> _Given:
        """Give a chunk to the actor that has the fewest, on a node where it was not lost if there is one."""
        self._await_one(number)
        actor = min(self._chunks, key=lambda actor: (self._node[actor] in lost_on, self._chunks[actor]))
        self._chunks[actor] += 1
        return _Given(number, chunk, actor, actor.run.remote(number, chunk), lost_on)

    def _await_one(self, chunks: int) -> None:
        """See which actors are up, and wait until one is; start one for each GPU that has none, at most `chunks`."""
        import ray

        while True:
            room = engine.resource("GPU") // self._gpus
            self._most = max(self._most, room)
            if len(self._failed) <= engine.RETRIES + self._most:
                for _ in range(min(room, chunks) - len(self._chunks) - len(self._starting)):
                    actor: Any = self._make(self._work)
                    self._starting[actor.up.remote()] = actor
            if not self._chunks and not self._starting:
                raise self._nobody(room)
            starting = list(self._starting)
            if starting:
                count, seconds = (len(starting), 0.0) if self._chunks else (1, _LOOK_SECONDS)
                for up in ray.wait(starting, num_returns=count, timeout=seconds)[0]:
                    self._take_in(up)
            if self._chunks:
                return

    def _take_in(self, up: Any) -> None:
        import ray
        from ray.exceptions import RayError

        actor = self._starting.pop(up)
        try:
            self._node[actor] = ray.get(up)
            self._chunks[actor] = 0
            self._failed.clear()
        except RayError as error:
            ray.kill(actor)
            self._failed.append(type(error).__name__)

    def _nobody(self, room: int) -> CurateError:
        if not room:
            return CurateError("no GPU is left in the cluster", "Bring its nodes back, and run again.")
        return CurateError(
            f"no worker can be started on a GPU: {self._failed[-1]}",
            "Ray tells why in /tmp/ray/session_latest/logs. Has each node the same packages as this one?",
        )

    def _result(self, given: _Given) -> Any:
        import ray
        from ray.exceptions import RayError

        while True:
            try:
                value = pickle.loads(ray.get(given.result))
            except RayError as error:
                ray.kill(given.actor)  # where it lives still, and the result was lost with a node
                self._chunks.pop(given.actor, None)
                lost_on = (*given.lost_on, self._node[given.actor])
                if len(lost_on) > engine.RETRIES:
                    raise CurateError(
                        f"the workers for chunk {given.number} died: {type(error).__name__}",
                        "Out of memory? Take a smaller model, or nodes with more of it.",
                    ) from error
                given = self._give(given.number, given.chunk, lost_on)
                continue
            if given.actor in self._chunks:
                self._chunks[given.actor] -= 1
            if isinstance(value, CurateError):
                raise value
            return value


class _Actor:
    """In a process of its own: what it does with chunks, and the state that it holds."""

    def __init__(self, work: bytes) -> None:
        self._packed = work
        self._work: Callable[[Any], Any] | None = None

    def up(self) -> str:
        """Return the node on which it runs."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def run(self, number: int, chunk: bytes) -> bytes:
        """Return the pickled result for a chunk, or the error."""
        try:
            self._work = self._work or with_state(*pickle.loads(self._packed))
            return pickle.dumps(self._work(pickle.loads(chunk)), protocol=5)
        except Exception as error:
            return pickle.dumps(engine.failed(number, error))
