"""A fit and a noise measurement in words: lists of (heading, lines), as `render` gives for a plan."""

from __future__ import annotations

from curate.budget.fitted import Estimate, Fit
from curate.budget.noise import Noise
from curate.budget.render import Section, item
from curate.budget.words import number, size


def render_fit(fit: Fit) -> list[Section]:
    """Return a fitted law as sections."""
    found = [
        ("Law", [f"{fit.law}: {fit.runs_used} rows used, {len(fit.left_out)} left out"]),
        ("Rows left out", left_out(fit)),
        ("Parameters, with 95 % intervals", [_line(name, one) for name, one in fit.parameters.items()]),
        ("Derived", [_line(name.replace("_", " "), one) for name, one in fit.derived.items()]),
        ("Quality", [f"objective {fit.objective:.6g} (sum of Huber terms), R2 {fit.r2:.4f}"]),
        ("Forecast", _forecast(fit)),
        (
            "Other approaches",
            [f"approach {one.approach}: N = {one.scale:.4g} (C/6)^{one.a:.4f}" for one in fit.approaches],
        ),
        ("Runs that carry the fit", _leverage(fit)),
        (
            "Profile of R_D_star",
            [f"{number(one.r_d_star):>6}  objective {one.objective:.6f}" for one in fit.profile],
        ),
        ("Fitted range", [_range(name, *limits) for name, limits in fit.range.items()]),
        ("Warnings", [line for text in fit.warnings for line in item(text)]),
    ]
    return [(heading, lines) for heading, lines in found if lines]


def render_noise(noise: Noise) -> list[Section]:
    """Return a noise measurement as sections."""
    lines = []
    for part in noise.stretches:
        scale = size(part.b_simple) if part.b_simple is not None else "unknown"
        heat = f"  T {number(part.temperature)}" if part.temperature is not None else ""
        lines.append(f"{size(part.first):>8} to {size(part.last):<8} B_simple {scale:>8}{heat}")
    values = (("|G|^2", noise.gradient_norm_squared), ("tr(Sigma)", noise.variance), ("B_simple", noise.b_simple))
    return [
        (
            "Noise scale",
            [f"{name:<10} {number(v.value)} (95 %: {number(v.low)} to {number(v.high)})" for name, v in values],
        ),
        ("Over training", lines),
        ("What it means", [line for text in noise.advice for line in item(text)]),
    ]


def _line(name: str, one: Estimate) -> str:
    """Return a parameter with its interval."""
    if one.low is None or one.high is None:
        return f"{name:<38} {number(one.value, 4)}"
    return f"{name:<38} {number(one.value, 4)} ({number(one.low, 4)} to {number(one.high, 4)})"


def limits(name: str, low: float, high: float) -> tuple[str, str]:
    """Return both ends of a quantity's range among the runs."""
    show = size if name in ("params", "tokens", "step", "epochs") else number
    return show(low), show(high)


def _range(name: str, low: float, high: float) -> str:
    """Return the range of a quantity among the runs."""
    return f"{name.replace('_', ' '):<18} {' to '.join(limits(name, low, high))}"


def left_out(fit: Fit) -> list[str]:
    """Return why rows were left out, the reasons counted."""
    reasons: dict[str, int] = {}
    for row in fit.left_out:
        reasons[row.reason] = reasons.get(row.reason, 0) + 1
    return [f"{count:,}: {reason}" for reason, count in reasons.items()]


def _forecast(fit: Fit) -> list[str]:
    """Return the forecast of a training curve and its check."""
    if fit.forecast is None:
        return []
    ahead = fit.forecast
    lines = [_line(f"loss at {size(ahead.step)}", ahead.loss), f"fitted until {size(ahead.fitted_until)}"]
    if ahead.held_back_forecast.low is not None:
        verdict = "met" if ahead.held else "missed"
        lines.append(f"held-back end: {ahead.held_back_loss:.4f} on average, forecast {verdict}:")
        lines.append(_line("  forecast of it", ahead.held_back_forecast))
    return lines


def _leverage(fit: Fit) -> list[str]:
    """Return what leaving out single runs does."""
    return [f"line {one.line}: without it {one.parameter} moves by {one.shift:+.2f} SE" for one in fit.leverage]
