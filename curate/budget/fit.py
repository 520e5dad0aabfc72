"""Fit a law to the user's own runs, with intervals, leverage and a refusal where the runs cannot carry it.

Read top to bottom: `fit_law` reads the runs, each law has its story (`_fit_chinchilla`, `_fit_kaplan`,
`_fit_repetition`; one training curve is `curve.py`), `sweep.py` refuses runs that cannot carry a law.
Decided here: intervals are the 2.5th and 97.5th percentile of a bootstrap over runs, every draw fitted again;
leverage is what leaving one run out does, in standard errors; runs with fewer than one token a parameter are named,
because five such runs of 245 move Chinchilla's beta from .367 to .453.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from curate.budget import approaches, models, repetition
from curate.budget.config import FitConfig
from curate.budget.fitted import Estimate, Fit, Leverage, Point, Profile
from curate.budget.law import Law
from curate.budget.lawset import load_surface
from curate.budget.solve import Array, Model, best_of, huber, minimise
from curate.budget.sweep import MIN_LEVELS, MIN_RUNS, Runs, check_spread, levels, next_runs, read_runs
from curate.budget.words import number
from curate.config import resolve
from curate.errors import CurateError, UsageError, unknown_name

LAWS = ("chinchilla", "kaplan", "repetition", "curve")
OFF_SURFACE = 0.02
"""How far one-epoch runs may lie off a surface, in log loss, before it is said (our choice; seeds spread by 0.4 %)."""
SMALLEST, UNBOUNDED = 1e-3, 1e5
"""Ends of R_D_star and R_N_star: past the upper one a repeat is worth a fresh token, under the lower one nothing."""


def fit_law(runs: str | Path, **options: Any) -> Fit:
    """Return a law fitted to the csv `runs`, one row a run (a step for a curve); the Python face of `curate fit`.

    `options` are those of the command (`law="chinchilla"`, `bootstrap=1000`, ...). Raises UsageError for an unknown
    law, option or column, CurateError for a file that cannot be read, for a value that is no number above zero, and
    for runs that cannot carry the law; its hint says what to run next.
    """
    config, _ = resolve(FitConfig, [("argument", options)])
    return fit_runs(Path(runs), config)


def fit_runs(path: Path, config: FitConfig) -> Fit:
    """Return the law of `config` fitted to the csv at `path`; errors as in `fit_law`."""
    from threadpoolctl import threadpool_limits

    if config.law not in LAWS:
        raise unknown_name("law", config.law, LAWS)
    if config.drop_highest < 0:
        raise UsageError(f"drop_highest={config.drop_highest} should be >= 0")
    if config.bootstrap < 0 or 0 < config.bootstrap < 20:
        raise UsageError(f"bootstrap={config.bootstrap} should be 0 or >= 20")
    with threadpool_limits(limits=1):  # small matrices: threads cost time and could change the last digits
        if config.law == "curve":
            from curate.budget.curve import fit_curve

            return fit_curve(path, config)
        return {"chinchilla": _fit_chinchilla, "kaplan": _fit_kaplan, "repetition": _fit_repetition}[config.law](
            path, config
        )


def _fit_chinchilla(path: Path, config: FitConfig) -> Fit:
    """Approach 3 of Hoffmann et al. 2022, with approaches 1 and 2 where the columns allow."""
    runs = read_runs(path, config)
    check_spread(runs)
    model = models.chinchilla_model(np.log(runs.params), np.log(runs.tokens))
    largest = float((6 * runs.params * runs.tokens).max())

    def derive(values: Array) -> Array:
        alpha, beta = values[..., 3], values[..., 4]
        a = beta / (alpha + beta)
        with np.errstate(all="ignore"):
            scale = (alpha * values[..., 1] / (beta * values[..., 2])) ** (1 / (alpha + beta))
            params = scale * (largest / 6) ** a
        return np.stack([a, largest / (6 * params**2)], axis=-1)

    fit = _fit(config, runs, "chinchilla", model, models.chinchilla_starts(), models.chinchilla_values, derive)
    warnings = list(fit.warnings)
    if min(fit.parameters["alpha"].value, fit.parameters["beta"].value) <= 0:
        raise CurateError(
            "the best fit has an exponent <= 0: the loss does not fall with size or data", next_runs(runs)
        )
    repeats = int((runs.tokens > 1.5 * runs.unique).sum())
    if repeats:
        warnings.append(f"{repeats} runs repeat their data; this law takes every token for new (--law repetition)")
    few = runs.tokens < runs.params
    if 0 < few.sum() <= len(few) // 3:
        without, _ = minimise(model, _theta(fit)[None], np.log(runs.loss), (~few).astype(np.float64), 200)
        warnings.append(
            f"{few.sum()} runs have fewer than one token a parameter; without them beta is "
            f"{without[0, 4]:.3f} instead of {fit.parameters['beta'].value:.3f}"
        )
    extra = approaches.find(runs.params, runs.tokens, runs.loss, runs.columns)
    return replace(fit, warnings=tuple(warnings), approaches=extra)


def _theta(fit: Fit) -> Array:
    """Return the model's parameters of a Chinchilla fit."""
    e, a, b, alpha, beta = (fit.parameters[name].value for name in models.CHINCHILLA)
    return np.array([math.log(e), math.log(a), math.log(b), alpha, beta])


