"""Records and sets that outgrow memory: appended in any order, read back in the order that is wanted.

Three shapes are enough for duplicates. `Records` are (key, value) pairs that come back grouped by key: when the buffer
is full it is sorted and written as one run, and a partition (the keys with the same top bits) is the same slice of
every run, sorted once more. Where a key has millions of records, what is not needed of them is left out before they are
put together. `Sets` are ragged rows of uint32, fetched by number. A `Column` is a number, or a few, for
each document, read back in order. All use anonymous temporary files, which vanish with the process however that ends,
and only once their share of memory is used up; how much that is changes no result.

Decided here: plain reads, no memory maps. A mapped file counts as the process's memory for each page touched and its
neighbours, so a budget could not be kept.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from curate.corpus.text import I64, U32, U64, Bool, read_only
from curate.errors import CurateError

Values = npt.NDArray[np.unsignedinteger[Any]]
Reduce = Callable[[U64, Values], tuple[U64, Values]]

_FINEST = 12  # top bits of a key that a run's table of slices tells apart
_SLOTS = 8  # a key: one in eight that stands alone is taken for shared
_PARTITION = 1 << 20  # records read and sorted at a time, twice as many at most: 50 to 100 MB with the copies
_COLUMN = 1 << 20  # bytes of a column that are held, and that are read at a time


class _TemporaryFile:
    """A file that nobody else sees, to append arrays to and to read pieces from."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory or Path(tempfile.gettempdir())
        try:
            self._file: IO[bytes] = tempfile.TemporaryFile(dir=directory, prefix="curate-")  # noqa: SIM115
        except OSError as error:
            raise self._failed(error) from error
        self.size = 0

    def append(self, array: npt.NDArray[Any]) -> int:
        """Write the array at the end and return where it starts; CurateError where the disk is full."""
        start = self.size
        try:
            self._file.seek(start)
            self._file.write(np.ascontiguousarray(array).reshape(-1).data.cast("B"))
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error
        self.size += array.nbytes
        return start

    def read(self, start: int, into: npt.NDArray[Any]) -> None:
        """Fill the array `into` with what stands at byte `start`."""
        view = into.data.cast("B")
        done = 0
        while done < len(view):
            done += os.preadv(self._file.fileno(), [view[done:]], start + done) or self._ended(start)

    def _failed(self, error: OSError) -> CurateError:
        return CurateError(
            f"cannot keep intermediate results in {self._directory}: {error.strerror or error}",
            "Give a directory with more room: --tmp DIR, or let less be written: --memory 8GB",
        )

    def _ended(self, start: int) -> int:
        raise CurateError(
            f"intermediate results in {self._directory} end at byte {self.size}, but byte {start} on was written",
            "The disk failed or the file was cut; run again with another --tmp DIR",
        )


