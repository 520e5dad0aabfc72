"""Where caches are, and how a file of theirs is written; nothing is ever deleted there, and the whole may be."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


def cache_root() -> Path:
    """Return the folder of all caches: `CURATE_CACHE`, else `XDG_CACHE_HOME/curate`, else `~/.cache/curate`."""
    if own := os.environ.get("CURATE_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "curate"


@contextmanager
def write_whole(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to write that is there completely afterwards, in its folder, or not at all; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
