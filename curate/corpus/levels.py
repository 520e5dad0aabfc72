"""What each level leaves: which documents stay and why the others go, and how much of them stands in lines seen before.

Decisions:
- A document that is empty, or white space, is dropped as `empty`. Of exact and near-duplicates one stays, the same for
  any order of files and rows: by --prefer, then by a hash of the text, then of the id.
- What is known of each document here is in as few bytes as can be: with hundreds of millions it is what takes memory.
- The line level runs among documents that have no better exact duplicate. A line stays in the document that stays
  itself, then by the same rule: so a dropped line is always still there in a document that is kept, if in any.
- Without --drop-lines the tokens in repeated lines are estimated: in each document their share of the bytes.
- Clusters are numbered by size, the largest is 0; ties go by the smallest hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt

from curate.corpus.clusters import Clusters, DuplicateIndex
from curate.corpus.lines import LineIndex, Repeated
from curate.corpus.measure import SHORT_LINE
from curate.corpus.scan import Scan
from curate.corpus.sources import groups
from curate.corpus.spill import in_runs
from curate.corpus.table import DocumentTable
from curate.corpus.text import I32, I64, U32, U64, Bool
from curate.data.checkpoint import Checkpoint
from curate.errors import UsageError

KEPT, EMPTY, EXACT, NEAR = range(4)
REASONS = (None, "empty", "duplicate.exact", "duplicate.near")


@dataclass(frozen=True)
class Levels:
    """The fate of n documents.

    `reason` uint8 (n): an index into REASONS. `cluster` int32 (n): the number of its cluster, -1 for none.
    `sizes` int64 (clusters): documents of each. `survivors` int64 (clusters): the document kept, -1 where it is one of
    --against. `rank` uint32 (n): the place of each document, 0 is the one to keep. `earlier_kept` bool: which of
    --against stay. `digest` tells the texts, and their order, from others.
    """

    reason: npt.NDArray[np.uint8]
    cluster: I32
    sizes: I64
    survivors: I64
    rank: U32
    comparisons: dict[str, int]
    earlier_kept: Bool
    digest: str = ""

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
    """Lines (or paragraphs) that repeat another one: `count` of `of`, their bytes, and how many tokens are in others.

    Of documents that have no better exact duplicate. `left` is estimated by the share of the bytes, None where nothing
    was tokenized; where the documents were counted again, `tokens` int64 (n) are those of each without these lines.
    """

    count: int
    of: int
    bytes: int
    left: int | None
    tokens: I64 | None = None


def find_levels(found: Scan, sources: Sequence[str], prefer: tuple[str, ...], workers: int, kept: Checkpoint) -> Levels:
    """Decide which documents stay; the clusters of duplicates are kept for --resume."""
    table = found.table
    reason = np.where(table["empty"], EMPTY, KEPT).astype(np.uint8)
    if found.index is None:
        none, nothing = np.full(table.documents, -1, np.int32), np.empty(0, np.int64)
        return Levels(
            reason, none, nothing, nothing, np.arange(table.documents, dtype=np.uint32), {}, np.empty(0, np.bool_)
        )
    order = _best_first(found, sources, prefer)
    if found.base:  # those of --against stay
        order = np.concatenate((np.arange(found.base, dtype=np.uint32), order + np.uint32(found.base)))
    digest = _digest(found.index, found.table, order)
    clusters = Clusters(**kept.once(f"clusters-{digest}", partial(_clusters, found.index, order, workers)))
    order = order[found.base :] - np.uint32(found.base)
    stay, mine = clusters.kept, slice(found.base, None)
    reason[~stay[mine] & (reason == KEPT)] = NEAR
    reason[clusters.exact[mine]] = EXACT
    stays = reason[order] == KEPT
    rank = np.empty(len(order), np.uint32)
    rank[np.concatenate((order[stays], order[~stays]))] = np.arange(len(order), dtype=np.uint32)
    del order, stays
    cluster, sizes, survivors = _numbered(clusters.survivor, stay, found.base, table["text_key"])
    comparisons = {
        "candidates": clusters.candidates, "merged": clusters.merged, "false": clusters.false,
        "unchecked": clusters.unchecked,
    }  # fmt: skip
    return Levels(reason, cluster, sizes, survivors, rank, comparisons, stay[: found.base], digest)


def _digest(index: DuplicateIndex, table: DocumentTable, order: U32) -> str:
    """Return a checksum: what was kept of other texts, within one size and time, is not found under its name."""
    keys = (table.read("text_key", first, last) for first, last in table.blocks())
    crc = 0
    for array in chain([order], keys, index.exact.blocks()):
        crc = crc32(np.ascontiguousarray(array).data, crc)
    return f"{crc:08x}"


def _clusters(index: DuplicateIndex, order: U32, workers: int) -> dict[str, Any]:
    return vars(index.clusters(order, workers))


def _best_first(found: Scan, sources: Sequence[str], prefer: tuple[str, ...]) -> U32:
    """Return the documents, best first: by `prefer`, by a hash of the text, by one of the id."""
    table = found.table
    keys = table["text_key"]
    order = np.argsort(keys).astype(np.uint32)
    equal = np.flatnonzero(in_runs(keys[order]))
    documents = order[equal]
    order[equal] = documents[np.lexsort((documents, table["id_key"][documents], keys[documents]))]
    del keys, equal, documents
    if prefer:
        order = order[np.argsort(_priority(found, sources, prefer)[order], kind="stable")]
    return order


def _priority(found: Scan, sources: Sequence[str], prefer: tuple[str, ...]) -> I32:
    if "longest" in prefer:
        if len(prefer) > 1:
            raise UsageError("--prefer takes longest or names of sources, not both", "Give one of them.")
        longest: I32 = (-np.minimum(found.table["bytes"], np.iinfo(np.int32).max)).astype(np.int32)
        return longest
    places = [len(prefer) if group is None else group for group in groups(prefer, sources, "--prefer")]
    by_source: I32 = np.array(places, np.int32)
    return by_source.take(found.table["source"])


def _numbered(survivor: U32, kept: Bool, base: int, keys: U64) -> tuple[I32, I64, I64]:
    """Return the number of each document's cluster (-1: none), and by number the size and the survivor (-1: not ours).

    survivor, kept: of all documents; ours come after `base` of --against, and have `keys`.
    """
    several = ~kept
    several[survivor[several]] = True
    members = np.flatnonzero(several[base:])
    survivors = np.flatnonzero(several & kept)
    inverse = np.searchsorted(survivors, survivor[base:][members])
    sizes = np.bincount(inverse, minlength=len(survivors))
    least = np.full(len(sizes), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(least, inverse, keys[members])
    order = np.lexsort((least, -sizes))
    order = order[sizes[order] > 0]  # not of --against alone
    number = np.full(len(sizes), -1, np.int32)
    number[order] = np.arange(len(order), dtype=np.int32)
    cluster = np.full(len(several) - base, -1, np.int32)
    cluster[members] = number[inverse]
    return cluster, sizes[order], np.maximum(survivors[order] - base, -1)


def find_repetition(
    found: Scan, levels: Levels, kept: Checkpoint, *, marked: bool
) -> tuple[Repetition | None, Repetition | None, Repeated | None]:
    """Find the lines, and the paragraphs, that repeat another one; both at once, each in a thread of its own.

    With `marked` which lines they are comes third. They are kept for --resume.
    """
    if found.lines is None or found.paragraphs is None:
        return None, None, None
    with ThreadPoolExecutor(2) as pool:
        lines = pool.submit(_repetition, found, found.lines, "line", levels, kept)
        paragraphs = pool.submit(_repetition, found, found.paragraphs, "paragraph", levels, kept)
        return lines.result()[0], paragraphs.result()[0], lines.result()[1] if marked else None


def _repetition(
    found: Scan, index: LineIndex, what: str, levels: Levels, kept: Checkpoint
) -> tuple[Repetition, Repeated]:
    table = found.table
    alive = levels.distinct
    repeated = Repeated(**kept.once(f"{what}s-{levels.digest}", lambda: vars(index.repeated(levels.rank, alive))))
    count = of = size = left = 0
    for first, last in table.blocks():
        starts, distinct = repeated.offsets[first : last + 1], alive[first:last]
        lines = table.read(f"{what}_sizes", int(starts[0]), int(starts[-1])).astype(np.int64)
        marks = repeated.of(first, last)
        sums = np.append(0, np.cumsum(lines * marks))
        bytes_ = np.diff(sums[starts - starts[0]])
        count += int(marks.sum())
        size += int(bytes_.sum(where=distinct))
        of += int(((lines >= SHORT_LINE) & np.repeat(distinct, np.diff(starts))).sum())
        if found.verified:
            tokens = table.read("tokens_0", first, last)
            share = bytes_ / np.maximum(table.read("bytes", first, last), 1)
            left += int((tokens - np.rint(tokens * share).astype(np.int64)).sum(where=distinct))
    return Repetition(count, of, size, left if found.verified else None), repeated
