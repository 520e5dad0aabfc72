"""A selection beside random ones and beside the longest answers: every metric against its definition in float64."""

from __future__ import annotations

from io import StringIO
from math import exp, log

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import curate
from curate.report.console import print_selection
from curate.sft import metrics
from curate.sft.coverage import compared_rows, coverage, nearest_selected
from curate.sft.distance import squared_norms
from curate.sft.metrics import compare, composition, entropy, near_duplicates, nearest_other, row_facts, vendi
from curate.sft.novelsum import novelsum


def unit(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Return n unit rows in d dimensions: a third of them near copies of others, one without features."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    X[: n // 3] = X[n // 3 : 2 * (n // 3)] + rng.normal(0, rng.choice([0, 0.05, 0.3], (n // 3, 1)), (n // 3, d))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    X[n // 2] = 0
    return np.ascontiguousarray(X, dtype=np.float32)


def facts_of(n: int) -> pl.DataFrame:
    """Return facts of n rows with four clusters; the answers of later rows are longer."""
    return pl.DataFrame(
        {
            "tokens": np.arange(n) + 1, "prompt_bytes": np.arange(n) % 7, "answer_bytes": 10 * np.arange(n),
            "cluster": np.arange(n) % 4,
        }
    )  # fmt: skip


def facility_location_reference(X: np.ndarray, chosen: np.ndarray) -> float:
    """Return the mean over all rows of the largest cosine to a chosen row, or 0."""
    wide = X.astype(np.float64)
    return float(np.mean([max(0.0, *(float(x @ wide[s]) for s in chosen)) for x in wide]))


def near_duplicates_reference(Z: np.ndarray) -> float:
    """Count the rows with another one at a cosine of .95 or more, pair by pair."""
    wide = Z.astype(np.float64)
    return sum(any(x @ y >= 0.95 for j, y in enumerate(wide) if j != i) for i, x in enumerate(wide)) / len(Z)


def entropy_reference(labels: list[object]) -> float:
    """Sum -p ln p over the distinct labels."""
    shares = [labels.count(label) / len(labels) for label in set(labels)]
    return -sum(p * log(p) for p in shares)


def vendi_reference(Z: np.ndarray) -> float:
    """Return the exponential of the entropy of the eigenvalues of the k x k matrix of cosines, over k."""
    wide = Z.astype(np.float64)
    values = [value for value in np.linalg.eigvalsh(wide @ wide.T / len(Z)) if value > 1e-12]
    return exp(-sum(value * log(value) for value in values))


def novelsum_reference(Z: np.ndarray, pool: np.ndarray) -> float:
    """Return NovelSum as the released code has it: of distinct rows the 11 nearest, and the first, itself, skipped."""
    wide, reference = Z.astype(np.float64), np.unique(pool.astype(np.float64), axis=0)
    total = 0.0
    for x in wide:
        nearest = sorted(((x - y) ** 2).sum() for y in reference)[1:11]
        density = (np.mean(nearest) + 1e-9) ** -0.5
        distances = [1 - x @ y for y in wide]
        distances[next(i for i, y in enumerate(wide) if (x == y).all())] = 0
        weights = [1 / rank for rank in range(1, len(wide) + 1)]
        total += np.average(sorted(density * d for d in distances), weights=weights)
    return total / len(wide)


@pytest.mark.parametrize("seed", range(4))
def test_each_metric_is_what_its_definition_says(seed):
    """All metrics of the selection, of each random one and of the longest equal the slow references."""
    X, candidates, facts = unit(90, 8, seed), np.arange(5, 90), facts_of(85)
    picked = np.random.default_rng(9).permutation(85)[:20]
    got = compare(X, candidates, facts, picked, [1, 2, 3, 4, 5], level="all", workers=2)
    draws = [np.random.default_rng(s).choice(85, 20, replace=False) for s in got.seeds]
    longest = np.arange(65, 85)
    for told, rows in zip([got.selected, *got.random, got.longest], [picked, *draws, longest], strict=True):
        chosen = candidates[rows]
        assert [told[name] for name in ("radius", "p95", "mean")] == pytest.approx(
            list(coverage(nearest_selected(X, chosen)[1]).values()), abs=1e-4
        )
        assert told["facility_location"] == pytest.approx(facility_location_reference(X, chosen), abs=1e-6)
        assert told["near_duplicates"] == near_duplicates_reference(X[chosen])
        assert told["tokens"] == sum(int(row) + 1 for row in rows)
        assert told["answer_bytes"] == pytest.approx(np.mean([10 * row for row in rows]))
        assert told["cluster_entropy"] == pytest.approx(entropy_reference([row % 4 for row in rows.tolist()]))
        assert told["vendi"] == pytest.approx(vendi_reference(X[chosen]), rel=1e-6)
        assert told["novelsum"] == pytest.approx(novelsum_reference(X[chosen], X), rel=1e-4)


def nearest_other_reference(X: np.ndarray, rows: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each row the squared distance to the nearest other of the `chosen`, and the largest dot product."""
    wide = X.astype(np.float64)
    others = [wide[chosen[chosen != row]] for row in rows]
    squared = [min((((wide[row] - Z) ** 2).sum(axis=1)), default=np.inf) for row, Z in zip(rows, others, strict=True)]
    return np.array(squared), np.array(
        [max(Z @ wide[row], default=-np.inf) for row, Z in zip(rows, others, strict=True)]
    )


@pytest.mark.parametrize("tile", [1, 7, 4096])
@pytest.mark.parametrize("size", [1, 12, 60])
def test_selections_that_overlap_are_measured_together(tile, size, monkeypatch):
    """Seven selections, one of them twice, in tiles of any width: each row's nearest other one, by the definition."""
    monkeypatch.setattr(metrics, "_TILE", tile)
    X, rows = unit(60, 8), np.arange(3, 60, 2)
    selections = [np.random.default_rng(seed).choice(60, size, replace=False) for seed in (1, 2, 3, 4, 5, 6, 1)]
    squared, largest = nearest_other(X, squared_norms(X), rows, selections)
    for got_squared, got_largest, chosen in zip(squared, largest, selections, strict=True):
        wanted = nearest_other_reference(X, rows, chosen)
        np.testing.assert_allclose(got_squared, wanted[0], atol=1e-5)
        np.testing.assert_allclose(got_largest, wanted[1], atol=1e-6)


def test_near_duplicates_of_a_large_selection_come_from_the_compared_rows(monkeypatch):
    """Where enough selected rows are compared ones, these alone tell the share; else a sample of the selection does."""
    X, facts, picked = unit(90, 8), facts_of(90), np.arange(60)
    monkeypatch.setattr("curate.sft.coverage._COMPARED", 45)
    inside = np.intersect1d(compared_rows(90), picked)
    wide = X.astype(np.float64)
    near = [any(wide[i] @ wide[j] >= 0.95 for j in picked if j != i) for i in inside]
    monkeypatch.setattr(metrics, "_JUDGED", len(inside))
    assert compare(X, np.arange(90), facts, picked, [1]).selected["near_duplicates"] == np.mean(near)
    monkeypatch.setattr(metrics, "_JUDGED", len(inside) + 1)
    assert compare(X, np.arange(90), facts, picked, [1]).selected["near_duplicates"] == near_duplicates(X[picked])


def test_the_numbers_do_not_depend_on_workers_or_the_order_of_picks():
    """One worker or three, picks in any order: the same bits."""
    X, facts = unit(3_000, 16), facts_of(3_000)
    picked = np.random.default_rng(1).permutation(3_000)[:700]
    one = compare(X, np.arange(3_000), facts, picked, [1, 2], level="all")
    assert compare(X, np.arange(3_000), facts, picked[::-1], [1, 2], level="all", workers=3) == one


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=30))
def test_entropy_is_that_of_the_shares(labels):
    """Any labels; a row without one is in a class of its own. One class alone has none."""
    got = entropy(pl.Series(labels, dtype=pl.String))
    assert got == pytest.approx(entropy_reference(labels), abs=1e-12)
    assert (got == 0) == (len(set(labels)) == 1)


