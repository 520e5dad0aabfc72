"""How many rows each group may give: exact totals, never `int(k / groups)`.

`int(k / groups)` per group delivers nothing at all for 260 rows from 1,024 clusters. Here the budget is poured over the
groups in proportion to size^(1/tau), as LIMA mixes Stack Exchange sites (arXiv 2305.11206, tau = 3); a group that is
full passes the rest on (water-filling), and what the fractions leave over goes to the largest fractions. The total is
min(k, rows there are) to the row, on every platform: shares are rounded to 9 decimals before they are compared, because
pow() differs between platforms in the last bit.

`balance` and `top_up` pour between bounds: a group gets its share of one common level, or the floor or the ceiling that
this share is beyond. So a floor is no bonus: a group whose share is above it gets its share.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation, localcontext
from typing import NamedTuple

from curate.errors import UsageError

_NO_REST = 1e-12  # what is left for other groups where shares add up to 1: they get rows once the named ones are empty


class Quota(NamedTuple):
    """What a group was to give (its share of k rows, whatever it has), the rows it has, and what it gives."""

    name: str
    asked: int
    available: int
    given: int


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


def balance(
    sizes: Mapping[str, int],
    k: int,
    *,
    tau: float = 1.0,
    shares: Mapping[str, float] | None = None,
    floor: int = 0,
    cap: int | None = None,
) -> list[Quota]:
    """Share `k` rows out over named groups: so much of them as `shares` says, the rest of k by size^(1/tau).

    sizes: rows of each group; a group of `shares` that is not there has none. floor, cap: rows that each group with
    rows gives at least and at most. What a group lacks goes to the others by the same weights; the sum is exactly k.
    Raises UsageError, naming groups, where floors and caps cannot be kept, and with the errors of `water_fill`.
    """
    shares = dict(shares or {})
    names = [*sizes, *(name for name in shares if name not in sizes)]
    rows = [sizes.get(name, 0) for name in names]
    _check(rows, k, tau)
    low = [floor if n else 0 for n in rows]
    high = [n if cap is None else min(n, cap) for n in rows]
    _check_bounds(names, rows, low, high, k)
    weight = _weights([0 if name in shares else n for name, n in zip(names, rows, strict=True)], tau)
    rest = max(1 - math.fsum(shares.values()), _NO_REST) / (math.fsum(weight) or 1.0)
    weight = [shares.get(name, w * rest) for name, w in zip(names, weight, strict=True)]
    asked = _fill_between(rows, weight, [0] * len(rows), [k] * len(rows), k)
    given = _fill_between(rows, weight, low, high, k)
    return [Quota(*facts) for facts in zip(names, asked, rows, given, strict=True)]


def _check_bounds(names: Sequence[str], rows: Sequence[int], low: Sequence[int], high: Sequence[int], k: int) -> None:
    for name, n, least, top in zip(names, rows, low, high, strict=True):
        if least > top:
            what = f"has only {n:,} of them" if n < least else f"may give at most {top:,}"
            raise UsageError(f"{name!r} should give at least {least:,} rows, but {what}", f"Lower the floor to {top}.")
    if sum(low) > k:
        raise UsageError(
            f"{len(names)} groups that give at least {max(low):,} {'row' if max(low) == 1 else 'rows'} each are more "
            f"than {k:,} rows",
            f"Ask for {sum(low):,} rows or more, or for no floor that high.",
        )
    if sum(high) < k:
        most = ", ".join(f"{name!r} {top:,}" for name, top in list(zip(names, high, strict=True))[:10])
        raise UsageError(
            f"{k:,} rows are wanted, but the groups may give {sum(high):,} at most: {most}",
            "Raise the cap, or ask for fewer rows.",
        )


def top_up(sizes: Sequence[int], have: Sequence[int], k: int, tau: float = 1.0) -> list[int]:
    """Return how many of `k` new rows each group gives, so that old and new ones together are shared out by size.

    sizes: rows that can be picked; have: rows chosen before. Old and new rows together follow (sizes + have)^(1/tau),
    but a group keeps what it has, and one that has none gets one row while the budget lasts, the largest first (lowest
    index on ties). The sum is min(k, sum(sizes)). With the errors of `water_fill`.
    """
    _check(sizes, k, tau)
    _check(have, k, tau)
    both = [n + h for n, h in zip(sizes, have, strict=True)]
    k, low = min(k, sum(sizes)), [*have]
    bare = sorted((g for g in range(len(sizes)) if sizes[g] and not have[g]), key=lambda g: (-sizes[g], g))
    for g in bare[:k]:
        low[g] = 1
    total = _fill_between(both, _weights(both, tau), low, both, k + sum(have))
    return [q - h for q, h in zip(total, have, strict=True)]


def _check(sizes: Sequence[int], k: int, tau: float) -> None:
    if not tau >= 0.1:
        raise UsageError(f"tau is {tau}, but it must be at least 0.1", "1 is proportional to size, 3 is flatter")
    if k < 0 or min(sizes, default=0) < 0:
        raise UsageError(f"cannot give {k} rows from groups of sizes {list(sizes)[:10]}", "Sizes and k start at 0")


def _fill(sizes: Sequence[int], room: Sequence[int], k: int, tau: float) -> list[int]:
    """Water-fill `k` rows over groups weighted by size^(1/tau), at most `room[g]` rows from group g."""
    return _fill_between(sizes, _weights(sizes, tau), [0] * len(sizes), room, min(k, sum(room)))


def _weights(sizes: Sequence[int], tau: float) -> list[float]:
    return [n ** (1 / tau) if n else 0.0 for n in sizes]


def _fill_between(
    sizes: Sequence[int], weight: Sequence[float], low: Sequence[int], high: Sequence[int], k: int
) -> list[int]:
    """Pour `k` rows over groups by weight, so that group g gets low[g] to high[g]; sum(low) <= k <= sum(high).

    A group gets its share of one common level, or the bound that this share is beyond. Of the groups beyond a bound
    those on the side that weighs more are settled first: the other side may come within its bounds again.
    """
    quotas = [*low]
    active = [g for g in range(len(sizes)) if low[g] < high[g]]
    left, share = k - sum(low[g] for g in range(len(sizes)) if low[g] == high[g]), dict[int, float]()
    while active:
        total = math.fsum(weight[g] for g in active)
        share = {g: round(left * weight[g] / total, 9) for g in active}
        under = [g for g in active if share[g] < low[g]]
        over = [g for g in active if share[g] >= high[g]]
        if not under and not over:
            break
        missing, excess = sum(low[g] - share[g] for g in under), sum(share[g] - high[g] for g in over)
        bound, settled = (low, set(under)) if under and missing >= excess else (high, set(over))
        for g in settled:
            quotas[g] = bound[g]
        left -= sum(bound[g] for g in settled)
        active = [g for g in active if g not in settled]
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


def fill_between_reference(
    sizes: Sequence[int], weight: Sequence[float], low: Sequence[int], high: Sequence[int], k: int
) -> list[int]:
    """Return the quotas of `_fill_between`: the common level is found by halving, in 50-digit decimals."""
    with localcontext(prec=50):
        exact = [Decimal(w) for w in weight]

        def shares(level: Decimal) -> list[Decimal]:
            return [min(max(level * w, Decimal(a)), Decimal(b)) for w, a, b in zip(exact, low, high, strict=True)]

        bottom, top = Decimal(0), Decimal(1)
        while sum(shares(top)) < k and top < Decimal(10) ** 40:
            top *= 2
        for _ in range(250):
            middle = (bottom + top) / 2
            bottom, top = (middle, top) if sum(shares(middle)) < k else (bottom, middle)
        share = [round(s, 9) for s in shares(top)]
        quotas = [int(s) for s in share]
        for g in sorted(range(len(sizes)), key=lambda g: (quotas[g] - share[g], -sizes[g], g))[: k - sum(quotas)]:
            quotas[g] += 1
        return quotas
