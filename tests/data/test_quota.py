"""Quotas: exact totals by a fixed rule."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.data.quota import budget, one_each_then_fill, water_fill, water_fill_reference
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
