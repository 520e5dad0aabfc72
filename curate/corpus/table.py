"""What is known of each document: columns of numbers on disk, and names (id, line, the start of the text) in parts.

Numbers are appended bundle by bundle and read back column by column, so that a step holds only what it needs. Names are
read back in order, part by part. Everything lies in one directory that vanishes with the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from curate.errors import CurateError

START_CHARACTERS = 200  # of each text, to show duplicates by

_NUMBERS: dict[str, Any] = {
    "source": np.int32,
    "bytes": np.int64,
    "characters": np.int64,
    "script": np.int8,
    "empty": np.bool_,
    "text_key": np.uint64,
    "id_key": np.uint64,
}


class DocumentTable:
    """Columns with a row for each document (numbered as they come), and the names of all records read."""

    def __init__(self, directory: Path, tokenizers: int) -> None:
        self.directory = directory
        self.documents = 0
        self.parts = 0
        self._types = _NUMBERS | {f"tokens_{i}": np.int64 for i in range(tokenizers)}
        self._files: dict[str, IO[bytes]] = {}

    def append(self, numbers: Mapping[str, npt.NDArray[Any]], names: pl.DataFrame | None) -> None:
        """Take in the documents of a bundle; `names` has a row for each record, with null `document` for no document."""
        try:
            for name, column in numbers.items():
                if name not in self._files:
                    self._files[name] = (self.directory / name).open("wb")
                self._files[name].write(np.ascontiguousarray(column, dtype=self._types[name]).tobytes())
            if names is not None:
                names.write_ipc(self.directory / f"names-{self.parts}", compression="lz4")
                self.parts += 1
        except OSError as error:
            raise spill_error(self.directory, error) from error
        self.documents += len(numbers["source"])

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """Return a column; zeros where it was never measured."""
        file = self._files.get(name)
        if file is None:
            return np.zeros(self.documents, self._types[name])
        file.flush()
        return np.fromfile(file.name, self._types[name])

    def names(self) -> Iterator[pl.DataFrame]:
        """Yield the names of all records, in the order in which they were read."""
        for part in range(self.parts):
            yield pl.read_ipc(self.directory / f"names-{part}", memory_map=False)

    @property
    def spilled(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.directory.iterdir())


def spill_error(directory: Path, error: OSError) -> CurateError:
    """Say that intermediate results cannot be kept."""
    return CurateError(
        f"cannot keep intermediate results in {directory.parent}: {error.strerror or error}",
        "Give a directory with more room: --tmp DIR",
    )
