"""One training curve carried on: L(S) = E + A/S^alpha from its early part, with an interval and a check.

This is L(N, S) of Kaplan et al. 2020 (eq 5.6) for one model, whose term in N is constant: early training predicts late
training. Decided here: the log is averaged over steps that grow evenly in ln S, so that the many late steps do not
drown the early ones; warm-up is cut by fitting from several first steps; the interval comes from redrawing the
residuals of those averages in blocks and from the first steps together, because where one starts matters more than the
noise. The end that is held back is forecast too, and the result says whether it was met. A learning rate that decays
bends the end of a curve down by more than any power law knows: the forecast holds for the schedule so far.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.budget import models
from curate.budget.config import FitConfig
from curate.budget.fitted import CurvePoint, Estimate, Fit, Forecast, LeftOut, Point
from curate.budget.runs import read_columns
from curate.budget.solve import Array, best_of, minimise
from curate.errors import CurateError, UsageError

MIN_ROWS, BINS, FIRST = 30, 60, (0.005, 0.01, 0.02, 0.05, 0.1)
"""Fewest rows of a log, averages over the fitted part, and where to start fitting as shares of it (our choice)."""


def fit_curve(path: Path, config: FitConfig) -> Fit:
    """Return the curve of a log (step or tokens, loss) fitted on its first part, and its forecast.

    Raises UsageError for options out of range, CurateError for a log that is too short or whose loss does not fall.
    """
    if not 0.2 <= config.until <= 1:
        raise UsageError(f"until={config.until:g} should be between 0.2 and 1", "A share of the log: --until 0.8.")
    columns = read_columns(path, ["loss"], ["step", "tokens"], config.map, zero=("step", "tokens"))
    if "step" not in columns and "tokens" not in columns:
        raise CurateError(f"{path} has a column for neither step nor tokens", "Map one: --map step=COLUMN")
    steps, loss = np.array(columns.get("step", columns.get("tokens"))), np.array(columns["loss"])
    start = steps > 0
    order = np.argsort(steps[start], kind="stable")
    left_out = tuple(LeftOut(int(line), "step 0") for line in np.array(columns["line"])[~start])
    steps, loss = steps[start][order], loss[start][order]
    if len(steps) < MIN_ROWS:
        raise CurateError(f"{path} has {len(steps)} rows after step 0; a curve needs >= {MIN_ROWS}")
    target = config.to if config.to is not None else float(steps[-1])
    if not target >= steps[0]:
        raise UsageError(f"to={target:g} should be >= the first step {steps[0]:g}")
    return _fit_curve(path, config, steps, loss, target, left_out)


def _fit_curve(
    path: Path, config: FitConfig, steps: Array, loss: Array, to: float, left_out: tuple[LeftOut, ...]
) -> Fit:
    """Fit, redraw and forecast. Prior validation of data is assumed."""
    until = steps[0] + config.until * (steps[-1] - steps[0])
    early = steps <= until
    log_steps, log_loss, counts = average(steps[early], loss[early])
    if len(log_steps) < 8:
        raise CurateError(f"{path}: the first {config.until:.0%} of the log cover too few steps to fit a curve")
    third = len(log_loss) // 3
    if log_loss[-third:].mean() >= log_loss[:third].mean():
        raise CurateError(f"{path}: the loss does not fall over the fitted part, so there is nothing to carry on")
    best, draws, objective = _draws(config, log_steps, log_loss, counts)
    late = steps > until
    held = np.log(steps[late])[:: max(1, int(late.sum()) // 500)]
    # the mean over the held-back end, of the curve and of each draw; 500 steps tell it
    ends = np.exp(models.curve_model(held)(np.vstack([best[None], draws]))[0]).mean(axis=1) if late.any() else None
    at = np.exp(models.curve_model(np.log([to]))(np.vstack([best[None], draws]))[0])[:, 0]
    forecast = Forecast(
        to,
        _estimate(at),
        float(until),
        float(loss[late].mean()) if late.any() else math.nan,
        _estimate(ends) if ends is not None else Estimate(math.nan, None, None),
        bool(ends is not None and len(draws) and _met(_estimate(ends), float(loss[late].mean()))),
        _curve(best, draws, float(np.exp(log_steps[0])), max(to, float(steps[-1]))),
        tuple((float(np.exp(s)), float(np.exp(y))) for s, y in zip(*average(steps, loss)[:2], strict=True)),
    )
    values = np.stack([np.exp(best), *np.exp(draws)])
    past = np.exp(log_steps - log_steps[-1]) >= FIRST[len(FIRST) // 2]  # what the reported constants were fitted on
    log_steps, actual = log_steps[past], np.exp(log_loss[past])
    predicted = np.exp(models.curve_model(log_steps)(best[None])[0][0])
    warnings = []
    if to > 10 * until:
        warnings.append(f"the forecast goes {to / until:.0f} times as far as the part that was fitted")
    if late.any() and len(draws) and not forecast.held:
        warnings.append("the held-back end lies outside the interval: the curve is not on one power law yet")
    if values[0, 2] < 0.05:
        warnings.append("the exponent is near 0: the curve has shown no bend yet, so its floor is a guess")
    return Fit(
        "curve",
        {name: _estimate(values[:, place]) for place, name in enumerate(models.CURVE)},
        objective,
        float(1 - ((actual - predicted) ** 2).sum() / ((actual - actual.mean()) ** 2).sum()),
        int(early.sum()),
        left_out,
        {"step": (float(np.exp(log_steps[0])), float(until)), "loss": (float(actual.min()), float(actual.max()))},
        forecast=forecast,
        warnings=tuple(warnings),
        points=tuple(
            Point(0.0, float(s), float(s), float(a), float(p))
            for s, a, p in zip(np.exp(log_steps), actual, predicted, strict=True)
        ),
    )


def _met(ahead: Estimate, seen: float) -> bool:
    """Return whether the interval holds what was seen, or the forecast is within a thousandth of it (our choice)."""
    assert ahead.low is not None
    assert ahead.high is not None
    return ahead.low <= seen <= ahead.high or abs(ahead.value / seen - 1) < 1e-3


def _curve(best: Array, draws: Array, first: float, last: float) -> tuple[CurvePoint, ...]:
    """Return the curve and its interval at 60 steps that grow evenly in ln step."""
    at = np.geomspace(first, last, BINS)
    lines = np.exp(models.curve_model(np.log(at))(np.vstack([best[None], draws]))[0])
    if len(lines) < 2:
        return tuple(CurvePoint(float(s), float(y), None, None) for s, y in zip(at, lines[0], strict=True))
    low, high = np.percentile(lines[1:], [2.5, 97.5], axis=0)
    return tuple(CurvePoint(*(float(v) for v in row)) for row in zip(at, lines[0], low, high, strict=True))


def average(steps: Array, loss: Array) -> tuple[Array, Array, Array]:
    """Return mean ln step, ln mean loss and the number of rows of each of up to 60 bins that grow evenly in ln step."""
    edges = np.linspace(np.log(steps[0]), np.log(steps[-1]) + 1e-9, BINS + 1)
    place = np.clip(np.searchsorted(edges, np.log(steps), side="right") - 1, 0, BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    some = counts > 0
    at = np.bincount(place, np.log(steps), minlength=BINS)[some] / counts[some]
    mean = np.bincount(place, loss, minlength=BINS)[some] / counts[some]
    return at, np.log(mean), counts[some].astype(np.float64)


def _draws(config: FitConfig, log_steps: Array, log_loss: Array, counts: Array) -> tuple[Array, Array, float]:
    """Return the best parameters, those of each redrawn curve, and the objective."""
    span = log_steps[-1] - log_steps[0]
    cuts = [np.exp(log_steps - log_steps[-1]) >= share for share in FIRST]
    cuts = [cut for cut in cuts if cut.sum() >= 6 and span > 0] or [np.ones(len(log_steps), dtype=bool)]
    model = models.curve_model(log_steps)
    weight = np.sqrt(counts)  # between equal bins and equal rows: a bin's noise falls with its rows, its bias does not
    whole, _ = best_of(model, models.curve_starts(log_loss, log_steps), log_loss, weight)
    fits = [minimise(model, whole[None], log_loss, weight * cut, 200) for cut in cuts]
    middle = fits[len(fits) // 2]
    generator = np.random.default_rng(config.seed)
    draws = -(-config.bootstrap // len(cuts))
    found = [np.empty((0, 3))]
    for (theta, _), cut in zip(fits, cuts, strict=True):
        if draws:
            rows = np.flatnonzero(cut)
            curve = model(theta)[0][0]
            redrawn = curve[rows] + (log_loss - curve)[rows][_blocks(generator, draws, len(rows))]
            starts = np.repeat(theta, draws, axis=0)
            again, _ = minimise(models.curve_model(log_steps[rows]), starts, redrawn, weight[rows], 60)
            found.append(again)
    return middle[0][0], np.concatenate(found), float(middle[1][0])


def _blocks(generator: np.random.Generator, draws: int, count: int) -> NDArray[np.int64]:
    """Return (draws, count) places, drawn with replacement in blocks of about the cube root of the count."""
    block = max(1, round(count ** (1 / 3)))
    first = generator.integers(0, count, size=(draws, -(-count // block)))
    return ((first[:, :, None] + np.arange(block)) % count).reshape(draws, -1)[:, :count]


def _estimate(values: Array) -> Estimate:
    """Return the first value with the 95 % interval of the others."""
    if len(values) < 2:
        return Estimate(float(values[0]), None, None)
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return Estimate(float(values[0]), float(low), float(high))
