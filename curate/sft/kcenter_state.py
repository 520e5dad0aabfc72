"""Picks kept on disk while K-Center-Greedy runs, so that a run which is stopped continues to the same picks.

The picks for k are the first k of any longer run, so the picks and their distances are all that there is to keep. A
fingerprint ties them to the vectors and the start; picks of other vectors are refused. The file is replaced as a whole:
a kill at any moment leaves the old picks or the new.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from curate.errors import CurateError, UsageError
from curate.sft.distance import F32

Pick = tuple[int, float]  # a row, and its squared distance to the picks before it: NaN for a given first one

_ROWS = 4096  # rows hashed at a time
_SECONDS = 5.0  # between two writes


@contextmanager
def kept_picks(
    path: str | os.PathLike[str] | None, X: F32, first: int | None, initial: Sequence[int]
) -> Iterator[tuple[list[Pick], Callable[[], None]]]:
    """Hand out the picks made before, to be extended in place, and a function to call now and then, which keeps them.

    Whatever stops the run leaves the file; the end of the block removes it. Without a `path` nothing is kept. Raises
    UsageError where the file holds no picks or those of another call, CurateError where it cannot be written.
    """
    if path is None:
        yield [], lambda: None
        return
    mark = _fingerprint(X, first, initial)
    picks = _load(path, mark)
    _save(path, mark, picks)  # a path that cannot be written is told before the work
    saved = time.monotonic()

    def keep() -> None:
        nonlocal saved
        if time.monotonic() - saved >= _SECONDS:
            _save(path, mark, picks)
            saved = time.monotonic()

    try:
        yield picks, keep
    except BaseException:  # Ctrl-C too
        _save(path, mark, picks)
        raise
    Path(path).unlink()


def _fingerprint(X: F32, first: int | None, initial: Sequence[int]) -> str:
    """Return a hash of all vectors and of where the picking starts; it takes about a second for each gigabyte."""
    start = [list(X.shape), None if first is None else int(first), [int(row) for row in initial]]
    digest = blake2b(json.dumps(start).encode(), digest_size=16)
    for row in range(0, len(X), _ROWS):
        digest.update(X[row : row + _ROWS].tobytes())
    return digest.hexdigest()


def _load(path: str | os.PathLike[str], mark: str) -> list[Pick]:
    try:
        kept = json.loads(Path(path).read_bytes())
        found, picks = kept["fingerprint"], [(int(row), float(gap)) for row, gap in kept["picks"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        raise UsageError(f"{path} holds no picks to continue from", "Give another path, or delete it.") from None
    if found != mark:
        raise UsageError(
            f"the picks in {path} were made from other vectors, another `first` or other `initial` rows",
            "Give these again, or delete the file to start anew.",
        )
    return picks


def _save(path: str | os.PathLike[str], mark: str, picks: Sequence[Pick]) -> None:
    beside = Path(f"{path}.{os.getpid()}.tmp")
    try:
        with beside.open("w") as file:
            json.dump({"fingerprint": mark, "picks": picks}, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise CurateError(
            f"the picks made so far cannot be kept in {path}: {error.strerror}", "Give a path that can be written."
        ) from None
