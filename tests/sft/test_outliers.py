"""Outliers: the distance to the tenth neighbour, and what `--trim-outliers` does with it."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import curate
from curate.errors import CurateError, UsageError
from curate.sft import outliers
from curate.sft.distance import slack, squared_norms
from curate.sft.outliers import listed, neighbour_distances, neighbour_distances_reference


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 40), st.integers(1, 4), st.integers(0, 2**32 - 1), st.booleans(), st.data())
def test_same_as_the_reference(n, d, seed, grid, data):
    """The k-th nearest other row, on random rows and on grids full of copies and ties, for any block size."""
    rng = np.random.default_rng(seed)
    X = (rng.integers(-2, 3, (n, d)) if grid else rng.standard_normal((n, d))).astype(np.float32)
    k = data.draw(st.integers(1, n - 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outliers, "_ROWS", data.draw(st.integers(1, 9)))
        patch.setattr(outliers, "_OTHERS", data.draw(st.integers(1, 9)))
        got, compared = neighbour_distances(X, k, workers=data.draw(st.integers(1, 2)))
    assert compared == n
    # near-ties are decided in float32, so another row may stand for the k-th: by no more than float32 can tell
    tellable = 2 * slack(d, squared_norms(X).max())
    np.testing.assert_allclose(got**2, neighbour_distances_reference(X, k) ** 2, rtol=0, atol=tellable)


def test_few_rows():
    """Where a row has fewer than k others the farthest counts; a single row is no outlier."""
    X = np.array([[0], [1], [5]], dtype=np.float32)
    assert neighbour_distances(X, 10)[0].tolist() == [5, 4, 5]
    assert neighbour_distances(X[:1], 10)[0].tolist() == [0]
    with pytest.raises(UsageError, match="neighbour 0"):
        neighbour_distances(X, 0)


def test_many_rows_are_compared_with_a_sample(monkeypatch):
    """Above the limit each row is compared with an even sample, itself left out, and the number is told."""
    X = np.arange(100, dtype=np.float32)[:, None]
    monkeypatch.setattr(outliers, "_PAIRS", 2000)
    got, compared = neighbour_distances(X, 1)
    assert compared == 20
    assert got[:11].tolist() == [5, 1, 2, 2, 1, 5, 1, 2, 2, 1, 5]


def pool(n=60):
    """Return rows about one thing, and one about another."""
    same = [
        {"instruction": f"Add {i} and {i + 1}, then say the sum.", "output": f"It is {2 * i + 1}."} for i in range(n)
    ]
    return [*same, {"instruction": "Wie heißt der höchste Berg der Schweiz?", "output": "Es ist die Dufourspitze."}]


def test_the_odd_row_is_trimmed_and_listed():
    """The share is marked in the ledger with its distance, counted, listed for review, and never selected."""
    selection = curate.select_rows(pool(), count=5, trim_outliers=Decimal("0.02"))
    out = selection.ledger.filter(pl.col("drop_reason") == "outlier")
    assert out["prompt"].to_list() == ["Wie heißt der höchste Berg der Schweiz?"]
    assert out["rules"].to_list() == [["outlier"]]
    assert out["evidence"].str.starts_with("to the 10th nearest row 1.").all()
    assert out["cluster"].null_count() == out["distance"].null_count() == 1
    assert selection.report["rows"]["dropped"] == {"outlier": 1}
    assert selection.report["outliers"] == listed(selection.ledger) == out.select("id", "evidence", "prompt").to_dicts()
    assert selection.report["rows"]["live"] == 60


def test_nothing_is_trimmed_unasked():
    """The default is off."""
    selection = curate.select_rows(pool(), count=5)
    assert selection.report["rows"]["dropped"] == {}
    assert selection.report["outliers"] == []


def test_the_share_is_that_of_the_live_rows_and_order_does_not_matter():
    """Half up of the live rows; shuffled input and other workers trim the same rows; none is held out."""
    options = {"count": 5, "trim_outliers": Decimal("0.11"), "holdout": Decimal("0.2")}
    there = curate.select_rows(pool(), workers=1, **options).ledger
    back = curate.select_rows(pool()[::-1], workers=2, **options).ledger
    assert there["drop_reason"].to_list() == back["drop_reason"].to_list()
    assert there["rank"].to_list() == back["rank"].to_list()
    assert (there["drop_reason"] == "outlier").sum() == 7
    assert there.filter(pl.col("split") == "validation")["drop_reason"].null_count() == 11


def test_too_many_trimmed_names_the_option():
    """Where trimming leaves too few rows the message says what to change."""
    with pytest.raises(CurateError, match="outlier took most") as caught:
        curate.select_rows(pool(), count=50, trim_outliers=Decimal("0.5"))
    assert "--trim-outliers" in str(caught.value)
