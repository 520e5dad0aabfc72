"""One-dimensional searches without numpy: a plan must answer at once."""

from __future__ import annotations

import math
from collections.abc import Callable


def golden_section(function: Callable[[float], float], low: float, high: float, width: float = 1e-10) -> float:
    """Return where a function with a single minimum in [low, high] is lowest, to `width`."""
    shrink = (math.sqrt(5) - 1) / 2
    left, right = high - shrink * (high - low), low + shrink * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > width:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - shrink * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + shrink * (high - low)
            at_right = function(right)
    return (low + high) / 2


def bisect(function: Callable[[float], float], low: float, high: float, width: float = 1e-9) -> float:
    """Return where a function that falls from positive to negative over [low, high] crosses zero, to `width`."""
    while high - low > width:
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return (low + high) / 2
