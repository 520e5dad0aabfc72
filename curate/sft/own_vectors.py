"""Vectors that a user brings: `--vectors FILE`, instead of an embedder.

- FILE.npy: row i belongs to the i-th record that can be read, in the order of reading (inputs by name, lines as they
  stand), before any filter. It is memory-mapped: only rows of live records are copied.
- FILE.parquet: a column `vector`, and `id` as in ledger.parquet or the pair `source`, `line`; rows that no live record
  asks for are passed over.

Rows are scaled to unit norm, as those of every embedder. What cannot be is refused: NaN, infinity, zero.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate.engine.blocks import map_blocks
from curate.errors import CurateError, UsageError

_BLOCK = 8192


@dataclass
class OwnVectors:
    """The vectors of a file; `about` tells what they are."""

    path: Path
    content: np.ndarray | pl.DataFrame
    about: dict[str, Any]

    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""
        if isinstance(self.content, np.ndarray):
            return int(self.content.shape[1])
        return len(self.content["vector"][0]) if self.content.height else 0

    def rows_of(self, live: pl.DataFrame, readable: int, workers: int = 1) -> np.ndarray:
        """Return one unit row (float32, n × d) for each live record.

        live: the records, with `id`, `source`, `line` and `read_as`, the place among the `readable` records read.
        Raises CurateError when a record has no vector, or one that is zero or not finite.
        """
        if isinstance(self.content, pl.DataFrame):
            matrix, rows = self._matched(self.content, live)
        else:
            matrix, rows = self.content, live["read_as"].to_numpy()
            if len(matrix) != readable:
                raise CurateError(
                    f"{self.path} has {len(matrix):,} rows, and {readable:,} records can be read",
                    "Row i should belong to the i-th readable record; or give a parquet file with the columns id and "
                    "vector.",
                )
        vectors = np.empty((len(rows), matrix.shape[1]), dtype=np.float32)

        def copy(start: int, stop: int) -> None:
            some = matrix[rows[start:stop]].astype(np.float64)
            with np.errstate(invalid="ignore", divide="ignore"):
                vectors[start:stop] = some / np.linalg.norm(some, axis=1, keepdims=True)

        map_blocks(copy, len(rows), _BLOCK, workers)
        self._refuse_broken(vectors, live)
        self.about |= {"rows": len(rows), "dimensions": matrix.shape[1]}
        return vectors

    def _matched(self, frame: pl.DataFrame, live: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return the matrix of a parquet file and the row in it of each live record."""
        key = ["id"] if "id" in frame.columns else ["source", "line"]
        named = frame.select(key).with_row_index("row")
        if named.select(key).is_duplicated().any():
            raise CurateError(f"{self.path}: two rows have the same {' and '.join(key)}", "Give one row for a record.")
        rows = live.select(key).join(named, on=key, how="left", maintain_order="left")["row"]
        if missing := rows.null_count():
            first = live.filter(rows.is_null())["id"][0]
            raise CurateError(
                f"{self.path} has no vector for {missing:,} of {live.height:,} live records, the first of them {first}",
                f"It is matched by {' and '.join(key)}, as in ledger.parquet.",
            )
        return frame["vector"].to_numpy(), rows.to_numpy()

    def _refuse_broken(self, vectors: np.ndarray, live: pl.DataFrame) -> None:
        broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(broken):
            first = live.row(int(broken[0]), named=True)
            raise CurateError(
                f"{self.path}: {len(broken):,} live records have a vector that is zero or not finite, the first of "
                f"them {first['source']}, line {first['line']}",
                "Embed these texts again, or take the records out of the input.",
            )


def load(name: str) -> OwnVectors:
    """Return the vectors of a file, a memory map where it is .npy. Raises UsageError for what holds no vectors."""
    path = Path(name).expanduser()
    if not os.path.isfile(path):
        what = "is a directory" if os.path.isdir(path) else "is not there"
        raise UsageError(f"--vectors {path} {what}", "Give a .npy or .parquet file.")
    content = _matrix(path) if path.suffix == ".npy" else _table(path)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    about = {"name": f"vectors of {path.name}", "sha256": sha256, "dtype": "float32", "normalised_by": "curate"}
    return OwnVectors(path, content, about)


def _matrix(path: Path) -> np.ndarray:
    try:
        matrix: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise UsageError(f"{path} is no array of numpy: {error}", "Write it with numpy.save.") from error
    if matrix.ndim != 2 or matrix.dtype.kind != "f" or not matrix.shape[1]:
        raise UsageError(
            f"{path} holds {matrix.dtype} of shape {matrix.shape}, not rows of floats",
            "Give a matrix with one row for each record.",
        )
    return matrix


def _table(path: Path) -> pl.DataFrame:
    try:
        columns = pl.read_parquet_schema(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise UsageError(f"{path} is neither .npy nor parquet", "Give a .npy or .parquet file.") from error
    key = ["id"] if "id" in columns else ["source", "line"]
    if absent := [name for name in (*key, "vector") if name not in columns]:
        hint = "Give the columns id and vector, or source, line and vector."
        raise UsageError(f"{path} has no column {' and no '.join(absent)}", hint)
    frame = pl.read_parquet(path, columns=[*key, "vector"])
    lengths = frame.select(pl.col("vector").cast(pl.List(pl.Float64)).list.len().unique()).to_series()
    if len(lengths) != 1 or not lengths[0]:
        raise UsageError(f"{path}: not all vectors have the same length", "Give one vector of d numbers in each row.")
    return frame.with_columns(pl.col("vector").cast(pl.Array(pl.Float32, lengths[0])))
