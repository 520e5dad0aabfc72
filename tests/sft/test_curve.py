"""The curve over k: the coverage of every prefix of the picks, and of random orders beside it."""

from __future__ import annotations

import numpy as np
import pytest

from curate.sft.coverage import coverage, nearest_selected
from curate.sft.curve import coverage_curve


@pytest.mark.parametrize("k", [1, 2, 40, 300])
def test_each_point_is_the_coverage_of_a_prefix(k):
    """The picks so far, and nothing else, at sizes from 1 to k; the last random point is the comparison of the run."""
    X = np.random.default_rng(k).standard_normal((300, 6)).astype(np.float32)
    order = np.random.default_rng(1).permutation(300)[:k]
    curve = coverage_curve(X, order, [7, 8])
    assert curve["sizes"][0] == 1
    assert curve["sizes"][-1] == k
    assert curve["rows"] == 300
    for size, point in zip(curve["sizes"], curve["selected"], strict=True):
        assert point == pytest.approx(coverage(nearest_selected(X, order[:size])[1]), abs=1e-5)
    draws = [np.random.default_rng(seed).choice(300, k, replace=False) for seed in [7, 8]]
    radius = [coverage(nearest_selected(X, draw)[1])["radius"] for draw in draws]
    assert curve["random"][-1]["radius"]["mean"] == pytest.approx(np.mean(radius), abs=1e-5)


def test_large_pools_are_measured_on_a_sample_the_same_for_any_workers():
    """Above 4,000 rows an even sample is measured; two workers give the same numbers as one."""
    X = np.random.default_rng(0).standard_normal((9_000, 4)).astype(np.float32)
    curve = coverage_curve(X, np.arange(50), [1])
    assert curve["rows"] == 4_000
    assert curve == coverage_curve(X, np.arange(50), [1], workers=2)
