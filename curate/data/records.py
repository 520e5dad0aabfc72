"""Plain bytes to JSON values, each with its place: JSON lines, an array, or objects one after the other.

Decisions:
- The layout is seen from the first lines. A first line that is a JSON value of its own means JSON lines.
- A stream is cut into pieces of whole records without parsing, so that others can parse pieces side by side; what a
  piece is does not change what is read. Neither does the place of a record depend on the pieces.
- An array is cut by its brackets and strings alone. An element that closes but does not parse is one bad element; where
  the brackets do not work out (a missing quote, a cut-off end), the rest of the file is one bad element.
- A record is at most 64 MB. A longer line is skipped without being held; a longer element ends the array.
- orjson parses a record. What it refuses the standard library sees: NaN and Infinity become null, half a surrogate pair
  becomes U+FFFD, and both are flagged. Of equal keys the last counts, with both.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple, Protocol

import numpy as np
import orjson

from curate.data.files import PlainBytes

MAX_LINE_BYTES = 64 << 20  # our choice: no honest SFT record comes near it
KEPT_BYTES = 8_016  # of a record that cannot be read: a little over 2,000 characters of four bytes
MAX_DEPTH = 500  # of what orjson refuses: `json` of Python 3.11 takes a thousand, that of 3.13 many more
BOM = b"\xef\xbb\xbf"

_SPACE = re.compile(rb"[ \t\r\n]*+")
_START = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*+")
_FIRST_LINE = re.compile(rb"([^\n]++)\n[ \t\r\n]*+[^ \t\r\n]")  # a line, and something after it
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_TOKEN = re.compile(rb"(" + _STRING + rb')|([{\[])|([}\]])|(")', re.DOTALL)  # the last: a string without an end
_SCALAR = re.compile(_STRING + rb'|[^ \t\r\n,\[\]{}"]++', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_STRINGS = re.compile(_STRING + b"?", re.DOTALL)
_STEPS = bytes.maketrans(b"[{]}", b"\1\1\377\377")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))

# Where an array is, what stands there, where it is then. A comma after the last element is let pass.
_ARRAY_STEPS = {
    ("start", b"["): "element",
    ("element", b"]"): "end",
    ("comma", b","): "element",
    ("comma", b"]"): "end",
}


class Piece(NamedTuple):
    """Some whole records: `data` starts at byte `offset` of the plain text, on `line`.

    `spans` are (start, end, line) of the elements in `data`; None: each line is a record. With a `fault`, `data` is the
    beginning of something that is no record, for that reason.
    """

    line: int
    offset: int
    data: bytes
    spans: list[tuple[int, int, int]] | None = None
    fault: str | None = None


class Faulty(Protocol):
    """A stream that tells, once it is read, why its bytes end too early (None: they do not)."""

    fault: str | None


class Unparsable(ValueError):
    """The bytes are no JSON value; the message says why."""


def parse(raw: bytes) -> tuple[Any, tuple[str, ...]]:
    """Return the JSON value of a record and what was mended in it: `nan`, `surrogate`. Raises Unparsable."""
    try:
        return orjson.loads(raw), ()
    except orjson.JSONDecodeError:
        return _parse_leniently(raw)


def _parse_leniently(raw: bytes) -> tuple[Any, tuple[str, ...]]:
    mended: set[str] = set()

    def number(text: str) -> float | None:
        value = float(text)
        if math.isfinite(value):
            return value
        mended.add("nan")
        return None

    if _too_deep(raw):
        raise Unparsable("nested too deeply")
    try:
        text = raw.decode("utf-8")
        value = json.loads(text, parse_constant=number, parse_float=number, parse_int=orjson.loads)
        if "\\u" in text and _SURROGATE.search(written := json.dumps(value, ensure_ascii=False)):
            mended.add("surrogate")
            value = json.loads(_SURROGATE.sub("\ufffd", written), parse_int=orjson.loads)
    except UnicodeDecodeError as error:
        raise Unparsable(f"invalid UTF-8: byte 0x{raw[error.start]:02x} at byte {error.start} of the record") from None
    except json.JSONDecodeError as error:
        raise Unparsable(f"broken JSON: {error.msg} at character {error.pos + 1}") from None
    return value, tuple(sorted(mended))


def _too_deep(raw: bytes) -> bool:
    """Say whether brackets stand in more than MAX_DEPTH others: how many `json` takes depends on Python's version."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return False
    steps = np.frombuffer(_STRINGS.sub(b"", raw).translate(_STEPS, _NO_BRACKETS), np.int8)
    return int(steps.cumsum(dtype=np.int32).max(initial=0)) > MAX_DEPTH


