"""Approaches 1 and 2 of Hoffmann et al. 2022 on the user's runs, where their columns allow.

Approach 1 needs several points of each training curve (a `run` column): at each of a row of budgets the run of lowest
loss, then a line through ln N against ln C. Approach 2 needs several sizes at each of several budgets: a parabola in
ln N for each, then a line through their minima.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from curate.budget.runs import Columns
from curate.budget.solve import Array


class IsoFlop(NamedTuple):
    """The runs of one budget and the parabola through them: loss = c0 + c1 x + c2 x^2, x = ln N."""

    compute: float
    params: tuple[float, ...]
    loss: tuple[float, ...]
    parabola: tuple[float, float, float]
    best_params: float


class Approach(NamedTuple):
    """N_opt = G (C/6)^a by one approach."""

    approach: int
    a: float
    scale: float
    points: tuple[tuple[float, float], ...]
    """(C, N_opt)."""
    curves: tuple[IsoFlop, ...]


MIN_SIZES, MIN_BUDGETS = 4, 3
SAME_BUDGET = 0.05
"""Runs whose ln C lies within so much of the next one share a budget (our choice: figures read off scatter)."""


def find(params: Array, tokens: Array, loss: Array, columns: Columns) -> tuple[Approach, ...]:
    """Return the approaches that the runs allow."""
    found = []
    if "run" in columns:
        names, at = np.array(columns["run"]), np.array(columns["params"])
        seen = np.array(columns["tokens"]) if "tokens" in columns else np.array(columns["compute"]) / (6 * at)
        found.append(_envelope(names, at, seen, np.array(columns["loss"])))
    found.append(_isoflop(params, tokens, loss))
    return tuple(one for one in found if one is not None)


def _envelope(names: Array, params: Array, tokens: Array, loss: Array) -> Approach | None:
    """Approach 1: at each of 1,500 budgets the size of the run with the lowest loss, interpolated in ln C."""
    curves = []
    for name in np.unique(names):
        of = names == name
        order = np.argsort(tokens[of], kind="stable")
        if of.sum() >= 5:
            curves.append((float(params[of][0]), np.log(6 * params[of][order] * tokens[of][order]), loss[of][order]))
    if len({n for n, _, _ in curves}) < MIN_SIZES:
        return None
    grid = np.linspace(min(c[0] for _, c, _ in curves), max(c[-1] for _, c, _ in curves), 1500)
    heights = np.stack([np.interp(grid, c, y, left=np.inf, right=np.inf) for _, c, y in curves])
    # an envelope is only where a smaller and a larger model both were still training
    sizes = np.array([n for n, _, _ in curves])
    alive = np.isfinite(heights)
    best = sizes[heights.argmin(axis=0)]
    between = np.array(
        [alive[:, i].any() and sizes[alive[:, i]].min() < best[i] < sizes[alive[:, i]].max() for i in range(len(grid))]
    )
    return _line(1, np.exp(grid[between]), best[between], ())


def _isoflop(params: Array, tokens: Array, loss: Array) -> Approach | None:
    """Approach 2: a parabola in ln N for each budget."""
    compute = 6 * params * tokens
    order = np.argsort(compute, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(np.log(compute[order])) > SAME_BUDGET) + 1)
    curves = []
    for group in groups:
        x, y = np.log(params[group]), loss[group]
        if len(np.unique(np.round(x, 2))) < MIN_SIZES or np.ptp(np.log(compute[group])) > 4 * SAME_BUDGET:
            continue
        c2, c1, c0 = np.polyfit(x, y, 2)
        lowest = -c1 / (2 * c2)
        if c2 > 0 and x.min() < lowest < x.max():
            curves.append(
                IsoFlop(
                    float(np.exp(np.log(compute[group]).mean())),
                    tuple(float(n) for n in params[group]),
                    tuple(float(value) for value in y),
                    (float(c0), float(c1), float(c2)),
                    float(np.exp(lowest)),
                )
            )
    if len(curves) < MIN_BUDGETS:
        return None
    return _line(2, np.array([c.compute for c in curves]), np.array([c.best_params for c in curves]), tuple(curves))


def _line(approach: int, compute: Array, best: Array, curves: tuple[IsoFlop, ...]) -> Approach | None:
    """Return the power law through (C, N_opt), None where there are too few of them."""
    if len(compute) < MIN_BUDGETS or len(np.unique(best)) < MIN_BUDGETS:
        return None
    a, log_scale = np.polyfit(np.log(compute / 6), np.log(best), 1)
    step = max(1, len(compute) // 50)
    points = tuple((float(c), float(n)) for c, n in zip(compute[::step], best[::step], strict=True))
    return Approach(approach, float(a), float(np.exp(log_scale)), points, curves)
