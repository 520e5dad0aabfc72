"""Numbers for people: exact ones with separators, large ones in three digits."""

from __future__ import annotations

from collections.abc import Mapping


def number(value: int | None) -> str:
    """Return a count with separators; nothing for null."""
    return "" if value is None else f"{value:,}"


def counted(count: int, noun: str) -> str:
    """Return a count of things: 1 row, 2 rows."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def size(value: int | None) -> str:
    """Return a count in three digits: 2.27M."""
    if value is None or value < 10_000:
        return number(value)
    for unit, power in (("T", 12), ("B", 9), ("M", 6), ("K", 3)):
        scaled = value / 10**power
        if scaled >= 0.9995:
            digits = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
            return f"{scaled:.{digits}f}{unit}"
    return number(value)


def most_first(values: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return the pairs of a mapping, the largest value first, ties by name: JSON keeps no order of its own."""
    return sorted(values.items(), key=lambda pair: (-pair[1], pair[0]))


def share(part: int | None, whole: int | None) -> str:
    """Return a share in percent."""
    return f"{part / whole:.1%}" if part is not None and whole else ""
