"""Inputs of every kind to rows, with nothing lost."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from curate.data.read import FRAME, UNREADABLE, Rows, read_rows
from curate.errors import CurateError, UsageError


def record(number: int = 0, **more: Any) -> dict[str, Any]:
    return {"instruction": f"question {number}", "input": "", "output": f"answer {number}", **more}


def lines(*values: Any) -> bytes:
    return b"".join(value if isinstance(value, bytes) else json.dumps(value).encode() + b"\n" for value in values)


def write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def check(rows: Rows) -> Rows:
    """Check what holds for all rows: schemas, order, and an unreadable entry for each row with an error."""
    assert dict(rows.frame.schema) == FRAME
    assert dict(rows.unreadable.schema) == UNREADABLE
    assert rows.frame["source"].unique(maintain_order=True).to_list() == sorted(set(rows.frame["source"]))
    for column in ("shape", "chat", "prompt", "response", "roles"):
        assert rows.frame.filter(pl.col(column).is_null() != pl.col("error").is_not_null()).is_empty()
    bad = rows.frame.filter(pl.col("error").is_not_null())
    assert_frame_equal(bad.select("source", "line", reason="error"), rows.unreadable.select("source", "line", "reason"))
    assert sum(source.records for source in rows.sources) == len(rows.frame)
    return rows


# Files of every kind


CONTAINERS = {
    "rows.jsonl": lambda values: lines(*values),
    "rows.json": lambda values: json.dumps(values, indent=2).encode(),
    "one-line.json": lambda values: json.dumps(values).encode(),
    "lines.json": lambda values: lines(*values),
    "array.jsonl": lambda values: json.dumps(values, indent=2).encode(),
    "objects.json": lambda values: "\n".join(json.dumps(value, indent=2) for value in values).encode(),
    "crlf.jsonl": lambda values: lines(*values).replace(b"\n", b"\r\n"),
    "blank.jsonl": lambda values: b"\n \n" + lines(*values).replace(b"\n", b"\n\r\n\n"),
    "bom.jsonl": lambda values: b"\xef\xbb\xbf" + lines(*values),
    "bom.json": lambda values: b"\xef\xbb\xbf" + json.dumps(values).encode(),
    "no-end.jsonl": lambda values: lines(*values)[:-1],
}
PACKINGS = {
    "": lambda data: data,
    ".gz": lambda data: gzip.compress(data[:50]) + gzip.compress(data[50:]),
    ".zst": lambda data: zstandard.compress(data[:50]) + zstandard.compress(data[50:]),
    ".misnamed": gzip.compress,
}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_gives_the_same_rows(tmp_path, container, packing):
    """Lines, arrays and objects, plain and packed, hold the same rows; provenance is that of the file."""
    values = [record(number) for number in range(5)]
    data = PACKINGS[packing](CONTAINERS[container](values))
    path = write(tmp_path / (container + packing), data)
    rows = check(read_rows([path]))
    assert rows.frame["prompt"].to_list() == [value["instruction"] for value in values]
    assert rows.frame["line"].is_sorted()
    assert rows.frame["line"].n_unique() == 5
    assert rows.frame["error"].null_count() == 5
    assert rows.sources == [(path, hashlib.sha256(data).hexdigest(), len(data), 5, {})]
    assert rows.notes == []


@pytest.mark.parametrize("kind", ["parquet", "arrow", "arrow stream"])
def test_tables_give_their_rows(tmp_path, kind):
    """Parquet and Arrow files, of both Arrow kinds, are read; the line is the number of the row."""
    frame = pl.DataFrame([record(number) for number in range(12_000)])
    path = tmp_path / "rows.data"
    {"parquet": frame.write_parquet, "arrow": frame.write_ipc, "arrow stream": frame.write_ipc_stream}[kind](path)
    rows = check(read_rows([path], chunk_bytes=1000, workers=2))
    assert rows.frame["response"].to_list() == frame["output"].to_list()
    assert rows.frame["line"].to_list() == list(range(1, 12_001))
    assert rows.sources[0].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_table_and_lines_of_mixed_shapes_give_the_same_chats(tmp_path):
    """The nulls that a table puts where a record has no such key change nothing."""
    call = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    values = [
        record(1),
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "", "tool_calls": [call]}]},
        {"messages": [{"role": "user", "content": "q", "name": "Ann"}, {"role": "assistant", "content": "a"}]},
        {"question": "q", "answer": "a"},
    ]
    path = write(tmp_path / "rows.jsonl", lines(*values))
    pl.DataFrame(values, infer_schema_length=None).write_parquet(tmp_path / "rows.parquet")
    chats = [check(read_rows([file])).frame["chat"].to_list() for file in (path, tmp_path / "rows.parquet")]
    assert chats[0] == chats[1]
    assert None not in chats[0]


def test_a_record_from_a_table_that_is_no_sft_row_is_shown(tmp_path):
    """An unreadable row of a table is shown as JSON and has no byte offset."""
    frame = pl.DataFrame([record(1), record(2) | {"output": None}])
    rows = check(read_rows([frame]))
    assert rows.unreadable.row(0) == (
        "DataFrame",
        2,
        None,
        "output is null, not text",
        '{"instruction": "question 2", "input": "", "output": null}',
    )


def test_python_objects_are_read():
    """A datasets.Dataset, a polars DataFrame and a list of dicts hold the same rows."""
    import datasets

    values = [record(number) for number in range(3)]
    inputs = [datasets.Dataset.from_list(values), pl.DataFrame(values), values]
    rows = check(read_rows(inputs))
    assert rows.frame["source"].to_list() == ["DataFrame"] * 3 + ["Dataset"] * 3 + ["list"] * 3
    assert rows.frame["prompt"].to_list() == [value["instruction"] for value in values] * 3
    assert rows.sources[0] == ("DataFrame", None, None, 3, {})
    for value in inputs:  # one input may stand without a list around it
        assert len(read_rows(value).frame) == 3


def test_messages_of_a_dataset_are_read():
    """Turns in a datasets.Dataset come without the nulls that its columns add."""
    import datasets

    turns = [{"role": "user", "content": "q", "name": "Ann"}, {"role": "assistant", "content": "a"}]
    rows = check(read_rows(datasets.Dataset.from_list([{"messages": turns}])))
    assert json.loads(rows.frame["chat"][0])["messages"] == turns


@pytest.mark.parametrize("value", [3, iter([])])
def test_other_objects_are_refused(value):
    """An object that holds no rows for us is a wrong use, and the message says what to give."""
    with pytest.raises(UsageError, match="cannot be read"):
        read_rows([value])


def test_a_dict_of_data_sets_is_refused():
    """Of several data sets in one object, one must be named."""
    import datasets

    parts = datasets.DatasetDict({"train": datasets.Dataset.from_list([record(1)])})
    for value in (parts, [parts], {"train": [record(1)]}):
        with pytest.raises(UsageError, match="with the parts train is no single data set"):
            read_rows(value)


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_stdin_is_read(monkeypatch, packing):
    """A minus stands for stdin, packed or not; its digest is that of the bytes that came."""
    data = PACKINGS[packing](lines(record(1), record(2)))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    rows = check(read_rows(["-"]))
    assert rows.sources == [("-", hashlib.sha256(data).hexdigest(), len(data), 2, {})]


def test_a_pipe_is_read(tmp_path):
    """A named pipe, which can be opened only once, is read like a file."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with subprocess.Popen(["sh", "-c", f"echo '{json.dumps(record(1))}' > \"{path}\""]):
        assert len(check(read_rows([path])).frame) == 1


