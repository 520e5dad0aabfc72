"""What an interrupted run leaves for `--resume`: finished pieces, and the key that says what they are pieces of.

A checkpoint is a hidden directory beside the target. It holds the key (options, versions, size and time of every
input), the log, and the finished pieces: a chunk that was measured, the vectors of a pool, the clusters. A run that
continues takes pieces as they are and computes the others; any set of pieces will do.

Decisions:
- A piece is not brought to the disk at once, which would take twice the time of writing it; it has a checksum instead,
  by which what a kill or a power cut has left is known.
- Writing pieces takes at most 2 % of the work that they save, so that all that keeping costs is under 3 %: a piece that
  would take longer, at the speed that the disk has shown, is not kept. On a slow disk a run keeps less, and is not
  slowed down. What can be had again quickly leaves a quarter of that to what cannot.
- A disk that is full ends the keeping and not the run; the pieces are removed, for the result may need the room.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import IO, Any

from curate.data.fingerprint import READ, difference, fingerprint
from curate.data.piece_file import LIBRARIES, Piece, Place, append, piece_of, read, scan
from curate.errors import AlreadyFinished, UsageError

KEY, LOG = "key.json", "log.jsonl"
_SHARE = 0.02  # of the work, for writing it down
_SPARE = 0.75  # of that, for what can be had again quickly
_START = 1.0  # seconds that any run takes besides: so the first pieces are kept, too
_SPEED = 1e9  # bytes a second, until something was written


def key_of(inputs: Any, config: Any) -> dict[str, Any] | None:
    """Return what the result of a run depends on, None where that cannot be told: stdin, URLs, Python objects."""
    listed = _as_list(inputs)
    read = [*listed, *(name for option in READ for name in _as_list(getattr(config, option, None) or ()))]
    if not all(isinstance(given, str | Path) and _is_local(str(given)) for given in read):
        return None
    key = {
        "command": type(config).__module__,
        **fingerprint([str(given) for given in listed], config, Path(config.out)),
        "versions": installed(),
    }
    return dict(json.loads(json.dumps(key)))


def _as_list(given: Any) -> list[Any]:
    return list(given) if isinstance(given, list | tuple) else [given]


def _is_local(name: str) -> bool:
    import glob

    return os.path.exists(name) or bool(glob.glob(name, recursive=True))


def installed() -> dict[str, str]:
    """Return the versions of curate, Python and the libraries that are installed."""
    from importlib.metadata import PackageNotFoundError, version

    from curate import __version__

    found = {"curate": __version__, "python": sys.version.split()[0]}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


class Checkpoint:
    """The pieces of a run in `directory`. Without a directory or a `key` nothing is kept, and `once` only computes.

    `fault` is why nothing is kept any more, if so. Threads may share a checkpoint.
    """

    def __init__(self, directory: Path | None = None, key: Mapping[str, Any] | None = None) -> None:
        self.directory = directory
        self.key = key
        self.resumed = self._begun = False
        self.fault: str | None = None
        self._pieces = None if directory is None or key is None else directory / "pieces"
        self._lock = Lock()
        self._places: dict[str, Place] = {}
        self._idle: list[IO[bytes]] = []
        self._files = 0
        self._work, self._writing = _START, 0.0
        self._written = 0

    @property
    def log(self) -> Path:
        """The log of the run."""
        assert self.directory is not None
        return self.directory / LOG

    def continues(self, target: Path, finished: Path, report: Path, *, whole: bool, force: bool) -> bool:
        """Return whether a run with this key was interrupted, so that it can be continued.

        finished, report: the key and the report of a result at `target`; whole: no part of the result is missing.
        Raises AlreadyFinished where the result has this key and is whole; UsageError where the key of an interrupted
        run is another, or, unless `force`, that of the result, or where the result is not whole.
        """
        assert self.directory is not None
        if self.key is None:
            return False
        made, interrupted = _read_key(finished), _read_key(self.directory / KEY)
        if made == self.key and whole:
            shutil.rmtree(self.directory, ignore_errors=True)  # of a run that was killed at its very end
            raise AlreadyFinished(f"{target} is finished already: there is nothing to resume", report)
        if interrupted is not None:
            if interrupted != self.key:
                raise UsageError(f"--resume: {difference(interrupted, self.key)}", "Start anew without --resume.")
            return True
        if made is not None and not force:
            if made == self.key:  # what is there may be somebody's work on the result
                raise UsageError(f"--resume: {target} has lost a part since", "Add --force to make all of it anew.")
            raise UsageError(
                f"--resume: {difference(made, self.key)}", "Write to another place, or start anew with --force."
            )
        return False

    def begin(self, *, resume: bool) -> None:
        """Open the directory: with what is there where `resume`, else empty."""
        assert self.directory is not None
        self._begun = True  # first, so that an interrupt from here on leaves nothing
        if not resume:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory.mkdir()
            if self.key is not None:
                self.write_key(self.directory / KEY)
        self.resumed = resume
        if self._pieces is not None:
            self._pieces.mkdir(exist_ok=True)
            for path in sorted(self._pieces.glob("*.pieces")):
                self._places |= scan(path)  # a damaged piece was written once more, to a later file
                self._files = int(path.stem)

    def write_key(self, path: Path) -> None:
        """Write the key, which says of a result too what it was made from."""
        beside = path.with_name(f"{path.name}.part")
        with beside.open("w") as file:
            file.write(json.dumps(self.key, sort_keys=True) + "\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)

    def end(self, *, keep: bool) -> None:
        """Remove the directory, unless there are pieces to `keep`, or the run was refused and it is another one's."""
        self._close()
        if self._begun and self.directory is not None and not (keep and self.count()):
            shutil.rmtree(self.directory, ignore_errors=True)

    def count(self) -> int:
        """Return how many pieces are there."""
        return len(self._places)

    def once(
        self,
        name: str,
        compute: Callable[[], Any],
        good: Callable[[Any], bool] = lambda _: True,
        *,
        spare: bool = False,
    ) -> Any:
        """Return the piece of that name, or what `compute` gives, which is kept if it is `good`.

        A piece is of what `piece_file.piece_of` takes. With `spare` it is kept only where that leaves time for others,
        since it takes little to have it again.
        """
        if self._pieces is None:
            return compute()
        place = self._places.get(name)
        found = None if place is None else read(place)
        if found is not None:
            return found[0]
        start = time.perf_counter()
        value = compute()
        if good(value):
            self._keep(name, value, time.perf_counter() - start, _SHARE * (_SPARE if spare else 1))
        return value

    def _keep(self, name: str, value: Any, seconds: float, share: float) -> None:
        start = time.perf_counter()
        piece = piece_of(value)
        with self._lock:
            self._work += seconds
            speed = self._written / self._writing if self._written else _SPEED
            if self.fault or self._writing + piece.size / speed > share * self._work:
                return
        try:
            place = self._append(name, piece)
        except OSError as error:
            self._give_up(error)
            return
        with self._lock:
            if self.fault is None:
                self._places[name] = place
            self._writing += time.perf_counter() - start
            self._written += piece.size

    def _append(self, name: str, piece: Piece) -> Place:
        """Write a piece to a file that no other thread writes to now."""
        assert self._pieces is not None
        with self._lock:
            file = self._idle.pop() if self._idle else None
            self._files += file is None
            path = self._pieces / f"{self._files:06}.pieces"
        file = file or path.open("xb")
        try:
            place = append(file, name, piece)
        except BaseException:
            with suppress(OSError):  # what was not written
                file.close()
            raise
        with self._lock:
            if self.fault is None:
                self._idle.append(file)
                return place
        file.close()  # given up meanwhile, and a file that is open keeps its room
        return place

    def _give_up(self, error: OSError) -> None:
        assert self._pieces is not None
        with self._lock:  # the first fault tells why: others follow from it, in other threads
            self.fault = self.fault or f"nothing is kept for --resume any more: {error.strerror or error}"
            self._places.clear()
        self._close()  # a file that is open keeps its room
        shutil.rmtree(self._pieces, ignore_errors=True)

    def _close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for file in idle:
            file.close()


def _read_key(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
