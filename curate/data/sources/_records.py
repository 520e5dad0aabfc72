"""Records of dumps that are JSON or CSV, as a stream; what is no record is None, to be counted, and never raised."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from typing import Any

from curate.data.sources._files import LONGEST_LINE, Dump

Record = dict[str, Any]
Advance = Callable[[int, int | None], None]
_PIECE_BYTES = 1 << 20


def records(dump: Dump, on_progress: Advance) -> Iterator[Record | None]:
    """Yield each record of a `.csv` file with a header, or of JSON: lines, an array, or objects one after the other."""
    yield from (_csv_records if ".csv" in dump.path.suffixes else _json_records)(dump, on_progress)


def _json_records(dump: Dump, on_progress: Advance) -> Iterator[Record | None]:
    from curate.data.records import Unparsable, parse, pieces

    with dump.open() as stream:
        for piece in pieces(stream, _PIECE_BYTES):
            on_progress(stream.size, dump.size)
            spans = piece.spans or ()
            found = (
                piece.data.split(b"\n") if piece.spans is None else (piece.data[start:end] for start, end, _ in spans)
            )
            for raw in (b"\0",) if piece.fault else found:
                if raw and not raw.isspace():
                    try:
                        record, _ = parse(raw)
                    except Unparsable:
                        record = None
                    yield record if isinstance(record, dict) else None


def _csv_records(dump: Dump, on_progress: Advance) -> Iterator[Record | None]:
    """Yield each record of CSV; a quote that never closes ends at the longest field, and is one unreadable record."""
    csv.field_size_limit(LONGEST_LINE)
    reader = csv.reader(
        "" if line is None else line.decode("utf-8-sig", "replace") + "\n" for line in dump.lines(on_progress)
    )
    header: list[str] | None = None
    while True:
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield None
            continue
        if header is None:
            header = [name.strip() for name in values]
        elif values:
            yield dict(zip(header, values, strict=True)) if len(values) == len(header) else None
