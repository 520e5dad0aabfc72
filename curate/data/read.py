"""From what a user names to the ledger's first columns: one row for each record, and nothing lost.

Decisions:
- A record that cannot be read (broken, or no SFT example) is a row of the ledger too, with its reason; what stood there
  goes to `unreadable`. So the rows of the ledger are the rows read.
- Files are read in chunks of whole records, never whole; the chunks are parsed in other processes where there are
  workers and more than one chunk. The rows are the same for any chunk size and number of workers.
- What a reader mends or leaves out (NaN, the second of two outputs, a file of another kind) is counted and said.
- Python objects are parsed in this process, for they may not pickle.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from curate.config import MAX_EXPAND
from curate.data import records
from curate.data.chat import CANONICAL, ShapeError, to_chat
from curate.data.chunks import Chunk, file_chunks, object_chunks, total_bytes
from curate.data.files import Input, PlainBytes, resolve
from curate.data.licences import count_licences, licence_flags
from curate.data.records import Unparsable
from curate.data.tables import without_nulls
from curate.data.turns import kind
from curate.engine.local import map_chunks
from curate.errors import CurateError, UsageError, unknown_name

TEXT_CHARACTERS = 2_000
_ASKED = {
    "task": "--task-column",
    "template": "--one-prompt-per-task",
    "balance": "--balance",
    "score": "--score-column",
}

FRAME = {
    "source": pl.String,
    "line": pl.Int64,
    "shape": pl.String,
    "task": pl.String,
    "template": pl.String,
    "balance": pl.String,
    "score": pl.Float64,
    "chat": pl.String,
    "prompt": pl.String,
    "response": pl.String,
    "roles": pl.String,
    "error": pl.String,
}
UNREADABLE = {
    "source": pl.String,
    "line": pl.Int64,
    "byte_offset": pl.Int64,
    "reason": pl.String,
    "text": pl.String,
}
_SAID = {
    "list": "output is a list in {}: the first answer is taken",
    "no_instruction": "no instruction in {}: the input alone is the prompt",
    "no_definition": "no definition of the task of {} in the file of --join-tasks",
    "media": "images, audio or video in {}: the text says <image>, <audio> or <video> in their place",
    "nan": "NaN or Infinity in {}: read as null",
    "surrogate": "half a surrogate pair in {}: read as U+FFFD",
}


class Source(NamedTuple):
    """Where rows came from: `sha256` and `bytes` are those of the file, null for no file; readable rows by licence."""

    path: str
    sha256: str | None
    bytes: int | None
    records: int
    licences: dict[str, int]


@dataclass(frozen=True)
class Rows:
    """What was read.

    `frame` has a row for each record, by source and line, with the columns of `FRAME`; `unreadable` has a row for each
    row of `frame` with an `error` (columns of `UNREADABLE`; byte offsets are those of the unpacked text); `notes` are
    sentences for the user.
    """

    frame: pl.DataFrame
    unreadable: pl.DataFrame
    sources: list[Source]
    notes: list[str]


class _Part(NamedTuple):
    """A chunk that was read."""

    source: int
    done: int
    frame: pl.DataFrame
    unreadable: pl.DataFrame
    counts: Counter[str]
    seen: set[str]


class _Kept(NamedTuple):
    """What a record keeps beside its chat."""

    task: str | None = None
    template: str | None = None
    balance: str | None = None
    score: float | None = None


def read_rows(
    inputs: Sequence[str | Path | Any],
    *,
    columns: Mapping[str, str] | None = None,
    task_column: str | None = None,
    keep: Mapping[str, str] | None = None,
    definitions: Mapping[str, str] | None = None,
    chunk_bytes: int = 16 << 20,
    max_expand: int = MAX_EXPAND,
    workers: int = 1,
    on_progress: Callable[[int, int | None], None] | None = None,
    run: Callable[..., Iterator[Any]] = map_chunks,
) -> Rows:
    """Read all `inputs` into one table of canonical chats.

    An input is a file (JSON lines, a JSON array or objects, plain, gzip or zstd; parquet; arrow), a directory, a glob,
    "-" for stdin, a Hugging Face id (its train split), a `datasets.Dataset`, a polars DataFrame or a list of dicts.
    `columns` maps canonical names to columns of the input, as `to_chat` has it; `task_column` (or `task` in `columns`)
    is kept in the column `task`. `keep` names the columns that are kept as `template`, `balance` (text) and `score`
    (finite numbers, else null). `definitions` has the instruction of each task, for records without one. `max_expand`
    is as in `PlainBytes`.
    `on_progress(done, total)` is told bytes of the files; total is None where unknown. `run` is the `map_chunks` of an
    engine.

    Raises UsageError for an input that is not there, or a column that no record has; CurateError when there is no
    record, none can be read, or a file cannot be.
    """
    for name in columns or ():
        if name not in CANONICAL:
            raise unknown_name("--map name", name, CANONICAL)
    if chunk_bytes < 1:
        raise UsageError(f"chunk_bytes is {chunk_bytes}, and must be at least 1")
    task_column = task_column or (columns or {}).get("task")
    items, notes = resolve(_listed(inputs))
    if not items:
        raise UsageError("no input", "Name a file, a directory, a glob, a Hugging Face id, or - for stdin")
    kept = {**({"task": task_column} if task_column else {}), **(keep or {})}
    parse = partial(_parse_chunk, columns=columns, kept=kept, definitions=definitions)
    streams: dict[int, PlainBytes] = {}
    parts = [parse(chunk) for chunk in object_chunks(items)]
    total = total_bytes(items)
    if total is not None and total < 2 * chunk_bytes:  # 52,002 rows in 6 MB of gzip: 0.8 s here, 1.9 s with two workers
        run, workers = map_chunks, min(workers, 1)
    for part in run(parse, file_chunks(items, chunk_bytes, streams, max_expand), workers):
        parts.append(part)
        if on_progress:
            on_progress(part.done, total)
    parts.sort(key=lambda part: part.source)
    wanted = {column: f"--map {name}={column}" for name, column in (columns or {}).items()}
    for name, column in kept.items():
        wanted.setdefault(column, f"{_ASKED[name]} {column}")
    _check_columns(parts, wanted)
    return _assemble(items, streams, parts, notes)


def read_records(
    inputs: Any, *, chunk_bytes: int = 16 << 20, max_expand: int = MAX_EXPAND
) -> tuple[list[tuple[str, int, dict[str, Any]]], list[str]]:
    """Return (source, line, record) of each record of `inputs`, whatever its columns, and notes; inputs as `read_rows`.

    What cannot be read is left out and counted in the notes. Raises UsageError for an input that is not there.
    """
    items, notes = resolve(_listed(inputs))
    found: list[tuple[str, int, dict[str, Any]]] = []
    bad: Counter[str] = Counter()
    for chunk in chain(object_chunks(items), file_chunks(items, chunk_bytes, {}, max_expand)):
        source = items[chunk.source].name
        for line, _, given in _records(chunk):
            try:
                found.append((source, line, dict(_record(given)[0])))
            except Unparsable:
                bad[source] += 1
    notes += [f"{source}: {_counted(count)} cannot be read, and not looked for" for source, count in bad.items()]
    return sorted(found, key=lambda record: record[:2]), notes


def _listed(inputs: Any) -> list[Any]:
    """Return a list of inputs; one input, a list of dicts too, may stand without a list around it."""
    if not isinstance(inputs, (list, tuple)):
        return [inputs]
    records_only = all(isinstance(item, Mapping) and not hasattr(item, "column_names") for item in inputs)
    return [inputs] if inputs and records_only else list(inputs)  # a DatasetDict has column names, and is no record


def _parse_chunk(
    chunk: Chunk, columns: Mapping[str, str] | None, kept: Mapping[str, str], definitions: Mapping[str, str] | None
) -> _Part:
    """Turn each record of a chunk into a row. Module-level, for it runs in other processes."""
    rows: list[tuple[Any, ...]] = []
    unreadable: list[tuple[Any, ...]] = []
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    for line, offset, given in _records(chunk):
        values = _Kept()
        try:
            record, mended = _record(given)
            if columns or kept:
                seen.update(record)
                values = _kept(record, kept)
            if definitions is not None and not record.get("instruction"):
                record, mended = _defined(record, definitions.get(values.task or ""), mended)
            shape, chat, prompt, response, roles, flags = to_chat(record, columns)
            if found := [*flags, *mended, *licence_flags(record, chunk.licence)]:
                counts.update(found)
            rows.append((line, shape, *values, chat, prompt, response, roles, None))
        except (Unparsable, ShapeError) as error:
            reason = _writable(str(error))
            rows.append((line, None, *values, None, None, None, None, reason))
            unreadable.append((line, offset, reason, _text(given)))
    return _Part(chunk.source, chunk.done, _table(rows, FRAME), _table(unreadable, UNREADABLE), counts, seen)


def _table(rows: list[tuple[Any, ...]], schema: dict[str, Any]) -> pl.DataFrame:
    """Make a table of rows; the source is put in later, for a chunk has one."""
    names = [name for name in schema if name != "source"]
    values = zip(*rows, strict=True) if rows else [()] * len(names)
    return pl.DataFrame(
        {name: list(column) for name, column in zip(names, values, strict=True)}, schema={n: schema[n] for n in names}
    )


class _Fault(NamedTuple):
    """Something that is no record, and why."""

    raw: bytes
    reason: str


def _records(chunk: Chunk) -> Iterator[tuple[int, int | None, Any]]:
    """Yield line, byte offset and what stands there: bytes, a record of a table, or a fault."""
    content = chunk.content
    if isinstance(content, pl.DataFrame):
        content = [without_nulls(record) for record in content.to_dicts()]
    if isinstance(content, list):
        for number, record in enumerate(content, start=chunk.first):
            yield number, None, record
    elif content.fault is not None:
        yield content.line, content.offset, _Fault(content.data, content.fault)
    elif content.spans is not None:
        for start, end, line in content.spans:
            yield line, content.offset + start, content.data[start:end]
    else:
        offset = content.offset
        for line, raw in enumerate(content.data.split(b"\n"), start=content.line):
            if raw and not raw.isspace():
                yield line, offset, raw
            offset += len(raw) + 1


def _record(given: Any) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Return the record and what was mended in it. Raises Unparsable."""
    mended: tuple[str, ...] = ()
    if isinstance(given, _Fault):
        raise Unparsable(given.reason)
    if isinstance(given, bytes):
        if len(given) > records.MAX_LINE_BYTES:
            raise Unparsable(records.too_long(len(given)))
        given, mended = records.parse(given)
    if not isinstance(given, (dict, Mapping)):  # dict first: it is quicker
        raise Unparsable(f"{kind(given)}, not an object")
    return given, mended


