"""K-means by cosine or by Euclidean distance: the same clusters for any order of the rows and number of threads.

Lloyd's iterations on a seeded sample of the rows (on all where they are few, said in `fitted_rows`), then every row is
assigned to its nearest centre. What was decided:

- Rows are put in the order of a seeded hash of their bytes before anything is drawn, and clusters are numbered as their
  centres were drawn. The sample is the first rows in this order, and "lowest row" below means the first in it. (64
  bits: that two different rows of a million share a hash, and so depend on the order given, has odds of 3 in 10^8.)
  The last bits of a vector differ between processors, and with them the hash: rows that come in an order of their own,
  as those of a selection do, are drawn by place instead (`ordered`), and then last bits decide near-ties alone.
- The start is k-means++ (Arthur and Vassilvitskii 2007) on the first rows of the sample, drawn exactly but lazily:
  candidates are drawn by outdated squared distances, which are upper bounds, and kept with probability true / outdated,
  which gives the same distribution. So distances are brought up to date for many centres at once by one matrix product.
- A row's score with a centre is x·c - |c|²/2 (by cosine x·c) of the stored float32 vectors in float64; the largest
  wins, the lowest cluster on ties. A float32 matrix product settles all but the near-ties, here or on a GPU.
- Sums over rows are sums of whole numbers, so their order does not matter and rows that move leave no trace.
- An empty cluster takes from the largest cluster (lowest on ties) the row farthest from its centre (lowest on ties).
- There are never more centres than rows that differ by more than the float32 error (0.008 apart at 256 dimensions, for
  rows of length 1).
- By cosine, rows of zeros (texts without any known feature) belong to no direction: their cosine is 0 and they never
  become a centre unless there is nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.engine.blocks import map_blocks, one_blas_thread
from curate.errors import UsageError, unknown_name
from curate.sft.distance import F32, F64, I64, slack, squared_distances, squared_norms

I32 = npt.NDArray[np.int32]
Nearest = Callable[[F32, F64], I64]  # (centres, what scores are below the dot products) -> label of each row
Search = Callable[[F32, float], Nearest]  # (rows, window within which float32 scores cannot tell) -> Nearest
Progress = Callable[[int, int | None], None]

METRICS = ("cosine", "euclidean")
_GAIN = 1e-4  # iterations that raise the mean cosine by less are not worth their time (our choice)
_FIT_ALL = 200_000  # rows up to which all are used for fitting (our choice)
_ROWS_PER_CENTER = 256  # rows per centre in a sample (the default of faiss)
_START_ALL = 20_000  # rows up to which the start is drawn among all
_START_PER_CENTER = 64  # rows per centre among which it is drawn otherwise
_TILE = 1024  # rows, and centres, of one matrix product: 4 MB
_CHUNK = 2**16  # rows of the final assignment at a time
_STRIPE = 64  # columns summed in one go


@dataclass(frozen=True)
class Clusters:
    """Clusters of n rows.

    centers: (K, d) float32, by cosine of unit length; K may be below the number asked for (see the module's docstring).
    labels: (n,) int32. similarity: (n,) float32, larger is nearer: the cosine to the own centre; Euclidean, minus the
    distance to it. objective: the mean cosine; Euclidean, the mean squared distance. iterations: centre updates done.
    fitted_rows: rows that the centres were fitted on.
    """

    centers: F32
    labels: I32
    similarity: F32
    objective: float
    iterations: int
    fitted_rows: int


def kmeans(
    X: F32,
    n_clusters: int,
    *,
    seed: int,
    metric: str = "cosine",
    max_iter: int = 25,
    sample: int | None = None,
    workers: int = 1,
    device: str = "cpu",
    assign: Search | None = None,
    ordered: bool = False,
    on_progress: Progress | None = None,
) -> Clusters:
    """Cluster the rows of `X` (n, d) float32, which may be a memory map, into at most `n_clusters`.

    metric: cosine (spherical K-means) or euclidean. max_iter bounds the centre updates; they stop as soon as the mean
    cosine gains less than 0.0001 (Euclidean: the mean squared distance falls by less than 0.0001 of the variance).
    sample: fit on so many seeded rows, which are copied; None = all up to 200,000, above that 256 per cluster but at
    least 200,000. device: cpu, or a torch device, which gives the same clusters. assign: finds the centre of each row
    once they are fitted (None: the device does). ordered: rows come in an order of their own, as that of ids; else any
    order gives the same clusters. on_progress(done, at most): rows compared with all centres. Raises UsageError unless
    rows are float32, finite and, by cosine, of length 1 (or 0), and 1 <= n_clusters <= n.
    """
    norms = squared_norms(X)
    _check(norms, n_clusters, metric, max_iter, sample)
    fitted = min(len(X), sample or rows_to_fit(len(X), n_clusters))
    search = search_here(workers)
    if device != "cpu":
        from curate.sft.kmeans_torch import search_on

        search = search_on(device, workers)
    order = _shuffled(len(X), seed) if ordered else _hashed(X, seed, workers)
    return _kmeans(
        X, norms, order, n_clusters, metric, fitted, max_iter, seed, workers, search, assign, on_progress or _silent
    )


def spherical_kmeans(X: F32, n_clusters: int, **options: Any) -> Clusters:
    """Cluster unit rows by cosine: `kmeans` with its default metric."""
    return kmeans(X, n_clusters, metric="cosine", **options)


def _check(norms: F64, n_clusters: int, metric: str, max_iter: int, sample: int | None) -> None:
    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)
    off = np.flatnonzero((abs(norms - 1) > 1e-3) & (norms > 0))
    if metric == "cosine" and len(off):
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


def _silent(done: int, total: int | None) -> None:
    """Tell nobody."""


def rows_to_fit(n: int, n_clusters: int) -> int:
    """Return how many of `n` rows `n_clusters` centres are fitted on where nothing else is asked."""
    return n if n <= _FIT_ALL else min(n, max(_FIT_ALL, _ROWS_PER_CENTER * n_clusters))


def _kmeans(
    X: F32, norms: F64, order: I64, n_clusters: int, metric: str, fitted: int, max_iter: int, seed: int, workers: int,
    search: Search, assign: Search | None, on_progress: Progress,
) -> Clusters:  # fmt: skip
    """Fit on the first `fitted` rows of `order`, then assign all. Prior validation of data is assumed."""
    n, rest = len(X), len(X) if fitted < len(X) else 0
    total = fitted * (max_iter + 1) + rest
    data, squares = _take(X, order[:fitted]), norms[order[:fitted]]
    window = slack(X.shape[1], 1.000001 * max(float(norms.max()), 1.0 if metric == "cosine" else 0.0))
    few = min(fitted, max(_START_ALL, _START_PER_CENTER * n_clusters))
    start = _start(data[:few], squares[:few], n_clusters, metric, np.random.default_rng(seed), workers)
    centers, found, iterations = _fit(
        data, squares, data[start], metric, max_iter, search(data, window), workers,
        lambda rounds: on_progress(rounds * fitted, total),
    )  # fmt: skip
    del data
    half = _half(centers, metric)
    labels, similarity = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.float32)
    labels[order[:fitted]] = found
    if rest and assign is not None:
        labels[:] = assign(X, window)(centers, half)
    for first in range(0, n, _CHUNK):
        part = slice(first, first + _CHUNK)
        rows = np.ascontiguousarray(X[part])
        if rest and assign is None:
            labels[part] = search(rows, window)(centers, half)
            on_progress(total - n + first + len(rows), total)
        similarity[part] = _similarity(rows, centers, labels[part], metric, workers)
    values = similarity.astype(np.float64)
    objective = math.fsum(values if metric == "cosine" else values * values) / n
    return Clusters(centers, labels, similarity, objective, iterations, fitted)


def _shuffled(n: int, seed: int) -> I64:
    """Return n rows in a seeded order of their places; its stream is not the one that draws the start."""
    return np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0]).permutation(n)


def _hashed(X: F32, seed: int, workers: int) -> I64:
    """Return the rows in the order of a seeded hash of their bytes."""
    from curate.sft.kmeans_kernels import hash_rows

    hashes = np.empty(len(X), dtype=np.uint64)
    key = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]

    def block(start: int, stop: int) -> None:
        hash_rows(np.ascontiguousarray(X[start:stop]).view(np.uint32), key, hashes[start:stop])

    map_blocks(block, len(X), _CHUNK, workers)
    return np.argsort(hashes, kind="stable")


def _take(X: F32, rows: I64) -> F32:
    """Return X[rows], read from front to back, since X may lie on a disk."""
    out = np.empty((len(rows), X.shape[1]), dtype=np.float32)
    forward = np.argsort(rows)
    for start in range(0, len(rows), _CHUNK):
        places = forward[start : start + _CHUNK]
        out[places] = X[rows[places]]
    return out


def _start(data: F32, norms: F64, n_clusters: int, metric: str, rng: np.random.Generator, workers: int) -> I64:
    """Draw the starting centres, each with a probability proportional to its squared distance to those before."""
    error = data.shape[1] * 2.0**-23 * float(norms.max())
    weight = np.where((norms > 0) | (metric == "euclidean"), np.inf, 0.0)  # half the squared distance to the nearest
    kept = rng.choice(np.flatnonzero(weight), 1) if weight.any() else np.zeros(1, dtype=np.int64)
    chosen: list[int] = []
    while True:
        chosen.extend(kept.tolist())
        np.minimum(weight, _half_distance(data, norms, kept, workers), out=weight)
        weight[weight < error] = 0
        batch = min(n_clusters - len(chosen), 1 + len(chosen) // 2)
        if batch == 0 or not weight.any():
            return np.array(chosen, dtype=np.int64)
        total = np.cumsum(weight)
        drawn = np.searchsorted(total, rng.random(batch) * total[-1], side="right")
        drawn = np.minimum(drawn, np.flatnonzero(weight)[-1])
        with one_blas_thread():
            between = (norms[drawn, None] + norms[drawn]) / 2 - data[drawn] @ data[drawn].T
        places: list[int] = []
        for i, threshold in enumerate(rng.random(batch)):
            if threshold * weight[drawn[i]] < between[i, places].min(initial=weight[drawn[i]]):
                places.append(i)
        kept = drawn[places]


def _half_distance(data: F32, norms: F64, rows: I64, workers: int) -> F64:
    """Return half the squared distance of each row of `data` to the nearest of `rows`, up to the float32 error."""
    centers, half = data[rows], (norms[rows] / 2).astype(np.float32)

    def block(start: int, stop: int) -> F32:
        highest: F32 = (data[start:stop] @ centers.T - half).max(axis=1)
        return highest

    distance: F64 = norms / 2 - np.concatenate(map_blocks(block, len(data), _TILE, workers))
    return distance


def _fit(
    data: F32, norms: F64, centers: F32, metric: str, max_iter: int, nearest: Nearest, workers: int,
    tell: Callable[[int], None],
) -> tuple[F32, I64, int]:  # fmt: skip
    """Return centres, labels and the number of centre updates; `tell` hears how often all rows were assigned."""
    sums = _Sums(data, norms, len(centers), workers)
    labels = nearest(centers, _half(centers, metric))
    sums.move(np.full(len(data), -1), labels)
    tell(1)
    least = _GAIN if metric == "cosine" else _GAIN * sums.variance() / 2
    score = sums.mean_score(centers, metric)
    for iteration in range(1, max_iter + 1):
        filled = _fill_empty(data, norms, centers, labels, metric)
        sums.move(labels, filled)
        centers = sums.means(centers, metric)
        labels = nearest(centers, _half(centers, metric))
        moved = sums.move(filled, labels)
        tell(iteration + 1)
        last, score = score, sums.mean_score(centers, metric)
        if not moved or score - last < least:
            break
    return centers, labels, iteration


class _Sums:
    """The sum of each cluster's rows in whole units of 1/scale, so that no order of adding gives another sum."""

    def __init__(self, data: F32, norms: F64, n_clusters: int, workers: int) -> None:
        self.data, self.norms, self.workers = data, norms, workers
        largest = max(float(norms.max()) ** 0.5, 1e-30)
        self.scale = 2.0 ** (62 - math.ceil(math.log2(len(data) * largest)))  # all rows together stay below 2^63
        self.units = np.zeros((n_clusters, data.shape[1]), dtype=np.int64)
        self.sizes = np.zeros(n_clusters, dtype=np.int64)

    def move(self, before: I64, after: I64) -> int:
        """Move the rows whose label changes (-1: had none); return how many."""
        from curate.sft.kmeans_kernels import move_rows

        rows = np.flatnonzero(before != after)

        def stripe(start: int, stop: int) -> None:
            move_rows(self.data, rows, before, after, self.scale, self.units, start, stop)

        map_blocks(stripe, self.data.shape[1], _STRIPE, self.workers)
        self.sizes = np.bincount(after, minlength=len(self.units))
        return len(rows)

    def means(self, centers: F32, metric: str) -> F32:
        """Return the means, by cosine of unit length (zeros where they cancel out); an empty cluster keeps its own."""
        sums = self.units / self.scale
        over = np.linalg.norm(sums, axis=1) if metric == "cosine" else self.sizes
        means = (sums / np.where(over > 0, over, 1)[:, None]).astype(np.float32)
        return np.where(self.sizes[:, None] > 0, means, centers)

    def mean_score(self, centers: F32, metric: str) -> float:
        """Return the mean score of all rows with their own centres."""
        total = (self.units / self.scale * centers).sum() - (self.sizes * _half(centers, metric)).sum()
        return float(total) / len(self.data)

    def variance(self) -> float:
        """Return the mean squared distance of all rows to their mean."""
        mean = self.units.sum(axis=0) / self.scale / len(self.data)
        return float(self.norms.mean() - mean @ mean)


def _half(centers: F32, metric: str) -> F64:
    """Return what scores are below dot products."""
    wide = centers.astype(np.float64)
    return (wide * wide).sum(axis=1) / 2 if metric == "euclidean" else np.zeros(len(centers))


def _fill_empty(data: F32, norms: F64, centers: F32, labels: I64, metric: str) -> I64:
    """Return labels where each empty cluster has the farthest row of the largest, unless all rows there coincide."""
    from curate.sft.kmeans_kernels import own_scores

    labels, half = labels.copy(), _half(centers, metric)
    sizes = np.bincount(labels, minlength=len(centers))
    for empty in np.flatnonzero(sizes == 0):
        largest = int(np.argmax(sizes))
        members = np.flatnonzero(labels == largest)
        nearness = np.empty(len(members))
        own_scores(data[members], centers, half, labels[members], nearness)
        if metric == "euclidean":
            nearness -= norms[members] / 2
        row = members[np.argmin(nearness)]
        if nearness.min() == nearness.max():
            break
        labels[row] = empty
        sizes[largest], sizes[empty] = sizes[largest] - 1, 1
    return labels


def search_here(workers: int) -> Search:
    """Return the search for nearest centres with numpy's BLAS."""

    def search(X: F32, window: float) -> Nearest:
        return lambda centers, half: nearest_centers(X, centers, half, window, workers)

    return search


def nearest_centers(X: F32, centers: F32, half: F64, window: float, workers: int = 1) -> I64:
    """Return the centre of the largest score for each row, lowest index on ties: float32 screens, float64 decides."""
    from curate.sft.kmeans_kernels import decide

    rough, limit = half.astype(np.float32), np.float32(window)

    def block(start: int, stop: int) -> I64:
        rows = X[start:stop]
        labels, tops = np.zeros(len(rows), dtype=np.int64), np.full(len(rows), -np.inf, dtype=np.float32)
        for first in range(0, len(centers), _TILE):
            screen = rows @ centers[first : first + _TILE].T
            screen -= rough[first : first + _TILE]
            decide(screen, screen.max(axis=1), limit, first, rows, centers, half, labels, tops)
        return labels

    return np.concatenate([np.empty(0, np.int64), *map_blocks(block, len(X), _TILE, workers)])


def _similarity(X: F32, centers: F32, labels: I32, metric: str, workers: int) -> F32:
    """Return the cosine of each row to its own centre; Euclidean, minus the distance."""
    from curate.sft.kmeans_kernels import own_scores

    out = np.empty(len(X), dtype=np.float64)
    zeros, own = np.zeros(len(centers)), labels.astype(np.int64)

    def block(start: int, stop: int) -> None:
        if metric == "cosine":
            own_scores(X[start:stop], centers, zeros, own[start:stop], out[start:stop])
        else:
            out[start:stop] = -np.sqrt(squared_distances(X, np.arange(start, stop), centers, own[start:stop]))

    map_blocks(block, len(X), _TILE, workers)
    return out.astype(np.float32)


def kmeans_reference(X: F32, centers: F32, metric: str = "cosine") -> tuple[I64, F64, F64]:
    """Return labels, scores and the new centres of one Lloyd iteration in float64, row by row."""
    wide, old = X.astype(np.float64), centers.astype(np.float64)
    half = (old**2).sum(axis=1) / 2 if metric == "euclidean" else np.zeros(len(old))
    labels = np.array([int(np.argmax(old @ row - half)) for row in wide])
    scores = np.array([float(old[label] @ row - half[label]) for label, row in zip(labels, wide, strict=True)])
    new = old.copy()
    for cluster in range(len(old)):
        members = wide[labels == cluster]
        if len(members) and metric == "euclidean":
            new[cluster] = members.mean(axis=0)
        elif len(members):
            total = members.sum(axis=0)
            new[cluster] = total / np.linalg.norm(total) if total.any() else total
    return labels, scores, new