def test_vendi_counts_distinct_rows():
    """Orthogonal rows count one each, and copies count nothing."""
    assert vendi(np.eye(5, dtype=np.float32)) == pytest.approx(5)
    assert vendi(np.repeat(np.eye(5, dtype=np.float32), 3, axis=0)) == pytest.approx(5)
    assert vendi(np.eye(1, 5, dtype=np.float32)) == pytest.approx(1)


def test_rows_without_features_are_like_nothing():
    """A zero vector is no near-duplicate of another, and nothing is similar to it."""
    Z = np.zeros((3, 4), dtype=np.float32)
    assert near_duplicates(Z) == 0
    assert vendi(Z) == 1
    X = np.concatenate([Z, np.eye(4, dtype=np.float32)])
    got = compare(X, np.arange(7), facts_of(7), np.array([0, 3]), [1])
    assert got.selected["facility_location"] == pytest.approx(1 / 7)


def test_a_single_row_and_rows_that_all_coincide():
    """Nothing is new to itself, and of coinciding rows each is a near-duplicate."""
    X = np.ones((6, 1), dtype=np.float32)
    got = compare(X, np.arange(6), facts_of(6), np.arange(3), [1, 2], level="all")
    assert (got.selected["near_duplicates"], got.selected["novelsum"], got.selected["mean"]) == (1, 0, 0)
    same = ("mean", "facility_location", "near_duplicates", "novelsum", "vendi")
    assert not any(got.metrics()[name]["beyond_two_sd"] for name in same)
    alone = compare(unit(6, 3), np.arange(6), facts_of(6), np.array([1]), [1, 2], level="all")
    assert (alone.selected["near_duplicates"], alone.selected["novelsum"]) == (0, 0)


def test_a_row_outside_of_the_reference_keeps_its_first_neighbour():
    """Where the pool is sampled, the nearest row is skipped only if it is the row itself."""
    Z, reference = np.eye(2, 3, dtype=np.float32), np.eye(3, dtype=np.float32)[1:]
    density = np.array([1 / np.sqrt(2 + 1e-9), 1 / np.sqrt(2 + 1e-9)])  # all at a squared distance of 2
    assert novelsum(Z, reference, np.arange(2)) == pytest.approx((density * (1 / 2) / (1 + 1 / 2)).mean())


