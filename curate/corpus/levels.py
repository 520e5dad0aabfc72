"""What each level leaves: which documents stay and why the others go, and how much of them stands in lines seen before.

Decisions:
- A document that is empty, or white space, is dropped as `empty`. Of exact and near-duplicates one stays, the same for
  any order of files and rows: by --prefer, then by a hash of the text, then of the id.
- The line level runs among documents that have no better exact duplicate. A line stays in the document that stays
  itself, then by the same rule: so a dropped line is always still there in a document that is kept, if in any.
- Without --drop-lines the tokens in repeated lines are estimated: in each document their share of the bytes.
- Clusters are numbered by size, the largest is 0; ties go by the smallest hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.corpus.lines import LineIndex, Repeated
from curate.corpus.measure import SHORT_LINE
from curate.corpus.scan import Scan
from curate.corpus.sources import groups
from curate.corpus.text import I32, I64, U32, U64, Bool
from curate.errors import UsageError

KEPT, EMPTY, EXACT, NEAR = range(4)
REASONS = (None, "empty", "duplicate.exact", "duplicate.near")

BLOCK = 1 << 17  # documents looked at together


@dataclass(frozen=True)
class Levels:
    """The fate of n documents.

    `reason` uint8 (n): an index into REASONS. `cluster` int64 (n): the number of its cluster, -1 for none.
    `sizes` int64 (clusters): documents of each. `survivors` int64 (clusters): the document kept, -1 where it is one of
    --against. `rank` uint32 (n): the place of each document, 0 is the one to keep. `earlier_kept` bool: which of
    --against stay.
    """

    reason: npt.NDArray[np.uint8]
    cluster: I64
    sizes: I64
    survivors: I64
    rank: U32
    comparisons: dict[str, int]
    earlier_kept: Bool

    @property
    def kept(self) -> Bool:
        """Which documents stay."""
        kept: Bool = self.reason == KEPT
        return kept

    @property
    def distinct(self) -> Bool:
        """Which documents have no better exact duplicate."""
        distinct: Bool = (self.reason == KEPT) | (self.reason == NEAR)
        return distinct


@dataclass(frozen=True)
class Repetition:
    """Lines (or paragraphs) that repeat another one: which, `count` of `of`, and their bytes by document int64 (n).

    `tokens` int64 (n): what was counted in each document without them, where that was done.
    """

    repeated: Repeated
    count: int
    of: int
    bytes: I64
    tokens: I64 | None = None

    def left(self, tokens: I64, text_bytes: I64) -> I64:
        """Return the tokens of each document without its repeated lines: counted, or by their share of the bytes."""
        if self.tokens is not None:
            return self.tokens
        left = np.empty_like(tokens)
        for first in range(0, len(tokens), BLOCK):
            block = slice(first, first + BLOCK)
            share = self.bytes[block] / np.maximum(text_bytes[block], 1)
            left[block] = tokens[block] - np.rint(tokens[block] * share).astype(np.int64)
        return left


def find_levels(found: Scan, sources: Sequence[str], prefer: tuple[str, ...], workers: int) -> Levels:
    """Decide which documents stay."""
    table = found.table
    reason = np.where(table["empty"], EMPTY, KEPT).astype(np.uint8)
    if found.index is None:
        none, nothing = np.full(table.documents, -1, np.int64), np.empty(0, np.int64)
        return Levels(
            reason, none, nothing, nothing, np.arange(table.documents, dtype=np.uint32), {}, np.empty(0, np.bool_)
        )
    priority = np.full(found.index.documents, np.iinfo(np.int32).min, np.int32)  # those of --against stay
    priority[found.base :] = _priority(found, sources, prefer)
    clusters = found.index.clusters(_keys(found, found.index.documents), priority, workers)
    mine = slice(found.base, None)
    reason[~clusters.kept[mine] & (reason == KEPT)] = NEAR
    reason[clusters.exact[mine]] = EXACT
    cluster, sizes, survivors = _numbered(clusters.cluster[mine], table["text_key"])
    survivors = np.maximum(survivors - found.base, -1)
    order = np.lexsort((table["id_key"], table["text_key"], priority[mine], reason != KEPT))
    rank = np.empty(len(order), np.uint32)
    rank[order] = np.arange(len(order), dtype=np.uint32)
    comparisons = {
        "candidates": clusters.candidates, "merged": clusters.merged, "false": clusters.false,
        "unchecked": clusters.unchecked,
    }  # fmt: skip
    return Levels(reason, cluster, sizes, survivors, rank, comparisons, clusters.kept[: found.base])


def _keys(found: Scan, documents: int) -> U64:
    """Return what decides among equals: uint64 (documents, 2), zeros for those of --against, which are all better."""
    keys = np.zeros((documents, 2), np.uint64)
    keys[found.base :, 0], keys[found.base :, 1] = found.table["text_key"], found.table["id_key"]
    return keys


def _priority(found: Scan, sources: Sequence[str], prefer: tuple[str, ...]) -> I32:
    if not prefer:
        return np.zeros(found.table.documents, np.int32)
    if "longest" in prefer:
        if len(prefer) > 1:
            raise UsageError("--prefer takes longest or names of sources, not both", "Give one of them.")
        longest: I32 = (-np.minimum(found.table["bytes"], np.iinfo(np.int32).max)).astype(np.int32)
        return longest
    places = [len(prefer) if group is None else group for group in groups(prefer, sources, "--prefer")]
    by_source: I32 = np.array(places, np.int32)
    return by_source.take(found.table["source"])


def _numbered(survivor: I64, keys: U64) -> tuple[I64, I64, I64]:
    """Return the number of each document's cluster (-1: none), and by number the size and the survivor."""
    members = np.flatnonzero(survivor >= 0)
    survivors, inverse, sizes = np.unique(survivor[members], return_inverse=True, return_counts=True)
    least = np.full(len(sizes), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(least, inverse, keys[members])
    order = np.lexsort((least, -sizes))
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    cluster = np.full(len(survivor), -1, np.int64)
    cluster[members] = number[inverse]
    return cluster, sizes[order], survivors[order]


def find_repetition(found: Scan, levels: Levels) -> tuple[Repetition | None, Repetition | None]:
    """Find the lines, and the paragraphs, that repeat another one; both at once, each in a thread of its own."""
    if found.lines is None or found.paragraphs is None:
        return None, None
    with ThreadPoolExecutor(2) as pool:
        lines = pool.submit(_repetition, found, found.lines, "line_sizes", levels)
        paragraphs = pool.submit(_repetition, found, found.paragraphs, "paragraph_sizes", levels)
        return lines.result(), paragraphs.result()


def _repetition(found: Scan, index: LineIndex, sizes: str, levels: Levels) -> Repetition:
    repeated = index.repeated(levels.rank, levels.distinct)
    n = found.table.documents
    bytes_ = np.zeros(n, np.int64)
    count = of = 0
    for first in range(0, n, BLOCK):
        last = min(first + BLOCK, n)
        starts = repeated.offsets[first : last + 1]
        size = found.table.read(sizes, int(starts[0]), int(starts[-1])).astype(np.int64)
        marks = repeated.of(first, last)
        sums = np.append(0, np.cumsum(size * marks))
        bytes_[first:last] = np.diff(sums[starts - starts[0]])
        count += int(marks.sum())
        alive = np.repeat(levels.distinct[first:last], np.diff(starts))
        of += int(((size >= SHORT_LINE) & alive).sum())
    return Repetition(repeated, count, of, bytes_)
