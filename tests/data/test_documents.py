"""Corpora to documents: every layout, every container, nothing lost, and no trace of how it was read."""

from __future__ import annotations

import gzip
import io
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import orjson
import polars as pl
import pyarrow as pa
import pytest
import zstandard

from curate.data.corpus import Corpus, open_corpus
from curate.data.documents import Documents, read_parts
from curate.errors import CurateError, UsageError

RECORDS = [{"id": f"r{i}", "text": f"text number {i} " * (i % 7 + 1), "more": {"n": i}} for i in range(300)]
LINES = b"".join(orjson.dumps(record) + b"\n" for record in RECORDS)


def read(corpus: Corpus, raw: bool = False) -> Documents:
    """Read a corpus to its end, into one table."""
    names = [item.name for item in corpus.items]
    bundles = [read_parts(bundle, names if raw else None) for bundle in corpus.bundles()]
    return Documents(
        pl.concat([b.frame for b in bundles]),
        pl.concat([b.unreadable for b in bundles]),
        sum((b.mended for b in bundles), start=type(bundles[0].mended)()),
        [record for b in bundles for record in b.raw],
    )


def write(path: Path, data: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("chunk_bytes", [1024, 5000, 1 << 20])
@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("c.jsonl", bytes), ("c.jsonl.gz", gzip.compress), ("c.jsonl.zst", zstandard.ZstdCompressor().compress),
        ("c.json", lambda data: b"[" + data.strip().replace(b"\n", b",\n") + b"]"),
        ("c.parquet", lambda _: parquet(RECORDS)), ("c.arrow", lambda _: arrow(RECORDS)),
        ("c.odd", bytes),
    ],
)  # fmt: skip
def test_every_container_gives_the_same_documents(tmp_path, name, pack, chunk_bytes):
    """Layout, packing and size of chunks leave no trace in ids and texts."""
    found = read(open_corpus([write(tmp_path / name, pack(LINES))], chunk_bytes=chunk_bytes))
    assert found.frame["id"].to_list() == [record["id"] for record in RECORDS]
    assert found.frame["text"].to_list() == [record["text"] for record in RECORDS]
    assert found.frame["line"].to_list() == list(range(1, 301))
    assert found.unreadable.is_empty()


def parquet(records: list[dict]) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(records).write_parquet(buffer, row_group_size=64)
    return buffer.getvalue()


