"""Records to two columns, the id of a document and its text: whole chunks by polars, doubtful lines one by one.

Decisions:
- polars reads a chunk of JSON lines several times faster than a loop over its lines. But it refuses the whole chunk
  for one bad line, makes texts of numbers and lists, reads half a surrogate pair as a null character, and takes the
  first of equal keys. So a chunk that it refuses is cut down to the lines that it reads, and a row of doubtful look is
  read again by `records.parse`. Which of the two reads a line depends on the line alone, never on its neighbours.
- A document is unreadable when its text is missing, null or no text (a number, a list): nothing is made up.
- An id is the record's own `id`, as text; null where it has none. 5.0 is 5.
- The columns of the text are those asked for, or found in the first records: a usual name, an instruction shape (the
  turns joined), or else the column with the longest texts. What was found is said.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import orjson
import polars as pl

from curate.data import records
from curate.data.chat import ShapeError, to_chat
from curate.data.records import Unparsable
from curate.data.turns import kind

USUAL = ("text", "content", "raw_content", "document", "body", "article", "passage", "page_content", "story", "code")
SAMPLE = 100  # records that show where the text is
JOINT = "\n\n"  # between the columns or turns of one document

# What polars writes for values that are no text; half a surrogate pair is a null character to it.
_NO_TEXT = r"^(?:-?[0-9][0-9.eE+-]*|true|false)$|^[\[{]"
_NO_ID = r"^-?[0-9]{19,}$|^-0$|^-?[0-9]*[.eE][0-9.eE+-]*$|^[\[{]"

_WHOLE = 1e18  # longer numbers are read again: `_NO_ID`

_PACKED = (b"\x1f", b"x", b"(")  # as gzip, zlib and zstd begin: polars would unpack it, without a bound; no object does


class Wanted(NamedTuple):
    """Where the text of a record is: in `columns`, joined, or (`chat`) in the turns of an instruction example."""

    columns: tuple[str, ...]
    chat: bool = False


class Found(NamedTuple):
    """What was read of some records.

    `row` is the place of each document among the records; `bad` are (row, reason) of those that cannot be read;
    `mended` counts what `records.parse` mended.
    """

    row: np.ndarray
    id: pl.Series
    text: pl.Series
    bad: list[tuple[int, str]]
    mended: Counter[str]


def find_columns(sample: Sequence[Any]) -> Wanted | None:
    """Return where the first records have their text; None when they have none."""
    rows = [record for record in sample if isinstance(record, Mapping)]
    for name in USUAL:
        if any(isinstance(row.get(name), str) for row in rows):
            return Wanted((name,))
    if any(_is_chat(row) for row in rows):
        return Wanted((), chat=True)
    sizes: Counter[str] = Counter()
    for row in rows:
        sizes.update({name: len(value) for name, value in row.items() if isinstance(value, str)})
    longest = max(sorted(sizes), key=sizes.__getitem__, default=None)
    return Wanted((longest,)) if longest else None


def _is_chat(record: Mapping[str, Any]) -> bool:
    try:
        to_chat(record)
    except ShapeError:
        return False
    return True


# -- JSON lines --------------------------------------------------------------------------------------------------------


def from_lines(data: bytes, wanted: Wanted) -> Found:
    """Read JSON lines; `row` counts lines, blank ones too."""
    frame = None if wanted.chat else _by_polars(data, wanted)
    if frame is not None and frame.height == _line_count(data):
        return _checked(frame, np.arange(frame.height), data, wanted)
    lines = data.split(b"\n")
    index = np.array([i for i, raw in enumerate(lines) if raw and not raw.isspace()], dtype=np.int64)
    if wanted.chat:
        return _one_by_one(lines, index, wanted)
    if frame is not None and frame.height == len(index):
        return _checked(frame, index, b"\n".join([lines[i] for i in index.tolist()]), wanted)
    whole = np.array([_is_object(lines[i]) for i in index.tolist()], dtype=bool)
    return _joined([_one_by_one(lines, index[~whole], wanted), *_halved(lines, index[whole], wanted)])


def _line_count(data: bytes) -> int:
    """Count lines; numpy is three times as fast as `bytes.count`, and lets other threads run."""
    return int(np.count_nonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n"))) + (not data.endswith(b"\n"))


def _is_object(raw: bytes) -> bool:
    try:
        return isinstance(orjson.loads(raw), dict)
    except orjson.JSONDecodeError:
        return False


def _halved(lines: Sequence[bytes], index: np.ndarray, wanted: Wanted) -> list[Found]:
    """Read lines by polars, those that it refuses one by one: they are found by halving."""
    if len(index) < 2:
        return [_one_by_one(lines, index, wanted)]
    some = b"\n".join([lines[i] for i in index.tolist()])
    frame = _by_polars(some, wanted)
    if frame is not None and frame.height == len(index):
        return [_checked(frame, index, some, wanted)]
    middle = len(index) // 2
    return _halved(lines, index[:middle], wanted) + _halved(lines, index[middle:], wanted)


def _by_polars(data: bytes, wanted: Wanted) -> pl.DataFrame | None:
    """Return the columns as polars reads them, all as text; None when it refuses a line."""
    if len(data) > records.MAX_LINE_BYTES or data[:1] in _PACKED:
        return None
    try:
        return pl.read_ndjson(BytesIO(data), schema=dict.fromkeys((*wanted.columns, "id"), pl.String))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None


def _checked(frame: pl.DataFrame, index: np.ndarray, data: bytes, wanted: Wanted) -> Found:
    """Read again what polars might have misread: the rows of `frame` are the lines of `data`, `index` their places."""
    text = frame[wanted.columns[0]] if len(wanted.columns) == 1 else frame.select(_join(wanted)).to_series()
    found = Found(index, frame["id"], text.rename("text"), [], Counter())
    rows, ends = _doubtful(frame, data, wanted)
    if len(rows) == 0:
        return found
    starts = np.append(0, ends + 1)
    again = from_values([_parsed(data[starts[row] : ends[row]]) for row in rows.tolist()], wanted)
    read = rows[again.row]
    if not again.bad and again.text.equals(found.text.gather(read)) and again.id.equals(found.id.gather(read)):
        return found._replace(mended=again.mended)
    sure = np.ones(frame.height, dtype=bool)
    sure[rows] = False
    kept = Found(index[sure], frame["id"].filter(sure), found.text.filter(sure), [], Counter())
    return _joined([kept, again._replace(row=index[read], bad=[(int(index[rows[i]]), why) for i, why in again.bad])])


def _doubtful(frame: pl.DataFrame, data: bytes, wanted: Wanted) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to read again, and, where there are any, where each line of `data` ends."""
    looks = frame.select(
        pl.any_horizontal(
            *(pl.col(name).is_null() | _looks(name, _NO_TEXT) for name in wanted.columns),
            _looks("id", _NO_ID).fill_null(False),
        )
    )
    doubtful = looks.to_series().to_numpy(writable=True)
    for name in wanted.columns:  # a key that stands twice, or a nested one of the same name
        key = re.compile(re.escape(b'"%b"' % name.encode()))
        if len(key.findall(data)) != frame.height:
            places = np.array([match.start() for match in key.finditer(data)], dtype=np.int64)
            lines = np.searchsorted(_line_ends(data), places)
            doubtful |= np.bincount(lines, minlength=frame.height)[: frame.height] != 1
    rows = np.flatnonzero(doubtful)
    return rows, _line_ends(data) if len(rows) else rows


