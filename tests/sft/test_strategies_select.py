"""`curate select --strategy NAME`: exact numbers, named in the report, contradictions refused."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import curate
from curate.config import options, resolve
from curate.errors import UsageError
from curate.sft import embed, strategies
from curate.sft.config import SelectConfig
from curate.sft.strategies import facility_location

SAMPLE = Path(__file__).parents[2] / "pipelines/sample_pool.jsonl"
NAMES = [name for name in strategies.names() if name not in strategies.IN_CLUSTERS]


@pytest.mark.parametrize("name", NAMES)
def test_a_strategy_gives_k_rows_of_one_pool(name):
    """The report names it and its picks add up; no row has a cluster or a radius."""
    selection = curate.select_rows(SAMPLE, count=31, strategy=name, workers=1)
    picks = selection.report["picks"]
    assert selection.rows.height == 31
    assert picks["strategy"] == name
    assert picks["by_rule"] + picks["beyond_rule"] == 31
    assert selection.report["clusters"]["kind"] == "global"
    assert selection.ledger.select(pl.col("cluster", "radius_at_pick").null_count()).row(0) == (611, 611)


def test_the_default_is_facility_location_in_clusters():
    """Naming the default changes no row; the ledger knows clusters, and no radius."""
    want = curate.select_rows(SAMPLE, count=31, workers=1)
    got = curate.select_rows(SAMPLE, count=31, strategy="facility-location", scope="cluster", workers=1)
    assert got.ledger.equals(want.ledger)
    assert got.report["picks"] == {"strategy": "facility-location", "by_rule": 31, "beyond_rule": 0, "details": []}
    assert (got.report["clusters"]["kind"], got.report["clusters"]["count"]) == ("cluster", 16)
    assert got.rows["cluster"].n_unique() == 16
    assert got.ledger["radius_at_pick"].null_count() == got.ledger.height


def test_one_pool_is_still_to_be_had():
    """With --scope global facility-location chooses from all rows, as the function does."""
    got = curate.select_rows(SAMPLE, count=31, scope="global", workers=1)
    assert got.report["clusters"]["kind"] == "global"
    assert got.report["picks"]["by_rule"] == 31
    assert got.ledger["cluster"].null_count() == got.ledger.height
    live = got.ledger.filter(pl.col("drop_reason").is_null()).sort("id")
    seed = int(np.random.SeedSequence(0).generate_state(1)[0])
    embedder = embed.load("lexical", device="cpu", dtype="fp32", seed=seed, workers=1, on_progress=None)
    picked = facility_location.pick(embedder.embed(live["prompt"].to_list()), 31).rows
    assert got.rows["id"].to_list() == live["id"][picked].to_list()


def test_tasks_share_out_the_budget():
    """With a task column the quotas are those of the default strategy."""
    by = {
        name: curate.select_rows(SAMPLE, count=50, task_column="topic", strategy=name, workers=1)
        for name in ("k-center", "facility-location")
    }
    quotas = [selection.report["clusters"]["quotas"] for selection in by.values()]
    assert quotas[0] == quotas[1]
    assert by["facility-location"].report["clusters"]["kind"] == "task"


def test_longest_takes_the_longest_answers():
    """Length is that of the answer in bytes."""
    selection = curate.select_rows(SAMPLE, count=9, strategy="longest", workers=1)
    live = selection.ledger.filter(pl.col("drop_reason").is_null())
    size = live["response"].str.len_bytes().sort(descending=True)
    assert selection.rows["response"].str.len_bytes().to_list() == size[:9].to_list()


@pytest.mark.parametrize("name", ["facility-location", "cluster-medoids"])
def test_order_and_workers_do_not_matter(name, tmp_path):
    """Shuffled lines and more workers select the same rows in the same order."""
    lines = SAMPLE.read_bytes().splitlines()
    random.Random(2).shuffle(lines)
    shuffled = tmp_path / "shuffled.jsonl"
    shuffled.write_bytes(b"\n".join(lines))
    want = curate.select_rows(SAMPLE, count=20, strategy=name, workers=1).rows["id"].to_list()
    assert curate.select_rows(shuffled, count=20, strategy=name, workers=2).rows["id"].to_list() == want


def test_rows_beyond_the_rule_are_said_aloud():
    """Once every row is covered, the run says how many rows make up the number."""
    selection = curate.select_rows(SAMPLE, count=540, strategy="prob-cover", workers=1)
    beyond = selection.report["picks"]["beyond_rule"]
    assert beyond > 0
    assert f"prob-cover had no more rows to give: {beyond} others make up the 540" in selection.report["notes"]


@pytest.mark.parametrize("option", [{"core": "0.5"}, {"clusters": "12"}, {"scope": "cluster"}])
def test_options_of_clusters_are_refused(option):
    """The other strategies do not pick in clusters."""
    with pytest.raises(UsageError, match=f"--{next(iter(option))}.* is not for --strategy longest"):
        curate.select_rows(SAMPLE, count=5, strategy="longest", **option)


def test_an_unknown_strategy_costs_no_reading():
    """The name is looked up before the pool is."""
    with pytest.raises(UsageError, match="unknown strategy 'facility'"):
        curate.select_rows("no such file.jsonl", count=5, strategy="facility")


def test_help_names_every_strategy():
    """The option's help lists what is in the package."""
    text = options(SelectConfig)["strategy"].help
    assert all(name in text for name in strategies.names())


def test_the_card_claims_no_spread_for_the_longest(tmp_path):
    """A prefix of the longest answers is not spread over the pool."""
    cards = []
    for name in ("facility-location", "k-center", "longest"):
        curate.select_rows(SAMPLE, count=9, strategy=name, workers=1, out=tmp_path / name)
        cards.append((tmp_path / name / "README.md").read_text())
    assert ["a prefix" in card for card in cards] == [True, True, False]
    assert "9 by longest" in cards[2]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scope": "global", "clusters": "5"}, "--clusters is for clusters, and --scope global has none"),
        ({"scope": "global", "core": "0.5"}, "--core is for clusters, and --scope global has none"),
        ({"task_column": "task", "clusters": "5"}, "--clusters is for clusters, and rows are picked within tasks"),
    ],
)
def test_options_without_effect_are_refused(options, said):
    """An option that would change nothing is an error, not a silence."""
    with pytest.raises(UsageError, match=said):
        resolve(SelectConfig, [("argument", {"count": "5", **options})])
