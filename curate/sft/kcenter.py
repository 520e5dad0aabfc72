"""K-Center-Greedy: pick the row that is farthest from all rows picked so far, again and again (Gonzalez 1985).

The picks are those of the naive greedy on the float64 distances of `distance.py`, the lowest index on ties: the same
for any block size, number of threads and device. The naive loop reads all vectors once for each pick. Here most rows
are left alone for most picks, because distances to the picks only ever fall: an old distance is an upper bound, and a
row whose bound is below the present maximum cannot be the next pick, whatever its true distance. `kcenter_numpy.py`
does this on the CPU, `kcenter_torch.py` on a GPU; `kcenter_exact.py` decides near-ties for both.

The first pick is the centre sample, the row nearest to the mean (on unit rows the one with the largest cosine to it):
never row 0, never a random one. It is the medoid too: for squared distances the sum from x to all n rows is
n|x - mean|^2 plus a constant. Rows that coincide with a pick come last, by lowest index, with radius 0. The radius r
after k picks is at most twice the best possible one (the certificate: optimum >= r/2), unless initial rows were given.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from curate.engine.blocks import one_blas_thread
from curate.errors import UsageError
from curate.sft.distance import F32, F64, I64, nearest_rows, slack, squared_distances, squared_norms
from curate.sft.kcenter_numpy import Bounds
from curate.sft.kcenter_state import Pick, kept_picks


@dataclass(frozen=True)
class KCenters:
    """What K-Center-Greedy picked from n rows.

    indices: (k,) rows in pick order. radii: (k,) largest distance of any row to the picks so far, after each pick.
    nearest: (n,) the nearest pick or initial row of each row, lowest index on ties. distances: (n,) how far it is.
    certificate: no k rows have a smaller radius than this, half of the last one; None where initial rows were given.
    coincident: picks, the last ones, that coincide with earlier ones; taken by lowest index. evaluated: share of the
    n * (k + initial) distances that it took to find the picks (those to the nearest pick, found afterwards, left out).
    """

    indices: I64
    radii: F64
    nearest: I64
    distances: F64
    certificate: float | None
    coincident: int
    evaluated: float


def k_center_greedy(
    X: F32,
    k: int,
    *,
    first: int | None = None,
    initial: Sequence[int] = (),
    count_initial: bool = False,
    workers: int = 1,
    device: str = "cpu",
    state: str | os.PathLike[str] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> KCenters:
    """Pick `k` rows of `X` (n, d), each the farthest from the picks before it.

    X may be a read-only memory map; beside it this takes (k + initial) vectors and about 60 bytes a row. On a GPU
    (`device="cuda"`) the vectors have to fit its memory; the picks are the same.

    first: the first pick; None = the row nearest to the mean, or the farthest from `initial` where that is given.
    initial: rows that are chosen already: they are not picked again. count_initial: `k` counts them.
    state: a file that keeps the picks while it runs: the same call continues after an interruption or a kill; it is
    removed at the end. on_progress: called with (picks made, picks wanted) now and then.
    Raises UsageError on vectors that cannot be compared, on a `k`, `first` or `initial` that do not fit the number of
    rows, on a `state` of another call and without the device; CurateError where `state` cannot be written.
    """
    norms = squared_norms(X)
    k -= len(initial) if count_initial else 0
    _check(len(X), k, first, initial)
    if first is None and not len(initial):
        first = central_row(X, norms)
    bounds = _bounds(X, norms, k + len(initial), workers, device)
    with one_blas_thread(), kept_picks(state, X, first, initial) as (picks, keep):

        def tell() -> None:
            keep()
            if on_progress:
                on_progress(len(picks), k)

        _extend(bounds, len(X), k, first, initial, picks, tell)
        indices, gaps = _arrays(picks[:k])
        chosen = np.concatenate([np.asarray(initial, np.int64), indices])
        near, distances = nearest_rows(X, norms, chosen, workers)
    radii = np.append(gaps[1:], distances.max())
    return KCenters(
        indices=indices,
        radii=radii,
        nearest=near,
        distances=distances,
        certificate=None if len(initial) else float(radii[-1]) / 2,
        coincident=int((gaps == 0).sum()),
        evaluated=bounds.evaluated / (len(X) * (k + len(initial))),
    )


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
    picks: list[Pick] = []
    _extend(Bounds(X, norms, k + len(initial), workers), len(X), k, first, initial, picks)
    return _arrays(picks)


def _arrays(picks: Sequence[Pick]) -> tuple[I64, F64]:
    """Return the rows of `picks`, and their distances (not squared)."""
    return np.array([row for row, _ in picks], dtype=np.int64), np.sqrt([gap for _, gap in picks])


class _Bounds(Protocol):
    """Bounds on the distances to the chosen rows, on some device; see `kcenter_numpy.Bounds`."""

    evaluated: int

    def choose(self, row: int) -> None: ...
    def start(self) -> None: ...
    def run(self, budget: int) -> list[tuple[int, float]]: ...


def _bounds(X: F32, norms: F64, capacity: int, workers: int, device: str) -> _Bounds:
    if device == "cpu":
        return Bounds(X, norms, capacity, workers)
    if device != "cuda":
        raise UsageError(f"device is {device!r}, but it must be cpu or cuda", "Give one of these.")
    import torch

    from curate.sft.kcenter_torch import TorchBounds

    if not torch.cuda.is_available():
        raise UsageError("device is cuda, but torch sees no GPU", "Use cpu, or install a CUDA build of torch.")
    return TorchBounds(X, norms, capacity, device)


def _extend(
    bounds: _Bounds,
    n: int,
    k: int,
    first: int | None,
    initial: Sequence[int],
    picks: list[Pick],
    tell: Callable[[], None] = lambda: None,
) -> None:
    """Extend `picks` in place until they are `k`, calling `tell` after each step."""
    if not picks and first is not None:
        picks.append((first, np.nan))
    for row in (*initial, *(row for row, _ in picks[:k])):
        bounds.choose(row)
    bounds.start()
    while len(picks) < k:
        found = bounds.run(k - len(picks))
        if found[-1][1] == 0:  # every row that is left coincides with a pick
            done = [*initial, *(row for row, _ in picks + found)]
            rest = np.setdiff1d(np.arange(n), done)[: k - len(picks) - len(found)]
            found += [(row, 0.0) for row in rest.tolist()]
        picks += found
        tell()
