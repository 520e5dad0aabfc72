"""Lines and paragraphs of texts: their hashes, to find the ones seen before, and texts without some of them.

A line ends with a line feed; what is hashed is the line without ASCII white space around it (so CR LF is no other line
than LF). A paragraph is a block of lines between blank ones. Decided here: 64 bits a line (at a billion different lines
three accidental twins in a hundred runs); blank lines have size 0, and none of them repeats another.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from curate.corpus.spill import Column, Records, Values, in_runs, offsets_of
from curate.corpus.text import I32, I64, U8, U32, U64, Bool, read_only, wide
from curate.errors import UsageError

if TYPE_CHECKING:
    from curate.corpus.held import HeldRecords


@dataclass(frozen=True)
class Lines:
    """The lines (or paragraphs) of n texts, one after the other.

    `hashes` uint64, `sizes` int32 (bytes without white space around), `starts` int64 (in the bytes of all texts; a line
    reaches to the start of the next one or the end of its text). Those of text i are offsets[i]:offsets[i + 1].
    """

    hashes: U64
    sizes: I32
    starts: I64
    offsets: I64

    def __len__(self) -> int:
        return len(self.sizes)


def split_lines(data: U8, offsets: I64) -> Lines:
    """Return the lines of the texts data[offsets[i]:offsets[i + 1]] (UTF-8, as `text.buffers` gives them)."""
    from curate.corpus.line_kernels import line_rows

    n = len(offsets) - 1
    most = int(np.count_nonzero(data[offsets[0] : offsets[-1]] == ord("\n"))) + n
    hashes, sizes, starts = np.empty(most, np.uint64), np.empty(most, np.int32), np.empty(most, np.int64)
    ends = np.zeros(n + 1, np.int64)
    line_rows(*wide(data), read_only(offsets), hashes, sizes, starts, ends[1:])
    return Lines(hashes[: ends[-1]], sizes[: ends[-1]], starts[: ends[-1]], ends)


def split_paragraphs(lines: Lines) -> Lines:
    """Return the paragraphs that the lines form; texts of blank lines have none."""
    from curate.corpus.line_kernels import paragraph_rows

    most = len(lines)
    hashes, sizes, starts = np.empty(most, np.uint64), np.empty(most, np.int32), np.empty(most, np.int64)
    ends = np.zeros(len(lines.offsets), np.int64)
    paragraph_rows(lines.hashes, lines.sizes, lines.starts, lines.offsets, hashes, sizes, starts, ends[1:])
    return Lines(hashes[: ends[-1]], sizes[: ends[-1]], starts[: ends[-1]], ends)


def without_lines(data: U8, offsets: I64, lines: Lines, drop: Bool) -> tuple[U8, I64]:
    """Return the texts without the lines (or paragraphs) marked in `drop`, each with its line break."""
    from curate.corpus.line_kernels import keep_rows

    if len(drop) != len(lines):
        raise UsageError(f"{len(drop)} marks were given for {len(lines)} lines", "One mark for each line is needed")
    out = np.empty(int(offsets[-1] - offsets[0]), np.uint8)
    ends = np.zeros(len(offsets), np.int64)
    keep_rows(read_only(data), read_only(offsets), lines.starts, lines.offsets, drop, out, ends[1:])
    return out[: ends[-1]], ends


class LineIndex:
    """The lines of a corpus, held in `memory` bytes and a temporary file in `directory` beyond that.

    Lines of fewer than `least` bytes are left out: a closing brace repeats without being a copy. Besides, one bit a
    line is in memory, and eight bytes a document while lines are looked up.
    """

    def __init__(self, memory: int = 1 << 30, directory: Path | None = None, least: int = 1) -> None:
        self._least = max(least, 1)
        self.records: Records | HeldRecords = Records(memory, directory, np.uint64)
        self._counts = Column(np.uint32, directory)
        self.lines = 0

    def add(self, lines: Lines) -> int:
        """Take in the lines of more documents; return the number of the first line."""
        first = self.lines
        rows = np.flatnonzero(lines.sizes >= self._least)[: len(lines.hashes)]  # none: a worker holds the hashes
        self.records.append(lines.hashes[rows], (rows + first).astype(np.uint64))
        self._counts.append(np.diff(lines.offsets))
        self.lines += len(lines)
        return first

    def repeated(self, rank: U32, alive: Bool) -> Repeated:
        """Return which lines another line repeats: the first in the document of the lowest `rank` stays.

        `rank` uint32 (n): the place of each document, all different. Documents not `alive` (bool, n) neither keep nor
        repeat lines.
        """
        documents = self._counts.rows
        if not len(rank) == len(alive) == documents:
            raise UsageError(
                f"{len(rank)} documents are ranked and {len(alive)} marked, but {documents} were added",
                "Give one number and one mark for each document",
            )
        offsets = offsets_of(self._counts)
        bits = np.zeros(self.lines // 8 + 1, np.uint8)

        def mark(keys: U64, values: Values) -> tuple[U64, Values]:
            """Mark the lines that another one of these comes before; return the others, sorted by key as these."""
            lines = values.astype(np.int64)
            later, dead = _later_copies(keys, lines, offsets, rank, alive)
            np.bitwise_or.at(bits, lines[later] >> 3, np.right_shift(128, lines[later] & 7).astype(np.uint8))
            left = np.ones(len(keys), np.bool_)
            left[later] = left[dead] = False
            return keys[left], values[left]

        for keys, values in self.records.partitions(mark, shared=True):
            mark(keys, values)
        return Repeated(bits, offsets)


def _later_copies(keys: U64, lines: I64, offsets: I64, rank: U32, alive: Bool) -> tuple[I64, I64]:
    """Return which rows stand after another one of the same key, and which of those with others are not alive.

    Prior sorting of keys is assumed.
    """
    rows = np.flatnonzero(in_runs(keys))
    documents = np.searchsorted(offsets, lines[rows], side="right") - 1
    living = alive[documents]
    dead, rows, documents = rows[~living], rows[living], documents[living]
    rows = rows[np.lexsort((lines[rows], rank[documents], keys[rows]))]
    same = keys[rows]
    return rows[1:][same[1:] == same[:-1]], dead


@dataclass(frozen=True)
class Repeated:
    """Which lines of a corpus repeat another one: one bit each; those of document i start at line offsets[i]."""

    bits: U8
    offsets: I64

    def of(self, first: int, last: int) -> Bool:
        """Return the marks of the lines of documents first to last - 1: bool, as `without_lines` takes them."""
        start, stop = int(self.offsets[first]), int(self.offsets[last])
        marks = np.unpackbits(self.bits[start // 8 : stop // 8 + 1])[start % 8 :][: stop - start]
        return marks.astype(np.bool_)