def _fit_kaplan(path: Path, config: FitConfig) -> Fit:
    """Eq 1.5 of Kaplan et al. 2020; N should leave embeddings out, which the csv cannot show."""
    runs = read_runs(path, config)
    check_spread(runs)
    model = models.kaplan_model(np.log(runs.params), np.log(runs.tokens))
    fit = _fit(config, runs, "kaplan", model, models.kaplan_starts(), np.exp)
    return replace(fit, warnings=(*fit.warnings, "this law counts parameters without embeddings: so should the column"))


def _fit_repetition(path: Path, config: FitConfig) -> Fit:
    """R_D_star and R_N_star of Muennighoff et al. 2023 on a given surface, with the profile of R_D_star."""
    runs = read_runs(path, config)
    if "unique_tokens" not in runs.columns and "epochs" not in runs.columns:
        raise CurateError(
            f"{path} has a column for neither unique_tokens nor epochs", "Map one: --map unique_tokens=COLUMN"
        )
    epochs = runs.tokens / runs.unique
    repeated = epochs > 1.5
    if len(epochs) < MIN_RUNS or levels(epochs[repeated]) < MIN_LEVELS:
        raise CurateError(
            f"{len(epochs)} runs, {repeated.sum()} of them repeat data, at {levels(epochs[repeated])} different "
            f"epochs; the law needs >= {MIN_RUNS} runs and >= {MIN_LEVELS} different epochs above 1",
            "Next: train one model on 1, 4, 16 and 60 epochs of the same set, then on half of that set.",
        )
    surface = load_surface(config.surface)
    model = models.repetition_model(runs.params, runs.tokens, runs.unique, surface)
    limits = math.log(SMALLEST), math.log(UNBOUNDED)
    off = _off_the_surface(runs, surface)
    fit = _fit(config, runs, "repetition", model, models.repetition_starts(), np.exp, limits=limits)
    profile = _profile(model, np.log(runs.loss))
    flat = [one.r_d_star for one in profile if one.objective <= 1.005 * fit.objective]
    warnings = list(fit.warnings)
    if abs(off) > OFF_SURFACE:
        warnings.append(
            f"the runs of one epoch lie {100 * off:+.1f} % off the surface {surface.name}: fit your own first "
            "(--law chinchilla --json > own.json, then --surface own.json)"
        )
    turned = int((runs.params * runs.tokens / runs.unique**2 >= repetition.OVERFIT_PRODUCT)[repeated].sum())
    if turned:
        warnings.append(
            f"{turned} runs have (N/U) * epochs >= {repetition.OVERFIT_PRODUCT:g}, where the loss of published runs "
            "had turned up; this law cannot rise, so compare with a fit without them"
        )
    for name, one in fit.parameters.items():
        if not 1.001 * SMALLEST < one.value < 0.999 * UNBOUNDED:
            warnings.append(f"{name} ran to the end of the search at {number(one.value)}: these runs do not tell it")
    if len(flat) > 1 and flat[-1] > 2 * flat[0]:
        warnings.append(
            f"R_D_star is weakly identified: every value from {number(flat[0])} to {number(flat[-1])} fits within "
            "0.5 % of the best objective"
        )
    found = {**fit.range, "epochs": (float(epochs.min()), float(epochs.max()))}
    bounded = {
        name: one if one.high is None or one.high < 0.999 * UNBOUNDED else one._replace(high=math.inf)
        for name, one in fit.parameters.items()
    }
    return replace(
        fit, parameters=bounded, profile=profile, warnings=tuple(warnings), range=found, surface=config.surface
    )


def _off_the_surface(runs: Runs, surface: Law) -> float:
    """Return the median of ln observed - ln predicted over the runs without repeats; 0 where there are none."""
    once = runs.tokens <= 1.01 * runs.unique
    if not once.any():
        return 0.0
    pairs = zip(runs.params[once], runs.tokens[once], strict=True)
    predicted = np.array([repetition.loss(n, d, d, repetition.REPETITION, surface) for n, d in pairs])
    return float(np.median(np.log(runs.loss[once] / predicted)))


def _profile(model: Model, target: Array) -> tuple[Profile, ...]:
    """Return the best objective at each of a row of R_D_star."""
    held = np.array([3.0, 5, 8, 12, 15.387756, 20, 31, 47, 70, 120, 250, 500, 1000])
    inner = np.log([0.5, 2.0, 6.0, 15.0])
    starts = np.array([(math.log(star), start) for star in held for start in inner])
    theta, value = minimise(model, starts, target, np.ones(len(target)), 150, np.array([False, True]))
    found = []
    for place, star in enumerate(held):
        best = place * len(inner) + int(np.argmin(value[place * len(inner) : (place + 1) * len(inner)]))
        found.append(Profile(float(star), float(np.exp(theta[best, 1])), float(value[best])))
    return tuple(found)