def too_long(size: int) -> str:
    """Say why a record of `size` bytes is not read."""
    return f"a record of {size:,} bytes, over the limit of {MAX_LINE_BYTES:,}"


def pieces(stream: PlainBytes, chunk_bytes: int) -> Iterator[Piece]:
    """Cut the plain bytes of a file into pieces of about `chunk_bytes`; the stream is read to its end."""
    blocks = iter(stream)
    head = _head(blocks)
    layout, one_line = _layout(head[:MAX_LINE_BYTES])
    start = len(BOM) if head.startswith(BOM) else 0
    blocks = chain([head[start:]], blocks)
    if layout == "lines":
        return line_pieces(blocks, stream, chunk_bytes, start)
    return _elements(_Window(blocks, start, chunk_bytes), layout == "array", one_line, stream)


def _head(blocks: Iterator[bytes]) -> bytes:
    """Read on until `_layout` can tell, but not far over MAX_LINE_BYTES."""
    head, look_at = bytearray(), 1
    for block in blocks:
        head += block
        if len(head) >= look_at:
            if len(head) > MAX_LINE_BYTES or _shows_layout(head):
                break
            look_at = 2 * len(head)
    return bytes(head)


def _shows_layout(head: bytes | bytearray) -> bool:
    """Whether the first line is complete, more follows, and an object that begins on the first line is complete."""
    start = _end(_START, head)
    line = _FIRST_LINE.match(head, start)
    if line is None:
        return False
    return head[start] != ord("{") or _parses(bytes(line[1])) or _element_end(head, start) is not None


def _layout(head: bytes) -> tuple[str, bool]:
    """Return lines, array or values, and whether an array stands on one line."""
    start = _end(_START, head)
    line = _FIRST_LINE.match(head, start)
    first = line[1] if line else head[start:]
    if first.startswith(b"["):
        return ("lines", False) if line and _parses(first) else ("array", line is None)
    if line and first.startswith(b"{") and not _parses(first):
        end = _element_end(head, start)
        if end and end > start + len(first) and _parses(head[start:end]):
            return "values", False
    return "lines", False


def _end(pattern: re.Pattern[bytes], data: bytes | bytearray, start: int = 0) -> int:
    """Return where a match of `pattern` at `start` ends; `start` where there is none."""
    match = pattern.match(data, start)
    return match.end() if match else start


def _parses(raw: bytes) -> bool:
    try:
        parse(raw)
    except Unparsable:
        return False
    return True


def line_pieces(
    blocks: Iterable[bytes], stream: Faulty, chunk_bytes: int, offset: int = 0, line: int = 1
) -> Iterator[Piece]:
    """Cut the blocks of JSON lines into pieces; the first line begins at byte `offset` of the plain text."""
    parts: list[bytes] = []
    size = tail = skipped = 0  # bytes in parts; of them, after the last newline; of a line that is too long
    beginning = b""
    for block in blocks:
        if skipped:
            end = block.find(b"\n")
            if end < 0:
                skipped += len(block)
                continue
            yield Piece(line, offset, beginning, fault=too_long(skipped + end))
            line, offset, skipped, block = line + 1, offset + skipped + end + 1, 0, block[end + 1 :]
        after = len(block) - block.rfind(b"\n") - 1
        tail = after if after < len(block) else tail + len(block)
        parts.append(block)
        size += len(block)
        if size > tail and (size >= chunk_bytes or tail > MAX_LINE_BYTES):
            data = b"".join(parts)
            parts, whole, size = [data[size - tail :]], data[: size - tail], tail
            yield Piece(line, offset, whole)
            line, offset = line + _newlines(whole), offset + len(whole)
        if tail > MAX_LINE_BYTES:
            skipped, beginning = tail, b"".join(parts)[:KEPT_BYTES]
            parts, size, tail = [], 0, 0
    if skipped:
        yield Piece(line, offset, beginning, fault=too_long(skipped))
        return
    data = b"".join(parts)
    whole, rest = (data[: size - tail], data[size - tail :]) if stream.fault else (data, b"")
    if whole:
        yield Piece(line, offset, whole)
    if stream.fault:
        yield Piece(line + whole.count(b"\n"), offset + len(whole), rest[:KEPT_BYTES], fault=stream.fault)