def _kept(record: Mapping[str, Any], kept: Mapping[str, str]) -> _Kept:
    names = {name: as_name(record.get(column)) for name, column in kept.items() if name != "score"}
    score: Any = record.get(kept["score"]) if "score" in kept else None
    number = isinstance(score, (int, float)) and not isinstance(score, bool) and abs(score) < 1e308
    return _Kept(**names, score=float(score) if number else None)


def _defined(
    record: Mapping[str, Any], definition: str | None, mended: tuple[str, ...]
) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Give a record without an instruction the definition of its task."""
    if definition is None:
        return record, (*mended, "no_definition")
    return {**record, "instruction": definition}, mended


def as_name(value: Any) -> str | None:
    """Return a label as text; a list with one element (Super-NI's categories) counts as that element."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None or isinstance(value, str):
        return value if value is None else _writable(value)
    return _writable(json.dumps(value, ensure_ascii=False, sort_keys=True, default=str))


def _text(given: Any) -> str:
    """Return the beginning of what could not be read; bytes that are no UTF-8 are written as \\xNN."""
    raw = given.raw if isinstance(given, _Fault) else given
    if isinstance(raw, bytes):
        text = raw[: records.KEPT_BYTES].decode("utf-8", "backslashreplace")
    else:
        text = _writable(json.dumps(raw, ensure_ascii=False, default=str, skipkeys=True))
    return (
        text if len(text) <= TEXT_CHARACTERS else f"{text[:TEXT_CHARACTERS]} … (cut at {TEXT_CHARACTERS:,} characters)"
    )


def _writable(text: str) -> str:
    """Escape half surrogate pairs, which UTF-8 cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _check_columns(parts: list[_Part], wanted: dict[str, str]) -> None:
    """Raise UsageError for a column that was asked for and that no record has."""
    seen = set[str]().union(*(part.seen for part in parts))
    for column, asked in wanted.items():
        if seen and column not in seen:
            names = sorted(map(str, seen))
            more = f" and {len(names) - 20} more" if len(names) > 20 else ""
            raise UsageError(f"{asked}: no record has the column {column}", f"Columns: {', '.join(names[:20])}{more}")


def _assemble(items: list[Input], streams: dict[int, PlainBytes], parts: list[_Part], notes: list[str]) -> Rows:
    def joined(tables: list[tuple[int, pl.DataFrame]], schema: dict[str, Any]) -> pl.DataFrame:
        named = [
            table.select(pl.lit(items[source].name).alias("source"), pl.all()) for source, table in tables if len(table)
        ]
        return pl.concat([pl.DataFrame(schema=schema), *named], rechunk=True)

    frame = joined([(part.source, part.frame) for part in parts], FRAME)
    unreadable = joined([(part.source, part.unreadable) for part in parts], UNREADABLE)
    sources = []
    for index, item in enumerate(items):
        mine = [part for part in parts if part.source == index]
        stream, counts = streams.get(index), sum((part.counts for part in mine), Counter[str]())
        source = Source(
            item.name,
            stream.sha256 if stream else None,
            stream.size if stream else None,
            sum(len(part.frame) for part in mine),
            count_licences(counts),
        )
        sources.append(source)
        notes += _said(source, stream, counts)
    if frame.is_empty():
        raise CurateError("nothing to read: " + "; ".join(notes), "Name files that hold records")
    return _with_reasons(Rows(frame, unreadable, sources, notes))


def _said(source: Source, stream: PlainBytes | None, counts: Counter[str]) -> list[str]:
    """Return the notes about one source."""
    said = []
    if not source.records:
        said.append("the file is empty (0 bytes)" if source.bytes == 0 else "no records in it")
    if stream and stream.fault:
        said.append(f"{stream.fault}; the rows before are used")
    said += [text.format(_counted(counts[flag])) for flag, text in _SAID.items() if counts[flag]]
    left = sorted(flag for flag in counts if flag.startswith("left:"))
    said += [f"turns hold {flag[5:][:40]!r} in {_counted(counts[flag])}: not kept" for flag in left[:5]]
    return [f"{source.path}: {text}" for text in said]


def _counted(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def _with_reasons(rows: Rows) -> Rows:
    """Add a note for each source with unreadable rows; raise CurateError when no row can be read."""
    counted = rows.unreadable.group_by("source", "reason", maintain_order=True).agg(pl.len(), pl.col("line").first())
    for source in rows.sources:
        reasons = counted.filter(pl.col("source") == source.path)
        if reasons.is_empty():
            continue
        first = "; ".join(f"{row['reason']} (line {row['line']})" for row in reasons.head(2).to_dicts())
        more = f"; and {len(reasons) - 2} more reasons" if len(reasons) > 2 else ""
        count = reasons["len"].sum()
        rows.notes.append(f"{source.path}: {count:,} of {_counted(source.records)} cannot be read: {first}{more}")
    if len(rows.unreadable) == len(rows.frame):
        raise CurateError(
            "no record can be read\n" + "\n".join(f"  {note}" for note in rows.notes),
            "Check the input: JSON, JSON lines, Parquet or Arrow; --map names columns that are called otherwise.",
        )
    return rows