def test_a_hugging_face_data_set_is_loaded(tmp_path, monkeypatch):
    """What `datasets` loads is read; here it is a folder that is found under the name it would have on the hub."""
    from curate.data import chunks, files

    monkeypatch.chdir(tmp_path)
    Path("owner/name").mkdir(parents=True)
    write(Path("owner/name/train.jsonl"), lines(record(1), record(2)))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (chunk,) = chunks.object_chunks([files.Input("owner/name", "hub", "owner/name")])
    assert chunk.content == [record(1), record(2)]


def test_a_hugging_face_data_set_that_is_not_there_names_both_readings(tmp_path):
    """When a name is neither a path nor a data set, the error says so of both."""
    code = "from curate.data.read import read_rows\nread_rows(['nobody/nothing-there'])"
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False)
    last = [line for line in done.stderr.splitlines() if "CurateError" in line][-1]
    assert "no such file or directory" in last
    assert "cannot be loaded as a Hugging Face data set" in last


# Order, chunks, workers


def test_rows_are_in_order_of_source_and_line(tmp_path):
    """The order of the inputs does not matter; rows are sorted by source, then line."""
    for name in ("b.jsonl", "a.jsonl"):
        write(tmp_path / name, lines(*(record(number, name=name) for number in range(3))))
    there = read_rows([tmp_path / "b.jsonl", tmp_path / "a.jsonl"])
    again = read_rows([tmp_path])
    assert_frame_equal(check(there).frame, check(again).frame)
    assert there.frame["line"].to_list() == [1, 2, 3, 1, 2, 3]