def _line_ends(data: bytes) -> np.ndarray:
    """Return where each line ends, the last one too."""
    ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n"))
    return ends if data.endswith(b"\n") else np.append(ends, len(data))


def _looks(name: str, pattern: str) -> pl.Expr:
    return pl.col(name).str.contains(pattern) | pl.col(name).str.contains("\0", literal=True)


def _join(wanted: Wanted) -> pl.Expr:
    return pl.concat_str(*wanted.columns, separator=JOINT, ignore_nulls=True).alias("text")


def _joined(parts: list[Found]) -> Found:
    """Put parts together, in order of their rows."""
    index = np.concatenate([part.row for part in parts])
    order = np.argsort(index, kind="stable")
    id, text = (
        pl.concat([getattr(part, name).rename(name).cast(pl.String) for part in parts]).gather(order)
        for name in ("id", "text")
    )
    bad = sorted(entry for part in parts for entry in part.bad)
    return Found(index[order], id, text, bad, sum((part.mended for part in parts), Counter()))


def _one_by_one(lines: Sequence[bytes], index: np.ndarray, wanted: Wanted) -> Found:
    found = from_values((_parsed(lines[i]) for i in index.tolist()), wanted)
    return found._replace(row=index[found.row], bad=[(int(index[i]), reason) for i, reason in found.bad])


