"""K-Center-Greedy: pick the row that is farthest from all rows picked so far, again and again (Gonzalez 1985).

The picks are those of the naive greedy on the float64 distances of `distance.py`, the lowest index on ties: the same
for any block size, number of threads and device. The naive loop reads all vectors once for each pick. Here most rows
are left alone for most picks, because distances to the picks only ever fall: an old distance is an upper bound, and a
row whose bound is below the present maximum cannot be the next pick, whatever its true distance. So

1. bring the few thousand rows with the largest bounds up to date, by one matrix product with all picks they missed;
2. pick among them, as long as their largest distance is above the largest bound outside by more than the float error;
   their vectors stay in the cache;
3. go back to 1.

Where several rows are within the float error of the largest distance, float64 decides (`_Bounds._farthest`).

The first pick is the centre sample, the row nearest to the mean (on unit rows the one with the largest cosine to it):
never row 0, never a random one. Rows that coincide with a pick come last, by lowest index, with radius 0. The radius r
after k picks is at most twice the best possible one (the certificate: optimum >= r/2), unless initial rows were given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curate.engine.blocks import map_blocks, one_blas_thread
from curate.errors import UsageError
from curate.sft.distance import F32, F64, I64, nearest, nearest_rows, slack, squared_distances, squared_norms

_ACTIVE = 2048  # rows kept up to date at a time; their vectors should fit the cache (2 MB at 256 dimensions)
_TIED = 32  # picks before an active set that had to grow is formed anew
_BLOCK = 512  # rows of one matrix product


@dataclass(frozen=True)
class KCenters:
    """What K-Center-Greedy picked from n rows.

    indices: (k,) rows in pick order. radii: (k,) largest distance of any row to the picks so far, after each pick.
    nearest: (n,) the nearest pick or initial row of each row, lowest index on ties. distances: (n,) how far it is.
    """

    indices: I64
    radii: F64
    nearest: I64
    distances: F64


def k_center_greedy(
    X: F32, k: int, *, first: int | None = None, initial: Sequence[int] = (), workers: int = 1
) -> KCenters:
    """Pick `k` rows of `X` (n, d), each the farthest from the picks before it.

    first: the first pick; None = the row nearest to the mean, or the farthest from `initial` where that is given.
    initial: rows that are chosen already: they are not picked again and not counted. Raises UsageError on vectors that
    cannot be compared, and on a `k`, `first` or `initial` that do not fit the number of rows.
    """
    norms = squared_norms(X)
    _check(len(X), k, first, initial)
    if first is None and not len(initial):
        first = central_row(X, norms)
    with one_blas_thread():
        indices, gaps = greedy(X, norms, k, first, initial, workers)
    near, distances = nearest_rows(X, norms, np.concatenate([np.asarray(initial, np.int64), indices]), workers)
    return KCenters(indices, np.append(gaps[1:], distances.max()), near, distances)


def _check(n: int, k: int, first: int | None, initial: Sequence[int]) -> None:
    given = list(initial) if first is None else [*initial, first]
    if len(set(given)) < len(given) or any(not 0 <= row < n for row in given):
        raise UsageError(
            f"`first` and `initial` name rows {given[:10]} of {n}", f"Give different row numbers from 0 to {n - 1}"
        )
    if not 1 <= k <= n - len(initial):
        raise UsageError(
            f"cannot pick {k} of {n} rows, {len(initial)} of which are chosen already",
            f"Ask for 1 to {n - len(initial)} rows",
        )


def k_center_greedy_reference(X: F32, k: int, *, first: int | None = None, initial: Sequence[int] = ()) -> list[int]:
    """Pick as the definition says: float64, one row, one coordinate after the other."""
    wide = X.astype(np.float64)

    def to(center: F64) -> F64:
        total = np.zeros(len(wide))
        for j in range(wide.shape[1]):
            total += (wide[:, j] - center[j]) ** 2
        return total

    far = np.full(len(wide), np.inf)
    for row in initial:
        far = np.minimum(far, to(wide[row]))
    taken, picks = set(initial), list[int]()
    while len(picks) < k:
        if not picks and (first is not None or not initial):
            row = first if first is not None else int(np.argmin(to(wide.mean(axis=0))))
        else:
            row = max((i for i in range(len(wide)) if i not in taken), key=lambda i: (far[i], -i))
        picks.append(row)
        taken.add(row)
        far = np.minimum(far, to(wide[row]))
    return picks


def central_row(X: F32, norms: F64) -> int:
    """Return the row nearest to the mean of all rows, lowest index on ties. Prior validation of data is assumed."""
    mean = X.mean(axis=0, dtype=np.float64)
    with one_blas_thread():
        screen = norms.astype(np.float32) - 2 * (X @ mean.astype(np.float32))
    close = np.flatnonzero(screen <= screen.min() + 2 * slack(X.shape[1], float(norms.max())))
    return int(close[np.argmin(squared_distances(X, close, mean[None], np.zeros_like(close)))])


def greedy(
    X: F32, norms: F64, k: int, first: int | None, initial: Sequence[int] = (), workers: int = 1
) -> tuple[I64, F64]:
    """Return the picks and the distance of each to those before it (NaN for a given `first`).

    norms: squared norms of the rows in float64. Prior validation of data is assumed. For speed, not for the answer,
    the caller holds BLAS to one thread: it works on small matrices, and many times.
    """
    bounds = _Bounds(X, norms, k + len(initial), workers)
    for row in initial:
        bounds.choose(row)
    picks: list[int] = []
    gaps: list[float] = []
    if first is not None:
        picks.append(first)
        gaps.append(np.nan)
        bounds.choose(first)
    bounds.refresh(np.arange(len(X)))
    while len(picks) < k:
        for row, gap in bounds.run(k - len(picks)):
            picks.append(row)
            gaps.append(gap)
        if gaps[-1] == 0:  # every row that is left coincides with a pick
            rest = np.setdiff1d(np.arange(len(X)), [*initial, *picks])[: k - len(picks)]
            picks.extend(rest.tolist())
            gaps.extend([0.0] * len(rest))
    return np.array(picks, dtype=np.int64), np.sqrt(np.array(gaps))


class _Bounds:
    """Upper bounds on the squared distance of each row to the chosen rows; see the module's docstring.

    upper (float32) is within `error` of the distance to the first `seen` chosen rows; -inf for a chosen row.
    exact (float64) is the true distance to the first `exact_seen` chosen rows; inf where never computed.
    """

    def __init__(self, X: F32, norms: F64, capacity: int, workers: int) -> None:
        n, d = X.shape
        self.X, self.squares, self.workers = X, norms.astype(np.float32), workers
        self.error = slack(d, float(norms.max()))
        self.chosen = np.empty(capacity, dtype=np.int64)
        self.centers, self.doubled = np.empty((capacity, d), np.float32), np.empty((capacity, d), np.float32)
        self.count = 0
        self.upper, self.seen = np.full(n, np.inf, dtype=np.float32), np.zeros(n, dtype=np.int32)
        self.exact, self.exact_seen = np.full(n, np.inf), np.zeros(n, dtype=np.int32)

    def choose(self, row: int) -> None:
        """Add a row to the chosen ones; no bound but its own changes."""
        self.chosen[self.count] = row
        self.centers[self.count] = self.X[row]
        self.doubled[self.count] = -2 * self.X[row]
        self.count += 1
        self.upper[row] = -np.inf

    def run(self, budget: int) -> list[tuple[int, float]]:
        """Choose up to `budget` rows, at least one, from those with the largest bounds; return them with distances."""
        rows, floor = self._active()
        if len(rows) > _ACTIVE:  # ties made it so large that its vectors do not fit the cache: try again soon
            budget = min(budget, _TIED)
        block, squares, upper = self.X[rows], self.squares[rows], self.upper[rows]
        found: list[tuple[int, float]] = []
        while len(found) < budget and (top := float(upper.max())) > floor:
            close = rows[upper >= top - 2 * self.error]
            row, gap = self._farthest(close)
            found.append((row, gap))
            self.choose(row)
            if gap == 0:
                break
            fresh = block @ self.doubled[self.count - 1]
            fresh += self.squares[row]
            fresh += squares
            np.minimum(upper, fresh, out=upper)
            upper[np.searchsorted(rows, row)] = -np.inf
        self.upper[rows], self.seen[rows] = upper, self.count
        return found

    def _active(self) -> tuple[I64, float]:
        """Return rows, brought up to date, ascending, and the bound above which the next pick is surely one of them."""
        size = _ACTIVE
        while size < len(self.upper):
            order = np.argpartition(self.upper, len(self.upper) - size - 1)
            floor = float(self.upper[order[-size - 1]]) + 2 * self.error
            rows = np.sort(order[-size:])
            stale = rows[self.seen[rows] < self.count]
            self.refresh(stale)
            if float(self.upper[rows].max()) > floor:
                return rows, floor
            if not len(stale):  # more rows than these share the largest distance
                size *= 2
        rows = np.arange(len(self.upper))
        self.refresh(rows[self.seen < self.count])
        return rows, -np.inf

    def refresh(self, rows: I64) -> None:
        """Fold into the bounds of `rows` the chosen rows that they have not seen."""
        rows = rows[np.argsort(self.seen[rows], kind="stable")]

        def fold(start: int, stop: int) -> None:
            part = rows[start:stop]
            missed = slice(self.seen[part[0]], self.count)  # the first of them missed most
            product = self.X[part] @ self.doubled[missed].T
            product += self.squares[self.chosen[missed]]
            self.upper[part] = np.minimum(self.upper[part], product.min(axis=1) + self.squares[part])

        if len(rows) > _BLOCK:
            map_blocks(fold, len(rows), _BLOCK, self.workers)
        elif len(rows):
            fold(0, len(rows))
        self.seen[rows] = self.count

    def _farthest(self, rows: I64) -> tuple[int, float]:
        """Return which of `rows` is farthest from the chosen rows, in float64, lowest index on ties; and its square.

        Old exact distances are upper bounds too: only the largest has to be brought up to date, until it stays largest.
        """
        unknown = rows[np.isinf(self.exact[rows])]
        for start in range(0, len(unknown), _BLOCK):
            self._measure(unknown[start : start + _BLOCK], 0)
        while True:
            row = int(rows[np.argmax(self.exact[rows])])
            if self.exact_seen[row] == self.count:
                return row, float(self.exact[row])
            self._measure(np.array([row]), int(self.exact_seen[row]))

    def _measure(self, rows: I64, since: int) -> None:
        missed = slice(since, self.count)
        squares = self.squares[self.chosen[missed]]
        _, squared = nearest(self.X[rows], self.centers[missed], self.doubled[missed], squares, self.error)
        self.exact[rows] = np.minimum(self.exact[rows], squared)
        self.exact_seen[rows] = self.count