def test_a_file_given_twice_is_read_once(tmp_path):
    """The same file by two names counts once, and that is said."""
    path = write(tmp_path / "a.jsonl", lines(record(1)))
    rows = read_rows([path, tmp_path])
    assert len(rows.frame) == 1
    assert rows.notes == [f"{path}: given twice (as {path}), read once"]


RAW_LINES = st.lists(
    st.sampled_from(
        [
            lines(record(1)),
            lines(record(2)).replace(b"\n", b"\r\n"),
            lines({"messages": [{"role": "user", "content": "q", "weight": 1}, {"role": "assistant", "content": "a"}]}),
            lines({"input": "q", "output": ["a"]}),
            b"\n",
            b" \r\n",
            b'{"instruction": "cut\n',
            b'{"instruction": "\xff", "output": "a"}\n',
            b'{"instruction": "q", "output": "a", "score": NaN}\n',
            rb'{"instruction": "q", "output": "\ud800"}' + b"\n",
            b"[1, 2]\n",
            b"7\n",
            lines({"text": "a document"}),
            lines(record(3))[:-1],
        ]
    ),
    min_size=1,
    max_size=12,
)


def outcome(path: str, **options: Any) -> tuple[Any, ...]:
    try:
        rows = check(read_rows([path], **options))
    except CurateError as error:
        return (str(error),)
    return rows.frame.rows(), rows.unreadable.rows(), rows.sources, rows.notes


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=RAW_LINES, packing=st.sampled_from(["", ".gz", ".zst"]), chunk_bytes=st.sampled_from([1, 10, 100]))
def test_the_size_of_chunks_changes_nothing(tmp_path, raw, packing, chunk_bytes):
    """Rows, unreadable lines, provenance and notes are the same for any size of chunks."""
    path = write(tmp_path / f"rows.jsonl{packing}", PACKINGS[packing](b"".join(raw)))
    assert outcome(path, chunk_bytes=chunk_bytes) == outcome(path)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=RAW_LINES)
def test_every_line_that_is_not_blank_is_a_row(tmp_path, raw):
    """The lines of the rows are those that are not blank, and a byte offset leads to the text that stands there."""
    data = lines(record(0)) + b"".join(raw)
    rows = check(read_rows([write(tmp_path / "rows.jsonl", data)]))
    expected = [number for number, line in enumerate(data.split(b"\n"), start=1) if line.strip()]
    assert rows.frame["line"].to_list() == expected
    for offset, text in rows.unreadable.select("byte_offset", "text").iter_rows():
        assert data[offset:].decode("utf-8", "backslashreplace").startswith(text)


def test_the_number_of_workers_changes_nothing(tmp_path):
    """Rows, unreadable lines, provenance and notes are the same when other processes parse."""
    values = [record(n) if n % 7 else {"input": "q", "output": ["a"]} for n in range(300)]
    path = write(tmp_path / "rows.jsonl.gz", gzip.compress(lines(*values, b"broken\n", *values)))
    alone = outcome(path)
    assert outcome(path, workers=2, chunk_bytes=3000) == alone
    assert len(alone[0]) == 601


