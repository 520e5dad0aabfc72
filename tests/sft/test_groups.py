"""What picks are shared out over, and the centres of `--strategy task-center`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import curate
from curate.config import merge
from curate.errors import UsageError
from curate.sft.config import TASK_CENTER, SelectConfig
from curate.sft.groups import cluster_count, similarity_to_distribution_center
from curate.sft.kcenter import k_center_greedy_reference

SAMPLE = Path(__file__).parents[2] / "pipelines/sample_pool.jsonl"


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 5), st.integers(0, 1000))
def test_the_distribution_center_is_that_of_the_fullest_cluster(n, tasks, clusters, seed):
    """Task by task: the cluster with most of its rows, the lowest on ties, and the cosine to its centre."""
    rng = np.random.default_rng(seed)
    X, centers = (rng.standard_normal((rows, 6)).astype(np.float32) for rows in (n, clusters))
    task, cluster = rng.integers(0, tasks, n), rng.integers(0, clusters, n)
    got = similarity_to_distribution_center(X, task, cluster, centers)
    for i in range(n):
        mine = cluster[task == task[i]].tolist()
        fullest = max(range(clusters), key=lambda c: (mine.count(c), -c))
        assert got[i] == pytest.approx(float(X[i] @ centers[fullest]), abs=1e-5)


def test_clusters_of_the_square_root_rule():
    """K of the reference for Alpaca, its cap, and never more than rows."""
    assert [cluster_count(n, 260, "sqrt") for n in (52_002, 10**7, 1)] == [162, 1024, 1]


@pytest.fixture(scope="module")
def paper():
    return curate.select_rows(SAMPLE, count=60, preset="paper", task_column="topic", workers=1)


def test_each_task_starts_at_its_center(paper):
    """Every task has a first pick before any has a second, and the clusters are those of K-means over the pool."""
    report = paper.report
    names = {quota["name"] for quota in report["clusters"]["quotas"]}
    first = paper.rows.head(len(names))
    assert set(first["task"]) == names
    assert first["radius_at_pick"].null_count() == len(names)
    assert report["picks"] == {"strategy": TASK_CENTER, "centre_samples": 21, "k_center": 39, "coincident": 0}
    assert report["clusters"]["kmeans_clusters"] == cluster_count(562, 60, "sqrt") == 17
    live = paper.ledger.filter(pl.col("drop_reason").is_null())
    assert sorted(live["cluster"].unique()) == list(range(17))


def test_within_a_task_the_picks_are_k_center_greedy(tmp_path):
    """From the task centre on, every pick is that of the reference over all rows of the task."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((60, 5)).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    np.save(tmp_path / "x.npy", X)
    pool = [{"instruction": f"Row {i}?", "output": f"It is {i}.", "kind": f"t{i % 3}"} for i in range(60)]
    got = curate.select_rows(
        pool, count=15, strategy=TASK_CENTER, task_column="kind", vectors=str(tmp_path / "x.npy"), filters="none",
        workers=1,
    )  # fmt: skip
    place = got.ledger["line"].to_numpy() - 1  # rows in id order, which is the order of ties
    for task in range(3):
        rows = [i for i in place if i % 3 == task]
        mine = [line - 1 for line, name in got.rows.select("line", "task").iter_rows() if name == f"t{task}"]
        want = k_center_greedy_reference(X[rows], len(mine), first=rows.index(mine[0]))
        assert mine == [rows[i] for i in want]


def test_without_tasks_it_picks_in_clusters():
    """Each cluster is a task of its own."""
    report = curate.select_rows(SAMPLE, count=40, strategy=TASK_CENTER, workers=1).report
    assert (report["clusters"]["kind"], report["clusters"]["count"]) == ("cluster", 17)


def test_the_core_is_not_of_the_paper():
    """task-center picks from whole tasks."""
    with pytest.raises(UsageError, match="--core is not for --strategy task-center, which picks from whole tasks"):
        curate.select_rows(SAMPLE, count=5, strategy=TASK_CENTER, core=0.5)


def test_a_preset_is_weaker_than_whatever_is_said():
    """Flags, environment and files win over a preset, and it tells where its values come from."""
    layers = [("flag", {"count": "3"}), ("environment", {"preset": "paper"}), ("f.toml", {"embed_text": "prompt"})]
    values, origins = merge(SelectConfig, layers)
    assert (values["count"], values["fraction"], values["embed_text"]) == (3, None, "prompt")
    assert (values["strategy"], origins["strategy"]) == (TASK_CENTER, "preset paper")
    assert origins["embed_text"] == "f.toml"
    with pytest.raises(UsageError, match="--preset papers: should be one of paper"):
        merge(SelectConfig, [("flag", {"preset": "papers"})])


def test_the_command_of_a_preset_spells_its_values(paper):
    """The command line of a report means the same whatever becomes of the preset."""
    words = paper.config.command_line(["pool.jsonl"]).split()
    assert "--preset" not in words
    assert words[words.index("--strategy") + 1] == TASK_CENTER
    assert words[words.index("--embed-text") + 1] == "both"
