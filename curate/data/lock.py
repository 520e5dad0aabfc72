"""A lock that keeps two runs out of one place; the kernel drops it with the process, so none is ever stale."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from curate.errors import CurateError, UsageError


def beside(place: Path, suffix: str) -> Path:
    """Return the hidden name beside `place` that a run uses for what `suffix` says."""
    return place.with_name(f".{place.name}.{suffix}")


@contextmanager
def locked(target: str | Path, hint: str) -> Iterator[None]:
    """Hold the lock of a directory, links followed, during the block.

    Raises UsageError while another run has it, CurateError with this `hint` where it cannot be made.
    """
    place = Path(os.path.realpath(target))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock = take_lock(beside(place, "lock"), target)
    except OSError as error:
        raise CurateError(f"cannot write {target}: {error.strerror or error}", hint) from error
    try:
        yield
    finally:
        drop_lock(lock)


def take_lock(path: Path, target: str | Path) -> IO[str]:
    """Take the lock at `path`; the file that is returned holds it until `drop_lock`, or until the process ends.

    Raises UsageError, which names the `target`, while another run has it.
    """
    while True:
        lock = path.open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.path.samestat(os.fstat(lock.fileno()), os.stat(path))
        except BlockingIOError:
            lock.close()
            raise UsageError(
                f"{target}: another run is writing this", "Wait for it, or write to another place."
            ) from None
        except FileNotFoundError:
            held = False
        if held:
            return lock
        lock.close()  # the run before removed this file after we had opened it


def drop_lock(lock: IO[str]) -> None:
    """Remove the file of a lock, then let it go."""
    Path(lock.name).unlink(missing_ok=True)
    lock.close()
