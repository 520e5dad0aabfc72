"""Greedy coverage without an n × n matrix: what facility-location and prob-cover have in common.

Each row i has a threshold t_i, the cosine above which a pick does something for it. The gain of row s is the sum over i
of gain(cos(x_i, x_s), t_i), and choosing s raises thresholds. Greedy takes the row of the largest gain again and again;
that reaches 1 - 1/e of the best total (Nemhauser, Wolsey and Fisher 1978). Gains only fall, so an old gain is an upper
bound, and a row whose bound is below the best gain need not be looked at (lazy greedy, Minoux 1978). Gains of a batch
of rows come from one matrix product.

Picks are those of the naive greedy in float64, the lowest index on ties. A float32 cosine errs by a known bound, which
gives an upper and a lower bound on each gain; among rows that these cannot tell apart, float64 decides, on the few
rows i that gain at all. Sums are exactly rounded (`math.fsum`), so their order does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from curate.engine.blocks import map_blocks, one_blas_thread
from curate.sft.distance import F32, F64, I64
from curate.sft.strategies._cosine import cosine_error, cosines, cosines_reference

_BATCH = 64  # rows whose gains are brought up to date at a time
_BLOCK = 4096  # rows of one matrix product; with a batch its cosines take 1 MB
_DOTS = 2**32  # cosines of one pass over all gains: about 15 s for 256 dimensions on two cores


class Objective(NamedTuple):
    """What a pick does for a row, by their cosine c and the row's threshold t.

    start: the first t. gain(c, t) and raised(c, t): elementwise, the gain and the new threshold. bounds: the kernel
    that sums gains of uncertain cosines (`_cover_kernels.py`).
    """

    start: float
    gain: Callable[[Any, Any], Any]
    raised: Callable[[Any, Any], Any]
    bounds: Callable[..., None]


def sample_to_cover(n: int, k: int, seed: int, pool_rows: int | None = None) -> I64:
    """Return the rows that gains are measured on: all, or a seeded sample where all cosines would take too long.

    It holds 2^32 / n rows, but at least 4 k; up to n = 65,536 it is all rows. pool_rows: rows of all groups together,
    where the n rows are one of many groups: then it holds 2^32 / pool_rows.
    """
    size = max(_DOTS // (pool_rows or n), 4 * k)
    return np.arange(n) if size >= n else np.sort(np.random.default_rng(seed).choice(n, size, replace=False))


def greedy_cover(
    X: F32, k: int, objective: Objective, sample: I64, workers: int = 1,
    candidates: I64 | None = None, chosen: F32 | None = None,
) -> tuple[I64, int]:  # fmt: skip
    """Pick `k` rows of `X` for the rows of `sample`; return them and how many of them, the last, gain nothing.

    candidates: the rows that may be picked, at least k, if not all. chosen: (m, d) rows chosen before. Rows that gain
    nothing come by lowest index. Prior validation of data is assumed.
    """
    able = np.arange(len(X)) if candidates is None else candidates
    with one_blas_thread():
        cover = _Cover(X, objective, sample, workers)
        cover.upper[np.setdiff1d(np.arange(len(X)), able)] = -np.inf
        for x in [] if chosen is None else chosen:
            cover.count_in(x)
        picks: list[int] = []
        while len(picks) < k and (row := cover.best()) is not None:
            picks.append(row)
            cover.choose(row)
    rest = np.setdiff1d(able, picks)[: k - len(picks)]
    return np.concatenate([np.array(picks, dtype=np.int64), rest]), len(rest)


def greedy_cover_reference(
    X: F32, k: int, objective: Objective, candidates: Sequence[int] | None = None, chosen: Sequence[int] = ()
) -> list[int]:
    """Pick as the definition says: all gains in float64 for every pick; chosen: rows of X chosen before."""
    cosine = cosines_reference(X)
    threshold, picks = np.full(len(X), objective.start), list[int]()
    for row in chosen:
        threshold = objective.raised(cosine[row], threshold)
    while len(picks) < k:
        left = [row for row in (range(len(X)) if candidates is None else candidates) if row not in picks]
        gains = [math.fsum(objective.gain(cosine[row], threshold)) for row in left]
        picks.append(left[int(np.argmax(gains))])
        threshold = objective.raised(cosine[picks[-1]], threshold)
    return picks


class _Cover:
    """Bounds on the gain of each row; see the module's docstring.

    threshold: (m,) of the rows to cover, float64. upper, lower: (n,) bounds on the gain at the time when `seen` rows
    were chosen; an upper bound stays one. -inf for a chosen row.
    """

    def __init__(self, X: F32, objective: Objective, sample: I64, workers: int) -> None:
        self.X, self.objective, self.workers = X, objective, workers
        self.Y = X if len(sample) == len(X) else X[sample]
        self.error = np.float32(cosine_error(X.shape[1]))
        self.threshold = np.full(len(self.Y), objective.start)
        self.upper, self.lower = np.full(len(X), np.inf), np.full(len(X), -np.inf)
        self.seen, self.count = np.full(len(X), -1), 0

    def best(self) -> int | None:
        """Return the row of the largest gain, lowest index on ties; None where no row gains anything."""
        while len(self.Y):
            fresh = self.seen == self.count
            floor = float(self.lower.max(where=fresh, initial=0))
            able = (self.upper >= floor) & (self.upper > 0)
            stale = np.flatnonzero(able & ~fresh)
            if not len(stale):
                return self._decide(np.flatnonzero(able))
            if len(stale) > _BATCH:
                stale = stale[np.argpartition(-self.upper[stale], _BATCH)[:_BATCH]]
            self._refresh(stale)
        return None

    def _decide(self, rows: I64) -> int | None:
        """Return which of `rows`, all up to date, has the largest gain, in float64 where the bounds leave it open."""
        if len(rows) > 1 or not self.lower[rows].all():
            for row in rows[self.upper[rows] > self.lower[rows]]:
                self.upper[row] = self.lower[row] = self._exact_gain(row)
        row = int(np.argmax(self.upper))
        return row if self.upper[row] > 0 else None

    def choose(self, row: int) -> None:
        """Choose a row of X."""
        self.count_in(self.X[row])
        self.upper[row] = self.lower[row] = -np.inf

    def count_in(self, x: F32) -> None:
        """Count a row as chosen: thresholds rise."""
        rows, cosine = self._gaining(x)
        self.threshold[rows] = self.objective.raised(cosine, self.threshold[rows])
        self.count += 1
        alive = np.isfinite(self.threshold)
        if 2 * alive.sum() < len(alive):  # most rows can gain no more: leave them out
            self.Y, self.threshold = self.Y[alive], self.threshold[alive]

    def _refresh(self, rows: I64) -> None:
        """Bring the bounds of `rows` up to date."""
        batch, threshold = self.X[rows], self.threshold.astype(np.float32)

        def block(start: int, stop: int) -> F64:
            bounds = np.zeros((2, len(rows)))
            self.objective.bounds(batch @ self.Y[start:stop].T, threshold[start:stop], self.error, *bounds)
            return bounds

        high, low = np.sum(map_blocks(block, len(self.Y), _BLOCK, self.workers), axis=0)
        self.upper[rows], self.lower[rows] = np.minimum(self.upper[rows], high), low
        self.seen[rows] = self.count

    def _exact_gain(self, row: int) -> float:
        rows, cosine = self._gaining(self.X[row])
        return math.fsum(self.objective.gain(cosine, self.threshold[rows]))

    def _gaining(self, x: F32) -> tuple[I64, F64]:
        """Return the rows that may gain when `x` is chosen, and their cosines to it in float64."""
        cosine = np.concatenate(map_blocks(lambda a, b: self.Y[a:b] @ x, len(self.Y), 8 * _BLOCK, self.workers))
        rows = np.flatnonzero(self.objective.gain(cosine + self.error, self.threshold) > 0)
        return rows, cosines(self.Y, rows, x)
