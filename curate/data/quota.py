"""How many rows each group may give: exact totals, never `int(k / groups)`.

`int(k / groups)` per group delivers nothing at all for 260 rows from 1,024 clusters. Here the budget is poured over the
groups in proportion to size^(1/tau), as LIMA mixes Stack Exchange sites (arXiv 2305.11206, tau = 3); a group that is
full passes the rest on (water-filling), and what the fractions leave over goes to the largest fractions. The total is
min(k, rows there are) to the row, on every platform: shares are rounded to 9 decimals before they are compared, because
pow() differs between platforms in the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext

from curate.errors import UsageError


def budget(n_read: int, fraction: Decimal | float | str) -> int:
    """Return how many of `n_read` rows to select: max(1, fraction * n_read), rounded half up in decimal arithmetic.

    Binary floats would round 0.005 * 300 = 1.5 to 2 and 0.005 * 500 = 2.5 to 2. Raises UsageError unless
    0 < fraction <= 1.
    """
    try:
        exact = Decimal(str(fraction))
    except InvalidOperation:
        exact = Decimal("nan")
    if not (exact.is_finite() and 0 < exact <= 1):
        raise UsageError(
            f"fraction is {fraction}, but it must be above 0 and at most 1", "0.5 % of the rows is --fraction 0.005"
        )
    return max(1, int((exact * n_read).quantize(Decimal(1), rounding=ROUND_HALF_UP)))


def water_fill(sizes: Sequence[int], k: int, tau: float = 1.0) -> list[int]:
    """Return how many of `k` rows each group gives, in proportion to size^(1/tau), none more than it has.

    tau = 1 is proportional, 3 is LIMA's flatter mix, infinity uniform. The sum is min(k, sum(sizes)). Rows left over by
    rounding go one each to the largest fractions, then to the largest groups, then to the lowest index.
    Raises UsageError on tau < 0.1 (powers overflow) or NaN, negative sizes or negative k.
    """
    _check(sizes, k, tau)
    return _fill(sizes, sizes, k, tau)


def one_each_then_fill(sizes: Sequence[int], k: int, tau: float = 1.0) -> list[int]:
    """Return quotas that give each group one row while the budget lasts, and water-fill the rest by size^(1/tau).

    If there are fewer rows to give than groups, the largest groups get one, then the lowest index. Otherwise as
    `water_fill`, and with its errors.
    """
    _check(sizes, k, tau)
    quotas = [0] * len(sizes)
    ordered = sorted((g for g in range(len(sizes)) if sizes[g]), key=lambda g: (-sizes[g], g))
    for g in ordered[:k]:
        quotas[g] = 1
    more = _fill(sizes, [n - q for n, q in zip(sizes, quotas, strict=True)], k - sum(quotas), tau)
    return [q + m for q, m in zip(quotas, more, strict=True)]


def _check(sizes: Sequence[int], k: int, tau: float) -> None:
    if not tau >= 0.1:
        raise UsageError(f"tau is {tau}, but it must be at least 0.1", "1 is proportional to size, 3 is flatter")
    if k < 0 or min(sizes, default=0) < 0:
        raise UsageError(f"cannot give {k} rows from groups of sizes {list(sizes)[:10]}", "Sizes and k start at 0")


def _fill(sizes: Sequence[int], room: Sequence[int], k: int, tau: float) -> list[int]:
    """Water-fill `k` rows over groups weighted by size^(1/tau), at most `room[g]` rows from group g."""
    weight = [n ** (1 / tau) if n else 0.0 for n in sizes]
    quotas = [0] * len(sizes)
    left, active = min(k, sum(room)), [g for g in range(len(sizes)) if room[g]]
    while active:
        total = math.fsum(weight[g] for g in active)
        share = {g: round(left * weight[g] / total, 9) for g in active}
        full = {g for g in active if share[g] >= room[g]}
        if not full:
            break
        for g in full:
            quotas[g] = room[g]
        left -= sum(room[g] for g in full)
        active = [g for g in active if g not in full]
    for g in active:
        quotas[g] = math.floor(share[g])
    spare = left - sum(quotas[g] for g in active)
    for g in sorted(active, key=lambda g: (-round(share[g] - quotas[g], 9), -sizes[g], g))[:spare]:
        quotas[g] += 1
    return quotas


def water_fill_reference(sizes: Sequence[int], k: int, tau: float = 1.0) -> list[int]:
    """Return the quotas of `water_fill` in 50-digit decimals, capping one group at a time."""
    with localcontext(prec=50):
        weight = [Decimal(n) ** (1 / Decimal(tau)) if n else Decimal(0) for n in sizes]
        left, active, quotas = min(k, sum(sizes)), [g for g in range(len(sizes)) if sizes[g]], [0] * len(sizes)
        while active:
            total = sum(weight[g] for g in active)
            share = {g: round(left * weight[g] / total, 9) for g in active}
            full = [g for g in active if share[g] >= sizes[g]]
            if not full:
                break
            quotas[full[0]] = sizes[full[0]]
            left -= sizes[full[0]]
            active.remove(full[0])
        for g in active:
            quotas[g] = int(share[g])
        for g in sorted(active, key=lambda g: (quotas[g] - share[g], -sizes[g], g))[
            : left - sum(quotas[g] for g in active)
        ]:
            quotas[g] += 1
    return quotas
