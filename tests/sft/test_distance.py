"""Screened and exact distances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import UsageError
from curate.sft.distance import (
    nearest_rows,
    slack,
    squared_distance_reference,
    squared_distances,
    squared_norms,
)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 9), st.integers(1, 300), st.integers(0, 2**32 - 1), st.sampled_from([1e-30, 1.0, 1e15]))
def test_exact_distances_are_summed_in_coordinate_order(pairs, dimensions, seed, scale):
    """Bit for bit the loop over the coordinates, for one pair as for many."""
    rng = np.random.default_rng(seed)
    X, Y = (scale * rng.standard_normal((2, 20, dimensions))).astype(np.float32)
    rows, others = rng.integers(0, 20, (2, pairs))
    want = [squared_distance_reference(X[i], Y[j]) for i, j in zip(rows, others, strict=True)]
    assert squared_distances(X, rows, Y, others).tolist() == want


def test_more_pairs_than_one_chunk():
    """Chunks of pairs are put together in order."""
    X = np.random.default_rng(0).standard_normal((1300, 3)).astype(np.float32)
    rows = np.arange(1300)
    got = squared_distances(X, rows, X, rows[::-1].copy())
    assert got.tolist() == [squared_distance_reference(X[i], X[1299 - i]) for i in range(1300)]


@pytest.mark.parametrize("dimensions", [1, 7, 256, 1024])
@pytest.mark.parametrize("scale", [1e-25, 1e-3, 1.0, 1e9])
def test_screening_error_is_below_the_slack(dimensions, scale):
    """The float32 form of the squared distance is never off by more than `slack`, also for near copies."""
    rng = np.random.default_rng(dimensions)
    X = (scale * rng.standard_normal((60, dimensions))).astype(np.float32)
    X[30:] = X[:30] * np.float32(1 + 1e-6)
    norms = squared_norms(X)
    screen = norms.astype(np.float32)[:, None] + (norms.astype(np.float32) + X @ (-2 * X).T)
    rows, others = (index.ravel() for index in np.indices((60, 60)))
    exact = squared_distances(X, rows, X, others).reshape(60, 60)
    assert np.abs(screen - exact).max() <= slack(dimensions, float(norms.max()))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 4), st.booleans())
def test_nearest_is_the_lowest_of_the_nearest_in_float64(seed, n, dimensions, grid):
    """On grids full of ties and on near copies the float64 distances decide, then the lowest row."""
    rng = np.random.default_rng(seed)
    X = rng.integers(-2, 3, (n, dimensions)).astype(np.float32)
    if not grid:
        X += (1e-6 * rng.standard_normal(X.shape)).astype(np.float32)
    chosen = rng.choice(n, rng.integers(1, n + 1), replace=False)
    index, distance = nearest_rows(X, squared_norms(X), chosen)
    for row in range(n):
        table = {int(c): squared_distance_reference(X[row], X[c]) for c in sorted(chosen)}
        assert distance[row] == np.sqrt(min(table.values()))
        assert index[row] == min(table, key=lambda c: (table[c], c))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
def test_vectors_that_cannot_be_compared_are_refused(bad):
    """NaN, infinities and lengths whose squares overflow are refused, with the number of the first such row."""
    X = np.ones((700, 2), dtype=np.float32)
    X[613, 1] = bad
    with pytest.raises(UsageError, match=r"1 of 700 vectors.*row 613"):
        squared_norms(X)


@pytest.mark.parametrize("X", [np.ones((2, 2)), np.ones(2, np.float32), np.ones((0, 2), np.float32)])
def test_other_types_and_shapes_are_refused(X):
    """Only non-empty matrices of float32 are vectors; the message says what came instead."""
    with pytest.raises(UsageError, match=r"float(32|64) of shape \("):
        squared_norms(X)
