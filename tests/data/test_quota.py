"""Quotas: exact totals by a fixed rule."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.data import quota
from curate.data.quota import balance, budget, one_each_then_fill, top_up, water_fill, water_fill_reference
from curate.errors import UsageError

SIZES = st.lists(st.one_of(st.integers(0, 6), st.integers(0, 5000)), max_size=30)


@pytest.mark.parametrize(
    ("rows", "fraction", "k"),
    [
        (52002, 0.005, 260),
        (300, 0.005, 2),  # 1.5
        (500, 0.005, 3),  # 2.5: half to even would give 2
        (700, "0.005", 4),  # 3.5
        (1000, Decimal("0.0285"), 29),  # 28.5
        (107, 0.07, 7),
        (10, 0.005, 1),
        (10, 1, 10),
        (3, "1e-9", 1),
    ],
)
def test_budget_rounds_half_up_in_decimals(rows, fraction, k):
    """Fraction * rows, rounded half up as written, at least one."""
    assert budget(rows, fraction) == k


@pytest.mark.parametrize("fraction", [0, 2, -0.1, 1.0001, math.nan, math.inf, "nan", "half", ""])
def test_impossible_fractions_are_refused(fraction):
    """Fractions outside (0, 1] and what is no number are refused."""
    with pytest.raises(UsageError, match="fraction is"):
        budget(100, fraction)


def test_example_of_three_groups():
    """The published example: {10000, 100, 10}, 200 rows, tau 3."""
    assert water_fill([10000, 100, 10], 200, 3) == [156, 34, 10]


def test_more_groups_than_rows():
    """260 rows from 1,024 clusters are 260 rows, not int(260 / 1024) each."""
    sizes = [50 + i % 3 for i in range(1024)]
    assert sum(water_fill(sizes, 260)) == sum(one_each_then_fill(sizes, 260)) == 260
    ones = one_each_then_fill(sizes, 260)
    assert [g for g in range(1024) if ones[g]] == [g for g in range(1024) if sizes[g] == 52][:260]


@pytest.mark.parametrize(
    ("sizes", "k", "want"),
    [
        ([4, 4, 4], 4, [2, 1, 1]),  # equal fractions, equal sizes: lowest index
        ([5, 15, 20], 2, [0, 1, 1]),  # shares 0.25, 0.75, 1
        ([1, 3], 2, [0, 2]),  # shares 0.5 and 1.5: equal fractions, the larger group
        ([1, 301, 100], 134, [0, 101, 33]),  # three thirds, equal although floats of another size: the largest
        ([], 5, []),
        ([0, 0], 5, [0, 0]),
        ([3, 0, 2], 9, [3, 0, 2]),
        ([3, 2], 0, [0, 0]),
    ],
)
def test_rows_left_over_go_by_fraction_then_size_then_index(sizes, k, want):
    """The rule for what rounding leaves over, and for empty and full groups."""
    assert water_fill(sizes, k) == want


@settings(deadline=None, max_examples=150)
@given(SIZES, st.integers(0, 20000), st.sampled_from([0.5, 1.0, 2.0, 3.0, 7.5]))
def test_same_as_the_reference(sizes, k, tau):
    """Same as 50-digit decimals with one group capped at a time."""
    assert water_fill(sizes, k, tau) == water_fill_reference(sizes, k, tau)


@settings(deadline=None, max_examples=150)
@given(SIZES, st.integers(0, 20000), st.sampled_from([0.1, 1.0, 3.0, math.inf]))
def test_totals_are_exact_and_no_group_gives_more_than_it_has(sizes, k, tau):
    """Both rules deliver min(k, rows) and stay between 0 and the size of each group."""
    for rule in (water_fill, one_each_then_fill):
        quotas = rule(sizes, k, tau)
        assert sum(quotas) == min(k, sum(sizes))
        assert all(0 <= q <= n for q, n in zip(quotas, sizes, strict=True))


@settings(deadline=None, max_examples=100)
@given(SIZES, st.integers(0, 200), st.sampled_from([1.0, 3.0, math.inf]))
def test_each_group_gets_one_while_the_budget_lasts(sizes, k, tau):
    """Either every group with rows gives one, or only the largest do and none gives two."""
    quotas = one_each_then_fill(sizes, k, tau)
    filled = [g for g in range(len(sizes)) if sizes[g]]
    if k >= len(filled):
        assert all(quotas[g] >= 1 for g in filled)
    else:
        largest = sorted(filled, key=lambda g: (-sizes[g], g))[:k]
        assert [g for g in range(len(sizes)) if quotas[g]] == sorted(largest)
        assert max(quotas) <= 1


def test_infinite_tau_is_uniform():
    """Tau = infinity gives each group the same, up to what it has."""
    assert water_fill([1000, 10, 2], 12, math.inf) == [5, 5, 2]


@pytest.mark.parametrize(
    ("sizes", "k", "tau"), [([1], 1, 0), ([1], 1, math.nan), ([1], 1, -1), ([1], -1, 1), ([-1], 1, 1)]
)
def test_impossible_arguments_are_refused(sizes, k, tau):
    """Tau below 0.1, negative sizes and negative totals are refused."""
    for rule in (water_fill, one_each_then_fill):
        with pytest.raises(UsageError):
            rule(sizes, k, tau)


BOUNDED = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.sampled_from([0.01, 0.5, 1.0, 3.0, 40.0])),
    min_size=1, max_size=12,
)  # fmt: skip


@settings(deadline=None, max_examples=200)
@given(BOUNDED, st.data())
def test_pouring_between_bounds_is_that_of_the_reference(groups, data):
    """Between floors and ceilings each group has its share of one level, which the reference finds by halving."""
    sizes, weight = [a + b + c for a, b, c, _ in groups], [w for *_, w in groups]
    low, high = [a for a, *_ in groups], [a + b for a, b, *_ in groups]
    k = data.draw(st.integers(sum(low), sum(high)))
    got = quota._fill_between(sizes, weight, low, high, k)
    assert sum(got) == k
    assert all(a <= q <= b for a, q, b in zip(low, got, high, strict=True))
    assert got == quota.fill_between_reference(sizes, weight, low, high, k)


NAMED = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 60), min_size=1)


@settings(deadline=None, max_examples=150)
@given(NAMED, st.dictionaries(st.sampled_from("abxy"), st.sampled_from([0.1, 0.2, 0.25])), st.data())
def test_balance_is_exact_and_keeps_floors_and_caps(sizes, shares, data):
    """What is asked and what is given add up to k; no group gives more than it has or may, or less than its floor."""
    cap = data.draw(st.integers(1, 70))
    floor = data.draw(st.integers(0, min(cap, *sizes.values())))
    k = data.draw(st.integers(max(1, floor * len(sizes)), sum(min(n, cap) for n in sizes.values())))
    table = balance(sizes, k, tau=3, shares=shares, floor=floor, cap=cap)
    assert sum(row.asked for row in table) == sum(row.given for row in table) == k
    assert {row.name: row.available for row in table} == dict.fromkeys(shares, 0) | sizes
    assert all(floor <= row.given <= min(row.available, cap) for row in table if row.available)


def test_shares_of_named_groups():
    """Named groups get their share of k, the others the rest by size; what a group lacks goes to all others."""
    assert balance({"a": 900, "b": 60, "c": 40}, 100, shares={"b": 0.3}) == [
        ("a", 67, 900, 67), ("b", 30, 60, 30), ("c", 3, 40, 3),
    ]  # fmt: skip
    assert balance({"a": 900, "b": 10}, 100, shares={"a": 0.5, "b": 0.5}) == [("a", 50, 900, 90), ("b", 50, 10, 10)]
    assert balance({"a": 90, "c": 90}, 100, shares={"a": 1}) == [("a", 100, 90, 90), ("c", 0, 90, 10)]
    assert balance({"a": 90}, 10, shares={"manual": 0.2}) == [("a", 8, 90, 10), ("manual", 2, 0, 0)]


def test_a_floor_is_no_bonus():
    """Groups whose share is above the floor have their share of what is left, not the floor and a share."""
    assert [row.given for row in balance({"a": 80, "b": 15, "c": 5}, 100 // 2, floor=5)] == [38, 7, 5]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"floor": 11}, "'small' should give at least 11 rows, but has only 10 of them"),
        ({"floor": 8, "cap": 5}, "'big' should give at least 8 rows, but may give at most 5"),
        ({"floor": 10, "k": 19}, "2 groups that give at least 10 rows each are more than 19 rows"),
        ({"cap": 20, "k": 31}, "31 rows are wanted, but the groups may give 30 at most: 'big' 20, 'small' 10"),
        ({"tau": 0}, "tau is 0"),
    ],
)
def test_impossible_bounds_name_the_group(options, said):
    """Floors and caps that cannot be kept are refused, with the numbers."""
    with pytest.raises(UsageError, match=said):
        balance({"big": 100, "small": 10}, **({"k": 30} | options))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), min_size=1, max_size=12), st.integers(0, 300))
def test_topping_up_fills_what_is_missing(groups, k):
    """Exactly k new rows, none more than a group has, and groups without rows come first."""
    sizes, have = [n for n, _ in groups], [h for _, h in groups]
    new = top_up(sizes, have, k)
    assert sum(new) == min(k, sum(sizes))
    assert all(0 <= q <= n for q, n in zip(new, sizes, strict=True))
    bare = [g for g in range(len(sizes)) if sizes[g] and not have[g]]
    assert sum(new[g] > 0 for g in bare) >= min(len(bare), k)


def test_topping_up_evens_out():
    """A group that has its share already gives nothing more."""
    assert top_up([90, 90, 10], [10, 0, 0], 10) == [0, 9, 1]
    assert top_up([90, 90], [0, 0], 10) == [5, 5]