def test_progress_is_told_in_bytes_of_the_files(tmp_path):
    """Progress grows up to the size of the files; without a size there is no total."""
    data = lines(*(record(number) for number in range(100)))
    paths = [write(tmp_path / "a.jsonl", data), write(tmp_path / "b.jsonl.gz", gzip.compress(data))]
    told: list[tuple[int, int | None]] = []
    read_rows(paths, chunk_bytes=1000, on_progress=lambda done, total: told.append((done, total)))
    size = sum(os.path.getsize(path) for path in paths)
    assert told == sorted(told)
    assert told[-1] == (size, size)
    assert len(told) > 5
    told.clear()
    read_rows([*paths, [record(1)]], on_progress=lambda done, total: told.append((done, total)))
    assert {total for _, total in told} == {None}


# Columns and tasks


def test_columns_are_mapped(tmp_path):
    """A mapping names columns that we do not know; records without them are recognised as ever."""
    path = write(tmp_path / "rows.jsonl", lines({"ask": "q", "reply": "a"}, record(1)))
    rows = check(read_rows([path], columns={"instruction": "ask", "output": "reply"}))
    assert rows.frame["shape"].to_list() == ["mapped", "alpaca"]


@pytest.mark.parametrize(
    ("options", "what", "hint"),
    [
        ({"columns": {"instruction": "aks", "output": "reply"}}, "--map instruction=aks: no record has", "ask, reply"),
        ({"columns": {"instrction": "ask"}}, "unknown --map name 'instrction'", "Did you mean instruction?"),
        ({"columns": {"task": "kind"}}, "--map task=kind: no record has", "Columns: ask, reply"),
        ({"task_column": "kind"}, "--task-column kind: no record has", "Columns: ask, reply"),
        ({"chunk_bytes": 0}, "chunk_bytes is 0", ""),
        ({"workers": 0}, "workers is 0", ""),
    ],
)
def test_wrong_options_are_refused(tmp_path, options, what, hint):
    """A column that no record has is a wrong use, and those that are there are named."""
    path = write(tmp_path / "rows.jsonl", lines({"ask": "q", "reply": "a"}))
    with pytest.raises(UsageError) as caught:
        read_rows([path], **options)
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_tasks_are_kept():
    """A task is a text; a list of one stands for that one, other values for their JSON, and none stays none."""
    kinds = ["a", ["b"], ["c", "d"], 5, None, {"x": "你"}]
    values = [record(number, kind=kind) for number, kind in enumerate(kinds)]
    expected = ["a", "b", '["c", "d"]', "5", None, '{"x": "你"}', None]
    rows = read_rows([[*values, record(9)]], task_column="kind")
    assert rows.frame["task"].to_list() == expected
    assert read_rows([[*values, record(9)]], columns={"task": "kind"}).frame["task"].to_list() == expected


def test_what_was_mended_is_said(tmp_path):
    """What a reader should know is counted and said for each source."""
    values = [{"input": "q", "output": ["a", "b"]}, {"input": "q", "output": ["a"]}]
    turns = [{"role": "user", "content": [{"type": "image"}], "loss_weight": 0}, {"role": "assistant", "content": "a"}]
    nan = b'{"instruction": "q", "output": "a", "score": NaN}\n'
    half = rb'{"instruction": "q", "output": "\ud800"}'
    path = write(tmp_path / "rows.jsonl", lines(*values, {"messages": turns}, nan, half))
    rows = check(read_rows([path]))
    assert rows.notes == [
        f"{path}: output is a list in 2 rows: the first answer is taken",
        f"{path}: no instruction in 2 rows: the input alone is the prompt",
        f"{path}: images, audio or video in 1 row: the text says <image>, <audio> or <video> in their place",
        f"{path}: NaN or Infinity in 1 row: read as null",
        f"{path}: half a surrogate pair in 1 row: read as U+FFFD",
        f"{path}: turns hold 'loss_weight' in 1 row: not kept",
    ]
    assert rows.frame["response"][4] == "\ufffd"


# Bad input


