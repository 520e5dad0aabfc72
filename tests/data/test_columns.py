"""Records to columns: the fast way reads what the slow way reads, whatever stands beside it."""

from __future__ import annotations

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.data.columns import Found, Wanted, find_columns, from_lines, from_table, from_values
from curate.data.records import parse

TEXT = Wanted(("text",))
ODD = [
    b'{"text":"plain","id":"a"}', b'{"text":"b","id":7}', b'{"id":1,"text":"x","n":{"text":"inner"}}',
    b'{"text":"first","text":"last","id":1.50}', b'{"text":"x\\ud800y","id":18446744073709551616}', b"  ", b"",
    b'{"text":5,"id":-0}', b'{"text":null}', b'{"id":"no text"}', b'{"text":["a"],"id":[1, 2]}',
    b'{"text":{"a":1}}', b'{"text":"a"}{"text":"b"}', b'{"te\\u0078t":"escaped"}', b'"a string"', b"[1]",
    b'{"text":"ok","x":1e999}', b'{"text":"ok","x":NaN,"id":true}', b'{"text":"\\u0000"}', b'{"text":"o\xc3k"}',
    b'{"text":"true"}', b'{"text":"12"}', b'{"text":"[list]","id":"2020-01-01"}', b'{"text":"crlf"}\r',
    b'{"text":"\xe4\xb8\xad\\ud83d\\ude00"}', b'{"text":""}', b'{"text":true}', b'{"text":-1.5e3}', b"{",
    b'{"text":"a\tb"}', b'{"text":"x","id":null}', b'{"text":"x","id":{"a":1}}',
]  # fmt: skip


def slow(lines: list[bytes], wanted: Wanted = TEXT) -> Found:
    """Read every line by itself, without polars."""
    rows = [i for i, raw in enumerate(lines) if raw and not raw.isspace()]
    found = from_values([lambda i=i: parse(lines[i]) for i in rows], wanted)
    return found._replace(row=[rows[i] for i in found.row], bad=[(rows[i], reason) for i, reason in found.bad])


def same(left: Found, right: Found) -> bool:
    return (
        list(left.row) == list(right.row)
        and left.id.to_list() == right.id.to_list()
        and left.text.to_list() == right.text.to_list()
        and left.bad == right.bad
        and left.mended == right.mended
    )


@pytest.mark.parametrize("line", ODD)
def test_each_line_reads_as_it_does_by_itself(line):
    """Polars and the parser of single lines agree on every odd line."""
    assert same(from_lines(line + b"\n", TEXT), slow([line, b""]))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(ODD), max_size=12), st.booleans())
def test_a_line_reads_the_same_in_any_company(lines, newline):
    """What is beside a line changes nothing about it."""
    data = b"\n".join(lines) + (b"\n" if newline else b"")
    assert same(from_lines(data, TEXT), slow(data.split(b"\n")))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.dictionaries(st.sampled_from(["text", "id", "a"]), st.text() | st.integers(-9, 9)), max_size=6))
def test_any_text_comes_back(records):
    """Texts of any characters survive the way through JSON and polars."""
    lines = [orjson.dumps(record) for record in records]
    assert same(from_lines(b"\n".join(lines), TEXT), slow(lines))


def test_several_columns_are_joined():
    """Columns asked for are joined by a blank line; null ones are left out."""
    lines = b'{"a":"x","b":"y"}\n{"a":null,"b":"y"}\n{"b":3,"a":"x"}\n{"c":"z"}'
    found = from_lines(lines, Wanted(("a", "b")))
    assert found.text.to_list() == ["x\n\ny", "y"]
    assert found.bad == [(2, "b is the number 3, not a text"), (3, "no column a")]


def test_a_table_reads_as_its_records_do():
    """Parquet rows with odd types give the same texts and reasons as the records they hold."""
    table = pl.DataFrame({"text": ["a", None, ""], "id": [1, 2, 3]})
    found = from_table(table, TEXT)
    assert (found.text.to_list(), found.id.to_list(), found.bad) == (["a", ""], ["1", "3"], [(1, "text is null")])
    numbers = from_table(pl.DataFrame({"text": [1, 2]}), TEXT)
    assert [reason for _, reason in numbers.bad] == [
        "text is the number 1, not a text",
        "text is the number 2, not a text",
    ]
    lists = from_table(pl.DataFrame({"text": [["a"], ["b"]]}), TEXT)
    assert [reason for _, reason in lists.bad] == ["text is a list, not a text"] * 2


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([{"text": "a", "content": "b"}], Wanted(("text",))),
        ([{"content": "b", "other": "long " * 9}], Wanted(("content",))),
        ([{"instruction": "i", "output": "o"}], Wanted((), chat=True)),
        (
            [{"messages": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]}],
            Wanted((), chat=True),
        ),
        ([{"name": "n", "licenseText": "a long text"}, {"name": "m"}], Wanted(("licenseText",))),
        ([{"text": 3, "body": "b"}], Wanted(("body",))),
        ([{"number": 1}], None),
        ([], None),
        ([[1], "x"], None),
    ],
)
def test_the_text_is_found(rows, wanted):
    """A usual name first, then the shape of an instruction, then the column with the longest texts."""
    assert find_columns(rows) == wanted