def arrow(records: list[dict]) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(records).write_ipc(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("chunk_bytes", [1024, 1 << 20])
def test_bad_records_are_named_by_line_and_byte(tmp_path, chunk_bytes):
    """Each record without a text has its line, its byte offset, its reason and its beginning."""
    bad = {40: b'{"text": 7}', 41: b"{broken", 160: b'{"text":"\xff"}', 161: b"[1]", 290: b'{"other":"x"}'}
    lines = LINES.splitlines()
    for line, raw in bad.items():
        lines[line - 1] = raw
    data = b"\n".join(lines)
    found = read(open_corpus([write(tmp_path / "c.jsonl", data)], chunk_bytes=chunk_bytes))
    assert found.unreadable["line"].to_list() == list(bad)
    for offset, raw in zip(found.unreadable["byte_offset"], bad.values(), strict=True):
        assert data[offset : offset + len(raw)] == raw
    assert found.unreadable["reason"].to_list() == [
        "text is the number 7, not a text",
        "broken JSON: Expecting property name enclosed in double quotes at character 2",
        "invalid UTF-8: byte 0xff at byte 9 of the record", "a list, not an object", "no column text",
    ]  # fmt: skip
    assert found.frame.height + found.unreadable.height == 300


def test_records_come_back_as_they_stood(tmp_path):
    """The raw record of a JSON line is that line, byte for byte; of other containers it is the same JSON."""
    spaced = b'{ "text" : "a" , "x" : 1.0 }\r\n{"text":"b"}'
    assert read(open_corpus([write(tmp_path / "a.jsonl", spaced)]), raw=True).raw == [
        b'{ "text" : "a" , "x" : 1.0 }', b'{"text":"b"}',
    ]  # fmt: skip
    for name, data in (("b.json", b'[\n{"text":\n"a"}\n]'), ("c.parquet", parquet([{"text": "a", "x": None}]))):
        corpus = open_corpus([write(tmp_path / name, data)])
        corpus.all_columns = True
        assert orjson.loads(read(corpus, raw=True).raw[0])["text"] == "a"


def test_views_of_nulls_in_a_buffer_that_is_too_long(tmp_path):
    """A buffer may be longer than its rows want, by any number of bytes; sound rows are read."""
    table = pa.table({"text": pa.array(["a", None], pa.string_view()), "other": ["b" * 20] * 2})
    with pa.ipc.new_stream(file := io.BytesIO(), table.schema) as writer:
        writer.write_table(table)
    head, length, rest = file.getvalue().rpartition((32).to_bytes(8, "little"))
    assert length
    found = read(open_corpus([write(tmp_path / "c.arrow", head + (40).to_bytes(8, "little") + rest)]))
    assert found.frame["text"].to_list() == ["a"]
    assert found.unreadable["line"].to_list() == [2]


TEXT = b"\xef\xbb\xbfone\ntwo\r\n\n  \nthree\nfour\n\n\nfive"


@pytest.mark.parametrize(
    ("unit", "texts", "lines"),
    [
        (None, [TEXT[3:].decode()], [1]),
        ("file", [TEXT[3:].decode()], [1]),
        ("line", ["one", "two", "three", "four", "five"], [1, 2, 5, 6, 9]),
        ("paragraph", ["one\ntwo", "three\nfour", "five"], [1, 5, 9]),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [1, 7, 1 << 20])
def test_text_files_are_cut_into_units(tmp_path, unit, texts, lines, chunk_bytes):
    """A text file is one document, or its lines, or its blocks between blank lines; blank lines are none."""
    corpus = open_corpus([write(tmp_path / "a.md", TEXT)], document=unit, chunk_bytes=chunk_bytes)
    found = read(corpus).frame
    assert (found["text"].to_list(), found["line"].to_list()) == (texts, lines)


def test_damaged_text_is_counted_and_mended(tmp_path):
    """Bytes that are no UTF-8 become U+FFFD, one note for each document; a file of 0 bytes is an empty document."""
    paths = [write(tmp_path / "a.txt", b"caf\xe9 \nb\nc\xff"), write(tmp_path / "b.txt", b"")]
    found = read(open_corpus(paths, document="line"))
    assert found.frame["text"].to_list() == ["caf\ufffd ", "b", "c\ufffd"]
    assert found.mended == {(0, "utf8"): 2}
    assert read(open_corpus([paths[1]])).frame["text"].to_list() == [""]


def test_files_of_one_directory_may_differ(tmp_path):
    """Each source has its own layout and its own text column."""
    write(tmp_path / "a.jsonl", b'{"content":"c"}\n')
    write(tmp_path / "deep/b.json", b'[{"instruction":"i","input":"","output":"o"}]')
    write(tmp_path / "c.txt.gz", gzip.compress(b"plain"))
    write(tmp_path / "d.parquet", parquet([{"body": "p"}]))
    write(tmp_path / "image.png", b"\x89PNG")
    corpus = open_corpus([str(tmp_path)])
    assert read(corpus).frame["text"].to_list() == ["c", "plain", "p", "i\n\no"]
    assert [Path(item.name).name for item in corpus.items] == ["a.jsonl", "c.txt.gz", "d.parquet", "b.json"]
    assert any("image.png" in note for note in corpus.notes)


def test_the_ledger_of_a_run_is_no_corpus(tmp_path):
    """A directory that a run wrote is read for its documents only."""
    write(tmp_path / "train-00000.jsonl", b'{"text":"a"}\n')
    write(tmp_path / "manifest.json", b"{}")
    write(tmp_path / "ledger/part-00000.parquet", parquet([{"id": "a"}]))
    assert [Path(item.name).name for item in open_corpus([str(tmp_path)]).items] == ["train-00000.jsonl"]


def test_the_same_file_twice_is_read_once_and_said(tmp_path):
    """A file named twice, even by another path, counts once."""
    path = write(tmp_path / "a.jsonl", LINES)
    corpus = open_corpus([path, str(tmp_path / "." / "a.jsonl"), str(tmp_path)])
    assert len(corpus.items) == 1
    assert any("given twice" in note for note in corpus.notes)


def test_stdin_is_json_or_text_and_can_be_kept(monkeypatch, tmp_path):
    """What comes from stdin is recognised by its beginning; kept in a file it can be read twice."""
    for data, texts in ((b'{"text":"a"}\n{"text":"b"}\n', ["a", "b"]), (b"just text\n", ["just text\n"])):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))
        assert read(open_corpus(["-"])).frame["text"].to_list() == texts
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))
        corpus = open_corpus(["-"], keep_stdin=tmp_path / "stdin")
        assert read(corpus).frame["text"].to_list() == read(corpus).frame["text"].to_list() == texts
        assert corpus.items[0].name == "-"


