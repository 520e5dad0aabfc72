"""What the workers of a cluster do of a selection: rules on slices of rows, nearest centres, K-Center by core-sets.

Each does what this machine does without a cluster, and gives the same; core-sets alone do not, and are therefore for
pools that are too large for one machine. *Composable core-sets*: the rows are cut into parts, K-Center-Greedy picks k
rows of each part, and of all these it picks k again. The radius is at most 4 times the best possible one (Malkomes et
al. 2015, "Fast distributed k-center clustering with outliers on massive data"): where k + 1 rows lie r or more apart no
k rows have a radius below r/2. So no row of a part is farther than 2 optima from its picks, and none of these farther
than 2 optima from the last picks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from curate.engine import ray
from curate.engine.blocks import one_blas_thread
from curate.sft import filters, kcenter
from curate.sft.distance import F32, F64, I64, squared_norms
from curate.sft.kmeans import Nearest, nearest_centers

PART_ROWS = 1 << 19  # of a core-set: up to so many rows are picked from as without a cluster
_SLICE_ROWS = 1 << 14  # rows of a table, or vectors, that a worker gets at a time


def compute(frame: pl.DataFrame, expressions: dict[str, pl.Expr]) -> pl.DataFrame:
    """Return the columns as `filters.compute` does, for expressions that look at one row at a time."""
    names = sorted({name for expression in expressions.values() for name in expression.meta.root_names()})
    slices = frame.select(names).iter_slices(_SLICE_ROWS)
    parts = list(ray.map_chunks(partial(filters.compute, expressions=expressions), slices, workers=1))
    return pl.concat(parts) if parts else filters.compute(frame, expressions)


def search(X: F32, window: float) -> Nearest:
    """Return what finds the nearest centres of the rows of `X`, as `kmeans.search_here` does."""

    def nearest(centers: F32, half: F64) -> I64:
        found = ray.map_chunks(_nearest, _slices(X), workers=1, setup=partial(tuple, (centers, half, window)))
        return np.concatenate([np.empty(0, np.int64), *found])

    return nearest


def _slices(X: F32) -> Iterator[F32]:
    return (np.ascontiguousarray(X[start : start + _SLICE_ROWS]) for start in range(0, len(X), _SLICE_ROWS))


def _nearest(rows: F32, held: tuple[F32, F64, float]) -> I64:
    return nearest_centers(rows, *held)


@dataclass
class CoreSets:
    """Picks as `kcenter.greedy` does, from more than PART_ROWS rows by core-sets; `notes` tell where it did."""

    notes: list[str] = field(default_factory=list)

    def __call__(
        self, X: F32, norms: F64, k: int, first: int | None, initial: Sequence[int] = (), workers: int = 1
    ) -> tuple[I64, F64]:
        """Return the picks and the distance of each to those before it (NaN for a given `first`)."""
        parts = parts_of(len(X), k)
        if parts < 2 or first is None:  # rows chosen before are no part of a core-set
            return kcenter.greedy(X, norms, k, first, initial, workers)
        self.notes.append(
            f"K-Center-Greedy picked from {len(X):,} rows by core-sets of {parts} parts: its radius is at most 4 times "
            "the best possible one, not 2 as without"
        )
        return core_set_picks(X, k, first, parts, partial(ray.map_chunks, workers=1), workers)


def parts_of(n: int, k: int) -> int:
    """Return into how many parts `n` rows are cut to pick `k`; 1 where core-sets would hold over half of the rows."""
    return max(min(-(-n // PART_ROWS), n // (2 * k)), 1)


def core_set_picks(X: F32, k: int, first: int, parts: int, run: Any, workers: int = 1) -> tuple[I64, F64]:
    """Return the picks of `first` and k - 1 others from the rows of `X`, and the distance of each to those before it.

    run: `map_chunks` or `map`, which get (function, chunks). Prior validation of data is assumed.
    """
    edges = np.linspace(0, len(X), parts + 1).round().astype(np.int64).tolist()
    chunks = ((np.ascontiguousarray(X[a:b]), k, first - a if a <= first < b else None) for a, b in pairwise(edges))
    found = [rows + start for rows, start in zip(run(_core_set, chunks), edges, strict=False)]
    rows = np.sort(np.concatenate(found))
    with one_blas_thread():
        union = np.ascontiguousarray(X[rows])
        place = int(np.searchsorted(rows, first))
        picks, gaps = kcenter.greedy(union, squared_norms(union), k, place, (), workers)
    return rows[picks], gaps


def _core_set(part: tuple[F32, int, int | None]) -> I64:
    """Return the k rows (all, where there are fewer) that K-Center-Greedy picks of a part."""
    X, k, first = part
    norms = squared_norms(X)
    with one_blas_thread():
        first = kcenter.central_row(X, norms) if first is None else first
        return kcenter.greedy(X, norms, min(k, len(X)), first)[0]
