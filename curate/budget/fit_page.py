"""A fit as an HTML page: predicted against observed, residuals, IsoFLOP curves, the profile of R_D_star, a forecast."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from curate.budget.approaches import Approach
from curate.budget.fitted import Estimate, Fit, Forecast, Point
from curate.budget.render_fit import left_out, limits
from curate.budget.words import number, size
from curate.report.page import figures, items, page, table, text
from curate.report.svg import Axis, Band, Dots, Line, Mark, Shape, chart

PUBLISHED_STAR = 15.387756
"""R_D_star as Muennighoff et al. 2023 print it, marked in the profile."""


def fit_page(fit: Fit) -> str:
    """Return the HTML page of a fitted law."""
    warned = items([("", one, "") for one in fit.warnings])
    ranges = [(name.replace("_", " "), *limits(name, *ends)) for name, ends in fit.range.items()]
    sections = [
        ("Warnings", warned),
        ("Parameters", _estimates(fit.parameters | fit.derived)),
        ("Forecast", _forecast(fit.forecast, fit.range["step"][0]) if fit.forecast else ""),
        ("Fit and residuals", figures(*(() if fit.forecast else (_predicted(fit.points),)), *_residuals(fit))),
        ("Profile of R_D_star", figures(_profile(fit)) if fit.profile else ""),
        ("Compute-optimal sizes", figures(*_approaches(fit))),
        (
            "Runs that carry the fit",
            table(
                ("line of the csv", "parameter it moves most", "standard errors"),
                [(str(one.line), one.parameter, f"{one.shift:+.2f}") for one in fit.leverage],
            ),
        ),
        ("Fitted range", table(("", "from", "to"), ranges)),
        ("Rows left out", items([("", one, "") for one in left_out(fit)])),
    ]
    lead = (
        f"{fit.runs_used:,} rows used, {len(fit.left_out):,} left out; objective {fit.objective:.6g} (sum of Huber "
        f"terms on log loss), R² {fit.r2:.4f}."
    )
    return page(f"Fit of the {fit.law} law", sections, lead)


def _estimates(values: dict[str, Estimate]) -> str:
    rows = [
        (name.replace("_", " ") if len(name) > 12 else name, number(one.value, 4), *_interval(one))
        for name, one in values.items()
    ]
    return table(("", "value", "95 % from", "to"), rows)


def _interval(one: Estimate) -> tuple[str, str]:
    """Return both ends of an interval, empty without a bootstrap."""
    return ("", "") if one.low is None or one.high is None else (number(one.low, 4), number(one.high, 4))


def _title(point: Point) -> str:
    return f"{size(point.params)} parameters, {size(point.tokens)} tokens: {point.loss:.4f}, law {point.predicted:.4f}"


def _predicted(points: Sequence[Point]) -> str:
    """Return predicted against observed loss; a perfect law puts every run on the diagonal."""
    low = min(min(one.loss, one.predicted) for one in points)
    high = max(max(one.loss, one.predicted) for one in points)
    shapes: list[Shape] = [
        Line([(low, low), (high, high)], "equal", 1, dashed=True),
        Dots([(one.predicted, one.loss) for one in points], "runs", 0, [_title(one) for one in points]),
    ]
    return chart(
        "Predicted and observed loss",
        shapes,
        Axis("predicted, nats a token", show=number),
        Axis("observed, nats a token", show=number),
    )


def _residuals(fit: Fit) -> list[str]:
    """Return the residuals in percent against each quantity: a trend is what the law does not know."""
    against: list[tuple[str, Callable[[Point], float]]] = [
        ("parameters", lambda one: one.params),
        ("tokens", lambda one: one.tokens),
        ("compute, FLOP", lambda one: 6 * one.params * one.tokens),
    ]
    if any(one.tokens > 1.5 * one.unique_tokens for one in fit.points):
        against.append(("epochs", lambda one: one.tokens / one.unique_tokens))
    if fit.forecast:
        against = [("step", lambda one: one.tokens)]
    return [_residual(fit, name, value) for name, value in against]


def _residual(fit: Fit, name: str, value: Callable[[Point], float]) -> str:
    dots = [(value(one), 100 * math.log(one.loss / one.predicted)) for one in fit.points]
    titles = [_title(one) for one in fit.points] if not fit.forecast else []
    ends = [min(x for x, _ in dots), max(x for x, _ in dots)]
    return chart(
        f"Residuals against {name.split(',')[0]}",
        [Line([(x, 0.0) for x in ends], "", 1, dashed=True), Dots(dots, "", 0, titles)],
        Axis(name, log=True, show=_power if name.startswith("compute") else size),
        Axis("observed over predicted, %", show=number),
    )


def _power(value: float) -> str:
    """Return FLOP as a power of ten."""
    return f"{value:.0e}".replace("e+", "e")


def _profile(fit: Fit) -> str:
    """Return the best objective at each R_D_star: a flat floor means that these runs do not tell it."""
    best = fit.parameters["R_D_star"].value
    floor = min(fit.objective, *(one.objective for one in fit.profile))
    shapes: list[Shape] = [
        Line([(one.r_d_star, one.objective) for one in fit.profile], "best objective"),
        Dots(
            [(one.r_d_star, one.objective) for one in fit.profile],
            "",
            0,
            [f"R_D_star {number(one.r_d_star)}, R_N_star {number(one.r_n_star)}: {one.objective:.6f}"
             for one in fit.profile],
        ),
        Line([(fit.profile[0].r_d_star, 1.005 * floor), (fit.profile[-1].r_d_star, 1.005 * floor)],
             "0.5 % above the best", 2, dashed=True),
        Mark("published 15.4", PUBLISHED_STAR, colour=3),
    ]  # fmt: skip
    if fit.profile[0].r_d_star <= best <= fit.profile[-1].r_d_star:
        shapes.append(Mark(f"best {number(best)}", best, fit.objective))
    return chart(
        "How well R_D_star is known",
        shapes,
        Axis("R_D_star, repetitions", log=True, show=number),
        Axis("objective", show=lambda value: f"{value:.4f}"),
    )


def _approaches(fit: Fit) -> list[str]:
    """Return the IsoFLOP curves with their parabolas, and the best size against compute by each approach."""
    drawn = [_isoflop(one) for one in fit.approaches if one.curves]
    if not fit.approaches:
        return drawn
    budgets = [compute for one in fit.approaches for compute, _ in one.points]
    ends = [min(budgets), max(budgets)]
    shapes: list[Shape] = []
    for one in fit.approaches:
        colour = one.approach % 4
        shapes.append(Dots(one.points, "", colour))
        shapes.append(
            Line(
                [(c, one.scale * (c / 6) ** one.a) for c in ends],
                f"approach {one.approach}: N ~ C^{one.a:.3f}",
                colour,
            )
        )
    if fit.law == "chinchilla":
        alpha, beta, a, b = (fit.parameters[name].value for name in ("alpha", "beta", "A", "B"))
        exponent, scale = beta / (alpha + beta), (alpha * a / (beta * b)) ** (1 / (alpha + beta))
        line = [(c, scale * (c / 6) ** exponent) for c in ends]
        shapes.append(Line(line, f"approach 3, this fit: N ~ C^{exponent:.3f}", 0, dashed=True))
    return [
        *drawn,
        chart(
            "Best size for a budget",
            shapes,
            Axis("compute, FLOP", log=True, show=_power),
            Axis("parameters", log=True, show=size),
        ),
    ]


def _isoflop(approach: Approach) -> str:
    """Return the runs of each budget with the parabola through them, its minimum named by its FLOP."""
    shapes: list[Shape] = []
    for place, curve in enumerate(approach.curves):
        c0, c1, c2 = curve.parabola
        low, high = math.log(min(curve.params)), math.log(max(curve.params))
        at = [low + (high - low) * step / 40 for step in range(41)]
        shapes.append(Line([(math.exp(x), c0 + c1 * x + c2 * x * x) for x in at], "", place))
        titles = [
            f"{size(n)} parameters at {curve.compute:.2g} FLOP: {loss:.4f}"
            for n, loss in zip(curve.params, curve.loss, strict=True)
        ]
        shapes.append(Dots(list(zip(curve.params, curve.loss, strict=True)), "", place, titles))
        best = math.log(curve.best_params)
        shapes.append(
            Mark(f"{curve.compute:.1e}".replace("e+", "e"), curve.best_params, c0 + c1 * best + c2 * best**2, place)
        )
    return chart(
        "IsoFLOP curves and their parabolas, FLOP at each minimum",
        shapes,
        Axis("parameters", log=True, show=size),
        Axis("loss, nats a token", show=number),
    )


def _forecast(ahead: Forecast, first: float) -> str:
    """Return the training curve from its `first` fitted step on, with its interval and the end that was held back."""
    end = ahead.loss
    held = ahead.held_back_forecast
    early = [(step, loss) for step, loss in ahead.seen if first <= step <= ahead.fitted_until]
    late = [(step, loss) for step, loss in ahead.seen if step > ahead.fitted_until]
    curve = [one for one in ahead.curve if one.step >= first]
    band = [(one.step, one.low, one.high) for one in curve if one.low is not None and one.high is not None]
    shapes: list[Shape] = [
        Band(band, "95 % interval"),
        Line([(one.step, one.loss) for one in curve], "fitted curve"),
        Dots(early, "log, fitted", 0),
        Dots(late, "log, held back", 2),
        Mark("fitted until here", ahead.fitted_until, colour=3),
        Mark(f"{end.value:.3f} at {size(ahead.step)}", ahead.step, end.value),
    ]
    picture = chart(
        "The curve carried on",
        shapes,
        Axis("step", log=True, show=size),
        Axis("loss, nats a token", show=number),
    )
    rows = [(f"loss at step {size(ahead.step)}", number(end.value, 4), *_interval(end))]
    said = ""
    if held.low is not None:
        rows.append(("mean loss of the held-back end, forecast", number(held.value, 4), *_interval(held)))
        rows.append(("mean loss of the held-back end, observed", number(ahead.held_back_loss, 4), "", ""))
        said = text(f"The forecast of the held-back end was {'met' if ahead.held else 'missed'}.")
    return figures(picture) + table(("", "value", "95 % from", "to"), rows) + said
