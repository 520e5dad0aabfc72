"""Every source in chunks of records: files and stdin, tables, data sets, Python objects.

Decisions:
- Text is cut into pieces and a table into slices; neither is held whole.
- A struct column holds null for each key that a row lacks, so nulls inside the values of tables are left out.
- A name that is no path is tried as a Hugging Face id; when that fails, the error tells both readings.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from io import BufferedReader
from typing import Any, BinaryIO, NamedTuple

import polars as pl

from curate.config import MAX_EXPAND
from curate.data.files import MAGIC_BYTES, Input, PlainBytes, missing, packing
from curate.data.records import Piece, pieces
from curate.data.tables import TABLES, table_slices, without_nulls
from curate.errors import CurateError, UsageError

TABLE_ROWS = 10_000  # rows of a frame or a data set in one chunk


class Chunk(NamedTuple):
    """Some records of the source with the index `source`.

    `content` is a piece of a text, a slice of a table, or a list of Python objects; `first` is the number of the first
    record of a table or list. `done` counts the bytes of files (as packed) read so far. `licence` is that of a data set
    as a whole, if it has one.
    """

    source: int
    done: int
    first: int
    content: Piece | pl.DataFrame | list[Any]
    licence: str | None = None


def total_bytes(items: list[Input]) -> int | None:
    """Return the bytes of all inputs, None where an input is no regular file."""
    if not all(item.kind == "file" and stat.S_ISREG(os.stat(item.value).st_mode) for item in items):
        return None
    return sum(os.stat(item.value).st_size for item in items)


def file_chunks(
    items: list[Input], chunk_bytes: int, streams: dict[int, PlainBytes], max_expand: int = MAX_EXPAND
) -> Iterator[Chunk]:
    """Yield the files and stdin in chunks; `streams` gets the stream of each, which is read to its end."""
    done = 0
    for index, item in enumerate(items):
        if item.kind not in ("file", "stdin"):
            continue
        try:
            with _open(item) as file:
                stream = streams[index] = PlainBytes(file, item.name, chunk_bytes, max_expand=max_expand)
                packed = packing(file.peek(MAGIC_BYTES)[:MAGIC_BYTES]) if isinstance(file, BufferedReader) else ""
                if item.kind == "file" and packed in TABLES:
                    stream.hash_all()
                    for first, part in _numbered(table_slices(item, file, packed, chunk_bytes, max_expand)):
                        yield Chunk(index, done + stream.size, first, part)
                else:
                    for piece in pieces(stream, chunk_bytes):
                        yield Chunk(index, done + stream.size, 0, piece)
                done += stream.size
        except OSError as error:
            raise CurateError(f"{item.name}: cannot be read: {error.strerror or error}") from error


def _open(item: Input) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdin.buffer) if item.kind == "stdin" else open(item.value, "rb")


def _numbered(slices: Iterable[pl.DataFrame]) -> Iterator[tuple[int, pl.DataFrame]]:
    """Yield each slice of a table with the number of its first row."""
    first = 1
    for part in slices:
        yield first, part
        first += part.height


def object_chunks(items: list[Input]) -> Iterator[Chunk]:
    """Yield the Python objects and the data sets of the hub in chunks."""
    for index, item in enumerate(items):
        if item.kind in ("file", "stdin"):
            continue
        first, value = 1, _load_from_hub(item.name) if item.kind == "hub" else item.value
        licence = getattr(getattr(value, "info", None), "license", None)
        for batch in _batches(value):
            yield Chunk(index, 0, first, batch, licence)
            first += len(batch)


def _batches(value: Any) -> Iterator[pl.DataFrame | list[Any]]:
    if isinstance(value, pl.DataFrame):
        yield from value.iter_slices(TABLE_ROWS)
    elif isinstance(value, (list, tuple)):
        yield from (list(value[start : start + TABLE_ROWS]) for start in range(0, len(value), TABLE_ROWS))
    elif type(value).__module__.startswith("datasets.") and hasattr(value, "iter"):
        for batch in value.iter(batch_size=TABLE_ROWS):
            rows = zip(*batch.values(), strict=True)
            yield [without_nulls(dict(zip(batch, row, strict=True))) for row in rows]
    elif isinstance(value, Mapping):
        raise UsageError(
            f"a {type(value).__name__} with the parts {', '.join(map(str, value))} is no single data set",
            "Give one of its parts, as in data['train']",
        )
    else:
        raise UsageError(
            f"a {type(value).__name__} cannot be read",
            "Give a path, a datasets.Dataset, a polars.DataFrame or a list of dicts",
        )


def _load_from_hub(name: str) -> Any:
    """Load the train split of a data set of the Hugging Face hub, or of a folder that `datasets` can load."""
    import datasets

    try:
        return datasets.load_dataset(name, split="train")
    except Exception as error:  # anything can come up from there: the network, the format, a split that is not there
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise CurateError(
            f"{name}: no such file or directory, and it cannot be loaded as a Hugging Face data set: {reason}",
            missing(name).hint,
        ) from error
