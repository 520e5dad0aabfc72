"""True distances to the chosen rows, in float64, computed only where they decide which row is the farthest.

K-Center-Greedy screens in float32 (`kcenter_numpy.py`, `kcenter_torch.py`) and asks here where several rows are within
the float error of the largest distance. An old true distance is an upper bound of the present one, so only the largest
has to be brought up to date, until it stays the largest: the lazy greedy of Minoux (1978).
"""

from __future__ import annotations

import numpy as np

from curate.sft.distance import F32, F64, I64, nearest, slack

_BLOCK = 512  # rows measured at a time


class Chosen:
    """The chosen rows in order, and the true squared distance of any row to them.

    indices: (capacity,) the chosen rows; the first `count` hold. centers: (capacity, d) their vectors. squares: (n,)
    squared norms in float32. error: how far a float32 squared distance may be off.
    """

    def __init__(self, X: F32, norms: F64, capacity: int) -> None:
        n, d = X.shape
        self.X, self.squares = X, norms.astype(np.float32)
        self.error = slack(d, float(norms.max()))
        self.indices, self.centers = np.empty(capacity, dtype=np.int64), np.empty((capacity, d), np.float32)
        self.count = 0
        self._exact, self._seen = np.full(n, np.inf), np.zeros(n, dtype=np.int32)  # distance to the first `seen` ones

    def add(self, row: int) -> None:
        """Choose one more row."""
        self.indices[self.count], self.centers[self.count] = row, self.X[row]
        self.count += 1

    def farthest(self, rows: I64) -> tuple[int, float]:
        """Return which of `rows` (ascending) is farthest from the chosen, lowest on ties, and its squared distance."""
        self.meet(rows)
        while True:
            row = int(rows[np.argmax(self._exact[rows])])
            if self._seen[row] == self.count:
                return row, float(self._exact[row])
            self._measure(np.array([row]), int(self._seen[row]))

    def knows(self, rows: I64) -> bool:
        """Say whether all `rows` have been measured once."""
        return bool(np.isfinite(self._exact[rows]).all())

    def meet(self, rows: I64) -> None:
        """Measure those of `rows` that have never been measured; many together cost far less than one by one."""
        unknown = rows[np.isinf(self._exact[rows])]
        for start in range(0, len(unknown), _BLOCK):
            self._measure(unknown[start : start + _BLOCK], 0)

    def pick(self, rows: I64, level: float, budget: int) -> list[tuple[int, float]]:
        """Choose up to `budget` of `rows`, at least one, each the farthest, while their squares are above `level`.

        All other rows must be known to be no farther than `level`. Returns the rows chosen with their squares.
        """
        found = [self.farthest(rows)]
        while True:
            row, gap = found[-1]
            self.add(row)
            rows = rows[rows != row]
            if len(found) == budget or gap == 0 or not len(rows):
                return found
            following = self.farthest(rows)
            if following[1] <= level:
                return found
            found.append(following)

    def _measure(self, rows: I64, since: int) -> None:
        missed = slice(since, self.count)
        squares = self.squares[self.indices[missed]]
        _, squared = nearest(self.X[rows], self.centers[missed], squares, self.error)
        self._exact[rows] = np.minimum(self._exact[rows], squared)
        self._seen[rows] = self.count
