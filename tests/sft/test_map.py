"""The map of the pool: the two directions of most spread, the same for any number of workers."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from curate.sft.map import map_rows, place_rows, project, project_reference


def _points(n: int, d: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, d)) * np.linspace(3, 1, d)).astype(np.float32)


@pytest.mark.parametrize(("n", "d"), [(300, 12), (9_000, 5), (5, 2), (3, 40)])
def test_places_are_the_first_principal_components(n, d):
    """Places equal those from the singular values, up to the sign of an axis; so does the share of spread."""
    X = _points(n, d)
    places, kept = project(X)
    wanted, share = project_reference(X)
    signs = np.sign((places * wanted).sum(axis=0))
    np.testing.assert_allclose(places, wanted * signs, atol=2e-4 * np.abs(wanted).max())
    assert kept == pytest.approx(share, rel=1e-4)


def test_workers_and_the_order_of_axes_signs_change_nothing():
    """Two workers give the same bytes as one, and mirrored vectors are turned the same way."""
    X = _points(20_500, 8)
    assert project(X, 1)[0].tobytes() == project(X, 2)[0].tobytes()
    small = X[:500]
    np.testing.assert_allclose(project(-small)[0], -project(small)[0], atol=1e-4)


@pytest.mark.parametrize("X", [np.ones((4, 3)), np.zeros((2, 1)), np.ones((1, 7))])
def test_rows_that_are_all_equal_lie_in_one_place(X):
    """No spread is no error: every row at the origin, nothing kept."""
    places, kept = project(X.astype(np.float32))
    np.testing.assert_allclose(places, 0, atol=1e-6)
    assert kept == pytest.approx(0, abs=1e-6)


def test_the_ledger_gets_places_where_there_are_vectors():
    """Rows without a vector have none; the rows of the map are the placed ones, with the title of their cluster."""
    table = pl.DataFrame({
        "id": ["a", "b", "c", "d"], "prompt": ["red apples", "green apples", None, "stars above"],
        "response": ["1", "2", None, "4"], "cluster": [0, 0, None, None], "task": [None] * 4, "source": ["s"] * 4,
        "drop_reason": [None, None, "unreadable", "outlier"], "rank": [0, None, None, None],
        "distance": [0.0, 1.0, None, None], "n_tokens": [1, 1, None, 1],
    })  # fmt: skip
    live = table.with_row_index("row")[[0, 1, 3]]
    placed, about = place_rows(table, live, _points(3, 4))
    assert placed["x"].is_null().to_list() == [False, False, True, False]
    assert about["rows"] == about["fitted_rows"] == 3
    rows = map_rows(placed)
    assert rows["id"].to_list() == ["a", "b", "d"]
    assert rows["selected"].to_list() == [True, False, False]
    assert rows["cluster_title"].to_list()[::2] == [rows["cluster_title"][1], None]
    assert "apples" in rows["cluster_title"][0]
