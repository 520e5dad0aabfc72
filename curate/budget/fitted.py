"""What a fit holds: plain records, and the JSON that `curate plan --law FILE` reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from curate.budget.approaches import Approach
from curate.budget.result import SCHEMA_VERSION, plain


class Estimate(NamedTuple):
    """A fitted number and its 95 % interval, None without a bootstrap."""

    value: float
    low: float | None
    high: float | None


class LeftOut(NamedTuple):
    """A row that the fit did not use."""

    line: int
    reason: str


class Leverage(NamedTuple):
    """What leaving one run out does to the parameter it moves most, in standard errors."""

    line: int
    parameter: str
    shift: float


class Profile(NamedTuple):
    """The best objective at a fixed R_D_star."""

    r_d_star: float
    r_n_star: float
    objective: float


class Point(NamedTuple):
    """A run and what the law says of it."""

    params: float
    tokens: float
    unique_tokens: float
    loss: float
    predicted: float


class CurvePoint(NamedTuple):
    """The fitted curve at a step, with the 95 % interval of its draws; None without a bootstrap."""

    step: float
    loss: float
    low: float | None
    high: float | None


class Forecast(NamedTuple):
    """A training curve at a later step, and how the forecast did on the end that was held back."""

    step: float
    loss: Estimate
    fitted_until: float
    held_back_loss: float
    held_back_forecast: Estimate
    held: bool
    curve: tuple[CurvePoint, ...]
    seen: tuple[tuple[float, float], ...]
    """(step, loss) of the whole log, averaged over steps that grow evenly in ln step."""


@dataclass(frozen=True)
class Fit:
    """A fitted law; `to_json` is what `curate plan --law FILE` reads."""

    law: str
    parameters: dict[str, Estimate]
    objective: float
    r2: float
    runs_used: int
    left_out: tuple[LeftOut, ...]
    range: dict[str, tuple[float, float]]
    derived: dict[str, Estimate] = field(default_factory=dict)
    approaches: tuple[Approach, ...] = ()
    leverage: tuple[Leverage, ...] = ()
    profile: tuple[Profile, ...] = ()
    forecast: Forecast | None = None
    surface: str = ""
    warnings: tuple[str, ...] = ()
    points: tuple[Point, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the fit as `curate fit --json` prints it."""
        found: dict[str, Any] = plain(self)
        rows = found.pop("left_out")
        found["runs"] = {"used": found.pop("runs_used"), "left_out": len(rows), "left_out_rows": rows}
        return {"schema_version": SCHEMA_VERSION, **found}
