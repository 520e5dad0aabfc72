"""Coverage of a pool by a selection, and by chance."""

from __future__ import annotations

import numpy as np
import pytest

from curate.errors import UsageError
from curate.sft.coverage import compared_rows, coverage, mean_and_sd, nearest_selected, screened
from curate.sft.distance import squared_norms


@pytest.fixture
def rows() -> np.ndarray:
    made = np.random.default_rng(0).standard_normal((5000, 24)).astype(np.float32)
    made[4000:] = made[:1000]
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def test_nearest_selected_is_exact_and_the_same_for_any_number_of_workers(rows):
    """Distances are those of float64; copies of selected rows are at exactly 0, and the lowest of equals is named."""
    chosen = [4999, 3, 4003, 500, 17]
    index, distance = nearest_selected(rows, chosen)
    wide = rows.astype(np.float64)
    table = np.sqrt(((wide[:, None] - wide[np.sort(chosen)]) ** 2).sum(axis=2))
    assert index.tolist() == np.sort(chosen)[table.argmin(axis=1)].tolist()
    assert np.allclose(distance, table.min(axis=1), rtol=1e-13, atol=0)
    assert distance[[3, 4003, 999, 4500]].tolist() == [0, 0, 0, 0]
    assert index[[3, 4003, 999]].tolist() == [3, 3, 4999]
    again = nearest_selected(rows, chosen[::-1], workers=3)
    assert (again[0].tobytes(), again[1].tobytes()) == (index.tobytes(), distance.tobytes())


@pytest.mark.parametrize("chosen", [[], [5000], [-1], [[1]]])
def test_rows_that_do_not_exist_are_refused(rows, chosen):
    """No row, or a row outside the pool, cannot be selected."""
    with pytest.raises(UsageError, match="below 5000"):
        nearest_selected(rows, chosen)


def test_coverage_summarises_distances():
    """Radius is the largest distance, p95 interpolates, mean is the mean."""
    got = coverage(np.arange(101, dtype=np.float64))
    assert got == {"radius": 100.0, "p95": 95.0, "mean": 50.0}


def test_screening_agrees_with_the_exact_distances(rows):
    """The float32 shortcut gives the same distances and the largest cosines, for any number of workers."""
    norms, chosen = squared_norms(rows), np.random.default_rng(5).choice(len(rows), 40, replace=False)
    squared, cosine = screened(rows, norms, rows[chosen], norms[chosen], 2)
    exact = nearest_selected(rows, chosen)[1] ** 2
    assert squared == pytest.approx(exact, abs=1e-5)
    assert cosine == pytest.approx(1 - exact / 2, abs=1e-5)
    again = screened(rows, norms, rows[chosen], norms[chosen], 1)
    assert (again[0].tobytes(), again[1].tobytes()) == (squared.tobytes(), cosine.tobytes())


def test_a_large_pool_is_compared_on_some_rows(rows, monkeypatch):
    """The rows are spread evenly from the first to the last."""
    monkeypatch.setattr("curate.sft.coverage._COMPARED", 700)
    some = compared_rows(len(rows))
    assert len(set(some.tolist())) == 700
    assert (some[0], some[-1]) == (0, len(rows) - 1)
    assert set(np.diff(some).tolist()) == {7, 8}


def test_mean_and_sd():
    """The standard deviation divides by n - 1."""
    got = mean_and_sd([{"radius": 1.0}, {"radius": 3.0}])
    assert got == {"radius": {"mean": 2.0, "sd": pytest.approx(2**0.5)}}
    assert mean_and_sd([{"radius": 1.0}]) == {"radius": {"mean": 1.0, "sd": 0.0}}