def _fit(
    config: FitConfig,
    runs: Runs,
    law: str,
    model: Model,
    starts: Array,
    values: Callable[[Array], Array],
    derive: Callable[[Array], Array] | None = None,
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> Fit:
    """Fit one law from its starts; bootstrap and leave-one-out from the optimum. Prior validation is assumed.

    Parameters that run past `limits` are set to them: the objective is flat there.
    """
    names = {"chinchilla": models.CHINCHILLA, "kaplan": models.KAPLAN, "repetition": models.REPETITION}[law]
    target, count = np.log(runs.loss), len(runs.loss)
    best, objective = best_of(model, starts, target, np.ones(count))
    best = np.clip(best, *limits)
    draws = np.clip(_bootstrap(config, model, best, starts, target), *limits)
    intervals = _intervals(values(best), values(draws) if len(draws) else None)
    derived: dict[str, Estimate] = {}
    if derive is not None:
        extra = _intervals(derive(values(best)), derive(values(draws)) if len(draws) else None)
        derived = dict(zip(("a", "tokens_per_param_at_largest_compute"), extra, strict=True))
    predicted = np.exp(model(best[None])[0][0])
    compute = 6 * runs.params * runs.tokens
    quantities = {
        "params": runs.params,
        "tokens": runs.tokens,
        "tokens_per_param": runs.tokens / runs.params,
        "compute": compute,
        "loss": runs.loss,
    }
    return Fit(
        law,
        dict(zip(names, intervals, strict=True)),
        objective,
        r_squared(predicted, runs.loss),
        count,
        runs.left_out,
        {name: (float(value.min()), float(value.max())) for name, value in quantities.items()},
        derived,
        leverage=_leverage(runs, names, model, best, draws, target, limits),
        warnings=() if count >= 30 else (f"{count} runs are few: trust the intervals, not the digits",),
        points=tuple(
            Point(*(float(v) for v in row))
            for row in zip(runs.params, runs.tokens, runs.unique, runs.loss, predicted, strict=True)
        ),
    )


def _bootstrap(config: FitConfig, model: Model, best: Array, starts: Array, target: Array) -> Array:
    """Return the parameters of each bootstrap draw: from the optimum and from three other starts, the best of them.

    From the optimum alone 59 of 60 draws ended where 40 starts did, the last 3e-5 above.
    """
    if not config.bootstrap:
        return np.empty((0, len(best)))
    generator = np.random.default_rng(config.seed)
    count = len(target)
    picks = generator.integers(0, count, size=(config.bootstrap, count))
    weights = np.stack([np.bincount(row, minlength=count) for row in picks]).astype(np.float64)
    theta, value = minimise(model, np.repeat(best[None], config.bootstrap, axis=0), target, weights, 80)
    for other in starts[[len(starts) // 4, len(starts) // 2, 3 * len(starts) // 4]]:
        again, reached = minimise(model, np.repeat(other[None], config.bootstrap, axis=0), target, weights, 60)
        better = reached < value
        theta, value = np.where(better[:, None], again, theta), np.where(better, reached, value)
    return theta


def _intervals(best: Array, draws: Array | None) -> list[Estimate]:
    """Return each value with the 2.5th and 97.5th percentile of its draws."""
    if draws is None:
        return [Estimate(float(value), None, None) for value in best]
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    return [
        Estimate(float(v), float(at_low), float(at_high)) for v, at_low, at_high in zip(best, low, high, strict=True)
    ]


def _leverage(
    runs: Runs,
    names: Sequence[str],
    model: Model,
    best: Array,
    draws: Array,
    target: Array,
    limits: tuple[float, float],
) -> tuple[Leverage, ...]:
    """Return the five runs whose absence moves a parameter most, in standard errors."""
    count = len(target)
    theta, _ = minimise(model, np.repeat(best[None], count, axis=0), target, 1.0 - np.eye(count), 60)
    shift = np.clip(theta, *limits) - best
    if len(draws):  # half the middle 68 %: a parameter whose draws run off to infinity has no standard deviation
        error = np.diff(np.percentile(draws, [16, 84], axis=0), axis=0)[0] / 2
    else:
        error = np.sqrt((count - 1) / count * (shift**2).sum(axis=0))
    scaled = shift / np.maximum(error, 1e-300)
    most = np.abs(scaled).argmax(axis=1)
    order = np.argsort(-np.abs(scaled).max(axis=1), kind="stable")[:5]
    return tuple(Leverage(int(runs.line[i]), names[most[i]], float(scaled[i, most[i]])) for i in order)


def objective(predicted: Array, loss: Array) -> float:
    """Return the sum of Huber terms (delta 1e-3) of ln predicted - ln loss, the value that a fit minimises."""
    return float(huber(np.log(predicted) - np.log(loss), np.ones(len(loss))))


def r_squared(predicted: Array, loss: Array) -> float:
    """Return 1 - residual over total sum of squares of the loss."""
    return float(1 - ((loss - predicted) ** 2).sum() / ((loss - loss.mean()) ** 2).sum())
