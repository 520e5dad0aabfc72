"""What an interrupted run leaves for `--resume`: finished pieces, and the key that says what they are pieces of.

A checkpoint is a hidden directory beside the target. It holds the key (options, versions, size and time of every
input), the log, and a file for each finished piece: a chunk that was measured, the vectors of a pool, the clusters. A
run that continues takes pieces as they are and computes the others; any set of pieces will do.

Decisions:
- A piece is written under a temporary name and renamed, so a kill leaves whole pieces. It is not brought to the disk at
  once, which would take twice the time of writing it; it has a checksum instead, by which what a power cut has left is
  known.
- Writing pieces takes at most 2 % of the work that they save, so that all that keeping costs is under 3 %: a piece that
  would take longer, at the speed that the disk has shown, is not kept. On a slow disk a run keeps less, and is not
  slowed down.
- A disk that is full ends the keeping and not the run; the pieces are removed, for the result may need the room.
- JSON, and after it the bytes of the arrays: nothing is unpickled.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

from curate.data.fingerprint import READ, difference, fingerprint
from curate.errors import AlreadyFinished, UsageError

KEY, LOG = "key.json", "log.jsonl"
LIBRARIES = ("numpy", "polars", "orjson", "numba", "torch", "sentence_transformers", "tokenizers", "gigatoken")
_SHARE = 0.02  # of the work, for writing it down
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
        self._work = self._writing = 0.0
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
        if self._begun and self.directory is not None and not (keep and self.count()):
            shutil.rmtree(self.directory, ignore_errors=True)

    def count(self) -> int:
        """Return how many pieces are there."""
        return 0 if self._pieces is None else sum(1 for _ in self._pieces.rglob("*.piece"))

    def once(self, name: str, compute: Callable[[], Any], good: Callable[[Any], bool] = lambda _: True) -> Any:
        """Return the piece of that name, or what `compute` gives, which is kept if it is `good`.

        A piece is of arrays, bytes, text, numbers, lists, and dicts with names; tuples come back as lists.
        """
        if self._pieces is None:
            return compute()
        path = self._pieces / f"{name}.piece"
        found = _read(path)
        if found is not None:
            return found[0]
        start = time.perf_counter()
        value = compute()
        if good(value):
            self._keep(path, value, time.perf_counter() - start)
        return value

    def _keep(self, path: Path, value: Any, seconds: float) -> None:
        start = time.perf_counter()
        arrays: list[Any] = []
        tree = _flat(value, arrays)
        size = sum(array.nbytes for array in arrays)
        with self._lock:
            self._work += seconds
            speed = self._written / self._writing if self._written else _SPEED
            if self.fault or self._writing + size / speed > _SHARE * self._work:
                return
        try:
            _write(path, tree, arrays)
        except OSError as error:
            self._give_up(error)
        with self._lock:
            self._writing += time.perf_counter() - start
            self._written += size

    def _give_up(self, error: OSError) -> None:
        assert self._pieces is not None
        with self._lock:  # the first fault tells why: others follow from it, in other threads
            self.fault = self.fault or f"nothing is kept for --resume any more: {error.strerror or error}"
        shutil.rmtree(self._pieces, ignore_errors=True)


def _write(path: Path, tree: Any, arrays: Sequence[Any]) -> None:
    flat = [_bytes(array) for array in arrays]
    about = [[a.dtype.str, a.shape, _fortran(a), _checksum(data)] for a, data in zip(arrays, flat, strict=True)]
    header = {"value": tree, "arrays": about, "libraries": _loaded()}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    with beside.open("wb") as file:
        file.write(json.dumps(header, default=lambda number: number.item()).encode() + b"\n")  # a number of numpy's
        for data in flat:
            file.write(data)
    beside.replace(path)


def _read(path: Path) -> list[Any] | None:
    """Return [value], or None where there is no such piece or it is damaged."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.readline())
            arrays = [_array(file, *about) for about in header["arrays"]]
        for name in header["libraries"]:  # what has run stands in the manifest, whichever process it ran in
            if name in LIBRARIES:
                import_module(name)
        return [_grown(header["value"], arrays)]
    except Exception:  # a file that a power cut has damaged fails in many ways
        return None


def _array(file: Any, dtype: str, shape: list[int], fortran: bool, checksum: int) -> Any:
    array = _numpy().fromfile(file, dtype, math.prod(shape))
    if _checksum(_bytes(array)) != checksum:
        raise ValueError("the checksum differs")
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def _fortran(array: Any) -> bool:
    """Whether the columns lie one after the other: sums by BLAS may depend on it, so it comes back as it was."""
    return bool(array.flags.fnc)


def _bytes(array: Any) -> Any:
    """Return the bytes of an array, in the order in which they lie."""
    if array.dtype.hasobject:
        raise TypeError(f"an array of {array.dtype} cannot be kept")
    return _numpy().ascontiguousarray(array.T if _fortran(array) else array).reshape(-1).view("u1")


def _numpy() -> Any:
    import numpy as np

    return np


def _checksum(data: Any) -> int:
    """Return the sum of all bytes, eight at a time: what a disk has lost, it does not give back as it was."""
    whole = len(data) // 8 * 8
    return int(data[:whole].view("u8").sum(dtype="u8")) + int(data[whole:].sum())


def _loaded() -> list[str]:
    return [name for name in LIBRARIES if name in sys.modules]


def _flat(value: Any, arrays: list[Any]) -> Any:
    """Return `value` as JSON, its arrays and bytes put into `arrays`."""
    if isinstance(value, Mapping):
        return {name: _flat(part, arrays) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_flat(part, arrays) for part in value]
    if isinstance(value, bytes | bytearray):
        arrays.append(_numpy().frombuffer(value, "u1"))
        return {"\0bytes": len(arrays) - 1}
    if type(value).__name__ == "ndarray":  # a source without arrays does without numpy
        arrays.append(value)
        return {"\0array": len(arrays) - 1}
    return value


def _grown(value: Any, arrays: Sequence[Any]) -> Any:
    if isinstance(value, list):
        return [_grown(part, arrays) for part in value]
    if not isinstance(value, dict):
        return value
    if "\0array" in value:
        return arrays[value["\0array"]]
    if "\0bytes" in value:
        return arrays[value["\0bytes"]].tobytes()
    return {name: _grown(part, arrays) for name, part in value.items()}


def _read_key(path: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