class Column:
    """Rows of `width` numbers of one type, read back in the order in which they came; a megabyte is held at most."""

    def __init__(self, dtype: npt.DTypeLike, directory: Path | None = None, width: int = 1) -> None:
        self._dtype = np.dtype(dtype)
        self._shape = (-1,) if width == 1 else (-1, width)
        self._directory = directory
        self._buffer: list[npt.NDArray[Any]] = []
        self._buffered = 0
        self._file: _TemporaryFile | None = None
        self._row = self._dtype.itemsize * width
        self.rows = 0

    def append(self, rows: npt.NDArray[Any]) -> None:
        """Take in more rows; the array must not change afterwards."""
        rows = np.asarray(rows, self._dtype)
        self._buffer.append(rows)
        self._buffered += rows.nbytes
        self.rows += len(rows)
        if self._buffered > _COLUMN:
            self._file = self._file or _TemporaryFile(self._directory)
            for part in self._buffer:
                self._file.append(part)
            self._buffer.clear()
            self._buffered = 0

    def blocks(self) -> Iterator[npt.NDArray[Any]]:
        """Yield all rows, some at a time."""
        size = self._file.size if self._file else 0
        step = max(_COLUMN // self._row, 1) * self._row
        for start in range(0, size, step):
            block = np.empty(min(step, size - start) // self._dtype.itemsize, self._dtype)
            assert self._file is not None
            self._file.read(start, block)
            yield block.reshape(self._shape)
        yield from self._buffer


class Records:
    """Pairs of a uint64 key and an unsigned value, read back grouped by key; `memory` bytes are held at most."""

    def __init__(self, memory: int, directory: Path | None = None, dtype: npt.DTypeLike = np.uint32) -> None:
        self._record = 8 + np.dtype(dtype).itemsize
        self._room = max(memory // (4 * self._record), 1)  # sorting holds the buffer, its order and the sorted copy
        self._directory = directory
        self._dtype = np.dtype(dtype)
        self._buffer: list[tuple[U64, Values]] = []
        self._buffered = 0
        self._file: _TemporaryFile | None = None
        self._runs: list[tuple[int, I64]] = []  # where a run starts in the file; where each slice starts in the run
        self.count = 0

    def append(self, keys: U64, values: Values) -> None:
        """Take in as many pairs as there are keys; the arrays must not change afterwards."""
        self._buffer.append((keys, values))
        self._buffered += len(keys)
        self.count += len(keys)
        if self._buffered > self._room:
            self._write_run()

    @property
    def spilled(self) -> int:
        """Bytes on disk."""
        return self._file.size if self._file else 0

    def partitions(self, reduce: Reduce | None = None, *, shared: bool = False) -> Iterator[tuple[U64, Values]]:
        """Yield (keys, values) partition by partition, sorted by key: a key stands in one partition only.

        How they are cut depends on the number of records alone. Values of one key come in no particular order.
        With `shared` most of the keys that stand alone may be left out; sorting them would be most of the work.
        A partition that is far larger than the others is given to `reduce` in pieces, as `gathered` does.
        """
        bits = partition_bits(self.count)
        if shared and not self._runs:
            rest_keys, rest_values = self._shared_buffer()
        else:
            rest_keys, rest_values = self._sorted_buffer()
            self._buffer = [(rest_keys, rest_values)]
        cuts = _slices(rest_keys)
        step = 1 << (_FINEST - bits)
        for start in range(0, 1 << _FINEST, step):
            read = (self._read(run, table, start, start + step) for run, table in self._runs)
            part = slice(cuts[start], cuts[start + step])
            yield gathered(chain(chain.from_iterable(read), _pieces(rest_keys[part], rest_values[part])), reduce)

    def _sorted_buffer(self) -> tuple[U64, Values]:
        keys = np.concatenate([np.empty(0, np.uint64), *(k for k, _ in self._buffer)])
        values = np.concatenate([np.empty(0, self._dtype), *(v for _, v in self._buffer)])
        self._buffer.clear()
        order = np.argsort(keys)
        return keys[order], values[order]

    def _shared_buffer(self) -> tuple[U64, Values]:
        """Return, sorted, what is in memory without most of the keys that stand alone."""
        seen = Seen(self.count)
        for keys, _ in self._buffer:
            seen.mark(keys)
        parts = []
        for keys, values in self._buffer:
            found = seen.several(keys)
            parts.append((keys[found], values[found]))
        keys = np.concatenate([np.empty(0, np.uint64), *(k for k, _ in parts)])
        values = np.concatenate([np.empty(0, self._dtype), *(v for _, v in parts)])
        del parts  # as large as what is sorted
        order = np.argsort(keys)
        return keys[order], values[order]

    def _write_run(self) -> None:
        keys, values = self._sorted_buffer()
        self._file = self._file or _TemporaryFile(self._directory)
        start = self._file.append(keys)
        self._file.append(values)
        self._runs.append((start, _slices(keys)))
        self._buffered = 0

    def _read(self, start: int, table: I64, first: int, last: int) -> Iterator[tuple[U64, Values]]:
        assert self._file is not None
        for begin in range(int(table[first]), int(table[last]), _PARTITION):
            count = min(_PARTITION, int(table[last]) - begin)
            keys, values = np.empty(count, np.uint64), np.empty(count, self._dtype)
            self._file.read(start + 8 * begin, keys)
            self._file.read(start + 8 * int(table[-1]) + self._dtype.itemsize * begin, values)
            yield keys, values


def _pieces(keys: U64, values: Values) -> Iterator[tuple[U64, Values]]:
    for start in range(0, max(len(keys), 1), _PARTITION):
        yield keys[start : start + _PARTITION], values[start : start + _PARTITION]


def gathered(parts: Iterable[tuple[U64, Values]], reduce: Reduce | None = None) -> tuple[U64, Values]:
    """Return the records of all parts, of which each is sorted by key, sorted by key.

    Where they are more than two partitions should have, what has come so far goes through `reduce`, which returns those
    of the records that it is given (sorted by key) that are still wanted, in the same order. Memory is bounded by what
    is left of them.
    """
    held: list[tuple[U64, Values]] = []
    count, room = 0, 2 * _PARTITION
    for part in parts:
        if reduce is not None and held and count + len(part[0]) > room:
            held = [reduce(*_merged(held))]
            count = len(held[0][0])
            room = max(room, 2 * count)  # what cannot be reduced is not sorted again for each part
        held.append(part)
        count += len(part[0])
    return _merged(held)


def _merged(parts: list[tuple[U64, Values]]) -> tuple[U64, Values]:
    """Return the records of all parts sorted by key, and take them from the list."""
    if len(parts) == 1:
        return parts[0]
    keys = np.concatenate([k for k, _ in parts])
    values = np.concatenate([v for _, v in parts])
    ends = [(k[0], k[-1]) for k, _ in parts if len(k)]
    parts.clear()  # as large as what is sorted
    if all(last <= first for (_, last), (first, _) in pairwise(ends)):
        return keys, values
    order = np.argsort(keys)
    return keys[order], values[order]


class Seen:
    """Tells, without sorting them, which of `count` keys are met once: a table of two bits for eight slots a key.

    The slot of a key is its top bits, so keys are hashes.
    """

    def __init__(self, count: int) -> None:
        bits = max(count * _SLOTS - 1, 3).bit_length()
        self._shift = np.uint64(64 - bits)
        self._marks = np.zeros(1 << (bits - 2), np.uint8)

    def mark(self, keys: U64) -> None:
        """Note these keys."""
        from curate.corpus.key_kernels import mark_keys

        mark_keys(read_only(keys), self._shift, self._marks)

    def several(self, keys: U64) -> Bool:
        """Return which of these were noted more than once; one in eight of the others is taken for one of them."""
        from curate.corpus.key_kernels import may_repeat

        found = np.empty(len(keys), np.bool_)
        may_repeat(read_only(keys), self._shift, self._marks, found)
        return found


def partition_bits(records: int) -> int:
    """Return how many top bits of a key say in which partition it stands, of so many records."""
    return min(max(records - 1, 0) // _PARTITION, (1 << _FINEST) - 1).bit_length()


def _slices(keys: U64) -> I64:
    """Return where the sorted keys of each value of the top bits start, and the end."""
    bounds = np.arange(1 << _FINEST, dtype=np.uint64) << np.uint64(64 - _FINEST)
    return np.append(np.searchsorted(keys, bounds), len(keys)).astype(np.int64)


def in_runs(keys: U64) -> Bool:
    """Return which of the sorted keys are not alone."""
    shared = np.zeros(len(keys), dtype=np.bool_)
    same = keys[1:] == keys[:-1]
    shared[1:] = same
    shared[:-1] |= same
    return shared


class Sets:
    """Ragged rows of uint32, numbered as they come; `memory` bytes of values are held at most."""

    def __init__(self, memory: int, directory: Path | None = None) -> None:
        self._memory = memory
        self._directory = directory
        self._buffer: list[U32] = []
        self._buffered = 0
        self._file: _TemporaryFile | None = None
        self._lengths = Column(np.uint32, directory)
        self._starts: I64 = np.zeros(1, np.int64)

    def append(self, values: U32, offsets: I64) -> None:
        """Take in the rows values[offsets[i]:offsets[i + 1]]; the array must not change afterwards."""
        self._lengths.append(np.diff(offsets))
        values = values[offsets[0] : offsets[-1]]
        if self._file is None:
            self._buffer.append(values)
            self._buffered += values.nbytes
        if self._buffered > self._memory:
            self._file = self._file or _TemporaryFile(self._directory)
            for part in self._buffer:
                self._file.append(part)
            self._buffer.clear()
            self._buffered = 0
        elif self._file is not None:
            self._file.append(values)

    @property
    def spilled(self) -> int:
        """Bytes on disk."""
        return self._file.size if self._file else 0

    def starts(self) -> I64:
        """Return where each row starts in all values together, and the end: int64 (rows + 1)."""
        if len(self._starts) <= self._lengths.rows:
            self._starts = offsets_of(self._lengths)
        return self._starts

    def fetch(self, rows: I64) -> tuple[U32, I64]:
        """Return the values of these rows (ascending) one after the other, and where each starts, and the end."""
        starts = self.starts()
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(starts[rows + 1] - starts[rows])])
        values = np.empty(offsets[-1], np.uint32)
        if self._file is None:
            self._copy(rows, values, offsets)
            return values, offsets
        # Neighbours are read in one go.
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        for first, last in zip(np.append(0, breaks), np.append(breaks, len(rows)), strict=True):
            if last > first:
                self._file.read(4 * int(starts[rows[first]]), values[offsets[first] : offsets[last]])
        return values, offsets

    def _copy(self, rows: I64, values: U32, offsets: I64) -> None:
        """Copy rows that are still in memory, buffer by buffer."""
        from curate.corpus.pair_kernels import copy_rows

        base, first = 0, 0
        for part in self._buffer:
            last = int(np.searchsorted(self._starts[rows + 1], base + len(part), side="right"))
            copy_rows(part, base, self._starts, rows[first:last], values, offsets[first : last + 1])
            base, first = base + len(part), last


def offsets_of(lengths: Column) -> I64:
    """Return where each row of these lengths starts, and the end: int64 (rows + 1)."""
    offsets = np.zeros(lengths.rows + 1, np.int64)
    first = 0
    for block in lengths.blocks():
        np.cumsum(block, dtype=np.int64, out=offsets[first + 1 : first + 1 + len(block)])
        offsets[first + 1 : first + 1 + len(block)] += offsets[first]
        first += len(block)
    return offsets
