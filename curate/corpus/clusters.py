"""From signatures to clusters of duplicates, each with one survivor, within a memory budget.

    index = DuplicateIndex(parameters, memory=500_000_000)
    for chunk in chunks: index.add(sign(*buffers(chunk), parameters))
    result = index.clusters(order)

The rule, level by level:
1. Documents of one exact hash are one; the best goes on, the others are `exact` duplicates.
2. Two documents that share a band key are candidates. A candidate pair is merged if the Jaccard similarity of its
   shingle sets reaches the threshold, and not otherwise. Clusters are the connected components of the merged pairs.
3. The survivor of a cluster is the best of its documents, the first in `order`.

How: documents are renumbered in this order. So the smallest number of a cluster is its survivor, and nothing
depends on the order of files or the number of workers. Band records come back partition by partition
(`corpus/spill.py`), equal keys side by side. In such a bucket each document leads in turn and is compared with the
later ones that are not in its cluster yet; leaders go in blocks of 1, 2, 4, ..., so that a bucket of copies takes one
comparison each. Leaving out pairs that are connected already changes no component. Stars alone (the first of a bucket
against the others) would lose a pair whose star is like neither.

A bucket of more than _EXHAUSTIVE documents is a template: comparing all its pairs may take longer than anything else.
There, up to _LEADERS documents lead in turn, each one the best that no leader took into its cluster, and `unchecked`
counts the pairs that stayed apart without having been compared: 0 on every real corpus that we have tested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curate.corpus.minhash import MinHashParameters, Signed, sign
from curate.corpus.spill import Column, Records, Seen, Sets, Values, in_runs
from curate.corpus.text import I64, U32, U64, Bool, buffers
from curate.errors import UsageError

if TYPE_CHECKING:
    from curate.corpus.held import HeldRecords, HeldSets

_EXHAUSTIVE = 1024  # documents: half a million comparisons, a second or two (our choice)
_LEADERS = 16  # our choice
_PAIRS = 1 << 20  # compared in one go: 8 MB
_PART = 1 << 17  # shingles sorted in one call
_CHUNK = 4096  # texts signed in one call
_MOST_DOCUMENTS = 2**32 - 1


@dataclass(frozen=True)
class Clusters:
    """What became of n documents, in the order in which they were added.

    `survivor` uint32 (n): the document that stays for this one, itself where it stays. `exact` bool (n): gone because a
    better document has the same exact hash. Comparisons: `candidates` = `merged` + `false`; `unchecked` pairs shared a
    bucket too large to compare them all.
    """

    survivor: U32
    exact: Bool
    candidates: int
    merged: int
    unchecked: int

    @property
    def kept(self) -> Bool:
        """Which documents stay: bool (n)."""
        kept: Bool = self.survivor == np.arange(len(self.survivor), dtype=np.uint32)
        return kept

    @property
    def false(self) -> int:
        """Comparisons that found a Jaccard similarity below the threshold."""
        return self.candidates - self.merged


class DuplicateIndex:
    """Signatures of a corpus, held in `memory` bytes and a temporary file in `directory` beyond that.

    Besides, about 20 bytes a document are in memory while clusters are formed, and 40 more for one that has a copy.
    """

    def __init__(self, parameters: MinHashParameters, memory: int = 1 << 30, directory: Path | None = None) -> None:
        self.parameters = parameters
        self.room = memory // 4  # records, sets, sets being compared, and the records of a partition
        self.records: Records | HeldRecords = Records(self.room, directory)
        self.sets: Sets | HeldSets = Sets(self.room, directory)
        self.exact = Column(np.uint64, directory, width=2)
        self.settled = 0  # documents at the front that are known to be distinct: those of a saved index
        self.documents = 0

    def add(self, signed: Signed) -> int:
        """Take in the signatures of more documents; return the number of the first."""
        n, first = len(signed), self.documents
        if first + n > _MOST_DOCUMENTS:
            raise UsageError(
                f"{first + n} documents are more than the {_MOST_DOCUMENTS} that one run can compare",
                "Split the corpus and join the parts with --save-index and --against",
            )
        numbers = np.arange(first, first + n, dtype=np.uint32)
        rows = signed.words > 0  # a text without words has nothing to be compared
        self.records.append(signed.keys[rows].ravel(), np.repeat(numbers[rows], self.parameters.bands))
        self.sets.append(signed.shingles, signed.shingle_offsets)
        self.exact.append(signed.exact)
        self.documents += n
        return first

    def settle(self, exact: U64) -> None:
        """Name the documents of a saved index, whose records and sets were appended: known to be distinct, best."""
        self.exact.append(exact)
        self.documents = self.settled = len(exact)

    @property
    def spilled(self) -> int:
        """Bytes on disk."""
        return self.records.spilled + self.sets.spilled

    def clusters(self, order: U32 | None = None, workers: int = 1) -> Clusters:
        """Return the clusters of all documents added; see the module's docstring.

        `order` uint32 (n): the documents, best first (None: by the exact hash; then copies that differ in white space
        alone are told apart by the order of adding). Those of a saved index come before all others.
        """
        n = self.documents
        if order is None:
            exact = np.concatenate([np.empty((0, 2), np.uint64), *self.exact.blocks()])
            order = np.lexsort((exact[:, 1], exact[:, 0])).astype(np.uint32)
        if order.shape != (n,):
            raise UsageError(f"order is of shape {order.shape}, but {n} documents were added", f"Needed: ({n},)")
        if (order[: self.settled] >= self.settled).any():
            order = np.concatenate((np.arange(self.settled, dtype=np.uint32), order[order >= self.settled]))
        with ThreadPoolExecutor(max(workers, 1)) as pool:
            return _clusters(self, order, pool.map if workers > 1 else map)


def find_duplicates(
    texts: pl.Series,
    parameters: MinHashParameters,
    order: U32 | None = None,
    workers: int = 1,
) -> Clusters:
    """Return the clusters of duplicates among texts that fit into memory; see `DuplicateIndex.clusters`."""
    index = DuplicateIndex(parameters)
    chunks = [texts.slice(start, _CHUNK) for start in range(0, len(texts), _CHUNK)]
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        for signed in pool.map(lambda chunk: sign(*buffers(chunk), parameters), chunks):
            index.add(signed)
    return index.clusters(order, workers)


Map = Callable[..., Iterable[Any]]


def _clusters(index: DuplicateIndex, order: U32, run: Map) -> Clusters:
    """Merge by exact hash, then bucket by bucket. Prior validation of data is assumed."""
    from curate.corpus.pair_kernels import roots

    n = len(order)
    rank = np.empty(n, np.uint32)
    rank[order] = np.arange(n, dtype=np.uint32)
    parent = np.arange(n, dtype=np.uint32)
    copies, best = _copies(index.exact, rank)
    parent[rank[copies]] = rank[best]
    active = np.ones(n, np.bool_)
    active[copies] = copies == best
    del copies, best
    merging = _Merging(index.sets, order, parent, index.settled, index.parameters.threshold, index.room, run)

    def still_active(keys: U64, documents: Values) -> tuple[U64, Values]:
        rows = active[documents]
        return keys[rows], documents[rows]

    for keys, documents in index.records.partitions(still_active, shared=True):
        merging.add(*_buckets(keys, documents, rank, active))
    survivor = order[roots(parent, rank)]
    return Clusters(survivor, ~active, merging.candidates, merging.merged, merging.unchecked)


def _copies(hashes: Column, rank: U32) -> tuple[U32, U32]:
    """Return the documents whose exact hash another one has, and for each the best of them."""
    seen = Seen(hashes.rows)
    for block in hashes.blocks():
        seen.mark(np.ascontiguousarray(block[:, 0]))
    rows, exact, first = [np.empty(0, np.uint32)], [np.empty((0, 2), np.uint64)], 0
    for block in hashes.blocks():
        several = seen.several(np.ascontiguousarray(block[:, 0]))
        rows.append((first + np.flatnonzero(several)).astype(np.uint32))
        exact.append(block[several])
        first += len(block)
    documents, pairs = np.concatenate(rows), np.concatenate(exact)
    del seen, rows, exact  # where most documents are copies, each of these is as large as all that stays
    order = np.lexsort((rank[documents], pairs[:, 1], pairs[:, 0]))
    documents, pairs = documents[order], pairs[order]
    same = np.zeros(len(documents) + 1, np.bool_)  # as the one before
    same[1:-1] = (pairs[1:] == pairs[:-1]).all(axis=1)
    del order, pairs
    group = np.cumsum(~same[:-1], dtype=np.uint32) - np.uint32(1)
    best = documents[~same[:-1]][group]
    copies = same[:-1] | same[1:]
    return documents[copies], best[copies]


def _buckets(keys: U64, documents: U32, rank: U32, active: Bool) -> tuple[U32, I64, I64]:
    """Return the ranks that share a key, ascending, bucket after bucket, and where buckets start and end."""
    shared = in_runs(keys)
    shared[shared] = active[documents[shared]]
    keys = keys[shared]
    fresh = np.ones(len(keys), np.bool_)
    fresh[1:] = keys[1:] != keys[:-1]
    packed = np.cumsum(fresh, dtype=np.uint64)  # the number of its key and its rank: sorted in place, in few bytes
    del keys, fresh
    packed <<= np.uint64(32)
    packed |= rank[documents[shared]]
    packed.sort()
    ranks = packed.astype(np.uint32)
    packed >>= np.uint64(32)
    edges = np.concatenate([[0], np.flatnonzero(packed[1:] != packed[:-1]) + 1, [len(packed)]]).astype(np.int64)
    several = np.diff(edges) > 1
    return ranks, edges[:-1][several], edges[1:][several]


class _Merging:
    """The clusters so far (`parent`, over ranks) and what it takes to compare two documents."""

    def __init__(
        self, sets: Sets | HeldSets, order: U32, parent: U32, settled: int, threshold: float, room: int, run: Map
    ) -> None:
        self.sets, self.order, self.parent, self.settled = sets, order, parent, settled
        self.threshold, self.room, self.run = threshold, room, run
        self.candidates = self.merged = self.unchecked = 0

    def add(self, members: U32, starts: I64, stops: I64) -> None:
        """Merge what is similar within each bucket members[starts[b]:stops[b]]."""
        huge = stops - starts > _EXHAUSTIVE
        self._add_usual(members, starts[~huge], stops[~huge])
        for start, stop in zip(starts[huge], stops[huge], strict=True):
            self._add_huge(members[start:stop])

    def _add_usual(self, members: U32, starts: I64, stops: I64) -> None:
        """Let each document of a bucket lead in turn, until the bucket is one cluster or all pairs are compared."""
        from curate.corpus.pair_kernels import divided, propose

        left, right = np.empty(_PAIRS, np.uint32), np.empty(_PAIRS, np.uint32)
        turn, block = np.zeros(len(starts), np.int64), 1
        while len(starts):
            bucket = 0
            while bucket < len(starts):
                count, bucket = propose(
                    members, starts, stops, turn, block, bucket, self.settled, self.parent, left, right
                )
                self._compare(left[:count], right[:count])
            still = (turn < stops - starts - 1) & divided(members, starts, stops, self.parent)
            starts, stops, turn, block = starts[still], stops[still], turn[still], 2 * block

    def _add_huge(self, members: U32) -> None:
        """Compare up to _LEADERS documents with the rest, each the best one that no former leader took."""
        from curate.corpus.pair_kernels import roots

        before, rest = self.candidates - self.merged, members
        for _ in range(_LEADERS):
            leader, rest = rest[:1], rest[1:]
            apart = rest[(rest >= self.settled) & (roots(self.parent, rest) != roots(self.parent, leader))]
            for start in range(0, len(apart), _PAIRS):
                part = apart[start : start + _PAIRS]
                self._compare(np.broadcast_to(leader, len(part)), part)
            rest = rest[roots(self.parent, rest) != roots(self.parent, leader)]
            if len(rest) < 2:
                break
        groups = np.where(members < self.settled, -1, roots(self.parent, members).astype(np.int64))
        sizes = np.unique(groups, return_counts=True)[1]
        apart_pairs = (len(members) ** 2 - int((sizes**2).sum())) // 2
        self.unchecked += max(apart_pairs - (self.candidates - self.merged - before), 0)

    def _compare(self, left: U32, right: U32) -> None:
        """Merge the pairs whose true Jaccard similarity reaches the threshold."""
        from curate.corpus.pair_kernels import unite

        pairs = np.unique(left.astype(np.uint64) << np.uint64(32) | right)
        left, right = (pairs >> np.uint64(32)).astype(np.uint32), pairs.astype(np.uint32)
        found = self._similar(left, right)
        unite(self.parent, left[found], right[found])
        self.candidates += len(found)
        self.merged += int(found.sum())

    def _similar(self, left: U32, right: U32) -> Bool:
        """Return which pairs are similar, in parts whose shingles fit into memory."""
        documents = np.unique(self.order[np.concatenate((left, right))]).astype(np.int64)
        starts = self.sets.starts()
        size = 4 * int((starts[documents + 1] - starts[documents]).sum())
        half = len(left) // 2
        if size > self.room and half:
            return np.concatenate((self._similar(left[:half], right[:half]), self._similar(left[half:], right[half:])))
        return _similar(
            *self.sets.fetch(documents),
            np.searchsorted(documents, self.order[left]),
            np.searchsorted(documents, self.order[right]),
            self.threshold,
            self.run,
        )


def _similar(values: U32, offsets: I64, left: I64, right: I64, threshold: float, run: Map) -> Bool:
    """Return for each pair of sets whether its Jaccard similarity reaches the threshold; sorts `values` in place."""
    from curate.corpus.pair_kernels import similar, sort_sets

    sizes, found = np.empty(len(offsets) - 1, np.int64), np.empty(len(left), np.bool_)
    # A few hundred kilobytes a call keep threads busy; the parts do not change the result.
    parts = np.unique(np.searchsorted(offsets, np.arange(0, offsets[-1] + _PART, _PART)).clip(max=len(sizes)))
    list(run(lambda first, last: sort_sets(values, offsets, first, last, sizes), parts[:-1], parts[1:]))
    cuts = np.arange(0, len(left) + _PART // 256, _PART // 256).clip(max=len(left))
    arguments = values, offsets, sizes, left, right, threshold
    list(run(lambda first, last: similar(*arguments, first, last, found), cuts[:-1], cuts[1:]))
    return found
