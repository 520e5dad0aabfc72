"""Upper bounds on the distance of each row to the chosen rows, on the CPU: the inner part of K-Center-Greedy.

Distances to the chosen rows only fall as more are chosen, so an old one is an upper bound. One step (`Bounds.run`):

1. take a floor that a few thousand bounds exceed, and lower these by matrix products, 128 chosen rows at a time: a row
   drops out as soon as it falls to the floor, and only rows that stay above it see all chosen rows;
2. pick among the rows that stayed, as long as the largest distance is above the floor by more than the float error;
   they are few, and their vectors stay in the cache.

Where several rows are within the float error of the largest distance, float64 decides (`kcenter_exact.py`). Where so
many rows tie that their vectors would fill the memory, it decides alone for a few picks.
"""

from __future__ import annotations

import numpy as np

from curate.engine.blocks import map_blocks
from curate.sft.distance import F32, F64, I64
from curate.sft.kcenter_exact import Chosen

_ABOVE, _FEWEST, _SHARE = 16384, 1024, 16  # bounds above the floor: a sixteenth of all, within these limits
_WIDE = 16384  # rows above the floor whose vectors are not copied any more
_TIED = 32  # picks among so many rows before their bounds are lowered again
_SOON = 32  # rows measured together in float64, since they are likely to be picked soon
_SAMPLE = 65536  # bounds that the floor is judged by
_ROWS, _CENTERS = 1024, 128  # shape of one matrix product


class Bounds:
    """Upper bounds on the squared distance of each row to the chosen rows; see the module's docstring.

    upper: (n,) float32, within the float error of the distance to the first `seen` chosen rows; -inf for a chosen row.
    evaluated: distances computed so far.
    """

    def __init__(self, X: F32, norms: F64, capacity: int, workers: int) -> None:
        self.X, self.workers = X, workers
        self.chosen = Chosen(X, norms, capacity)
        self.squares, self.error = self.chosen.squares, self.chosen.error
        self.upper, self.seen = np.full(len(X), np.inf, dtype=np.float32), np.zeros(len(X), dtype=np.int32)
        self.evaluated = 0

    def choose(self, row: int) -> None:
        """Add a row to the chosen ones; no bound but its own changes."""
        self.chosen.add(row)
        self.upper[row] = -np.inf

    def start(self) -> None:
        """Give every row that is not chosen a finite bound."""
        self._lower(np.flatnonzero(self.upper == np.inf), np.inf)

    def run(self, budget: int) -> list[tuple[int, float]]:
        """Choose up to `budget` rows, at least one, each the farthest; return them with their squared distances."""
        rows, floor = self._above()
        if len(rows) > _WIDE:
            return self._run_wide(rows, min(budget, _TIED))
        block, squares, upper = self.X[rows], self.squares[rows], self.upper[rows]
        block *= -2
        found: list[tuple[int, float]] = []
        while len(found) < budget and (top := float(upper.max())) > floor:
            close = rows[upper >= top - 2 * self.error]
            if not self.chosen.knows(close):
                self.chosen.meet(rows[np.argsort(-upper)[:_SOON]])
            row, gap = self.chosen.farthest(close)
            found.append((row, gap))
            self.choose(row)
            if gap == 0:
                break
            fresh = block @ self.chosen.centers[self.chosen.count - 1]
            fresh += self.squares[row]
            fresh += squares
            np.minimum(upper, fresh, out=upper)
            upper[np.searchsorted(rows, row)] = -np.inf
        self.evaluated += len(found) * len(rows)
        self.upper[rows], self.seen[rows] = upper, self.chosen.count
        return found

    def _run_wide(self, rows: I64, budget: int) -> list[tuple[int, float]]:
        """Do the same among the many `rows` that are level with the largest, by true distances alone."""
        level = float(self.upper[rows].max()) - 2 * self.error
        found = self.chosen.pick(rows[self.upper[rows] >= level], level + self.error, budget)
        self.upper[[row for row, _ in found]] = -np.inf
        return found

    def _above(self) -> tuple[I64, float]:
        """Return rows, up to date, ascending, and the bound above which the next pick is surely one of them."""
        wanted = min(_ABOVE, max(_FEWEST, len(self.upper) // _SHARE))
        while True:
            floor = self._floor(wanted)
            rows = np.flatnonzero(self.upper > floor)
            stale = rows[self.seen[rows] < self.chosen.count]
            self._lower(stale, floor)
            rows = rows[self.upper[rows] > floor]
            sure = floor + 2 * self.error
            if len(rows) and float(self.upper[rows].max()) > sure:
                return rows, sure
            if not len(stale):  # more rows than these share the largest distance
                wanted *= 2

    def _floor(self, wanted: int) -> float:
        """Return a level that about `wanted` bounds exceed, judged by a sample of them."""
        sample = self.upper[:: max(1, len(self.upper) // _SAMPLE)]
        rank = len(sample) - 1 - wanted * len(sample) // len(self.upper)
        return float(np.partition(sample, rank)[rank]) if rank >= 0 else -np.inf

    def _lower(self, rows: I64, floor: float) -> None:
        """Lower the bounds of `rows` by chosen rows that they have not seen: by all, or until they are at the floor."""
        rows = rows[np.argsort(self.seen[rows], kind="stable")]

        def fold(start: int, stop: int) -> int:
            part = rows[start:stop]
            block, upper = self.X[part], self.upper[part]
            block *= -2
            seen, pairs = int(self.seen[part[0]]), 0  # the first of them has seen least
            while len(part):
                centers = slice(seen, min(seen + _CENTERS - seen % _CENTERS, self.chosen.count))
                product = block @ self.chosen.centers[centers].T
                product += self.squares[self.chosen.indices[centers]]
                pairs += product.size
                upper = np.minimum(upper, product.min(axis=1) + self.squares[part])
                seen = centers.stop
                self.upper[part], self.seen[part] = upper, np.maximum(self.seen[part], seen)
                left = np.flatnonzero((upper > floor) & (self.seen[part] < self.chosen.count))
                if len(left) < len(part):
                    part, block, upper = part[left], block[left], upper[left]
            return pairs

        if len(rows):
            self.evaluated += sum(map_blocks(fold, len(rows), _ROWS, self.workers))
