"""Cluster medoids: spherical K-means with k clusters, and of each the row nearest its centre.

Rows come cluster by cluster, the largest first (lowest label on ties). There are fewer clusters than k where rows
coincide; then the second nearest row of each cluster follows, and so on, and the report tells how many came that way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.sft.kmeans import spherical_kmeans
from curate.sft.strategies import Chosen, check

if TYPE_CHECKING:
    import numpy.typing as npt

    from curate.sft.distance import F32, I64


def pick(X: F32, k: int, *, lengths: I64 | None = None, seed: int = 0, workers: int = 1) -> Chosen:
    """Choose `k` of the unit rows of `X` (n, d), each the nearest to the centre of a cluster, lowest index on ties.

    Above 200,000 rows K-means fits a sample (`about["sampled_rows"]`). Raises UsageError on rows that are not of length
    1 (or 0), and unless 1 <= k <= n.
    """
    check(X, k)
    found = spherical_kmeans(X, k, seed=seed, workers=workers)
    rows = by_closeness(found.labels, found.similarity)[:k]
    clusters = len(np.unique(found.labels))
    sampled = {"sampled_rows": found.fitted_rows} if found.fitted_rows < len(X) else {}
    return Chosen(rows, k - clusters, {"clusters": clusters, **sampled})


def by_closeness(labels: npt.NDArray[np.integer], similarity: F32) -> I64:
    """Return all rows: the nearest to its centre of each cluster, then the second nearest of each, and so on."""
    sizes = np.bincount(labels)
    near_first = np.lexsort((np.arange(len(labels)), -similarity, labels))
    place = np.empty(len(labels), dtype=np.int64)
    place[near_first] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    order: I64 = np.lexsort((labels, -sizes[labels], place))
    return order


def by_closeness_reference(labels: npt.NDArray[np.integer], similarity: F32) -> list[int]:
    """Return the rows of `by_closeness` by taking one row of each cluster after the other."""
    names, sizes = np.unique(labels, return_counts=True)
    largest_first = sorted(zip(names, sizes, strict=True), key=lambda pair: (-pair[1], pair[0]))
    queues = [sorted(np.flatnonzero(labels == name), key=lambda i: (-similarity[i], i)) for name, _ in largest_first]
    return [int(queue[turn]) for turn in range(int(max(sizes))) for queue in queues if turn < len(queue)]
