"""`--have`: exactly k new rows, none of them an old one, and far from the old ones."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import curate
from curate.errors import UsageError
from curate.sft.kcenter import k_center_greedy_reference
from curate.sft.pick import pick_in_clusters, similarity_to_mean

SAMPLE = Path(__file__).parents[2] / "pipelines/sample_pool.jsonl"


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 40), st.integers(1, 15), st.integers(1, 3), st.data(), st.integers(0, 1000))
def test_picks_go_on_from_rows_that_are_chosen(n, old, groups, data, seed):
    """Group by group: the reference greedy with the chosen rows as initial ones, or from the centre sample."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n + old, 4))
    X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    labels = rng.integers(0, groups, n + old)
    similarity = similarity_to_mean(X, labels)
    quotas = [data.draw(st.integers(0, int(size))) for size in np.bincount(labels[:n], minlength=groups)]
    if not sum(quotas):
        quotas[int(labels[0])] = 1
    got = pick_in_clusters(X, labels, similarity, quotas, core=1, chosen=old)
    assert got.rows.max() < n
    for label in np.flatnonzero(quotas):
        rows = [i for i in range(n) if labels[i] == label]
        initial = [i for i in range(n, n + old) if labels[i] == label]
        first = None if initial else rows.index(min(rows, key=lambda i: (-similarity[i], i)))
        want = k_center_greedy_reference(
            X[rows + initial], quotas[label], first=first, initial=range(len(rows), len(rows) + len(initial))
        )
        assert got.rows[got.cluster == label].tolist() == [rows[i] for i in want]
        assert np.isnan(got.radius[got.cluster == label][0]) == (not initial)


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """Write a selection, with a copy of a row spaced otherwise and a row from elsewhere."""
    path = tmp_path_factory.mktemp("old") / "out"
    first = curate.select_rows(SAMPLE, count=30, task_column="topic", workers=1, out=path)
    rows = [orjson.loads(line) for line in (path / "train.jsonl").read_bytes().splitlines()]
    rows[0]["messages"][-1]["content"] += "  \n"
    rows.append({"instruction": "What is not in the pool?", "output": "This row, which comes from elsewhere."})
    file = path.parent / "old.jsonl"
    file.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return first, str(file)


@pytest.mark.parametrize("options", [{}, {"task_column": "topic"}, {"scope": "global"}])
def test_exactly_k_new_rows(old, options):
    """Old rows leave the pool with a reason; no pick is one of them; the report says how many matched."""
    first, file = old
    got = curate.select_rows(SAMPLE, count=20, have=file, workers=1, **options)
    assert got.rows.height == 20
    digest = sha256(Path(file).read_bytes()).hexdigest()
    assert got.report["have"] == {"path": file, "rows": 31, "matched": 30, "sha256": [digest]}
    dropped = got.ledger.filter(pl.col("drop_reason") == "have")
    assert set(first.rows["id"]) <= set(dropped["id"])
    assert got.report["rows"]["dropped"]["have"] == dropped.height
    assert dropped["evidence"].str.starts_with(file).all()
    assert not set(got.rows["id"]) & set(dropped["id"])


def test_tasks_that_have_rows_give_fewer(old):
    """Old and new rows together are shared out as a selection of both would be."""
    _, file = old
    got = curate.select_rows(SAMPLE, count=20, have=file, task_column="topic", workers=1)
    whole = curate.select_rows(SAMPLE, count=50, task_column="topic", workers=1)
    before = dict(old[0].rows["task"].value_counts().iter_rows())
    both = {quota["name"]: quota["given"] + before.get(quota["name"], 0) for quota in got.report["clusters"]["quotas"]}
    want = {quota["name"]: quota["given"] for quota in whole.report["clusters"]["quotas"]}
    assert sum(both.values()) == sum(want.values()) == 50
    assert sum(abs(both[name] - want[name]) for name in want) <= len(want)


@pytest.mark.parametrize("strategy", ["facility-location", "k-center"])
def test_new_picks_are_farther_than_a_selection_without_the_old_rows(strategy, tmp_path):
    """Two heaps, one of which is covered: the new pick comes from the other."""
    near = [{"instruction": f"Boil egg number {i} for me", "output": f"Boiled {i}."} for i in range(30)]
    far = [{"instruction": f"Prove theorem {i} by induction", "output": f"Proved {i}."} for i in range(30)]
    (tmp_path / "old.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in near[:10]))
    have = str(tmp_path / "old.jsonl")
    got = curate.select_rows([*near, *far], count=1, have=have, scope="global", strategy=strategy, workers=1)
    assert got.rows["prompt"][0].startswith("Prove")
    assert got.rows["radius_at_pick"].null_count() == (strategy == "facility-location")


def test_a_file_from_elsewhere_is_said(tmp_path):
    """Where no old row is in the pool, the run says so, and picks all the same."""
    (tmp_path / "old.jsonl").write_text('{"instruction": "Who are you?", "output": "A row of another set."}\n')
    got = curate.select_rows(SAMPLE, count=5, have=str(tmp_path / "old.jsonl"), workers=1)
    assert got.rows.height == 5
    assert any("no row of --have" in note and "all 1 count" in note for note in got.report["notes"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"strategy": "longest"}, "--have is not for --strategy longest, which knows no rows chosen before"),
        ({"vectors": "x.npy"}, "--have and --vectors exclude each other"),
        ({"balance": "source"}, "--have and --balance exclude each other"),
        ({}, r"none\.jsonl"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    """Strategies that know no old rows, vectors that there are none of for old rows, and a file that is not there."""
    with pytest.raises(UsageError, match=said):
        curate.select_rows(SAMPLE, count=5, have="none.jsonl", workers=1, **options)
