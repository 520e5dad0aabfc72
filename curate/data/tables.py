"""Parquet and Arrow files in slices of bounded size, only the columns that are wanted, from any open file.

pyarrow, not polars: its readers hand out a file row group by row group, from file objects too, so that a table of any
size stays within bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, BinaryIO

import polars as pl

from curate.data.chunks import without_nulls
from curate.data.columns import SAMPLE
from curate.data.files import Input
from curate.errors import CurateError

MOST_ROWS = 10_000

# What is wanted of a table, once its first rows and its column names are known; None: all columns.
Choose = Callable[[list[dict[str, Any]], Sequence[str]], "list[str] | None"]


def table_slices(item: Input, file: BinaryIO, packed: str, slice_bytes: int, choose: Choose) -> Iterator[pl.DataFrame]:
    """Yield the rows of a parquet or Arrow file in order, in slices of about `slice_bytes`."""
    import pyarrow as pa

    source = str(item.value) if item.kind == "file" else file
    try:
        yield from (_parquet if packed == "parquet" else _arrow)(source, packed, slice_bytes, choose)
    except (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
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
    return batch


def _sample(batch: Any) -> list[dict[str, Any]]:
    return [] if batch is None else [without_nulls(row) for row in _frame(batch.slice(0, SAMPLE)).to_dicts()]


def _frame(batch: Any) -> pl.DataFrame:
    frame = pl.from_arrow(batch)
    assert isinstance(frame, pl.DataFrame)
    return frame
