"""Numbers as people read them."""

from __future__ import annotations

import math

_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def size(value: float, digits: int = 3) -> str:
    """Return a count with its unit letter (26.3B), or in powers of ten from a quadrillion."""
    if not math.isfinite(value):
        return "unlimited"
    if abs(value) >= 1e16:
        return f"{value:.{digits - 1}e}"
    for unit, letter in _UNITS:
        if abs(value) >= unit * (1 - 0.5 * 10**-digits):
            return _trim(value / unit, digits) + letter
    return _trim(value, digits)


def number(value: float, digits: int = 3) -> str:
    """Return a number with so many digits that count, without an exponent where it is short."""
    if not math.isfinite(value):
        return "no upper end"
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.{digits - 1}e}"
    return _trim(value, digits)


def percent(value: float) -> str:
    """Return a percentage with as many digits as it deserves."""
    return f"{value:.2f} %" if abs(value) < 1 else f"{value:.1f} %"


def _trim(value: float, digits: int) -> str:
    """Return `value` rounded to `digits` that count, without an exponent."""
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)) + 1e-12))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
