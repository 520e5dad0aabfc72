"""Parquet and Arrow files in slices of bounded size, only the columns that are wanted, from any open file.

pyarrow, not polars: its readers hand out a file row group by row group, from file objects too, so that a table of any
size stays within bounds. And a damaged file is an error to them, once batches are checked: polars asks for memory by
the lengths that it finds, and where the system has not as much the process ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any, BinaryIO

import numpy as np
import polars as pl

from curate.data.columns import SAMPLE
from curate.data.files import FREE_BYTES, Input, expands_too_far
from curate.errors import CurateError

TABLES = ("parquet", "arrow", "arrow stream")
MOST_ROWS = 10_000
_TIMES = ("Date", "Time", "Duration")

# What is wanted of a table, once its first rows and its column names are known; None: all columns.
Choose = Callable[[list[dict[str, Any]], Sequence[str]], "list[str] | None"]


def _all_columns(_: list[dict[str, Any]], __: Sequence[str]) -> None:
    return None


def refuse_bomb(item: Input, max_expand: int) -> None:
    """Raise CurateError for a parquet file that holds more bytes or values than `max_expand` allows, as its end tells.

    Texts that a dictionary repeats are not seen there; nor is what an Arrow file unpacks to.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with suppress(pa.ArrowException, OSError, UnicodeError):  # a damaged file is told by whoever reads it
        meta = pq.read_metadata(str(item.value))
        groups = map(meta.row_group, range(meta.num_row_groups))
        columns = (group.column(i) for group in groups for i in range(group.num_columns))
        plain = sum(max(column.total_uncompressed_size, column.num_values) for column in columns)
        if plain > max(FREE_BYTES, max_expand * os.path.getsize(item.value)):
            raise expands_too_far(item.name, max_expand)


def table_slices(
    item: Input, file: BinaryIO, packed: str, slice_bytes: int, max_expand: int, choose: Choose = _all_columns
) -> Iterator[pl.DataFrame]:
    """Yield the rows of a file of one of `TABLES` in order, in slices of about `slice_bytes`.

    Raises CurateError for a file that is damaged, or that holds more than `max_expand` allows.
    """
    import pyarrow as pa

    source = str(item.value) if item.kind == "file" else file
    if packed == "parquet" and item.kind == "file":
        refuse_bomb(item, max_expand)
    try:
        yield from (_parquet if packed == "parquet" else _arrow)(source, packed, slice_bytes, choose)
    except (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException, UnicodeError) as error:
        raise CurateError(f"{item.name}: cannot be read as {packed}: {str(error).splitlines()[0]}") from error


def _parquet(source: Any, _: str, slice_bytes: int, choose: Choose) -> Iterator[pl.DataFrame]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(source) as table:
        meta = table.metadata
        names = table.schema_arrow.names
        first = next(map(_checked, table.iter_batches(SAMPLE)), None)
        columns = choose(_sample(first), names)
        size = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
        rows = min(MOST_ROWS, max(1, slice_bytes * meta.num_rows // max(size, 1)))
        if columns == []:  # no column is wanted, but each row is one to account for
            columns = names[:1]
        for batch in map(_checked, table.iter_batches(rows, columns=columns)):
            yield _frame(batch)


def _arrow(source: Any, packed: str, slice_bytes: int, choose: Choose) -> Iterator[pl.DataFrame]:
    import pyarrow as pa

    source = pa.memory_map(source) if isinstance(source, str) else source
    if packed == "arrow stream":
        stream = pa.ipc.open_stream(source)
        schema, unchecked = stream.schema, iter(stream)
    else:
        reader = pa.ipc.open_file(source)
        schema, unchecked = reader.schema, (reader.get_batch(i) for i in range(reader.num_record_batches))
    batches = map(_checked, unchecked)
    first = next(batches, None)
    columns = choose(_sample(first), schema.names)
    for batch in chain([first] if first is not None else [], batches):
        wanted = batch if columns is None else batch.select(columns or schema.names[:1])
        rows = min(MOST_ROWS, max(1, slice_bytes * len(batch) // max(wanted.nbytes, 1)))
        for start in range(0, len(batch), rows):
            yield _frame(wanted.slice(start, rows))


def _checked(batch: Any) -> Any:
    """Return a batch whose offsets and texts are sound: unchecked ones of a damaged file end the process."""
    batch.validate(full=True)
    for column in batch.columns:
        _check_nulls(column)
    return batch


def _check_nulls(array: Any) -> None:
    """Raise ArrowInvalid where the view of a null text points nowhere: validate does not look, polars follows it."""
    import pyarrow as pa
    from pyarrow import types

    kind = array.type
    if types.is_struct(kind):
        inner = [array.field(i) for i in range(kind.num_fields)]
    elif types.is_map(kind):
        inner = [array.keys, array.items]
    elif types.is_nested(kind) and hasattr(array, "values"):
        inner = [array.values]
    else:
        inner = [array.dictionary] if types.is_dictionary(kind) else []
    for part in inner:
        _check_nulls(part)
    if not (types.is_string_view(kind) or types.is_binary_view(kind)) or not array.null_count:
        return
    _, views, *data = array.buffers()
    rows = np.frombuffer(views, np.int32, 4 * len(array), 16 * array.offset).reshape(-1, 4).astype(np.int64)
    size, _, buffer, start = rows[array.is_null().to_numpy(zero_copy_only=False)].T
    sizes = np.array([0, *(0 if part is None else part.size for part in data)])
    room = sizes[np.where((buffer >= 0) & (buffer < len(data)), buffer + 1, 0)]
    if ((size < 0) | (size > 12) & ((start < 0) | (start + size > room))).any():
        raise pa.ArrowInvalid("a text that is null points out of the file")


def _sample(batch: Any) -> list[dict[str, Any]]:
    return [] if batch is None else [without_nulls(row) for row in _frame(batch.slice(0, SAMPLE)).to_dicts()]


def _frame(batch: Any) -> pl.DataFrame:
    frame = pl.from_arrow(batch)
    assert isinstance(frame, pl.DataFrame)
    timed = [name for name, dtype in frame.schema.items() if any(kind in str(dtype) for kind in _TIMES)]
    return frame.with_columns(_within_years(frame[name]) for name in timed) if timed else frame


def _within_years(column: pl.Series) -> pl.Series:
    """Return a column of dates or times, as text where one lies beyond the years that Python has."""
    try:
        column.to_list()
    except (ValueError, OverflowError):
        return column.cast(pl.String)
    return column


def read_parquet(data: bytes, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Return the parquet file in `data`, or some columns of it. Raises ValueError for a file that is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(data), columns=None if columns is None else list(columns))
        return _frame(pa.Table.from_batches(map(_checked, table.to_batches()), table.schema))
    except (pa.ArrowException, OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise ValueError(str(error).splitlines()[0]) from error


def without_nulls(record: dict[str, Any]) -> dict[str, Any]:
    """Leave out the null keys inside the values of a record; its own stay."""
    return {key: _dense(value) for key, value in record.items()}


def _dense(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _dense(inner) for key, inner in value.items() if inner is not None}
    return [_dense(inner) for inner in value] if isinstance(value, list) else value
