"""Records and sets that stay with the workers that measured them, for corpora whose records outgrow one machine.

They take the places of `Records` and `Sets` (`corpus/spill.py`) and give the same answers. Ray Data sorts the records
by key, and of the sorted ones only those whose key is not alone come here, partition by partition. Of the sets only
those come whose documents share a key, once. What a lost worker held Ray lets another one measure again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.corpus.measure import SHORT_LINE, Measured
from curate.corpus.spill import Reduce, Sets, Values, gathered, in_runs, partition_bits
from curate.corpus.text import I64, U32, U64, Bool
from curate.engine import ray

if TYPE_CHECKING:
    from curate.corpus.clusters import DuplicateIndex
    from curate.corpus.lines import LineIndex, Lines


class Keeper:
    """Keeps, in a worker, what was measured of a span and is not to leave it."""

    def __init__(self, span: int) -> None:
        self._span = span
        self._documents = 0
        self._signed: list[tuple[U64, U64, U32, U32]] = []  # band keys, their documents; shingles, how many of each
        self._lines = [_Lines(), _Lines()]

    def keep(self, measured: Measured) -> Measured:
        """Keep keys, shingles and hashes of lines of a bundle; return the rest."""
        signed, lines, paragraphs = measured.signed, measured.lines, measured.paragraphs
        assert signed is not None
        assert lines is not None and paragraphs is not None  # noqa: PT018
        rows = np.flatnonzero(signed.words > 0)  # a text without words has nothing to be compared
        documents = np.repeat(rows + self._documents, signed.keys.shape[1]).astype(np.uint64)
        lengths = np.diff(signed.shingle_offsets).astype(np.uint32)
        self._signed.append((signed.keys[rows].ravel(), documents, signed.shingles, lengths))
        self._documents += len(signed)
        nothing = np.zeros(len(signed), np.int64)
        light = replace(
            signed, keys=signed.keys[:, :0], shingles=signed.shingles[:0], shingle_offsets=np.append(nothing, 0),
            words=nothing,
        )  # fmt: skip
        return measured._replace(
            signed=light, lines=self._lines[0].keep(lines), paragraphs=self._lines[1].keep(paragraphs)
        )

    def tables(self) -> tuple[list[Any], tuple[int, ...]]:
        """Return band records, sets, records of lines and of paragraphs, and how many records there are of each."""
        none = np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.uint32), np.empty(0, np.uint32)
        keys, documents, shingles, lengths = map(np.concatenate, zip(none, *self._signed, strict=True))
        tables = [self._table(keys, documents), *(self._table(*lines.records()) for lines in self._lines)]
        return [tables[0], (shingles, lengths), *tables[1:]], tuple(map(len, tables))

    def _table(self, keys: U64, values: U64) -> Any:
        import pyarrow as pa

        return pa.table({"key": keys, "value": values, "span": np.full(len(keys), self._span, np.uint32)})


class _Lines:
    """Hashes of the lines of a span that are long enough, and their numbers in the span."""

    def __init__(self) -> None:
        self._count = 0
        self._records: list[tuple[U64, U64]] = []

    def keep(self, lines: Lines) -> Lines:
        rows = np.flatnonzero(lines.sizes >= SHORT_LINE)
        self._records.append((lines.hashes[rows], (rows + self._count).astype(np.uint64)))
        self._count += len(lines)
        return replace(lines, hashes=lines.hashes[:0])

    def records(self) -> tuple[U64, U64]:
        none = np.empty(0, np.uint64), np.empty(0, np.uint64)
        keys, values = map(np.concatenate, zip(none, *self._records, strict=True))
        return keys, values


class Holding:
    """Lets what the workers hold take the places of the records and sets of the indexes of a scan."""

    def __init__(self, index: DuplicateIndex, lines: LineIndex, paragraphs: LineIndex, directory: Path) -> None:
        self._indexes = index, lines, paragraphs
        self._bands, self._lines, self._paragraphs = HeldRecords(), HeldRecords(), HeldRecords()
        self._sets = HeldSets(self._bands, index.room, directory)
        index.records, index.sets = self._bands, self._sets
        lines.records, paragraphs.records = self._lines, self._paragraphs
        self._firsts = 0, 0, 0

    def take(self, held: Sequence[Any], counts: Sequence[int]) -> None:
        """Take in what `Keeper.tables` gave for the next span, once its documents and lines are counted."""
        bands, sets, lines, paragraphs = held
        index, *_ = self._indexes
        self._sets.hold(sets, index.documents - self._firsts[0])
        for records, table, count, first in zip(
            (self._bands, self._lines, self._paragraphs), (bands, lines, paragraphs), counts, self._firsts, strict=True
        ):
            records.hold(table, count, first)
        self._firsts = index.documents, self._indexes[1].lines, self._indexes[2].lines


class HeldRecords:
    """As `Records`, of tables that are with the workers; values are numbered from the beginning of their span."""

    def __init__(self) -> None:
        self.count = 0
        self.spilled = 0
        self._tables: list[Any] = []
        self._bases: list[int] = []
        self._sorted: Callable[[], Iterator[Any]] | None = None

    def hold(self, table: Any, records: int, base: int) -> None:
        """Take in the table of the next span, whose values start at `base`."""
        self._tables.append(table)
        self._bases.append(base)
        self.count += records

    def append(self, keys: U64, values: Values) -> None:
        """Take in nothing: what was measured is held."""
        assert not len(keys)

    def partitions(self, reduce: Reduce | None = None, *, shared: bool = True) -> Iterator[tuple[U64, Values]]:
        """Yield the records whose key is not alone, partition by partition as `Records.partitions` cuts them."""
        assert shared
        for _, pieces in groupby(self._pieces(), itemgetter(0)):
            yield gathered(((keys, values) for _, keys, values in pieces), reduce)

    def _pieces(self) -> Iterator[tuple[int, U64, Values]]:
        """Yield (partition, keys, values) in order of the keys; a partition may come in several pieces."""
        if self._sorted is None:
            self._sorted = ray.sort(self._tables, "key", _shared)
        bases, bits = np.array(self._bases, np.uint64), partition_bits(self.count)
        for table in self._sorted():
            keys: U64 = table["key"].to_numpy()
            values = table["value"].to_numpy() + bases[table["span"].to_numpy()]
            part = keys >> np.uint64(64 - bits) if bits else np.zeros_like(keys)
            for rows in np.split(np.arange(len(keys)), np.flatnonzero(part[1:] != part[:-1]) + 1):
                if len(rows):
                    yield int(part[rows[0]]), keys[rows], values[rows]


class HeldSets:
    """As `Sets`, of rows that are with the workers; those of documents that share a key in `records` come here."""

    def __init__(self, records: HeldRecords, memory: int, directory: Path | None = None) -> None:
        self.documents = 0
        self._records = records
        self._held: list[Any] = []
        self._firsts: list[int] = []
        self._sets = Sets(memory, directory)

    def hold(self, sets: Any, documents: int) -> None:
        """Take in the (values, lengths) of the next span."""
        self._held.append(sets)
        self._firsts.append(self.documents)
        self.documents += documents

    def append(self, values: U32, offsets: I64) -> None:
        """Take in nothing: what was measured is held."""
        assert not len(values)

    @property
    def spilled(self) -> int:
        """Bytes on the disk of this machine."""
        return self._sets.spilled

    def starts(self) -> I64:
        """Return where each row starts in all values that came here, and the end: int64 (rows + 1)."""
        self._come()
        return self._sets.starts()

    def fetch(self, rows: I64) -> tuple[U32, I64]:
        """Return the values of these rows (ascending) one after the other, and where each starts, and the end."""
        self._come()
        return self._sets.fetch(rows)

    def _come(self) -> None:
        if not self._held:
            return
        held, self._held = self._held, []
        wanted = np.zeros(self.documents, np.bool_)

        def want(keys: U64, documents: Values) -> tuple[U64, Values]:
            wanted[documents] = True
            return keys[:0], documents[:0]

        for part in self._records.partitions(want):
            want(*part)
        cuts = pairwise([*self._firsts, self.documents])
        for values, lengths in ray.map_held(_some, held, (wanted[first:last] for first, last in cuts)):
            self._sets.append(values.copy(), np.append(0, np.cumsum(lengths, dtype=np.int64)))


def _shared(table: Any) -> Any:
    return table.filter(in_runs(table["key"].to_numpy()))


def _some(sets: tuple[U32, U32], wanted: Bool) -> tuple[U32, U32]:
    """Return the rows that are wanted; the others are empty."""
    values, lengths = sets
    return values[np.repeat(wanted, lengths)], np.where(wanted, lengths, 0).astype(np.uint32)
