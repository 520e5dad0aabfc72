"""The documents that are kept, as files that trainers load: a second pass over the corpus.

Decisions:
- A JSON line is written as it stood, byte for byte, so every field is kept. With --drop-lines its text is replaced.
- parquet has the same columns whatever the corpus: id, source, line, text, and `fields`, all other fields as JSON.
- Shards are cut by the bytes of the records alone, so they are the same however the corpus was read.
- `datasets.load_dataset(DIR)` takes files that begin with `train` and leaves the rest alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
import polars as pl

from curate.corpus.levels import Levels, Repetition
from curate.corpus.reread import reread, without_repeated
from curate.corpus.scan import Scan
from curate.data import records
from curate.data.columns import Wanted
from curate.data.corpus import Corpus
from curate.data.documents import Documents, Part, read_parts
from curate.errors import UsageError

SHARD_BYTES = 1 << 30
GROUP_BYTES = 64 << 20  # of records in a row group of parquet
ZSTD_BYTES = 1 << 20  # the compressor is fed in pieces of one size, so that its output is the same

Record = tuple[str, str, int, str, bytes]  # id, source, line, text, the record as JSON


def check_writable(corpus: Corpus) -> None:
    """Raise UsageError where --drop-lines could not put the text that is left back into the records."""
    for index, wanted in corpus.wanted.items():
        if wanted is not None and (wanted.chat or len(wanted.columns) > 1):
            raise UsageError(
                f"--drop-lines with --write: the text of {corpus.items[index].name} is joined from several columns",
                "Name the one column to change with --text-column, or leave out --drop-lines.",
            )


def write_documents(
    corpus: Corpus, found: Scan, levels: Levels, lines: Repetition | None, form: str, directory: Path, workers: int
) -> None:
    """Write the documents kept into `directory` as train-00000.jsonl (.jsonl.zst, .parquet) and so on.

    `lines` are those to drop (None: none).
    """
    names = [item.name for item in corpus.items]

    def work(bundle: list[Part], first: int) -> list[Record]:
        documents = read_parts(bundle, names)
        text = documents.frame["text"]
        if lines is not None:
            text = without_repeated(text, lines.repeated.of(first, first + len(text)))
        kept = np.flatnonzero(levels.kept[first : first + len(text)]).tolist()
        return list(_records(documents, text, kept, corpus, replaced=lines is not None))

    read = reread(corpus, found, work, workers, all_columns=True)
    stream = (record for part in read for record in part)
    shards = _write_parquet if form == "parquet" else _write_jsonl
    shards(stream, directory, form, corpus)


def _records(
    documents: Documents, text: pl.Series, kept: Sequence[int], corpus: Corpus, *, replaced: bool
) -> Iterator[Record]:
    frame = documents.frame
    rows = frame.select("source", "line", "id").rows()
    for row in kept:
        source, line, id = rows[row]
        name, raw = corpus.items[source].name, documents.raw[row]
        if replaced:
            wanted = corpus.wanted.get(source) or Wanted(("text",))
            raw = orjson.dumps(records.parse(raw)[0] | {wanted.columns[0]: text[row]})
        yield id or f"{name}:{line}", name, line, text[row], raw


def _write_jsonl(stream: Iterable[Record], directory: Path, form: str, _: Corpus) -> None:
    for number, shard in enumerate(_parted(stream, SHARD_BYTES)):
        with (directory / f"train-{number:05}.{form}").open("wb") as file:
            if form == "jsonl":
                for record in shard:
                    file.write(record[4] + b"\n")
            else:
                _compress(file, shard)


def _compress(file: IO[bytes], shard: Iterable[Record]) -> None:
    import zstandard

    buffer = bytearray()
    with zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False) as packed:
        for record in shard:
            buffer += record[4] + b"\n"
            while len(buffer) >= ZSTD_BYTES:
                packed.write(bytes(buffer[:ZSTD_BYTES]))
                del buffer[:ZSTD_BYTES]
        packed.write(bytes(buffer))


def _write_parquet(stream: Iterable[Record], directory: Path, _: str, corpus: Corpus) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [("id", pa.string()), ("source", pa.string()), ("line", pa.int64()), ("text", pa.large_string()),
         ("fields", pa.large_string())]
    )  # fmt: skip
    texts = {item.name: (corpus.wanted.get(i) or Wanted(("text",))) for i, item in enumerate(corpus.items)}
    for number, shard in enumerate(_parted(stream, SHARD_BYTES)):
        with pq.ParquetWriter(directory / f"train-{number:05}.parquet", schema, compression="zstd") as file:
            for group in _parted(shard, GROUP_BYTES):
                rows = [(*record[:4], _other_fields(record[4], texts[record[1]])) for record in group]
                if rows:
                    columns = zip(zip(*rows, strict=True), schema, strict=True)
                    file.write_table(pa.table([pa.array(c, f.type) for c, f in columns], schema=schema))


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
