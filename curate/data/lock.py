"""A lock that keeps two runs out of one place; the kernel drops it with the process, so none is ever stale."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from curate.errors import UsageError


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