# -- Values ------------------------------------------------------------------------------------------------------------


def _parsed(raw: bytes) -> Callable[[], tuple[Any, tuple[str, ...]]]:
    def read() -> tuple[Any, tuple[str, ...]]:
        if len(raw) > records.MAX_LINE_BYTES:
            raise Unparsable(records.too_long(len(raw)))
        return records.parse(raw)

    return read


def from_records(values: Iterable[Any], wanted: Wanted) -> Found:
    """Read records that are Python objects."""
    return from_values((lambda value=value: (value, ()) for value in values), wanted)  # type: ignore[misc]


def from_values(values: Iterable[Callable[[], tuple[Any, tuple[str, ...]]]], wanted: Wanted) -> Found:
    """Read records one by one; each is a function that returns it and what was mended, or raises Unparsable."""
    index: list[int] = []
    ids: list[str | None] = []
    texts: list[str] = []
    bad: list[tuple[int, str]] = []
    mended: Counter[str] = Counter()
    for place, read in enumerate(values):
        try:
            record, flags = read()
            text = text_of(record, wanted)
            ids.append(_id(record.get("id")))
        except (Unparsable, ShapeError) as error:
            bad.append((place, _writable(str(error))))
            continue
        mended.update(flag for flag in flags if flag != "surrogate" or "\ufffd" in text)
        index.append(place)
        texts.append(_writable(text))
    schema = {"id": pl.String, "text": pl.String}
    frame = pl.DataFrame({"id": ids, "text": texts}, schema=schema)
    return Found(np.array(index, dtype=np.int64), frame["id"], frame["text"], bad, mended)


def text_of(record: Any, wanted: Wanted) -> str:
    """Return the text of one record. Raises Unparsable or ShapeError."""
    if not isinstance(record, Mapping):
        raise Unparsable(f"{kind(record)}, not an object")
    if wanted.chat:
        turns = orjson.loads(to_chat(record).chat)["messages"]
        return JOINT.join(turn["content"] for turn in turns if isinstance(turn.get("content"), str))
    parts = []
    for name in wanted.columns:
        value = record.get(name)
        if isinstance(value, str):
            parts.append(value)
        elif value is not None:
            raise Unparsable(f"{name} is {kind(value)}, not a text")
    if not parts:
        missing = [name for name in wanted.columns if name not in record]
        raise Unparsable(f"no column {missing[0]}" if missing else f"{wanted.columns[0]} is null")
    return JOINT.join(parts)


def _id(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value if value is None else _writable(value)
    if isinstance(value, float) and abs(value) < _WHOLE and value.is_integer():
        return f"{Decimal(repr(value or 0.0)):f}".removesuffix(".0")  # as polars writes it
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _writable(text: str) -> str:
    """Escape half surrogate pairs, which UTF-8 cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


# -- Tables ------------------------------------------------------------------------------------------------------------


def from_table(table: pl.DataFrame, wanted: Wanted) -> Found:
    """Read the rows of a table; nulls inside its values count as absent."""
    if wanted.chat:
        from curate.data.tables import without_nulls

        return from_records(map(without_nulls, table.iter_rows(named=True)), wanted)
    names = [name for name in wanted.columns if name in table.columns]
    if len(names) < len(wanted.columns) or any(table[name].dtype != pl.String for name in names):
        return from_records(table.select(*names, *(["id"] if "id" in table.columns else [])).to_dicts(), wanted)
    text = table.select(_join(wanted)).to_series()
    empty = table.select(pl.all_horizontal(pl.col(name).is_null() for name in names)).to_series()
    kept = np.flatnonzero(~empty.to_numpy())
    bad = [(int(i), f"{names[0]} is null") for i in np.flatnonzero(empty.to_numpy())]
    return Found(kept, _ids(table).gather(kept), text.gather(kept), bad, Counter())


def _ids(table: pl.DataFrame) -> pl.Series:
    if "id" not in table.columns:
        return pl.Series("id", [None] * table.height, dtype=pl.String)
    column = table["id"]
    if column.dtype == pl.String or column.dtype.is_integer():
        return column.cast(pl.String)
    return pl.Series("id", [_id(value) for value in column.to_list()], dtype=pl.String)
