"""Pick rows within clusters or tasks: first the centre sample of each, then K-Center-Greedy in its core.

The *centre sample* is the row nearest to the cluster's centre by cosine (arXiv 2305.09246 starts from it). The *core*
is the share of a cluster's rows nearest its centre: K-Center-Greedy picks outliers by design, and in the core there are
fewer.

Rank: all first picks, then all second picks, and so on; within a round larger clusters first, then the lower label. So
each prefix of a selection is itself spread over the clusters.

One pool instead of clusters is the same with one label, `core=1` and similarity to the mean of all rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.engine.blocks import one_blas_thread
from curate.errors import UsageError
from curate.sft.distance import F32, F64, I64, squared_norms
from curate.sft.kcenter import greedy

Greedy = Callable[..., tuple[I64, F64]]


@dataclass(frozen=True)
class Picks:
    """The k rows picked, in rank order.

    rows: row numbers. cluster: label of each. order: 0 for the first pick of its cluster, 1 for the second, ...
    radius: distance to the nearest earlier pick of its cluster at the moment it was picked, which is how far the worst
    covered row of the core was; NaN for the first pick (the centre sample), 0 where all that was left coincided with
    picks.
    """

    rows: I64
    cluster: I64
    order: I64
    radius: F64

    def first(self, k: int) -> Picks:
        """Return the first k picks."""
        return Picks(self.rows[:k], self.cluster[:k], self.order[:k], self.radius[:k])

    def notes(self, strategy: str) -> list[str]:
        """Return what should be said aloud about the picks of `strategy`."""
        return []

    def counts(self) -> dict[str, Any]:
        """Return how many picks are centre samples, K-Center-Greedy picks, and coincide with an earlier pick."""
        repeats = int((self.radius == 0).sum())
        centers = int(np.isnan(self.radius).sum())
        return {
            "centre_samples": centers,
            "k_center": len(self.rows) - centers - repeats,
            "coincident": repeats,
        }


def similarity_to_mean(X: F32, labels: npt.NDArray[np.integer]) -> F32:
    """Return the cosine of each unit row of `X` to the mean of the rows with its label; 0 where they cancel out."""
    out = np.zeros(len(X), dtype=np.float32)
    with one_blas_thread():
        for _, rows in rows_by_label(labels):
            mean = X[rows].mean(axis=0, dtype=np.float64)
            length = float(np.linalg.norm(mean))
            if length > 0:
                out[rows] = X[rows] @ (mean / length).astype(np.float32)
    return out


def pick_in_clusters(
    X: F32,
    labels: npt.NDArray[np.integer],
    similarity: F32,
    quotas: Sequence[int],
    *,
    core: float = 0.25,
    chosen: int = 0,
    workers: int = 1,
    greedy: Greedy = greedy,
) -> Picks:
    """Pick `quotas[label]` rows of each cluster: the centre sample, then K-Center-Greedy within the core.

    X: (n, d) float32. labels: (n,) from 0 to len(quotas) - 1. similarity: (n,) cosine of each row to its own centre.
    core: share of each cluster's rows, nearest to the centre first (lowest index on ties), never fewer than its quota;
    where these rows hold fewer distinct ones than the quota, the whole cluster counts. When that is not enough either,
    rows that coincide with picks are taken by lowest index. chosen: so many of the last rows of X are chosen already:
    they are not picked, and in a cluster that has some the first pick is the row of the core farthest from them.
    greedy: picks from a core as `kcenter.greedy` does.
    Raises UsageError on vectors that cannot be compared, a core outside (0, 1], and quotas that do not fit clusters.
    """
    norms = squared_norms(X)
    fresh = len(X) - chosen
    sizes = _check(fresh, labels[:fresh], similarity[:fresh], quotas, core)
    parts: list[tuple[int, I64, F64]] = []
    with one_blas_thread():
        for label, rows in rows_by_label(labels):
            if quotas[label]:
                rows, old = rows[rows < fresh], rows[rows >= fresh]
                near_first = rows[np.argsort(-similarity[rows], kind="stable")]
                inner = max(quotas[label], math.ceil(round(core * len(rows), 9)))
                picks, radii = _pick(X, norms, near_first, old, inner, quotas[label], partial(greedy, workers=workers))
                parts.append((label, picks, radii))
    order = np.concatenate([np.arange(len(picks)) for _, picks, _ in parts])
    cluster = np.concatenate([np.full(len(picks), label, dtype=np.int64) for label, picks, _ in parts])
    picked = np.concatenate([picks for _, picks, _ in parts])
    radius = np.concatenate([radii for _, _, radii in parts])
    rank = np.lexsort((cluster, -sizes[cluster], order))
    return Picks(picked[rank], cluster[rank], order[rank], radius[rank])


def _check(
    n: int, labels: npt.NDArray[np.integer], similarity: F32, quotas: Sequence[int], core: float
) -> npt.NDArray[np.integer]:
    if not 0 < core <= 1:
        raise UsageError(f"core is {core}, but it must be above 0 and at most 1", "1 takes whole clusters")
    if labels.shape != (n,) or similarity.shape != (n,) or labels.min() < 0 or labels.max() >= len(quotas):
        raise UsageError(
            f"{n} vectors, {labels.shape} labels, {similarity.shape} similarities and {len(quotas)} quotas do not fit",
            "Give one label below the number of quotas and one similarity for each vector",
        )
    sizes = np.bincount(labels, minlength=len(quotas))
    wrong = np.flatnonzero((np.asarray(quotas) < 0) | (np.asarray(quotas) > sizes))
    if len(wrong) or not sum(quotas):
        label = int(wrong[0]) if len(wrong) else 0
        raise UsageError(
            f"the quota of cluster {label} is {quotas[label]}, but it has {sizes[label]} rows",
            "Make quotas with curate.data.quota, at least 1 in all",
        )
    return sizes


def rows_by_label(labels: npt.NDArray[np.integer]) -> list[tuple[int, I64]]:
    """Return each label that occurs, ascending, with its rows, ascending."""
    order = np.argsort(labels, kind="stable")
    names, starts = np.unique(labels[order], return_index=True)
    return list(zip(names.tolist(), np.split(order, starts[1:]), strict=True))


def _pick(X: F32, norms: F64, near_first: I64, old: I64, inner: int, quota: int, greedy: Greedy) -> tuple[I64, F64]:
    """Return the picks of one cluster and their radii: in the `inner` rows nearest the centre if these are enough."""
    if quota == 1 and not len(old):
        return near_first[:1], np.array([np.nan])
    core = np.sort(near_first[:inner])
    rows = np.concatenate([core, old])
    first = None if len(old) else int(np.searchsorted(core, near_first[0]))
    pool = X if len(rows) == len(X) else X[rows]
    picks, radii = greedy(pool, norms[rows], quota, first, range(len(core), len(rows)))
    if radii[-1] == 0 and inner < len(near_first):
        return _pick(X, norms, near_first, old, len(near_first), quota, greedy)
    return rows[picks], radii