def test_a_broken_line_in_the_middle_is_kept_aside(tmp_path):
    """A broken line is a row with an error, and stands in `unreadable` with its place; all other lines are used."""
    path = write(tmp_path / "rows.jsonl", lines(record(1), b'{"instruction": "q", "outp\n', record(3)))
    rows = check(read_rows([path]))
    assert rows.frame["shape"].to_list() == ["alpaca", None, "alpaca"]
    offset = len(lines(record(1)))
    reason = "broken JSON: Unterminated string starting at at character 22"
    assert rows.unreadable.row(0) == (path, 2, offset, reason, '{"instruction": "q", "outp')
    assert rows.notes == [f"{path}: 1 of 3 rows cannot be read: {reason} (line 2)"]


@pytest.mark.parametrize(
    ("line", "reason", "text"),
    [
        (b'{"instruction": "q\xff"}', "invalid UTF-8: byte 0xff at byte 18 of the record", '{"instruction": "q\\xff"}'),
        (b"[1, 2]", "a list, not an object", "[1, 2]"),
        (b"5", "the number 5, not an object", "5"),
        (b'"text"', "a text, not an object", '"text"'),
        (b"null", "null, not an object", "null"),
        (b"[" * 3000, "nested too deeply", "[" * 2000 + " … (cut at 2,000 characters)"),
        (b'{"chosen": "a", "rejected": "b"}', "a preference pair (chosen, rejected), not an SFT row", None),
        (b'{"instruction": "q", "output": NaN}', "output is null, not text", None),
    ],
)
def test_a_line_that_is_no_record_has_its_reason(tmp_path, line, reason, text):
    """Each kind of line that is no SFT row is told by its reason, and its text is kept."""
    path = write(tmp_path / "rows.jsonl", lines(record(1), line + b"\n", record(2)))
    rows = check(read_rows([path]))
    assert rows.frame["error"].to_list() == [None, reason, None]
    assert rows.unreadable["text"].to_list() == [text or line.decode()]


def test_a_fault_in_an_array_keeps_the_elements_before_it(tmp_path):
    """Elements before a fault are used, and the rest of the array is one unreadable row at its line and offset."""
    data = json.dumps([record(1), record(2), record(3)], indent=2).encode()
    at = data.index(b'"question 3') + 11
    path = write(tmp_path / "rows.json", data[:at] + b"\n" + data[at + 1 :])
    rows = check(read_rows([path]))
    assert rows.frame["prompt"].to_list() == ["question 1", "question 2", None]
    (_, line, offset, reason, text) = rows.unreadable.row(0)
    assert (line, data[offset : offset + 5]) == (12, b"{\n   ")
    assert reason == "the file ends here, inside a record or an array"
    assert text.startswith('{\n    "instruction": "question 3\n')


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
@pytest.mark.parametrize("array", [False, True])
def test_a_truncated_file_gives_the_rows_before_the_cut(tmp_path, pack, array):
    """All whole records before the cut are used, one unreadable row stands for the rest, and a note says so."""
    values = [record(number, noise=hashlib.sha512(b"%d" % number).hexdigest()) for number in range(5000)]
    data = json.dumps(values, indent=1).encode() if array else lines(*values)
    packed = pack(data)
    path = write(tmp_path / "rows.gz", packed[: len(packed) * 2 // 3])
    rows = check(read_rows([path]))
    good = len(rows.frame) - 1
    assert good > 1000
    assert rows.frame["prompt"].to_list() == [f"question {number}" for number in range(good)] + [None]
    assert "truncated" in rows.unreadable["reason"][0]
    assert "truncated" in rows.notes[0]
    assert rows.sources[0].sha256 == hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert outcome(path, chunk_bytes=1000) == outcome(path)


def test_a_line_that_is_too_long_costs_little_memory(tmp_path):
    """A line of 300 MB is one unreadable row, the rows around it are used, and the line is never held."""
    with gzip.open(tmp_path / "rows.jsonl.gz", "wb", compresslevel=1) as file:
        file.write(lines(record(1)) + b'{"instruction": "')
        for _ in range(300):
            file.write(bytes([120]) * 1_000_000)
        file.write(b'"}\n' + lines(record(2)))
    code = (
        "import sys\n"
        "from curate.data.read import read_rows\n"
        "rows = read_rows([sys.argv[1]], max_expand=1000)\n"
        "print(rows.frame['error'].to_list(), len(rows.unreadable['text'][0]))\n"
        "from curate.report.progress import peak_memory_bytes\n"
        "print(peak_memory_bytes() // 2**20)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "rows.jsonl.gz")], capture_output=True, text=True, check=True
    )
    errors, megabytes = done.stdout.splitlines()
    assert errors == "[None, 'a record of 300,000,019 bytes, over the limit of 67,108,864', None] 2028"
    assert int(megabytes) < 600


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "the file is empty (0 bytes)"),
        (b"\n\n", "no records in it"),
        (b"[]", "no records in it"),
        (b"broken\n", "1 of 1 row cannot be read: broken JSON: Expecting value at character 1 (line 1)"),
        (b'{"text": "a"}\n' * 3 + b"[]\n" + b"5\n", "5 of 5 rows cannot be read: a plain text document (text)"),
        (b"\xff\xfe{\0}\0", "invalid UTF-8: byte 0xff at byte 0"),
        (b"\x1f\x8b\x08", "truncated"),
        (b"\x1f\x8b\x08" + b"\x99" * 50, "damaged"),
        (b"PK\x03\x04....", "a zip file, which is not read here"),
        (b"PAR1....", "cannot be read as parquet"),
        (b"ARROW1....", "cannot be read as arrow"),
        (b"\xff\xff\xff\xff....", "cannot be read as arrow stream"),
    ],
)
def test_a_file_without_a_readable_row_is_an_error(tmp_path, data, what):
    """When no row can be read at all, the error names the file and the first reasons."""
    path = write(tmp_path / "rows.jsonl", data)
    with pytest.raises(CurateError) as caught:
        read_rows([path])
    assert path in caught.value.what
    assert what in caught.value.what
    assert caught.value.exit_code == 1


