"""What a scaling law is here: a formula with the constants its paper prints, and the range of the runs behind it.

A law is data, not a class with methods: the functions of each paper's module take a `Law` where another set of
constants makes sense (a refit, a user's own fit). So a number in a report can always be traced: the law names its
source, each constant its table and its error, and `outside` says where a question leaves the fitted range.

Units everywhere: N parameters, D and U tokens, C FLOP, B tokens a step, S steps, L nats a token. Papers that use
other units (PF-days, sequences, millions) are converted in their own module and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

NO_ERROR = "no error printed"


@dataclass(frozen=True)
class Constant:
    """One number of a law as its source prints it."""

    symbol: str
    value: float
    unit: str = ""
    error: str = NO_ERROR
    where: str = ""


@dataclass(frozen=True)
class Law:
    """A formula, its constants, its source, and the range of the runs it was fitted on."""

    name: str
    formula: str
    source: str
    constants: tuple[Constant, ...]
    fitted: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Lowest and highest value of each quantity among the runs behind the fit; empty where no range is known."""
    note: str = ""

    def __getitem__(self, symbol: str) -> float:
        """Return the value of the constant `symbol`."""
        for constant in self.constants:
            if constant.symbol == symbol:
                return constant.value
        raise KeyError(f"{self.name} has no constant {symbol}")

    def with_values(self, **values: float) -> Law:
        """Return this law with some of its constants replaced (`E=1.9`)."""
        for symbol in values:
            _ = self[symbol]
        kept = tuple(replace(c, value=values.get(c.symbol, c.value)) for c in self.constants)
        return replace(self, constants=kept)

    def outside(self, **at: float) -> list[str]:
        """Say for each quantity of `at` that leaves the fitted range what it is and what the range was."""
        found = []
        for quantity, (low, high) in self.fitted.items():
            value = at.get(quantity)
            if value is not None and not low <= value <= high:
                found.append(f"{quantity.replace('_', ' ')} {value:.3g} is outside {low:.3g} to {high:.3g}")
        return found


@dataclass(frozen=True)
class LawUse:
    """One law as a plan used it: for what, and whether the question was inside its fitted range."""

    law: Law
    used_for: str
    outside: tuple[str, ...]
    inside_range: bool | None
    """None where the source states no range."""

    def to_json(self) -> dict[str, Any]:
        """Return the entry of `laws` in `--json`."""
        return {
            "name": self.law.name,
            "source": self.law.source,
            "formula": self.law.formula,
            "note": self.law.note,
            "used_for": self.used_for,
            "inside_range": self.inside_range,
            "outside": list(self.outside),
            "constants": [
                {"symbol": c.symbol, "value": c.value, "unit": c.unit, "error": c.error, "where": c.where}
                for c in self.law.constants
            ],
        }


def use(law: Law, used_for: str, **at: float) -> LawUse:
    """Record that `law` answered `used_for` at the point `at`."""
    outside = tuple(law.outside(**at))
    known = any(quantity in at for quantity in law.fitted)
    return LawUse(law, used_for, outside, (not outside) if known else None)
