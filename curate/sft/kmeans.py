"""Spherical K-means: clusters of unit vectors by cosine, the same for any number of threads.

Lloyd's iterations on all rows (on a seeded sample above 200,000 rows, said in `fitted_rows`), then every row is
assigned to its nearest centre, by matrix products throughout. What was decided:

- The start is k-means++ (Arthur and Vassilvitskii 2007), drawn exactly but lazily: candidates are drawn by outdated
  squared distances, which are upper bounds, and kept with probability true / outdated, which gives the same
  distribution. So distances are brought up to date for many centres at once by one matrix product, not once per centre.
- A cluster whose rows did not change keeps its centre, and most rows are compared only with the centres that moved.
- Ties go to the lowest cluster. An empty cluster takes from the largest cluster (lowest on ties) the row farthest from
  its centre (lowest on ties). Centre sums are in float64, members in row order.
- There are never more centres than rows that differ by more than the float32 error (0.008 apart at 256 dimensions).
- Rows of zeros (texts without any known feature) belong to no direction: their cosine is 0 and they never become a
  centre unless there is nothing else.

The result depends on the order of rows through the random start: callers put rows in id order first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curate.engine.blocks import map_blocks
from curate.errors import UsageError
from curate.sft.distance import F32, F64, I64, squared_norms

I32 = npt.NDArray[np.int32]

_GAIN = 1e-4  # iterations that raise the mean cosine by less are not worth their time (our choice)
_FIT_ALL = 200_000  # rows up to which all are used for fitting (our choice)
_ROWS_PER_CENTER = 256  # rows per centre in a sample (the default of faiss)
_SCREEN = 2**20  # float32 similarities of one block: 4 MB
_GROUP = 64  # clusters whose centres are computed in one go


@dataclass(frozen=True)
class Clusters:
    """Clusters of n unit rows.

    centers: (K, d) float32, unit length; K may be below the number asked for (see the module's docstring).
    labels: (n,) int32. similarity: (n,) float32, cosine to the own centre. objective: mean of `similarity`.
    iterations: centre updates done. fitted_rows: rows that the centres were fitted on.
    """

    centers: F32
    labels: I32
    similarity: F32
    objective: float
    iterations: int
    fitted_rows: int


def spherical_kmeans(
    X: F32, n_clusters: int, *, seed: int, max_iter: int = 25, sample: int | None = None, workers: int = 1
) -> Clusters:
    """Cluster the unit rows of `X` (n, d) float32 into at most `n_clusters` by cosine.

    max_iter bounds the centre updates; they stop as soon as the mean cosine gains less than
    0.0001. sample: fit on so many seeded
    rows; None = all up to 200,000, above that 256 per cluster but at least 200,000. Raises UsageError unless rows are
    float32, finite, and of length 1 (or 0), and 1 <= n_clusters <= n.
    """
    norms = squared_norms(X)
    n = len(X)
    _check(norms, n_clusters, max_iter, sample)
    rng = np.random.default_rng(seed)
    if sample is None:
        sample = n if n <= _FIT_ALL else max(_FIT_ALL, _ROWS_PER_CENTER * n_clusters)
    fitted = min(n, sample)
    if fitted < n:
        rows = np.sort(rng.choice(n, fitted, replace=False))
        centers, _, _, iterations = _fit(X[rows], norms[rows], n_clusters, rng, max_iter, workers)
        labels, similarity = _nearest(X, centers, workers)
    else:
        centers, labels, similarity, iterations = _fit(X, norms, n_clusters, rng, max_iter, workers)
    objective = float(similarity.mean(dtype=np.float64))
    return Clusters(centers, labels.astype(np.int32), similarity, objective, iterations, fitted)


def _check(norms: F64, n_clusters: int, max_iter: int, sample: int | None) -> None:
    off = np.flatnonzero((abs(norms - 1) > 1e-3) & (norms > 0))
    if len(off):
        raise UsageError(
            f"row {off[0]} has length {norms[off[0]] ** 0.5:.4g}, but spherical K-means needs rows of length 1",
            "Divide each row by its length: X / np.linalg.norm(X, axis=1, keepdims=True)",
        )
    if not 1 <= n_clusters <= len(norms):
        raise UsageError(
            f"cannot make {n_clusters} clusters of {len(norms)} rows", f"Ask for 1 to {len(norms)} clusters"
        )
    if max_iter < 1 or (sample is not None and sample < n_clusters):
        raise UsageError(
            f"max_iter is {max_iter} and sample is {sample} for {n_clusters} clusters",
            f"max_iter starts at 1, sample at {n_clusters}",
        )


def _fit(
    X: F32, norms: F64, n_clusters: int, rng: np.random.Generator, max_iter: int, workers: int
) -> tuple[F32, I64, F32, int]:
    """Return centres, labels, similarities and the number of updates. Prior validation of data is assumed."""
    centers = X[_start(X, norms, n_clusters, rng, workers)]
    labels, similarity = _nearest(X, centers, workers)
    changed = np.ones(len(centers), dtype=bool)  # clusters whose centre is out of date
    iterations, objective = 0, -1.0
    while iterations < max_iter and changed.any():
        _fill_empty(labels, similarity, changed)
        which = np.flatnonzero(changed)
        centers[which] = _means(X, labels, which, workers)
        before = labels.copy()
        _reassign(X, centers, changed, labels, similarity, workers)
        iterations += 1
        gain, objective = similarity.mean(dtype=np.float64) - objective, similarity.mean(dtype=np.float64)
        if gain < _GAIN:
            break
        moved = labels != before
        changed[:] = False
        changed[labels[moved]] = changed[before[moved]] = True
    return centers, labels, similarity, iterations


def _start(X: F32, norms: F64, n_clusters: int, rng: np.random.Generator, workers: int) -> I64:
    """Draw the starting centres, each with a probability proportional to its squared distance to those before."""
    error = X.shape[1] * 2.0**-23
    chosen: list[int] = []
    weight = norms.copy()  # half the squared distance to the nearest centre; zero rows are never drawn
    while len(chosen) < n_clusters and weight.any():
        batch = min(n_clusters - len(chosen), 1 + len(chosen) // 2)
        total = np.cumsum(weight)
        drawn = np.searchsorted(total, rng.random(batch) * total[-1], side="right")
        drawn = np.minimum(drawn, np.flatnonzero(weight)[-1])
        between = norms[drawn, None] - X[drawn] @ X[drawn].T
        kept: list[int] = []
        for i, threshold in enumerate(rng.random(batch)):
            if threshold * weight[drawn[i]] < between[i, kept].min(initial=weight[drawn[i]]):
                kept.append(i)
        chosen.extend(drawn[kept].tolist())
        _, similarity = _nearest(X, X[drawn[kept]], workers)
        np.minimum(weight, norms - similarity, out=weight)
        weight[weight < error] = 0
    return np.array(chosen or [0], dtype=np.int64)


def _nearest(X: F32, centers: F32, workers: int, rows: I64 | None = None) -> tuple[I64, F32]:
    """Return the centre of the largest cosine, lowest index on ties, and the cosine, for all rows or for `rows`."""

    def block(start: int, stop: int) -> tuple[I64, F32]:
        similarity = (X[start:stop] if rows is None else X[rows[start:stop]]) @ centers.T
        best = similarity.argmax(axis=1)
        return best, similarity[np.arange(len(best)), best]

    size = max(64, _SCREEN // len(centers))
    parts = map_blocks(block, len(X) if rows is None else len(rows), size, workers)
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _reassign(X: F32, centers: F32, changed: npt.NDArray[np.bool_], labels: I64, similarity: F32, workers: int) -> None:
    """Bring `labels` and `similarity` up to date after the `changed` centres moved.

    No centre that stayed is nearer to a row than its own centre was before. So the moved centres are enough, unless a
    row's own centre moved and none of the moved ones is as near as that was.
    """
    which = np.flatnonzero(changed)
    best, cosine = _nearest(X, centers[which], workers)
    best = which[best]
    own_moved = changed[labels]
    better = (cosine > similarity) | (~own_moved & (cosine == similarity) & (best < labels))
    lost = np.flatnonzero(own_moved & ~better)
    labels[better], similarity[better] = best[better], cosine[better]
    if len(which) == len(centers):
        labels[lost], similarity[lost] = best[lost], cosine[lost]
    else:
        labels[lost], similarity[lost] = _nearest(X, centers, workers, lost)


def _means(X: F32, labels: I64, which: I64, workers: int) -> F32:
    """Return the normalised mean of the rows of each cluster in `which`; zeros where they cancel out."""
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.append(which, which[-1] + 1))
    ends = np.searchsorted(labels[order], which, side="right")

    def block(start: int, stop: int) -> F64:
        members = (X[order[bounds[i] : ends[i]]] for i in range(start, stop))
        return np.stack([rows.sum(axis=0, dtype=np.float64) for rows in members])

    sums = np.concatenate(map_blocks(block, len(which), _GROUP, workers))
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return (sums / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def _fill_empty(labels: I64, similarity: F32, changed: npt.NDArray[np.bool_]) -> None:
    """Give each empty cluster the farthest row of the largest cluster, unless all rows there coincide."""
    sizes = np.bincount(labels, minlength=len(changed))
    for empty in np.flatnonzero(sizes == 0):
        largest = int(np.argmax(sizes))
        members = np.flatnonzero(labels == largest)
        row = members[np.argmin(similarity[members])]
        if similarity[row] >= similarity[members].max():
            break
        labels[row], similarity[row] = empty, 1
        sizes[largest] -= 1
        sizes[empty] = 1
        changed[largest] = changed[empty] = True


def kmeans_reference(X: F32, centers: F32) -> tuple[I64, F64, F64]:
    """Return labels, cosines and the new centres of one Lloyd iteration in float64, row by row."""
    wide, old = X.astype(np.float64), centers.astype(np.float64)
    labels = np.array([int(np.argmax(old @ row)) for row in wide])
    cosines = np.array([float(old[label] @ row) for label, row in zip(labels, wide, strict=True)])
    new = old.copy()
    for cluster in range(len(old)):
        if (labels == cluster).any():
            total = wide[labels == cluster].sum(axis=0)
            new[cluster] = total / np.linalg.norm(total) if total.any() else total
    return labels, cosines, new