def test_large_selections_are_judged_by_some_of_their_rows(monkeypatch):
    """Above the limit an even sample of rows is held against all of them."""
    Z = np.repeat(np.eye(50, dtype=np.float32), 2, axis=0)
    Z[0] = 0
    monkeypatch.setattr(metrics, "_JUDGED", 10)
    assert near_duplicates(Z) == 0.9  # rows 0, 11, ... 99; the first has no other like it


def test_more_than_two_sd_is_marked():
    """Exactly two sd are not beyond; the sign does not count."""
    chance = [dict.fromkeys(("radius", "p95", "mean", "tokens"), value) for value in (1.0, 2.0, 3.0)]
    selected = {"radius": 4.0, "p95": 4.1, "mean": -0.1, "tokens": 0.0}
    told = metrics.Comparison(3, [1, 2, 3], selected, chance, selected).metrics()
    assert {name: metric["beyond_two_sd"] for name, metric in told.items()} == {
        "radius": False, "p95": True, "mean": True, "tokens": False,
    }  # fmt: skip
    assert told["p95"] == {"selected": 4.1, "random": {"mean": 2.0, "sd": 1.0}, "longest": 4.1, "beyond_two_sd": True}


def test_what_the_pool_does_not_have_is_not_measured():
    """No tokenizer, no tasks, no clusters: no such metric. Lengths are bytes."""
    offered = pl.DataFrame(
        {"n_tokens": [None, None], "task": [None, "a"], "prompt": ["ü", "yes"], "response": ["", "x"]},
        schema_overrides={"n_tokens": pl.Int64},
    )
    told = composition(row_facts(offered, None))
    assert told == {"prompt_bytes": 2.5, "answer_bytes": 0.5, "task_entropy": pytest.approx(log(2))}
    assert composition(row_facts(offered, np.array([3, 3])))["cluster_entropy"] == 0


@pytest.mark.parametrize("level", ["none", "fast", "all"])
def test_levels_of_a_run(level):
    """`none` leaves the coverage of the contract, `all` adds NovelSum and Vendi; rows and coverage are the same."""
    rows = [{"instruction": f"Say {i} words about {i % 9}.", "output": "word " * (1 + i % 50)} for i in range(200)]
    selection = curate.select_rows(rows, count=20, metrics=level, holdout=0.1)
    report = selection.report
    more = set(report["metrics"]) - {"radius", "p95", "mean"}
    basic = {"facility_location", "near_duplicates", "prompt_bytes", "answer_bytes", "tokens", "cluster_entropy"}
    assert more == {"none": set(), "fast": basic, "all": basic | {"novelsum", "vendi"}}[level]
    assert report["random"]["selected"] == pytest.approx(report["coverage"], abs=1e-4)
    assert set(report["random"]["coverage"]) == {"radius", "p95", "mean"}
    for name, told in report["metrics"].items():
        assert np.isfinite([told["selected"], told["longest"], *told["random"].values()]).all(), name
    assert selection.rows["id"].to_list() == curate.select_rows(rows, count=20, holdout=0.1).rows["id"].to_list()


def test_people_see_a_short_table():
    """At most 80 columns, what matters alone, and a mark with its meaning where a difference is beyond two sd."""
    rows = [{"instruction": f"Say {i} words about {i % 9}.", "output": "word " * (1 + i % 50)} for i in range(200)]
    selection = curate.select_rows(rows, count=20, strategy="longest")
    console = Console(width=80, file=StringIO())
    print_selection(selection.report, None, console)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    start = next(i for i, line in enumerate(lines) if line.startswith("measured on"))
    assert [line[:8] for line in lines[start + 1 :]] == ["distance", "facility", "near-dup", "tokens  ", "* more t"]
    assert lines[start + 4].split()[1].endswith("*")


def test_a_selection_of_the_longest_is_the_longest():
    """The baseline is what `--strategy longest` selects."""
    rows = [{"instruction": f"Say {i}.", "output": "word " * (i % 50)} for i in range(1, 200)]
    told = curate.select_rows(rows, count=20, strategy="longest", filters="none", metrics="all").report["metrics"]
    assert all(metric["selected"] == metric["longest"] for metric in told.values())


def test_the_numbers_of_a_real_pool_fit_together(shared_data):
    """Super-NI instances, default embedder, tasks named: metrics within their bounds, tokens those of the report."""
    source = shared_data / "instruct/superni_en_instances.jsonl.gz"
    report = curate.select_rows(source, fraction=0.005, task_column="_task", metrics="all").report
    told = report["metrics"]
    assert told["task_entropy"]["selected"] <= log(214)
    assert told["tokens"]["selected"] == report["tokens"]["selected"]
    assert told["tokens"]["longest"] > told["tokens"]["random"]["mean"]
    assert 1 <= told["vendi"]["selected"] <= report["rows"]["selected"]
