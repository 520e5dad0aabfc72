"""From signatures to clusters of duplicates, each with one survivor, within a memory budget.

    index = DuplicateIndex(parameters, memory=500_000_000)
    for chunk in chunks: index.add(sign(*buffers(chunk), parameters))
    result = index.clusters(keys, priority)

The rule, level by level:
1. Documents of one exact hash are one; the best goes on, the others are `exact` duplicates.
2. Two documents that share a band key are candidates. A candidate pair is merged if the Jaccard similarity of its
   shingle sets reaches the threshold, and not otherwise. Clusters are the connected components of the merged pairs.
3. The survivor of a cluster is the best of its documents: lowest `priority`, then smallest key.

How: documents are renumbered by rank, best first. So the smallest number of a cluster is its survivor, and nothing
depends on the order of files or the number of workers. Band records come back partition by partition (`corpus/spill.py`),
equal keys side by side. In such a bucket each document leads in turn and is compared with the later ones that are not
in its cluster yet; leaders go in blocks of 1, 2, 4, ..., so that a bucket of copies takes one comparison each. Leaving
out pairs that are connected already changes no component. Stars alone (the first of a bucket against the others) would
lose a pair whose star is like neither.

A bucket of more than _EXHAUSTIVE documents is a template: comparing all its pairs may take longer than anything else.
There, up to _LEADERS documents lead in turn, each one the best that no leader took into its cluster, and
`unchecked` counts the pairs that stayed apart without having been compared. It is 0 on every corpus that we have tested.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curate.corpus.minhash import MinHashParameters, Signed
from curate.corpus.spill import Records, Sets
from curate.corpus.text import I64, U32, U64, Bool
from curate.errors import CurateError, UsageError

I32 = npt.NDArray[np.int32]

_EXHAUSTIVE = 1024
_LEADERS = 16
_PAIRS = 1 << 20  # compared in one go: 8 MB
_MOST_DOCUMENTS = 2**32 - 1


@dataclass(frozen=True)
class Clusters:
    """What became of n documents, in the order in which they were added.

    `survivor` int64 (n): the document that stays for this one, itself where it stays. `exact` bool (n): gone because a
    better document has the same exact hash. `cluster` int64 (n): the survivor, -1 for a document without duplicates.
    Comparisons: `candidates` = `merged` + `false`; `unchecked` pairs shared a bucket too large to compare them all.
    """

    survivor: I64
    exact: Bool
    candidates: int
    merged: int
    unchecked: int

    @property
    def kept(self) -> Bool:
        """Which documents stay: bool (n)."""
        kept: Bool = self.survivor == np.arange(len(self.survivor))
        return kept

    @property
    def cluster(self) -> I64:
        """The survivor of each document's cluster, -1 where it is alone: int64 (n)."""
        alone = np.bincount(self.survivor, minlength=len(self.survivor))[self.survivor] == 1
        return np.where(alone, -1, self.survivor)

    @property
    def false(self) -> int:
        """Comparisons that found a Jaccard similarity below the threshold."""
        return self.candidates - self.merged


class DuplicateIndex:
    """Signatures of a corpus, held in `memory` bytes and a temporary file in `directory` beyond that.

    Besides, about 70 bytes a document are in memory while clusters are formed.
    """

    def __init__(self, parameters: MinHashParameters, memory: int = 1 << 30, directory: Path | None = None) -> None:
        self.parameters = parameters
        self._room = memory // 4  # records, sets, sets being compared, and the records of a partition
        self._records = Records(self._room, directory)
        self._sets = Sets(self._room, directory)
        self._exact: list[U64] = []
        self._settled = 0
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
        self._records.append(signed.keys[rows].ravel(), np.repeat(numbers[rows], self.parameters.bands))
        self._sets.append(signed.shingles, signed.shingle_offsets)
        self._exact.append(signed.exact)
        self.documents += n
        return first

    @property
    def spilled(self) -> int:
        """Bytes on disk."""
        return self._records.spilled + self._sets.spilled

    def clusters(self, keys: U64 | None = None, priority: I32 | None = None, workers: int = 1) -> Clusters:
        """Return the clusters of all documents added; see the module's docstring.

        `keys` uint64 (n, 2) name documents by content and decide among equals, so that the order of adding does not
        (None: the exact hash; then copies that differ in white space alone are told apart by their order).
        `priority` int32 (n): lower survives (None: all alike).
        """
        n = self.documents
        for name, given, shape in (("keys", keys, (n, 2)), ("priority", priority, (n,))):
            if given is not None and given.shape != shape:
                raise UsageError(f"{name} are of shape {given.shape}, but {n} documents were added", f"Needed: {shape}")
        exact = np.concatenate([np.empty((0, 2), np.uint64), *self._exact])
        self._exact = [exact]
        keys = exact if keys is None else keys
        order = np.lexsort((keys[:, 1], keys[:, 0], *(() if priority is None else (priority,))))
        return _Merging(self, order.astype(np.uint32), max(workers, 1)).run(exact)
