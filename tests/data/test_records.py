"""Plain bytes to records: layouts, places, and what is mended."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.data import records
from curate.data.files import PlainBytes

RECORDS = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(alphabet='a"\\[]{},:\n 你', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.text(alphabet='a"]}', max_size=3), RECORDS, max_size=3)
CHUNKS = st.sampled_from([1, 9, 40, 1 << 20])


def found(data: bytes, chunk_bytes: int = 1 << 20) -> list[tuple[int, int, bytes, str | None]]:
    """Return (line, byte offset, bytes, fault) of all that `pieces` finds."""
    rows: list[tuple[int, int, bytes, str | None]] = []
    for piece in records.pieces(PlainBytes(io.BytesIO(data), "test", chunk_bytes), chunk_bytes):
        if piece.fault:
            rows.append((piece.line, piece.offset, piece.data, piece.fault))
        elif piece.spans is not None:
            rows += [(line, piece.offset + a, piece.data[a:b], None) for a, b, line in piece.spans]
        else:
            offset = piece.offset
            for line, raw in enumerate(piece.data.split(b"\n"), start=piece.line):
                if raw.strip():
                    rows.append((line, offset, raw, None))
                offset += len(raw) + 1
    return rows


def lines_reference(data: bytes) -> list[tuple[int, int, bytes, str | None]]:
    """Return what JSON lines are, the slow way."""
    rows, offset = [], 0
    for line, raw in enumerate(data.split(b"\n"), start=1):
        if raw.strip():
            rows.append((line, offset, raw, None))
        offset += len(raw) + 1
    return rows


@settings(deadline=None, max_examples=100)
@given(st.lists(OBJECTS, min_size=1, max_size=6), st.sampled_from(["\n", "\r\n", "\n\n", "\n \r\n"]), CHUNKS)
def test_lines_are_found_with_their_places(values, separator, chunk_bytes):
    """Each line that is not blank is a record, at its line and byte offset, for any chunk size."""
    data = separator.join(json.dumps(value, ensure_ascii=False) for value in values).encode()
    assert found(data, chunk_bytes) == lines_reference(data)


@settings(deadline=None, max_examples=100)
@given(st.lists(RECORDS, max_size=5), st.sampled_from([None, 0, 2]), CHUNKS)
def test_elements_of_an_array_are_found_with_their_places(values, indent, chunk_bytes):
    """Each element of an array is a record; its place holds it, and on one line elements are numbered instead."""
    data = ("\n [" + json.dumps(values, indent=indent, ensure_ascii=False)[1:] + "\n").encode()
    rows = found(data, chunk_bytes)
    assert [json.loads(raw) for _, _, raw, _ in rows] == values
    assert all(data[offset : offset + len(raw)] == raw and fault is None for _, offset, raw, fault in rows)
    one_line = data.strip().count(b"\n") == 0
    expected = [n if one_line else 1 + data.count(b"\n", 0, row[1]) for n, row in enumerate(rows, start=1)]
    assert [row[0] for row in rows] == expected


@settings(deadline=None, max_examples=50)
@given(st.lists(OBJECTS.filter(bool), min_size=1, max_size=4), CHUNKS)
def test_objects_that_follow_each_other_are_found(values, chunk_bytes):
    """Objects over several lines, one after the other, are records."""
    data = "\n".join(json.dumps(value, indent=1) for value in values).encode()
    rows = found(data, chunk_bytes)
    assert [json.loads(raw) for _, _, raw, _ in rows] == values
    assert [row[0] for row in rows] == [1 + data.count(b"\n", 0, row[1]) for row in rows]


@pytest.mark.parametrize(
    ("data", "before", "line", "rest"),
    [
        (b'[\n{"a": 1},\n{"b": 2}\n{"c": 3}]', 2, 4, b'{"c": 3}]'),
        (b'[\n{"a": 1},\n{"b": 2', 1, 3, b'{"b": 2'),
        (b'[\n{"a": 1},\n{"b": "2},\n{"c": 3}]', 1, 3, b'{"b": "2},\n{"c": 3}]'),
        (b'[\n{"a": 1}\n', 1, 3, b""),
        (b'[\n{"a": 1}]\nmore', 1, 3, b"more"),
        (b'[{"a": 1}, :', 1, 2, b":"),
        (b"[", 0, 1, b""),
        (b'{\n"a": 1}\n{\n"b": 2', 1, 3, b'{\n"b": 2'),
        (b'{\n"a": 1}\n]', 1, 3, b"]"),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [1, 1 << 20])
def test_a_fault_ends_an_array_and_keeps_what_came_before(data, before, line, rest, chunk_bytes):
    """Where the brackets do not work out, the elements before are kept and the rest is one fault at its place."""
    *rows, last = found(data, chunk_bytes)
    assert len(rows) == before
    assert last[0] == line
    assert rest.startswith(last[2])  # of a fault, the beginning is kept
    assert last[1] == len(data) - len(rest)
    assert last[3]


def test_an_element_that_closes_but_does_not_parse_is_one_element():
    """A broken element whose brackets work out costs itself alone; a comma after the last one costs nothing."""
    rows = found(b'[\n{"a": 1},\n{"b" 2},\n{"c": 3},\n]')
    assert [row[2] for row in rows] == [b'{"a": 1}', b'{"b" 2}', b'{"c": 3}']


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n \n",
        b"\xef\xbb\xbf",
        b"[]",
        b"[\n]\n",
    ],
)
def test_nothing_is_no_record(data):
    """Blank files and empty arrays hold no record, and that is no fault."""
    assert found(data) == []


@pytest.mark.parametrize(
    "data",
    [
        b'[1]\n[2]\n{"a": 1}\n',
        b'{"a": \n{"a": 1}\n',
        b'{"a": "b\n{"a": 1}\n{"a": 2}',
        b'{"a": NaN}\n{"a": 1}\n',
        b'nonsense\n{"a": 1}\n',
        b'5\n{"a": 1}',
        b'"text"\n',
    ],
)
@pytest.mark.parametrize("chunk_bytes", [1, 1 << 20])
def test_a_strange_first_line_does_not_hide_json_lines(data, chunk_bytes):
    """A list, a number or a broken record on the first line leaves the other lines records of their own."""
    assert found(data, chunk_bytes) == lines_reference(data)


def test_a_byte_order_mark_is_skipped_and_counted():
    """A byte order mark is no part of the first record, but offsets count it."""
    assert found(b'\xef\xbb\xbf{"a": 1}\n{"b": 2}') == [(1, 3, b'{"a": 1}', None), (2, 12, b'{"b": 2}', None)]
    assert found(b'\xef\xbb\xbf[\n{"a": 1}]') == [(2, 5, b'{"a": 1}', None)]


@pytest.mark.parametrize("chunk_bytes", [1, 30, 64, 1 << 20])
def test_a_line_that_is_too_long_is_skipped(monkeypatch, chunk_bytes):
    """A line over the limit is one fault with its length, or left to the parser whole; the next line has its place."""
    monkeypatch.setattr(records, "MAX_LINE_BYTES", 50)
    data = b'{"a": 1}\n' + b"x" * 200 + b"\n" + b'{"b": 2}\n' + b"y" * 80
    rows = found(data, chunk_bytes)
    assert [row[:2] for row in rows] == [(1, 0), (2, 9), (3, 210), (4, 219)]
    assert rows[0][2:] == (b'{"a": 1}', None)
    assert rows[2][2:] == (b'{"b": 2}', None)
    for row, length in ((rows[1], 200), (rows[3], 80)):
        assert row[3] == records.too_long(length) if row[3] else len(row[2]) == length


@pytest.mark.parametrize("chunk_bytes", [1, 30, 1 << 20])
def test_an_element_that_is_too_long_ends_the_array(monkeypatch, chunk_bytes):
    """An element over the limit is a fault, and what follows it is not read."""
    monkeypatch.setattr(records, "MAX_LINE_BYTES", 50)
    rows = found(b'[\n{"a": 1},\n{"b": "' + b"x" * 60 + b'"},\n{"c": 3}]', chunk_bytes)
    assert [row[0] for row in rows] == [2, 3]
    assert "a record of over 50 bytes" in str(rows[1][3])


@pytest.mark.parametrize(
    ("raw", "value", "mended"),
    [
        (b'{"a": 1, "a": 2}', {"a": 2}, ()),
        (b'{"a": NaN, "a": 2, "b": [Infinity, -Infinity]}', {"a": 2, "b": [None, None]}, ("nan",)),
        (b'{"a": 1e999}', {"a": None}, ("nan",)),
        (rb'{"a": "\ud83d\ude00"}', {"a": "😀"}, ()),
        (rb'{"a": "x\ud83d"}', {"a": "x\ufffd"}, ("surrogate",)),
        (rb'{"\udc00": "\ud83d\ude00", "b": NaN}', {"\ufffd": "😀", "b": None}, ("nan", "surrogate")),
        (rb'{"a": "\\ud83d NaN"}', {"a": "\\ud83d NaN"}, ()),
        (b'{"a": 123456789012345678901234567890, "b": NaN}', {"a": 1.2345678901234568e29, "b": None}, ("nan",)),
    ],
)
def test_what_json_readers_disagree_on_has_one_reading(raw, value, mended):
    """NaN and Infinity are null, half a surrogate pair is U+FFFD, of equal keys the last counts; mending is told."""
    assert records.parse(raw) == (value, mended)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b'{"a": "\xff"}', "invalid UTF-8: byte 0xff at byte 7"),
        (b'{"a": ', "broken JSON: Expecting value"),
        (b'{"a": 1} x', "broken JSON: Extra data at character 10"),
        (b'{"a": "\x01"}', "broken JSON: Invalid control character"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 2000 + b"1" + b"}" * 2000, "nested too deeply"),
        (b'{"a":NaN,"b":' + b"[" * 500 + b"]" * 500 + b"}", "nested too deeply"),
        (b'{"a": ' + b"1" * 5000 + b"}", "broken JSON"),
    ],
)
def test_what_is_no_json_is_told(raw, reason):
    """What cannot be parsed raises Unparsable with the reason and the place, never anything else."""
    with pytest.raises(records.Unparsable, match=reason):
        records.parse(raw)
