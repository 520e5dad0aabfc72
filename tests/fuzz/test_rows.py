"""Files of rows and of documents: whatever stands in them, each record is a row or unreadable, and counted."""

from __future__ import annotations

import io
from typing import Any

import orjson
import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from curate.data.chat import FORMS, ShapeError, from_chat, to_chat
from curate.data.corpus import open_corpus
from curate.data.documents import read_parts
from curate.data.read import Rows, read_records, read_rows
from tests.fuzz.hostile import as_json, changed, damaged, fuzz, lines, packed, put, survives, values

NAMES = (
    "messages", "conversations", "role", "content", "from", "value", "instruction", "input", "output", "system",
    "history", "tools", "tool_calls", "function_call", "prompt", "completion", "text", "type", "name", "chosen",
    "label", "images", "id", "task", "score", "question", "answer",
)  # fmt: skip
CALL = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
RECORDS: list[dict[str, Any]] = [
    {"instruction": "Name a prime.", "input": "", "output": "7", "id": 5, "task": "maths", "score": 0.5},
    {"instruction": "a", "output": ["b", "c"], "history": [["q", "a"]], "system": "s"},
    {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 1}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}, {"type": "image_url"}]},
                  {"role": "assistant", "content": None, "tool_calls": [CALL]},
                  {"role": "tool", "content": "1", "tool_call_id": "x"}], "tools": [CALL]},
    {"conversations": [{"from": "human", "value": "q"}, {"from": "function_call", "value": '{"name": "f"}'},
                       {"from": "observation", "value": "1"}, {"from": "gpt", "value": "a"}], "tools": "[]"},
    {"prompt": "p", "completion": [{"role": "assistant", "content": "c"}], "images": ["x.png"]},
    {"question": "q", "answer": "a"}, {"query": "q", "response": "a"}, {"text": "a document", "id": "d"},
]  # fmt: skip
JSON = [
    lines(*RECORDS), lines(*RECORDS).replace(b"\n", b"\r\n\n"), orjson.dumps(RECORDS),
    orjson.dumps(RECORDS, option=orjson.OPT_INDENT_2),
    b"\n".join(orjson.dumps(r, option=orjson.OPT_INDENT_2) for r in RECORDS),
    b"\xef\xbb\xbf" + lines(*RECORDS), lines(RECORDS[0], [1], 5, None, "x"),
    b"Some prose.\n\nMore of it, na\xefve.\n", b"",
]  # fmt: skip
TABLE = pl.DataFrame(
    {"instruction": ["a", "b", None], "output": ["x", "y", "z"], "n": [1, 2, 3], "text": ["t", "", None]}
)


def tables() -> list[bytes]:
    nested = pl.DataFrame({"messages": [RECORDS[2]["messages"]] * 2, "when": pl.Series([1, 2]).cast(pl.Date)})
    written = []
    for frame in (TABLE, nested):
        for write in (frame.write_parquet, frame.write_ipc, frame.write_ipc_stream):
            write(file := io.BytesIO())
            written.append(file.getvalue())
    return written


_BYTES = damaged(JSON) | st.lists(values(*NAMES), max_size=6).map(lambda found: lines(*found))
_FILES = st.tuples(st.sampled_from((".json", ".jsonl", ".txt")), packed(_BYTES))


def check(rows: Rows | None) -> Rows | None:
    if rows is not None:
        bad = rows.frame.filter(pl.col("error").is_not_null())
        assert bad.select("source", "line").equals(rows.unreadable.select("source", "line"))
        assert sum(source.records for source in rows.sources) == rows.frame.height
        for chat in rows.frame["chat"].drop_nulls():
            assert orjson.loads(chat)["messages"]
    return rows


@fuzz
@given(_FILES)
def test_files_of_rows(file):
    """Every record is a row, or unreadable with a reason; pieces of any size give the same rows."""
    ending, (packing, data) = file
    path = put(f"rows{ending}{packing}", data)
    whole = check(survives(lambda: read_rows([path])))
    parts = check(survives(lambda: read_rows([path], chunk_bytes=64)))
    assert (whole is None) == (parts is None)
    if whole is not None and parts is not None:
        assert_frame_equal(whole.frame, parts.frame)
        assert_frame_equal(whole.unreadable, parts.unreadable)
        assert whole.sources == parts.sources
    survives(lambda: read_records([path]))


@fuzz
@given(_FILES, st.sampled_from((None, "file", "line", "paragraph")), st.sampled_from(((), ("text",), ("a", "output"))))
def test_files_of_documents(file, unit, columns):
    """Every record is a document, or unreadable with a reason; pieces of any size give the same documents."""
    ending, (packing, data) = file
    path = put(f"documents{ending}{packing}", data)

    def read(chunk: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        corpus = open_corpus([path], columns=columns, document=unit, chunk_bytes=chunk)
        found = [read_parts(bundle, [path]) for bundle in corpus.bundles()]
        for documents in found:
            assert len(documents.raw) == documents.frame.height
            for record in documents.raw:
                assert b"\n" not in record
        frames = [documents.frame for documents in found], [documents.unreadable for documents in found]
        return tuple(pl.concat(part) if part else pl.DataFrame() for part in frames)  # type: ignore[return-value]

    whole, parts = survives(lambda: read(1 << 20)), survives(lambda: read(64))
    assert (whole is None) == (parts is None)
    if whole is not None and parts is not None:
        for one, other in zip(whole, parts, strict=True):
            assert_frame_equal(one, other)


@fuzz
@given(damaged(tables()))
def test_tables(data):
    """A damaged table is a table or refused; a row of it is a row of ours."""
    path = put("table.parquet", data)
    check(survives(lambda: read_rows([path])))
    survives(lambda: [read_parts(bundle) for bundle in open_corpus([path]).bundles()])


@fuzz
@given(st.dictionaries(st.sampled_from(NAMES), values(*NAMES), max_size=6) | changed(RECORDS, *NAMES))
def test_chats(record):
    """A record is a chat or refused; a chat is written in each format, or refused, and reads as it was."""
    try:
        chat = to_chat(orjson.loads(as_json(record)) if isinstance(record, dict) else {})
    except (ShapeError, orjson.JSONDecodeError):
        return
    assert len(chat.roles) == len(orjson.loads(chat.chat)["messages"])
    for form in FORMS:
        try:
            row = from_chat(chat.chat, form)
        except ShapeError:
            continue
        assert to_chat(row).chat == chat.chat
