"""What is known of each document: columns of numbers on disk, and parts of what is for people (id, line, first words).

Numbers are appended bundle by bundle and read back column by column, so that a step holds only what it needs. Parts are
read back in order. Everything lies in one directory that vanishes with the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from curate.errors import CurateError

_TYPES: dict[str, Any] = {
    "source": np.int32,
    "bytes": np.int64,
    "characters": np.int64,
    "script": np.int8,
    "empty": np.bool_,
    "text_key": np.uint64,
    "id_key": np.uint64,
    "tokens": np.int64,
    "line_sizes": np.int32,
    "paragraph_sizes": np.int32,
}


BLOCK = 1 << 17  # documents looked at together


class DocumentTable:
    """Columns with a row for each document, numbered as they come; parts are frames: names, unreadable records."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.documents = 0
        self.first_of_part: list[int] = []
        self._lines_before: list[int] = []  # lines of the file that stand before those that a part counts
        self._files: dict[str, IO[bytes]] = {}
        self._parts: dict[str, int] = {}

    def append(self, numbers: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take in columns of numbers; each has its own length, that of `source` counts documents."""
        try:
            for name, column in numbers.items():
                if name not in self._files:
                    self._files[name] = (self.directory / name).open("wb")
                self._files[name].write(np.ascontiguousarray(column, dtype=_type(name)).tobytes())
                self._files[name].flush()  # a full disk is told here
        except OSError as error:
            raise self._failed(error) from error
        self.documents += len(numbers["source"])

    def replace(self, name: str, column: npt.NDArray[Any]) -> None:
        """Put another column in the place of one."""
        self._files.pop(name).close()
        documents = self.documents
        self.append({name: column, "source": np.empty(0, np.int32)})
        assert self.documents == documents

    def append_part(self, kind: str, frame: bytes, lines_before: int = 0) -> None:
        """Take in a packed frame; those of names come before the numbers of their documents."""
        part = self._parts.get(kind, 0)
        try:
            (self.directory / f"{kind}-{part}").write_bytes(frame)
        except OSError as error:
            raise self._failed(error) from error
        self._parts[kind] = part + 1
        if kind == "names":
            self.first_of_part.append(self.documents)
            self._lines_before.append(lines_before)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return a column; zeros where it was never measured."""
        if name not in self._files:
            return np.zeros(self.documents, _type(name))
        return self.read(name, 0, -1)

    def read(self, name: str, first: int, last: int) -> npt.NDArray[Any]:
        """Return the rows from `first` to before `last` of a column (-1: all)."""
        if first == last:
            return np.empty(0, _type(name))
        file, dtype = self._files[name].name, np.dtype(_type(name))
        return np.fromfile(file, dtype, count=max(last - first, -1), offset=first * dtype.itemsize)

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Yield first and last + 1 of the documents, BLOCK at a time."""
        return ((first, min(first + BLOCK, self.documents)) for first in range(0, self.documents, BLOCK))

    def parts(self, kind: str) -> Iterator[pl.DataFrame]:
        """Yield the frames of one kind in their order."""
        return (self.part(kind, number) for number in range(self._parts.get(kind, 0)))

    def part(self, kind: str, number: int) -> pl.DataFrame:
        """Return one frame; documents in it are numbered as in the table."""
        frame = pl.read_ipc(self.directory / f"{kind}-{number}")
        if kind == "names":
            first, lines = self.first_of_part[number], self._lines_before[number]
            return frame.with_columns(pl.col("document") + first, pl.col("line") + lines)
        return frame

    def _failed(self, error: OSError) -> CurateError:
        return CurateError(
            f"cannot keep intermediate results in {self.directory.parent}: {error.strerror or error}",
            "Give a directory with more room: --tmp DIR",
        )


def packed(frame: pl.DataFrame) -> bytes:
    """Return a frame as `append_part` takes it; done by the thread that made it."""
    buffer = BytesIO()
    frame.write_ipc(buffer)
    return buffer.getvalue()


def _type(name: str) -> Any:
    return _TYPES["tokens" if name.startswith("tokens") else name]
