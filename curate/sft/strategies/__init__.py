"""Strategies: the rules by which rows are picked, and how `--strategy NAME` is understood.

A strategy is a module here with a function `pick(X, k, *, lengths, seed, workers)` that returns `Chosen`: exactly k
rows, the same for any number of workers. A module is found by its name (`facility-location` is `facility_location.py`);
one whose name begins with `_` is no strategy.

`facility-location`, the default of `curate select`, chooses within K-means clusters: each pair of rows in a cluster is
looked at, and not each of the pool. `k-center` and `task-center` are no modules here: they pick in clusters or from
their centres (`curate/sft/pick.py`, `curate/sft/groups.py`). The others choose from one pool, for each of them has a
notion of its own of what clusters are for. Where tasks are named all choose within tasks, by the same quotas.
"""

from __future__ import annotations

import math
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from curate.errors import UsageError, unknown_name
from curate.sft.config import IN_CLUSTERS, K_CENTER, TASK_CENTER
from curate.sft.distance import F32, I64, squared_norms
from curate.sft.pick import Picks, rows_by_label


@dataclass(frozen=True)
class Chosen:
    """The rows that a strategy chose.

    rows: (k,) row numbers in pick order. beyond: how many of the last ones its rule does not give (it had no more), so
    that they are there to make k. about: what the report tells (a radius, a sample, ...).
    """

    rows: I64
    beyond: int = 0
    about: dict[str, Any] = field(default_factory=dict)


class Strategy(Protocol):
    """The function `pick` of a strategy."""

    def __call__(self, X: F32, k: int, *, lengths: I64 | None = None, seed: int = 0, workers: int = 1) -> Chosen:
        """Choose `k` of the unit rows of `X` (n, d); lengths: (n,) how long each answer is, where that is asked for."""
        ...


@dataclass(frozen=True)
class StrategyPicks(Picks):
    """Picks of a strategy; `radius` is NaN. beyond: (k,) whether a row is beyond the rule. details: one for a group."""

    beyond: npt.NDArray[np.bool_]
    details: list[dict[str, Any]]

    def first(self, k: int) -> StrategyPicks:
        """Return the first k picks."""
        return StrategyPicks(
            self.rows[:k], self.cluster[:k], self.order[:k], self.radius[:k], self.beyond[:k], self.details
        )

    def notes(self, strategy: str) -> list[str]:
        """Return what should be said aloud: rows beyond the rule, and rules measured on a sample."""
        beyond = int(self.beyond.sum())
        notes = []
        if beyond:
            notes.append(f"{strategy} had no more rows to give: {beyond:,} others make up the {len(self.rows):,}")
        samples = [detail["sampled_rows"] for detail in self.details if "sampled_rows" in detail]
        if samples:
            notes.append(f"{strategy} judged rows by a seeded sample of {min(samples):,}, not by all of their group")
        return notes

    def counts(self) -> dict[str, Any]:
        """Return how many picks the rule gave, and how many make up the number."""
        beyond = int(self.beyond.sum())
        return {"by_rule": len(self.rows) - beyond, "beyond_rule": beyond, "details": self.details}


@dataclass(frozen=True)
class Within:
    """What facility-location is told of the groups besides their rows.

    near: (n,) larger for rows nearer the centre of their group, and better ones. core: share of each group's rows,
    the nearest first, that may be picked. chosen, chosen_in: (m, d) unit rows chosen before, (m,) the group of each.
    """

    near: F32
    core: float
    chosen: F32
    chosen_in: npt.NDArray[np.integer]

    def of(self, label: int, rows: I64, quota: int) -> dict[str, Any]:
        """Return what is told of one group, given its `rows`, ascending."""
        inner = max(quota, math.ceil(round(self.core * len(rows), 9)))
        return {
            "candidates": np.sort(np.argsort(-self.near[rows], kind="stable")[:inner]),
            "chosen": self.chosen[self.chosen_in == label],
            "pool_rows": len(self.near),
        }


def names() -> list[str]:
    """Return the names that `--strategy` knows: those that pick in clusters, the default first, then the others."""
    found = (module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    return list(dict.fromkeys([*IN_CLUSTERS, *sorted(name.replace("_", "-") for name in found)]))


def load(name: str) -> Strategy | None:
    """Return the strategy of that name, None for those of `pick_in_clusters`; UsageError names the nearest one."""
    if name not in names():
        raise unknown_name("strategy", name, names())
    if name in (K_CENTER, TASK_CENTER):
        return None
    strategy: Strategy = import_module(f"{__name__}.{name.replace('-', '_')}").pick
    return strategy


def pick_in_groups(
    strategy: Callable[..., Chosen],
    X: F32,
    labels: npt.NDArray[np.integer],
    quotas: Sequence[int],
    group_names: Sequence[str],
    *,
    lengths: I64,
    seed: int,
    within: Within | None = None,
    workers: int = 1,
) -> StrategyPicks:
    """Let `strategy` choose `quotas[label]` rows of each group; within: for facility-location alone.

    Rank as in `pick_in_clusters`: all first picks, then all second picks, larger groups first, then the lower label.
    """
    parts: list[tuple[int, Chosen]] = []
    for label, rows in rows_by_label(labels):
        if quotas[label]:
            pool = X if len(rows) == len(X) else X[rows]
            told = {} if within is None else within.of(label, rows, quotas[label])
            chosen = strategy(pool, quotas[label], lengths=lengths[rows], seed=seed, workers=workers, **told)
            parts.append((label, Chosen(rows[chosen.rows], chosen.beyond, chosen.about)))
    sizes = np.bincount(labels, minlength=len(quotas))
    order = np.concatenate([np.arange(len(chosen.rows)) for _, chosen in parts])
    cluster = np.repeat([label for label, _ in parts], [len(chosen.rows) for _, chosen in parts])
    picked = np.concatenate([chosen.rows for _, chosen in parts])
    beyond = np.concatenate([np.arange(len(c.rows)) >= len(c.rows) - c.beyond for _, c in parts])
    rank = np.lexsort((cluster, -sizes[cluster], order))
    details = [{"group": group_names[label], **chosen.about} for label, chosen in parts if chosen.about]
    nothing = np.full(len(picked), np.nan)
    return StrategyPicks(picked[rank], cluster[rank], order[rank], nothing, beyond[rank], details)


def check(X: F32, k: int) -> None:
    """Raise UsageError unless `X` holds rows of length 1 (or 0) in float32, and 1 <= k <= n."""
    norms = squared_norms(X)
    off = np.flatnonzero((abs(norms - 1) > 1e-3) & (norms > 0))
    if len(off):
        raise UsageError(
            f"row {off[0]} has length {norms[off[0]] ** 0.5:.4g}, but cosines need rows of length 1",
            "Divide each row by its length: X / np.linalg.norm(X, axis=1, keepdims=True)",
        )
    if not 1 <= k <= len(X):
        raise UsageError(f"cannot pick {k} of {len(X)} rows", f"Ask for 1 to {len(X)} rows")


def check_lengths(lengths: I64 | None, n: int) -> I64:
    """Return `lengths`; raise UsageError unless there is one for each of `n` rows."""
    if lengths is None or np.shape(lengths) != (n,):
        shape = "none" if lengths is None else str(np.shape(lengths))
        raise UsageError(f"{n} rows have lengths of shape {shape}", "Give one length for each row")
    return lengths
