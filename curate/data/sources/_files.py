"""Which dumps to read, and their lines: as a stream, whatever a stranger put into them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from curate.data.files import BLOCK_BYTES, PlainBytes, matching, missing
from curate.errors import CurateError, UsageError

LONGEST_LINE = 4 << 20  # bytes; a Stack Exchange post is at most 30,000 characters long


def find(inputs: Sequence[str], *patterns: str) -> list[Path]:
    """Return the files that `inputs` name, sorted, each once; a directory stands for those below it like `patterns`.

    Raises UsageError for what is not there, and for an archive that has to be unpacked first.
    """
    found: dict[str, Path] = {}
    for given in inputs:
        path = Path(given)
        if path.is_dir():
            below = (file for file in path.rglob("*") if file.is_file())
            files = [file for file in below if any(fnmatch(file.name, pattern) for pattern in patterns)]
            if not files:
                raise UsageError(f"{given}: no file there is like {' or '.join(patterns)}", "Name the file itself.")
        elif path.exists():
            files = [path]
        else:
            files = [Path(match) for match in matching(given)]
            if not files:
                raise missing(given)
        for file in files:
            if file.suffix == ".7z":
                raise UsageError(f"{file}: a 7z archive, which is not read here", f"Unpack it first: 7z x {file}")
            found.setdefault(os.path.realpath(file), file)
    return sorted(found.values(), key=str)


class Dump:
    """A file to be read as often as a source needs to; `about` says what was read, once it was."""

    def __init__(self, path: Path, max_expand: int, *, zstd_window: int = 0) -> None:
        self.path = path
        self.fault: str | None = None
        self.about: dict[str, Any] = {"path": str(path)}
        self.size = path.stat().st_size if path.exists() else 0
        self._zstd_window = zstd_window
        self._max_expand = max_expand

    @contextmanager
    def open(self) -> Iterator[PlainBytes]:
        """Open the file for its plain bytes; what was read is put down when the block ends."""
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise CurateError(f"{self.path}: cannot be read: {error.strerror or error}") from error
        with file:
            stream = PlainBytes(
                file, str(self.path), BLOCK_BYTES, zstd_window=self._zstd_window, max_expand=self._max_expand
            )
            yield stream
        self.about |= {"sha256": stream.sha256, "bytes": stream.size}
        self.fault = stream.fault

    def lines(self, on_progress: Callable[[int, int | None], None]) -> Iterator[bytes | None]:
        """Yield each line without its line break; None for one longer than `LONGEST_LINE`, which is never held."""
        with self.open() as stream:
            for line, is_new_block in _lines(stream):
                yield line
                if is_new_block:
                    on_progress(stream.size, self.size)

    def notes(self) -> list[str]:
        """Return what is to be said about the file."""
        return [f"{self.path}: {self.fault}; what stands before is used"] if self.fault else []


def _lines(blocks: PlainBytes) -> Iterator[tuple[bytes | None, bool]]:
    """Yield each line (None where it is too long), and whether it is the first of a block."""
    rest, over = bytearray(), False
    for block in blocks:
        *ended, last = block.split(b"\n")
        if ended:
            rest += ended[0]
            yield None if over or len(rest) > LONGEST_LINE else bytes(rest), True
            rest, over = bytearray(), False
            for line in ended[1:]:
                yield line if len(line) <= LONGEST_LINE else None, False
        rest += last
        if len(rest) > LONGEST_LINE:
            rest, over = bytearray(), True
    if rest or over:
        yield None if over else bytes(rest), True
