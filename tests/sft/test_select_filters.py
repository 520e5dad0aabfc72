"""Filters inside a selection: what is noted, what is dropped, and what the report tells of prompts."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import curate
from curate.sft.selection import Selection

SAMPLE = Path(__file__).parents[2] / "pipelines/sample_pool.jsonl"


@pytest.fixture(scope="module")
def sample() -> Selection:
    """Return the sample pool's default selection."""
    return curate.select_rows(SAMPLE, fraction=0.05, workers=1)


def test_rules_bound_to_a_source_are_noted(sample):
    """LIMA's rules drop nothing unasked: the ledger names those that fire, the report counts the live rows."""
    report = sample.report["would_drop"]
    live = sample.ledger.filter(pl.col("drop_reason").is_null())
    assert set(report) == {"lima", "lima-zh"}
    for group, noted in report.items():
        fired = live["would_drop"].list.eval(pl.element().str.starts_with(group.replace("-", "_") + ".").any())
        assert noted["rows"] == fired.list.first().sum() > 0
        for rule, count in noted["rules"].items():
            assert count == live["would_drop"].list.contains(rule).sum()
    assert not any(name.startswith("lima") for name in sample.report["rows"]["dropped"])
    unreadable = sample.ledger.filter(pl.col("drop_reason") == "unreadable")
    assert unreadable["would_drop"].null_count() == unreadable.height > 0


def test_rules_that_were_asked_for_drop_and_are_not_noted():
    """Asked for, a rule of LIMA drops rows and is no longer noted; the others of its group still are."""
    rows = [{"instruction": f"Q {i}", "output": ("I think " if i < 4 else "It is ") + "so. " * i} for i in range(20)]
    selection = curate.select_rows(rows, count=3, filters="lima.length=20:60", workers=1)
    assert selection.report["rows"]["dropped"] == {"lima.length": 9}
    assert selection.report["would_drop"] == {"lima": {"rows": 1, "rules": {"lima.first_person": 1}}}
    noted = selection.ledger["would_drop"].explode().drop_nulls()
    assert noted.value_counts(sort=True).row(0) == ("lima.first_person", 4)


def test_nothing_is_noted_where_every_group_was_asked_for():
    """Then no rule is left that would drop a row."""
    rows = [{"instruction": f"Q {i}?", "output": f"It is {i}."} for i in range(20)]
    every = "clean,style,lima,lima-zh,quality,lima.length=1:99,lima_zh.length=1:99"
    selection = curate.select_rows(rows, count=3, filters=every, workers=1)
    assert selection.report["would_drop"] == {}
    assert set(selection.ledger["would_drop"].list.len()) == {0}


def test_a_filter_may_ask_for_tokens():
    """Tokens are counted before the filters, so that a window of tokens can drop rows."""
    rows = [{"instruction": f"Count to {i}", "output": "one two three " * i} for i in range(1, 12)]
    selection = curate.select_rows(rows, count=3, filters="quality.tokens=:20", workers=1)
    ledger = selection.ledger
    assert 0 < ledger["drop_reason"].is_null().sum() < 11
    assert ledger.filter(pl.col("n_tokens") > 20)["drop_reason"].to_list() == ["quality.tokens"] * sum(
        ledger["n_tokens"] > 20
    )


def test_openings_are_shares_of_pool_and_selection():
    """The report tells how prompts begin: two words, or two Chinese characters, whatever their case."""
    prompts = ["Write a poem.", "write a  song", "Name one", "写一首诗", "写一个故事", "?!", "Tea"]
    rows = [{"instruction": prompt, "output": f"Answer {i}."} for i, prompt in enumerate(prompts)]
    told = curate.select_rows(rows, count=7, workers=1, filters="none").report["prompts"]
    assert told["openings"] == {"pool": 5, "selected": 5}
    shares = {row["opening"]: (row["pool"], row["selected"]) for row in told["most_frequent"]}
    assert shares["write a"] == shares["写一"] == (2 / 7, 2 / 7)
    assert shares["tea"] == shares[""] == (1 / 7, 1 / 7)