def _newlines(data: bytes) -> int:
    """Count newlines; numpy is three times as fast as `bytes.count`, and lets other threads run."""
    return int(np.count_nonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n")))


class _Window:
    """A part of a stream, `data`, that starts at byte `offset` on `line` and moves on."""

    def __init__(self, blocks: Iterator[bytes], offset: int, chunk_bytes: int) -> None:
        self.data, self.offset, self.line = b"", offset, 1
        self._blocks, self._chunk_bytes = blocks, chunk_bytes

    def move(self, position: int) -> bool:
        """Let go what is before `position` and read on: as much again as is left, so that rescans cost little."""
        self.line += self.data.count(b"\n", 0, position)
        self.offset += position
        parts = [self.data[position:]]
        wanted = max(self._chunk_bytes, len(parts[0]))
        for block in self._blocks:
            parts.append(block)
            wanted -= len(block)
            if wanted <= 0:
                break
        self.data = b"".join(parts)
        return any(parts[1:])

    def drain(self, position: int) -> None:
        """Read to the end, for the digest of the file; of it hold what is kept of the fault at `position`."""
        for block in self._blocks:
            self.data += block[: max(0, position + KEPT_BYTES - len(self.data))]


def _elements(window: _Window, array: bool, one_line: bool, stream: PlainBytes) -> Iterator[Piece]:
    """Cut an array, or values that follow each other, into pieces. On one line, elements are numbered instead."""
    state, number, position = ("start" if array else "value"), 1, 0
    while window.move(position):
        spans, position, state, reason = _scan(window.data, state)
        if spans:
            yield Piece(window.line, window.offset, window.data, _placed(window, spans, number if one_line else None))
            number += len(spans)
        if reason:
            window.drain(position)
            break
    else:
        ended = state == "end" or (state == "value" and not window.data)
        reason = stream.fault or (None if ended else "the file ends here, inside a record or an array")
        position = 0
    if reason:
        line = number if one_line else window.line + window.data.count(b"\n", 0, position)
        yield Piece(line, window.offset + position, window.data[position : position + KEPT_BYTES], fault=reason)


def _placed(window: _Window, spans: list[tuple[int, int]], number: int | None) -> list[tuple[int, int, int]]:
    """Give each span its line, or its number."""
    if number is not None:
        return [(start, end, number + index) for index, (start, end) in enumerate(spans)]
    placed, line, before = [], window.line, 0
    for start, end in spans:
        line, before = line + window.data.count(b"\n", before, start), start
        placed.append((start, end, line))
    return placed


def _scan(data: bytes, state: str) -> tuple[list[tuple[int, int]], int, str, str | None]:
    """Return the elements that are complete in `data`, where to go on, the state there, and what is wrong there."""
    spans: list[tuple[int, int]] = []
    position = 0
    while True:
        position = _end(_SPACE, data, position)
        if position == len(data):
            return spans, position, state, None
        following = _ARRAY_STEPS.get((state, data[position : position + 1]))
        if following:
            state, position = following, position + 1
            continue
        end = _element_end(data, position) if state in ("element", "value") else 0
        if end == 0:
            return spans, position, state, "the JSON is broken from here on"
        if (end or len(data)) - position > MAX_LINE_BYTES:
            return spans, position, state, f"a record of over {MAX_LINE_BYTES:,} bytes; nothing is read from here on"
        if end is None:
            return spans, position, state, None
        spans.append((position, end))
        state, position = ("comma" if state == "element" else "value"), end


def _element_end(data: bytes | bytearray, start: int) -> int | None:
    """Return where the JSON value at `start` ends: None when that is beyond `data`, 0 when no value begins there."""
    if data[start] not in b"{[":
        match = _SCALAR.match(data, start)
        if match is None:
            return None if data[start] == ord('"') else 0
        return match.end() if match.end() < len(data) else None
    depth = 0
    for token in _TOKEN.finditer(data, start):
        if token.lastindex == 2:
            depth += 1
        elif token.lastindex == 3:
            depth -= 1
            if depth == 0:
                return token.end()
        elif token.lastindex == 4:
            return None
    return None