def test_bad_files_beside_good_ones_are_notes(tmp_path):
    """An empty or unreadable file beside a good one is said, and is no error."""
    write(tmp_path / "a.jsonl", b"")
    write(tmp_path / "b.jsonl", b"broken\n")
    write(tmp_path / "c.jsonl", lines(record(1)))
    rows = check(read_rows([tmp_path]))
    assert [source.records for source in rows.sources] == [0, 1, 1]
    assert [note.split(": ", 1)[1] for note in rows.notes] == [
        "the file is empty (0 bytes)",
        "1 of 1 row cannot be read: broken JSON: Expecting value at character 1 (line 1)",
    ]


def test_what_is_not_there_is_a_wrong_use(tmp_path):
    """A missing file, a folder without data and no input at all are wrong uses."""
    (tmp_path / "empty").mkdir()
    for inputs in ([tmp_path / "no.jsonl"], [tmp_path / "empty"], [str(tmp_path / "*.jsonl")], []):
        with pytest.raises(UsageError):
            read_rows(inputs)


def test_hostile_python_objects_are_rows_with_errors():
    """Objects with half surrogate pairs, strange keys or no keys at all are refused one by one."""
    values = [record(1), {"instruction": "\ud800", "output": "a"}, {1: 2, "\ud800": 3}, 5, record(2, kind="\ud800")]
    rows = check(read_rows([values], task_column="kind"))
    assert rows.frame["error"].is_null().to_list() == [True, False, False, False, True]
    assert rows.frame["task"][4] == "\\ud800"
    assert rows.unreadable["text"][1] == '{"1": 2, "\\ud800": 3}'


# Real data

