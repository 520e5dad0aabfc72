"""Upper bounds on the distance of each row to the chosen rows, on a GPU: the inner part of K-Center-Greedy.

The algorithm of `kcenter_numpy.py`, with two differences. The few rows that stay above the floor are compared in
float64, where next to nothing ties that is not equal. And 32 picks are made on the device before the host looks
at them: they are good up to the first that was not alone within the float error. There `kcenter_exact.py` decides, and
the next 32 start behind it. So there are three synchronisations for 32 picks.

Matrix products are float32 without TF32, for which the error bound of `distance.py` holds. Tested on torch's CPU
device; not yet measured on a GPU.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from curate.engine.precision import full_precision
from curate.sft.distance import F32, F64, slack, squared_distances
from curate.sft.kcenter_exact import Chosen

_ABOVE = 32768  # bounds above the floor
_WIDE = 32768  # rows above the floor whose vectors are not copied any more
_TIED = 32  # picks among rows that share the largest distance before bounds are lowered again
_STEPS = 32  # picks made before the host looks at them
_SAMPLE = 65536  # bounds that the floor is judged by
_ROWS, _CENTERS = 65536, 512  # shape of one matrix product


class TorchBounds:
    """Upper bounds on the squared distance of each row to the chosen rows; `kcenter_numpy.Bounds` on a torch device.

    upper: (n,) float32, within the float error of the distance to the first `seen` chosen rows; -inf for a chosen row.
    evaluated: distances computed so far.
    """

    def __init__(self, X: F32, norms: F64, capacity: int, device: str) -> None:
        self.X, self.chosen = X, Chosen(X, norms, capacity)
        self.error, self.fine = self.chosen.error, 4 * slack(X.shape[1], float(norms.max()), 2.0**-53)
        self.vectors = torch.empty(X.shape, dtype=torch.float32, device=device)
        for start in range(0, len(X), _ROWS):
            self.vectors[start : start + _ROWS] = torch.from_numpy(np.array(X[start : start + _ROWS]))
        self.squares = torch.from_numpy(norms).to(device)
        self.indices = torch.empty(capacity, dtype=torch.int64, device=device)
        self.upper = torch.full((len(X),), torch.inf, device=device)
        self.seen = torch.zeros(len(X), dtype=torch.int64, device=device)
        self.evaluated = 0

    def choose(self, row: int) -> None:
        """Add a row to the chosen ones; no bound but its own changes."""
        self.chosen.add(row)
        self._mark([row])

    def _mark(self, rows: list[int]) -> None:
        """Note on the device that the last rows chosen are `rows`."""
        added = torch.tensor(rows, device=self.upper.device)
        self.indices[self.chosen.count - len(rows) : self.chosen.count] = added
        self.upper[added] = -torch.inf

    def start(self) -> None:
        """Give every row that is not chosen a finite bound."""
        with full_precision():
            self._lower(torch.nonzero(self.upper == torch.inf)[:, 0], np.inf)

    def run(self, budget: int) -> list[tuple[int, float]]:
        """Choose up to `budget` rows, at least one, each the farthest; return them with their squared distances."""
        with full_precision():
            rows, floor = self._above()
            if len(rows) > _WIDE:
                return self._run_wide(rows, min(budget, _TIED))
            block = self.vectors[rows].double()
            best = self._lowered(block, rows, torch.full((len(rows),), torch.inf, device=rows.device).double(), 0)
            found: list[tuple[int, float]] = []
            while len(found) < budget and float(best.max()) > floor:
                before = self.chosen.count
                more = self._steps(rows, block, best, floor, min(_STEPS, budget - len(found)))
                if not more:  # the largest distance is shared
                    top = float(best.max())
                    close = rows[best >= top - 2 * self.fine].cpu().numpy()
                    more = self.chosen.pick(close, max(floor, top - self.fine), min(_TIED, budget - len(found)))
                self._mark([row for row, _ in more])
                found += more
                if more[-1][1] == 0:
                    return found
                best = self._lowered(block, rows, best, before)
                best[torch.isin(rows, self.indices[before : self.chosen.count])] = -torch.inf
            self.upper[rows], self.seen[rows] = best.float(), self.chosen.count
            return found

    def _run_wide(self, rows: Tensor, budget: int) -> list[tuple[int, float]]:
        """Do the same among the many `rows` that are level with the largest, by true distances alone."""
        upper = self.upper[rows]
        level = float(upper.max()) - 2 * self.error
        found = self.chosen.pick(rows[upper >= level].cpu().numpy(), level + self.error, budget)
        self._mark([row for row, _ in found])
        return found

    def _steps(self, rows: Tensor, block: Tensor, best: Tensor, floor: float, steps: int) -> list[tuple[int, float]]:
        """Choose rows as long as each is alone within the float error of the largest distance, and above `floor`."""
        squares, seen = self.squares[rows], []
        for _ in range(steps):
            top, place = best.max(0, keepdim=True)
            alone = (best >= top - 2 * self.fine).sum() == 1
            seen.append(torch.cat([place.double(), top, alone.double()[None]]))
            fresh = torch.addmv(squares + squares[place], block, block[place][0], alpha=-2)
            best = torch.minimum(best, fresh).index_fill(0, place, -torch.inf)
        places, tops, alone = torch.stack(seen).cpu().numpy().T
        good = (tops > max(floor, 2 * self.fine)) & (alone == 1)
        places = places[: len(good) if good.all() else int(np.argmin(good))].astype(np.int64)
        if not len(places):
            return []
        picks = rows[torch.from_numpy(places).to(rows.device)]
        gaps = self._gaps(picks)
        chosen = picks.tolist()
        for row in chosen:
            self.chosen.add(row)
        return list(zip(chosen, gaps.tolist(), strict=True))

    def _gaps(self, picks: Tensor) -> F64:
        """Return the true squared distance of each of `picks` to the chosen rows and the picks before it."""
        centers = torch.cat([self.indices[: self.chosen.count], picks])
        screen = torch.addmm(
            self.squares[centers], self.vectors[picks].double(), self.vectors[centers].double().T, alpha=-2
        )
        later = torch.ones_like(screen, dtype=torch.bool).triu(self.chosen.count)  # itself and the picks after it
        screen.masked_fill_(later, torch.inf)
        near = torch.nonzero(screen <= screen.amin(1, keepdim=True) + 2 * self.fine)
        which, other = near[:, 0], near[:, 1]
        exact = squared_distances(self.X, picks[which].cpu().numpy(), self.X, centers[other].cpu().numpy())
        return np.minimum.reduceat(exact, np.searchsorted(which.cpu().numpy(), np.arange(len(picks))))

    def _above(self) -> tuple[Tensor, float]:
        """Return rows, up to date, ascending, and the bound above which the next pick is surely one of them."""
        wanted = _ABOVE
        while True:
            floor = self._floor(wanted)
            rows = torch.nonzero(self.upper > floor)[:, 0]
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
        return float(sample.kthvalue(rank + 1).values) if rank >= 0 else -np.inf

    def _lower(self, rows: Tensor, floor: float) -> None:
        """Lower the bounds of `rows` by chosen rows that they have not seen: by all, or until they are at the floor."""
        rows = rows[self.seen[rows].argsort(stable=True)]
        squares = self.squares.float()
        for part in torch.split(rows, _ROWS) if len(rows) else ():
            block, seen = self.vectors[part], int(self.seen[part[0]])  # the first of them has seen least
            while len(part):
                stop = min(seen + _CENTERS - seen % _CENTERS, self.chosen.count)
                centers = self.indices[seen:stop]
                product = torch.addmm(squares[centers], block, self.vectors[centers].T, alpha=-2)
                self.evaluated += product.numel()
                upper = torch.minimum(self.upper[part], product.amin(1) + squares[part])
                seen = stop
                self.upper[part], self.seen[part] = upper, self.seen[part].clamp(min=seen)
                left = (upper > floor) & (self.seen[part] < self.chosen.count)
                part, block = part[left], block[left]

    def _lowered(self, block: Tensor, rows: Tensor, best: Tensor, since: int) -> Tensor:
        """Return float64 squared distances of `rows`, their vectors in `block`: `best` against the chosen since."""
        for centers in torch.split(self.indices[since : self.chosen.count], _CENTERS):
            product = torch.addmm(self.squares[centers], block, self.vectors[centers].double().T, alpha=-2)
            best = torch.minimum(best, product.amin(1) + self.squares[rows])
            self.evaluated += product.numel()
        return best
