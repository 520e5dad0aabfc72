"""The lines behind the figures of a plan: what the report draws, as plain points."""

from __future__ import annotations

import math
from typing import NamedTuple

from curate.budget import repetition
from curate.budget.lawset import load_laws
from curate.budget.result import Plan


class PenaltyPoint(NamedTuple):
    """Loss above fresh data, in percent, when the plan's training tokens are so many epochs."""

    epochs: float
    low: float
    mid: float
    high: float
    reliable: bool


class OptimalPoint(NamedTuple):
    """The tokens that N parameters want, and their band."""

    params: float
    low: float
    tokens: float
    high: float


def penalty_curve(plan: Plan, law: str = "default", points: int = 60) -> list[PenaltyPoint]:
    """Return the loss penalty of the plan's model at its training tokens, from 1 to past the plan's epochs.

    The training tokens stay and the unique ones shrink, as in the measured runs that are drawn beside it.
    """
    laws = load_laws(law)
    last = math.log(max(64.0, 2 * plan.epochs))
    found = []
    for place in range(points):
        epochs = math.exp(last * place / (points - 1))
        part = [(plan.training_tokens, plan.training_tokens / epochs)]
        low, mid, high = repetition.penalty(plan.params, part, laws.repetition, laws.repeated_surface)
        found.append(PenaltyPoint(epochs, 100 * low, 100 * mid, 100 * high, epochs <= repetition.RELIABLE_EPOCHS))
    return found


def optimal_line(plan: Plan, law: str = "default", points: int = 25) -> list[OptimalPoint]:
    """Return the tokens wanted by sizes from a hundredth to a hundred times the plan's model."""
    laws = load_laws(law)
    found = []
    for place in range(points):
        params = plan.active_params * 10 ** (4 * place / (points - 1) - 2)
        low, high = laws.wanted_band(params)
        found.append(OptimalPoint(params, low, laws.tokens_wanted(params), high))
    return found
