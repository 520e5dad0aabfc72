"""The documents that are kept, as files that trainers load: a second pass over the corpus.

Decisions:
- A JSON line is written as it stood, byte for byte, so every field is kept. With --drop-lines its text is replaced.
- parquet has the same columns whatever the corpus: id, source, line, text, and `fields`, all other fields as JSON.
- Shards are cut by the bytes of the records alone, so they are the same however the corpus was read.
- `datasets.load_dataset(DIR)` takes files that begin with `train` and leaves the rest alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import compress, groupby
from operator import itemgetter
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
import polars as pl

from curate.corpus.levels import Levels
from curate.corpus.lines import Repeated
from curate.corpus.reread import Fate, fate_of, read_again, reread, without_repeated
from curate.corpus.scan import Scan
from curate.corpus.text import I64
from curate.data import records
from curate.data.columns import Wanted
from curate.data.corpus import Corpus
from curate.data.documents import Part, whole_lines
from curate.errors import UsageError

SHARD_BYTES = 1 << 30
GROUP_BYTES = 64 << 20  # of records in a row group of parquet
BUFFER_BYTES = 4 << 20  # written at a time: with the usual 8 KB, writing took three times as long
ZSTD_BYTES = 1 << 20  # the compressor is fed in pieces of one size, so that its output is the same

Record = tuple[str, str, int, str, bytes]  # id, source, line, text, the record as JSON
Kept = tuple[pl.DataFrame, list[bytes]]  # documents (source, line, id, text), and their records as JSON
TEXT = Wanted(("text",))


def check_writable(corpus: Corpus) -> None:
    """Raise UsageError where --drop-lines could not put the text that is left back into the records."""
    for index, wanted in corpus.wanted.items():
        if wanted is not None and (wanted.chat or len(wanted.columns) > 1):
            raise UsageError(
                f"--drop-lines with --write: the text of {corpus.items[index].name} is joined from several columns",
                "Name the one column to change with --text-column, or leave out --drop-lines.",
            )


def write_documents(
    corpus: Corpus, found: Scan, levels: Levels, lines: Repeated | None, form: str, directory: Path, workers: int
) -> None:
    """Write the documents kept into `directory` as train-00000.jsonl (.jsonl.zst, .parquet) and so on.

    `lines` are those to drop (None: none).
    """
    names = [item.name for item in corpus.items]
    fate = partial(fate_of, kept=levels.kept, lines=lines)
    if form == "parquet":
        kept = reread(corpus, found, partial(_kept, names=names), fate, workers, all_columns=True)
        _write_parquet(kept, directory, corpus)
    else:
        joined = reread(corpus, found, partial(_joined, names=names), fate, workers, all_columns=True)
        _write_lines(joined, directory, form)


def _kept(bundle: list[Part], fate: Fate, names: Sequence[str]) -> Kept:
    """Return the documents of a bundle that stay."""
    frame, _, _, raw = read_again(bundle, fate.size, names)
    if fate.repeated is not None:
        frame = frame.with_columns(without_repeated(frame["text"], fate.repeated).alias("text"))
    assert fate.kept is not None
    rows = np.flatnonzero(fate.kept)
    frame, raw = frame[rows], [raw[row] for row in rows.tolist()]
    return frame, raw if fate.repeated is None else _replaced(frame, raw, bundle)


def _joined(bundle: list[Part], fate: Fate, names: Sequence[str]) -> tuple[bytes, I64]:
    """Return the documents of a bundle that stay as lines, and where each ends."""
    assert fate.kept is not None
    raw = whole_lines(bundle, fate.size) if fate.repeated is None else None
    raw = _kept(bundle, fate, names)[1] if raw is None else list(compress(raw, fate.kept.tolist()))
    return b"\n".join([*raw, b""]), np.cumsum([len(record) + 1 for record in raw])


def _replaced(frame: pl.DataFrame, raw: list[bytes], bundle: list[Part]) -> list[bytes]:
    """Return the records with the texts of `frame` in place of theirs."""
    columns = {part.source: part.wanted.columns[0] for part in bundle}
    rows = zip(frame["source"], frame["text"], raw, strict=True)
    return [orjson.dumps(records.parse(record)[0] | {columns[source]: text}) for source, text, record in rows]


def _write_lines(bundles: Iterable[tuple[bytes, I64]], directory: Path, form: str) -> None:
    for number, pieces in groupby(_shards(bundles), itemgetter(0)):
        path = directory / f"train-{number:05}.{form}"
        with path.open("wb", buffering=BUFFER_BYTES) as file, _packer(file, form) as write:
            for _, piece in pieces:
                write(piece)


def _shards(bundles: Iterable[tuple[bytes, I64]]) -> Iterator[tuple[int, bytes]]:
    """Yield lines and the number of their shard: a line that would pass SHARD_BYTES begins the next one.

    A bundle is lines, and where each of them ends.
    """
    shard, room = 0, SHARD_BYTES
    yield shard, b""  # a corpus of which nothing is kept has a file too
    for data, ends in bundles:
        begin = 0
        while begin < len(data):
            end = int(ends[max(int(np.searchsorted(ends, begin + room, "right")) - 1, 0)])
            if end <= begin or end - begin > room:  # not one line fits
                if room < SHARD_BYTES:
                    shard, room = shard + 1, SHARD_BYTES
                    continue
                end = int(ends[int(np.searchsorted(ends, begin, "right"))])
            yield shard, data[begin:end]
            begin, room = end, room - (end - begin)


@contextmanager
def _packer(file: IO[bytes], form: str) -> Iterator[Callable[[bytes], object]]:
    """Give a function that writes, for .zst through a compressor that is fed in pieces of ZSTD_BYTES."""
    if form == "jsonl":
        yield file.write
        return
    import zstandard

    buffer = bytearray()
    with zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False) as packed:

        def write(piece: bytes) -> None:
            buffer.extend(piece)
            whole = len(buffer) - len(buffer) % ZSTD_BYTES
            for start in range(0, whole, ZSTD_BYTES):
                packed.write(bytes(buffer[start : start + ZSTD_BYTES]))
            del buffer[:whole]

        yield write
        packed.write(bytes(buffer))


def _write_parquet(bundles: Iterable[Kept], directory: Path, corpus: Corpus) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [("id", pa.string()), ("source", pa.string()), ("line", pa.int64()), ("text", pa.large_string()),
         ("fields", pa.large_string())]
    )  # fmt: skip
    texts = {item.name: (corpus.wanted.get(i) or TEXT) for i, item in enumerate(corpus.items)}
    stream = (record for bundle in bundles for record in _records(*bundle, [item.name for item in corpus.items]))
    for number, shard in enumerate(_parted(stream, SHARD_BYTES)):
        with pq.ParquetWriter(directory / f"train-{number:05}.parquet", schema, compression="zstd") as file:
            for group in _parted(shard, GROUP_BYTES):
                rows = [(*record[:4], _other_fields(record[4], texts[record[1]])) for record in group]
                if rows:
                    columns = zip(zip(*rows, strict=True), schema, strict=True)
                    file.write_table(pa.table([pa.array(c, f.type) for c, f in columns], schema=schema))


def _records(frame: pl.DataFrame, raw: list[bytes], names: Sequence[str]) -> Iterator[Record]:
    rows = frame.select("source", "line", "id", "text").iter_rows()
    for (source, line, id, text), record in zip(rows, raw, strict=True):
        yield id or f"{names[source]}:{line}", names[source], line, text, record


def _other_fields(raw: bytes, wanted: Wanted) -> str:
    record: dict[str, Any] = records.parse(raw)[0]
    left = {name: value for name, value in record.items() if name != "id" and name not in wanted.columns}
    return orjson.dumps(left).decode()


def _parted(stream: Iterable[Record], most: int) -> Iterator[Iterator[Record]]:
    """Cut a stream of records where `most` bytes are reached; the parts are to be used up one after the other."""
    records_left = iter(stream)
    ahead = next(records_left, None)

    def part() -> Iterator[Record]:
        nonlocal ahead
        size = 0
        while ahead is not None and (size == 0 or size + len(ahead[4]) <= most):
            size += len(ahead[4])
            yield ahead
            ahead = next(records_left, None)

    first = True
    while ahead is not None or first:
        first = False
        yield part()
