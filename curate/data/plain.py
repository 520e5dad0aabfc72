"""Text files to documents: a file, a line, or a block between blank lines.

Bytes that are no UTF-8 are read as U+FFFD and counted: a text in an old encoding is better counted roughly and said to
be damaged than left out. Blank lines are no documents; a file of 0 bytes is an empty one. A document is held whole and
takes many times its size, so one of over 1 GB, or of more than memory has room for, is an error, and a line without an
end too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import polars as pl

from curate.data.columns import Found
from curate.data.records import BOM
from curate.errors import CurateError

MAX_DOCUMENT_BYTES = 1 << 30  # our choice

_LINE = re.compile(rb"[^\n]++")
_PARAGRAPH = re.compile(rb"(?:[ \t\r\f\v]*+[^\s][^\n]*+\n?)+")
_BLANK_LINE = re.compile(rb"\n[ \t\r\f\v]*+\n")


class Plain(NamedTuple):
    """Some whole documents of a text file: `data` starts at byte `offset` of the plain text, on `line`."""

    line: int
    offset: int
    data: bytes
    unit: str


def plain_pieces(
    blocks: Iterable[bytes], unit: str, chunk_bytes: int, name: str, most: int = MAX_DOCUMENT_BYTES
) -> Iterator[Plain]:
    """Cut a text into pieces of whole documents, of about `chunk_bytes` where the documents allow it.

    Raises CurateError for a document of over `most` bytes; `name` is that of the file.
    """
    line, offset, parts, size, held = 1, 0, [b""], 0, 0
    for block in blocks:
        parts.append(block)
        size += len(block)
        held += len(block)
        if unit == "file" and held > most:
            raise too_large(name, line, unit, most)
        if unit == "file" or size < chunk_bytes:
            continue
        data = b"".join(parts)
        cut = data.rfind(b"\n") + 1 if unit == "line" else _last_blank_line(data)
        if cut > 0:
            yield Plain(line, offset, data[:cut], unit)
            line, offset = line + data.count(b"\n", 0, cut), offset + cut
        held = len(data) - cut
        if held > most:
            raise too_large(name, line, unit, most)
        parts, size = [data[cut:]], (held if cut else 0)  # without a cut: wait for as much again
    data = b"".join(parts)
    if data or unit == "file":
        yield Plain(line, offset, data, unit)


def too_large(name: str, line: int, unit: str, most: int) -> CurateError:
    """Build the error for a document of over `most` bytes that begins on `line`."""
    smaller = {"file": "line, or paragraph", "paragraph": "line"}.get(unit)
    told = [f"Say what is a document there: --document {smaller}."] if smaller else []
    told.append(
        "Split the file" + (", or raise --memory to 1GB and 20 times its size." if most < MAX_DOCUMENT_BYTES else ".")
    )
    return CurateError(f"{name}: a document of over {most:,} bytes, from line {line} on", " ".join(told))


def _last_blank_line(data: bytes) -> int:
    """Return where the last blank line ends, 0 where there is none."""
    start = max(0, data.rfind(b"\n\n"))
    return max((match.end() for match in _BLANK_LINE.finditer(data, start)), default=0)


def from_plain(plain: Plain) -> tuple[Found, np.ndarray, np.ndarray]:
    """Return the documents of a piece of text, the line of each, and the byte where it starts."""
    start = len(BOM) if plain.offset == 0 and plain.data.startswith(BOM) else 0
    if plain.unit == "file":
        spans = [(start, len(plain.data))]
    else:
        pattern = _LINE if plain.unit == "line" else _PARAGRAPH
        spans = [match.span() for match in pattern.finditer(plain.data, start) if not match[0].isspace()]
    raw = [plain.data[first:last] for first, last in spans]
    text, damaged = _decoded(raw if plain.unit == "file" else [line.rstrip(b"\r\n") for line in raw])
    starts = np.array([first for first, _ in spans], dtype=np.int64)
    lines = np.full(len(starts), plain.line)
    if plain.unit != "file":
        newlines = np.flatnonzero(np.frombuffer(plain.data, dtype=np.uint8) == ord("\n"))
        lines += np.searchsorted(newlines, starts)
    ids = pl.Series("id", [None] * len(text), dtype=pl.String)
    mended = Counter({"utf8": damaged} if damaged else {})
    return Found(np.arange(len(text)), ids, text, [], mended), lines, plain.offset + starts


def _decoded(raw: list[bytes]) -> tuple[pl.Series, int]:
    """Return the texts, and how many of them are no UTF-8; a string of Python's takes up to four times their size."""
    try:
        return pl.Series("text", raw, dtype=pl.Binary).cast(pl.String), 0
    except pl.exceptions.PolarsError:
        texts = [text.decode("utf-8", "replace") for text in raw]
        return pl.Series("text", texts, dtype=pl.String), sum(not _is_utf8(text) for text in raw)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