def test_urls_are_opened_by_fsspec():
    """A file, a glob and a directory of a remote file system are read like local ones."""
    import fsspec

    system = fsspec.filesystem("memory")
    for name, data in (("a.jsonl", LINES), ("b.parquet", parquet(RECORDS[:3])), ("c.bin", b"x")):
        with system.open(f"/corpus/{name}", "wb") as file:
            file.write(data)
    assert read(open_corpus(["memory:///corpus/a.jsonl"])).frame.height == 300
    assert read(open_corpus(["memory:///corpus/*.jsonl"])).frame.height == 300
    assert read(open_corpus(["memory:///corpus"])).frame.height == 303
    for name in ("none.jsonl", "*.json"):
        with pytest.raises(UsageError, match=re.escape(f"memory:///corpus/{name}: nothing is there")):
            open_corpus([f"memory:///corpus/{name}"])


def test_what_a_file_system_refuses_is_told(monkeypatch):
    """A login that is missing, or a server that fails, is not taken for a wrong name."""
    import fsspec

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no login")

    monkeypatch.setattr(fsspec.filesystem("memory"), "info", refuse)
    with pytest.raises(CurateError, match=re.escape("memory:///corpus/x.jsonl: cannot be opened: no login")):
        open_corpus(["memory:///corpus/x.jsonl"])


@pytest.mark.skipif(find_spec("s3fs") is not None, reason="s3fs is installed")
def test_a_missing_file_system_is_named():
    """A URL whose file system is not installed says what to install."""
    with pytest.raises(UsageError, match="s3fs"):
        open_corpus(["s3://bucket/key.jsonl"])


def test_python_objects_are_corpora():
    """A list of records and a frame are read as files are."""
    assert read(open_corpus([[{"text": "a"}, {"text": 1}]])).frame["text"].to_list() == ["a"]
    assert read(open_corpus([pl.DataFrame({"content": ["a", "b"]})])).frame["text"].to_list() == ["a", "b"]


def test_damage_keeps_what_stands_before(tmp_path):
    """A gzip file that is cut off gives its documents up to there, and the rest is one unreadable record."""
    packed = gzip.compress(LINES)
    corpus = open_corpus([write(tmp_path / "a.jsonl.gz", packed[: len(packed) * 3 // 4])])
    found = read(corpus)
    assert 100 < found.frame.height < 300
    assert found.unreadable["reason"].to_list() == ["the gzip file is cut off here (truncated)"]
    assert corpus.streams[0].fault


def test_every_shared_corpus_is_read_whole(shared_data):
    """Documents and characters of the real corpora, one chunk size against another."""
    for name, documents in (("spdx_licenses.jsonl.gz", 681), ("zh_admin_regulations.jsonl.gz", 376)):
        large, small = (read(open_corpus([shared_data / "corpus" / name], chunk_bytes=b)) for b in (1 << 22, 1 << 16))
        assert large.frame.height == documents
        assert large.frame.equals(small.frame)
