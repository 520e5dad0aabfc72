"""The words that name a cluster: those that are frequent in it and rare elsewhere."""

from __future__ import annotations

from math import log

import polars as pl

from curate.sft.terms import top_terms

TEXTS = ["bake bread", "bake some bread", "solve x", "solve the equation", "the", "请写一首诗歌", "写一首", None]
LABELS = [0, 0, 1, 1, 2, 3, 3, None]


def test_terms_are_ranked_by_what_they_add_to_the_divergence():
    """By p log(p / q) over the rows that hold a word, ties to the word that sorts first."""
    got = dict(top_terms(pl.Series(TEXTS), pl.Series(LABELS)).iter_rows())
    assert set(got) == {0, 1, 2, 3}
    assert got[0] == "bake, bread, some"
    assert 1 * log(1 / (2 / 7)) > 0.5 * log(0.5 / (1 / 7)) > 0.5 * log(0.5 / (2 / 7))  # solve, equation, the
    assert got[1] == "solve, equation, the"
    assert got[2] == "the"
    assert "一首" in got[3] or "写一" in got[3]


def test_a_cluster_without_words_has_no_title():
    """Numbers and symbols name nothing; without any cluster there is nothing to name."""
    assert top_terms(pl.Series(["1 + 1"]), pl.Series([5])).rows() == [(5, "")]
    assert top_terms(pl.Series([None], dtype=pl.String), pl.Series([None], dtype=pl.Int64)).is_empty()


def test_the_order_of_rows_changes_nothing():
    """Rows the other way round give the same titles."""
    there = top_terms(pl.Series(TEXTS), pl.Series(LABELS))
    assert there.equals(top_terms(pl.Series(TEXTS[::-1]), pl.Series(LABELS[::-1])))
