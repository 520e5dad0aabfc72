"""Parts of a corpus to documents: one row for each, whatever it came from, and nothing lost.

A part is a piece of JSON, a piece of text, a slice of a table or a list of Python objects (`curate.data.corpus` cuts
them). A record without a text is a row of `unreadable`, with its reason and its place. This runs in many threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import orjson
import polars as pl

from curate.data import records
from curate.data.columns import Found, Wanted, from_lines, from_records, from_table, from_values
from curate.data.plain import Plain, from_plain
from curate.data.read import TEXT_CHARACTERS
from curate.data.records import Piece

FRAME = {"source": pl.Int32, "line": pl.Int64, "id": pl.String, "text": pl.String}
UNREADABLE = {
    "source": pl.Int32, "line": pl.Int64, "byte_offset": pl.Int64, "reason": pl.String, "text": pl.String,
}  # fmt: skip


class Part(NamedTuple):
    """Some records of the source with the index `source`, and where their text is.

    `first` is the number of the first row of a table or list, `size` the bytes of the content, `done` the bytes of all
    files (as packed) read so far.
    """

    source: int
    done: int
    size: int
    first: int
    content: Piece | Plain | pl.DataFrame | list[Any]
    wanted: Wanted


class Documents(NamedTuple):
    """What parts hold: a row of `frame` for each document, a row of `unreadable` for each record that is none.

    `mended` counts (source, what); `raw` are the records of `frame` as JSON without line breaks, where asked for.
    """

    frame: pl.DataFrame
    unreadable: pl.DataFrame
    mended: Counter[tuple[int, str]]
    raw: list[bytes]


class _Rows(NamedTuple):
    """The records of a part: what was found in them, and by row their line, raw bytes and byte offset."""

    found: Found
    line: np.ndarray
    raw: Callable[[int], bytes]
    offset: Callable[[int], int | None]


def read_parts(parts: Iterable[Part], names: Sequence[str] | None = None) -> Documents:
    """Read parts into one table of documents; with `names` (of all sources) their records as JSON too."""
    read = [_read(part, names) for part in parts]
    if len(read) == 1:
        return read[0]
    return Documents(
        pl.concat([documents.frame for documents in read]).rechunk(),
        pl.concat([documents.unreadable for documents in read]),
        sum((documents.mended for documents in read), Counter()),
        [record for documents in read for record in documents.raw],
    )


def whole_lines(parts: Iterable[Part], count: int) -> list[bytes] | None:
    """Return the records of JSON lines without parsing them; None unless each line is one of the `count` documents."""
    lines: list[bytes] = []
    for part in parts:
        content = part.content
        if not isinstance(content, Piece) or content.spans is not None or content.fault is not None:
            return None
        lines += content.data.removesuffix(b"\n").split(b"\n")
    return [line.rstrip(b"\r") for line in lines] if len(lines) == count else None


def _read(part: Part, names: Sequence[str] | None) -> Documents:
    content = part.content
    if isinstance(content, Piece) and content.fault is not None:
        fault = [(part.source, content.line, content.offset, content.fault, _shown(content.data))]
        return Documents(pl.DataFrame(schema=FRAME), _table(fault), Counter(), [])
    rows = _rows(part, names[part.source] if names else "")
    found = rows.found
    source = pl.Series("source", np.full(len(found.row), part.source, np.int32))
    line = pl.Series("line", rows.line[found.row].astype(np.int64, copy=False))
    frame = pl.DataFrame([source, line, found.id.rename("id"), found.text.rename("text")])
    bad = [
        (part.source, int(rows.line[row]), rows.offset(row), reason, _shown(rows.raw(row))) for row, reason in found.bad
    ]
    mended = Counter({(part.source, what): count for what, count in found.mended.items()})
    return Documents(frame, _table(bad), mended, [rows.raw(row) for row in found.row.tolist()] if names else [])


def _rows(part: Part, name: str) -> _Rows:
    content = part.content
    if isinstance(content, Plain):
        return _of_plain(content, name)
    if isinstance(content, Piece):
        return _of_lines(content, part.wanted) if content.spans is None else _of_spans(content, part.wanted)
    if isinstance(content, pl.DataFrame):
        return _of_rows(from_table(content, part.wanted), part, lambda row: content.row(row, named=True))
    return _of_rows(from_records(content, part.wanted), part, content.__getitem__)


def _of_rows(found: Found, part: Part, record: Callable[[int], Any]) -> _Rows:
    numbers = np.arange(part.first, part.first + len(part.content))
    return _Rows(found, numbers, lambda row: _dumped(record(row)), lambda row: None)


def _of_lines(piece: Piece, wanted: Wanted) -> _Rows:
    @cache
    def lines() -> list[bytes]:
        return piece.data.split(b"\n")

    @cache
    def starts() -> np.ndarray:
        return np.cumsum([piece.offset, *(len(line) + 1 for line in lines())])

    found = from_lines(piece.data, wanted)
    last = max(found.row.max(initial=-1), max((row for row, _ in found.bad), default=-1))
    numbers = np.arange(piece.line, piece.line + last + 1)
    return _Rows(found, numbers, lambda row: lines()[row].rstrip(b"\r"), lambda row: int(starts()[row]))


def _of_spans(piece: Piece, wanted: Wanted) -> _Rows:
    spans = piece.spans or []

    def raw(row: int) -> bytes:
        start, end, _ = spans[row]
        return piece.data[start:end]

    found = from_values([lambda row=row: records.parse(raw(row)) for row in range(len(spans))], wanted)  # type: ignore[misc]
    return _Rows(
        found,
        np.array([line for _, _, line in spans], dtype=np.int64),
        lambda row: _on_one_line(raw(row)),
        lambda row: piece.offset + spans[row][0],
    )


def _of_plain(plain: Plain, name: str) -> _Rows:
    found, lines, starts = from_plain(plain)

    def raw(row: int) -> bytes:
        line = int(lines[row])
        return _dumped({"id": f"{name}:{line}", "text": found.text[row], "source": name, "line": line})

    return _Rows(found, lines, raw, lambda row: int(starts[row]))


def _on_one_line(raw: bytes) -> bytes:
    if b"\n" not in raw:
        return raw
    try:
        return _dumped(records.parse(raw)[0])
    except records.Unparsable:
        return raw


def _dumped(value: Any) -> bytes:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS)


def _table(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=UNREADABLE, orient="row")


def _shown(raw: bytes) -> str:
    """Return the beginning of what could not be read; bytes that are no UTF-8 are written as \\xNN."""
    text = raw[: records.KEPT_BYTES].decode("utf-8", "backslashreplace")
    if len(text) <= TEXT_CHARACTERS:
        return text
    return f"{text[:TEXT_CHARACTERS]} … (cut at {TEXT_CHARACTERS:,} characters)"