COUNTS = {
    "formats/axolotl_alpaca.json.gz": (2, "alpaca", "ua"),
    "formats/axolotl_conversation.json.gz": (1, "sharegpt", "uauauauauaua"),
    "formats/axolotl_conversation.missingturns.json.gz": (1, "sharegpt", "uauauauauaua"),
    "formats/llamafactory_alpaca_en_demo.json.gz": (999, "alpaca", "ua"),
    "formats/llamafactory_alpaca_zh_demo.json.gz": (1000, "alpaca", "ua"),
    "formats/llamafactory_identity.json.gz": (91, "alpaca", "ua"),
    "formats/llamafactory_glaive_toolcall_en_demo.json.gz": (300, "sharegpt", "uauctaua"),
    "formats/llamafactory_v1_sft_demo.jsonl.gz": (500, "messages", "ua"),
    "instruct/alpaca_data_52k.jsonl.gz": (52_002, "alpaca", "ua"),
    "instruct/alpaca_zh.jsonl.gz": (20_277, "alpaca", "ua"),
    "instruct/superni_en_instances.jsonl.gz": (21_391, "alpaca", "ua"),
}
REFUSED = {
    "formats/llamafactory_c4_demo.jsonl.gz": "300 of 300 rows cannot be read: a plain text document (text)",
    "formats/llamafactory_dataset_info.json.gz": "1 of 1 row cannot be read: no known shape, its columns are: identity",
    "formats/llamafactory_dpo_en_demo.json.gz": "300 of 300 rows cannot be read: a preference pair",
    "formats/llamafactory_kto_en_demo.json.gz": "300 of 300 rows cannot be read: a KTO row",
    "instruct/superni_en_tasks.jsonl.gz": "214 of 214 rows cannot be read: no known shape, its columns are: _task",
}


def test_all_real_files_are_named_here(shared_data):
    """No file of the real formats and pools goes untested."""
    there = {
        str(path.relative_to(shared_data)) for top in ("formats", "instruct") for path in shared_data.glob(f"{top}/*")
    }
    assert there == COUNTS.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", COUNTS)
def test_real_files_are_read(shared_data, name):
    """A real file gives as many rows as its page says, in the shape it has, and the first row has its turns."""
    count, shape, roles = COUNTS[name]
    rows = check(read_rows([shared_data / name]))
    assert len(rows.frame) == count
    assert rows.unreadable.is_empty()
    assert rows.frame["shape"].unique().to_list() == [shape]
    assert rows.frame["roles"][0] == roles


@pytest.mark.parametrize("name", REFUSED)
def test_real_files_that_are_no_pools_are_refused(shared_data, name):
    """Preference pairs, KTO rows, documents and registries are refused with the reason."""
    with pytest.raises(CurateError) as caught:
        read_rows([shared_data / name])
    assert REFUSED[name] in caught.value.what


def test_alpaca_has_the_known_facts(shared_data):
    """Alpaca has 28 empty outputs, 20,679 rows with an input, and no two rows with one content."""
    name = shared_data / "instruct/alpaca_data_52k.jsonl.gz"
    rows = read_rows([name])
    assert rows.frame["response"].eq("").sum() == 28
    with gzip.open(name) as file:
        records = [json.loads(line) for line in file]
    noinput = sum(value["input"].strip().lower() == "<noinput>" for value in records)
    assert sum(bool(value["input"]) for value in records) == 20_679
    joined = sum(p != r["instruction"] for p, r in zip(rows.frame["prompt"], records, strict=True))
    assert joined == 20_679 - noinput
    assert rows.frame["chat"].n_unique() == 52_002


def test_superni_is_read_without_an_instruction(shared_data):
    """Super-NI's instances have lists of outputs and no instruction: both are said, and tasks are kept."""
    rows = read_rows([shared_data / "instruct/superni_en_instances.jsonl.gz"], task_column="_task")
    assert [note.split(": ", 1)[1] for note in rows.notes] == [
        "output is a list in 21,391 rows: the first answer is taken",
        "no instruction in 21,391 rows: the input alone is the prompt",
    ]
    assert rows.frame["task"].n_unique() == 214


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_table_with_brackets_in_its_name_is_read(tmp_path, suffix):
    """A file name is a name, not a pattern."""
    frame = pl.DataFrame({"instruction": ["a"], "output": ["b"]})
    path = tmp_path / f"pool[1].{suffix}"
    frame.write_parquet(path) if suffix == "parquet" else frame.write_ipc(path)
    assert read_rows([path]).frame.height == 1
