"""K-Center-Greedy against its definition."""

from __future__ import annotations

import gzip
import itertools
import json
import math
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.engine.blocks import one_blas_thread
from curate.errors import UsageError
from curate.sft import kcenter, kcenter_numpy, kcenter_torch
from curate.sft.distance import F32, squared_distance_reference, squared_norms
from curate.sft.kcenter import greedy, k_center_greedy, k_center_greedy_reference
from curate.sft.kcenter_state import Pick


def vectors(kind: str, n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """Make rows that are easy to get wrong."""
    normal = rng.standard_normal((n, d))
    made = {
        "normal": normal,
        "unit": normal / np.linalg.norm(normal, axis=1, keepdims=True),
        "grid": rng.integers(-2, 3, (n, d)),
        "signs": np.sign(normal) / math.sqrt(d),
        "copies": normal[rng.integers(0, max(1, n // 3), n)],
        "near copies": normal[rng.integers(0, max(1, n // 3), n)] + 1e-6 * rng.standard_normal((n, d)),
        "zeros": normal * rng.integers(0, 2, (n, 1)),
        "tiny": 1e-25 * normal,
        "mixed sizes": normal * 10.0 ** rng.integers(-12, 13, (n, 1)),
    }
    return made[kind].astype(np.float32)


DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
KINDS = ["normal", "unit", "grid", "signs", "copies", "near copies", "zeros", "tiny", "mixed sizes"]


def check(X: np.ndarray, k: int, **options: object) -> kcenter.KCenters:
    """Compare every field with the definition."""
    got = k_center_greedy(X, k, **options)
    want = k_center_greedy_reference(X, k, **options)
    assert got.indices.tolist() == want
    chosen = list(options.get("initial", []))
    table = np.array([[squared_distance_reference(x, y) for y in X] for x in X])
    for pick, radius in zip(want, got.radii, strict=True):
        chosen.append(pick)
        assert radius == math.sqrt(table[:, chosen].min(axis=1).max())
    ordered = np.sort(chosen)
    assert got.nearest.tolist() == ordered[table[:, ordered].argmin(axis=1)].tolist()
    assert got.distances.tolist() == np.sqrt(table[:, ordered].min(axis=1)).tolist()
    assert got.certificate == (None if options.get("initial") else got.radii[-1] / 2)
    assert got.coincident == sum(table[pick, chosen[: chosen.index(pick)]].min(initial=np.inf) == 0 for pick in want)
    return got


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(KINDS), st.integers(1, 24), st.integers(1, 5), st.data(), st.integers(0, 2**32 - 1), st.booleans()
)
def test_same_as_the_reference(kind, n, d, data, seed, whole):
    """Same picks, radii and nearest picks as the definition, for any size of the active set and of the blocks."""
    X = vectors(kind, n, d, np.random.default_rng(seed))
    initial = [] if whole else data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=n - 1))
    k = data.draw(st.integers(1, n - len(initial)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kcenter_numpy, "_ABOVE", data.draw(st.integers(1, 11)))
        patch.setattr(kcenter_numpy, "_WIDE", data.draw(st.integers(1, 30)))
        patch.setattr(kcenter_numpy, "_CENTERS", data.draw(st.integers(1, 4)))
        patch.setattr(kcenter_numpy, "_ROWS", data.draw(st.integers(1, 5)))
        patch.setattr(kcenter_numpy, "_TIED", data.draw(st.integers(1, 3)))
        check(X, k, initial=initial)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("active", "block"), [(20, 7), (64, 512)])
def test_same_as_the_reference_with_rows_of_any_age(kind, active, block, monkeypatch):
    """The same when rows come back to the active set after missing different numbers of picks."""
    monkeypatch.setattr(kcenter_numpy, "_ABOVE", active)
    monkeypatch.setattr(kcenter_numpy, "_ROWS", block)
    X = vectors(kind, 400, 3, np.random.default_rng(7))
    assert k_center_greedy(X, 120).indices.tolist() == k_center_greedy_reference(X, 120)


@pytest.mark.parametrize("kind", KINDS)
def test_same_as_the_reference_with_more_rows_than_the_active_set(kind):
    """The same with the real sizes of the active set and the blocks, and a given first pick."""
    X = vectors(kind, 3000, 8, np.random.default_rng(3))
    got = k_center_greedy(X, 60, first=17, workers=2)
    assert got.indices.tolist() == k_center_greedy_reference(X, 60, first=17)
    assert (np.diff(got.radii) <= 0).all()


def test_same_as_the_reference_on_real_texts(shared_data):
    """Hashed words of 4,000 Alpaca instructions: duplicates and ties as they come."""
    from sklearn.feature_extraction.text import HashingVectorizer

    with gzip.open(shared_data / "instruct" / "alpaca_data_52k.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["instruction"] for line in itertools.islice(lines, 4000)]
    X = HashingVectorizer(n_features=64).transform(texts).toarray().astype(np.float32)
    got = k_center_greedy(X, 80)
    assert got.indices.tolist() == k_center_greedy_reference(X, 80)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_threads_do_not_matter(workers):
    """The result is byte-identical for any number of workers and of BLAS threads."""
    X = vectors("unit", 9000, 48, np.random.default_rng(0))
    with one_blas_thread():
        want = k_center_greedy(X, 120)
    got = k_center_greedy(X, 120, workers=workers)
    for name in ("indices", "radii", "nearest", "distances"):
        assert getattr(got, name).tobytes() == getattr(want, name).tobytes()


def test_order_of_rows_does_not_matter():
    """Without ties, permuted rows give the same picks in the same order."""
    rng = np.random.default_rng(1)
    X = vectors("unit", 3000, 16, rng)
    order = rng.permutation(3000)
    assert order[k_center_greedy(X[order], 50).indices].tolist() == k_center_greedy(X, 50).indices.tolist()


def test_a_prefix_is_the_answer_for_a_smaller_k():
    """The first k picks are the picks for k."""
    X = vectors("near copies", 400, 5, np.random.default_rng(2))
    whole = k_center_greedy(X, 400)
    for k in (1, 2, 50, 399):
        part = k_center_greedy(X, k)
        assert part.indices.tolist() == whole.indices[:k].tolist()
        assert part.radii.tolist() == whole.radii[:k].tolist()


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 9), st.integers(1, 3), st.integers(0, 2**32 - 1), st.data())
def test_radius_is_at_most_twice_the_optimum(n, d, seed, data):
    """Gonzalez's bound, against the optimum over all subsets."""
    X = vectors("normal", n, d, np.random.default_rng(seed))
    k = data.draw(st.integers(1, n))
    table = np.sqrt(((X[:, None].astype(np.float64) - X[None]) ** 2).sum(axis=2))
    best = min(table[:, list(chosen)].min(axis=1).max() for chosen in itertools.combinations(range(n), k))
    assert k_center_greedy(X, k).certificate <= best * (1 + 1e-12)


def test_rows_that_coincide_come_last_by_lowest_index():
    """With more picks than distinct rows the rest is taken by lowest index, with radius 0."""
    X = np.array([[0, 0], [3, 0], [0, 0], [3, 0], [0, 9]], dtype=np.float32)
    got = k_center_greedy(X, 5, first=2)
    assert got.indices.tolist() == [2, 4, 1, 0, 3]
    assert got.radii.tolist() == [9, 3, 0, 0, 0]
    assert got.coincident == 2
    assert k_center_greedy(np.ones((4, 3), np.float32), 3).indices.tolist() == [0, 1, 2]


def test_the_first_pick_is_the_row_nearest_to_the_mean():
    """It is the medoid, lowest index on ties, and it counts as a pick."""
    X = np.array([[9, 0], [0, 0], [1, 1], [1, -1], [0, 9], [0, -9], [-9, 0]], dtype=np.float32)
    assert k_center_greedy(X, 1).indices.tolist() == [1]
    assert k_center_greedy(X[2:4].repeat(2, axis=0), 1).indices.tolist() == [0]


def test_initial_rows_are_neither_picked_nor_counted():
    """Rows chosen before push the picks away from themselves."""
    X = np.array([[0], [1], [5], [9], [10]], dtype=np.float32)
    got = k_center_greedy(X, 2, initial=[0])
    assert got.indices.tolist() == [4, 2]
    assert got.nearest.tolist() == [0, 0, 2, 4, 4]
    assert k_center_greedy(X, 2, initial=[0], first=2).indices.tolist() == [2, 4]
    assert k_center_greedy(X, 3, initial=[0], count_initial=True).indices.tolist() == [4, 2]


def test_the_first_pick_is_the_medoid():
    """The row nearest to the mean has the smallest sum of squared distances to all rows."""
    for seed in range(20):
        X = vectors("mixed sizes" if seed % 2 else "normal", 60, 3, np.random.default_rng(seed))
        table = ((X[:, None].astype(np.float64) - X[None]) ** 2).sum(axis=2)
        assert k_center_greedy(X, 1).indices[0] == table.sum(axis=1).argmin()


def test_most_distances_are_never_computed():
    """On clustered rows a fraction of the n * k distances is evaluated, and said."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 32), np.float32)[rng.integers(0, 300, 60_000)]
    X += 0.3 * rng.standard_normal(X.shape, np.float32)
    assert 0 < k_center_greedy(X, 600).evaluated < 0.5


def test_a_memory_map_is_not_copied(tmp_path, monkeypatch):
    """Beside a read-only map of n * d float32 it takes less than 0.3 of that."""
    n, d = 40_000, 256
    for size in ("_ABOVE", "_WIDE"):  # as small beside n as the real sizes are beside a million rows
        monkeypatch.setattr(kcenter_numpy, size, 2000)
    X = np.lib.format.open_memmap(tmp_path / "X.npy", mode="w+", dtype=np.float32, shape=(n, d))
    X[:] = vectors("unit", n, d, np.random.default_rng(0))
    want = k_center_greedy(X, 60)
    X.flush()
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    tracemalloc.start()
    try:
        got = k_center_greedy(mapped, 60, workers=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert got.indices.tolist() == want.indices.tolist()
    assert peak < 0.3 * n * d * 4


def test_progress_ends_at_k():
    """Progress counts picks made, upwards, to the number asked for."""
    seen = []
    k_center_greedy(vectors("unit", 500, 8, np.random.default_rng(0)), 60, on_progress=lambda *at: seen.append(at))
    assert seen == sorted(seen)
    assert seen[-1] == (60, 60)


@pytest.mark.parametrize(
    ("k", "options", "message"),
    [
        (0, {}, "cannot pick 0 of 5"),
        (6, {}, "cannot pick 6 of 5"),
        (3, {"initial": [0, 1, 2]}, "cannot pick 3 of 5 rows, 3 of which"),
        (1, {"first": 5}, r"\[5\] of 5"),
        (1, {"first": -1}, r"\[-1\] of 5"),
        (1, {"initial": [2, 2]}, r"\[2, 2\] of 5"),
        (1, {"initial": [2], "first": 2}, r"\[2, 2\] of 5"),
    ],
)
def test_impossible_numbers_are_refused(k, options, message):
    """The message holds both numbers."""
    with pytest.raises(UsageError, match=message):
        k_center_greedy(np.eye(5, dtype=np.float32), k, **options)


def test_nan_is_refused():
    """A NaN row would never be far from anything: it is refused."""
    X = np.eye(5, dtype=np.float32)
    X[3, 1] = np.nan
    with pytest.raises(UsageError, match="row 3"):
        k_center_greedy(X, 2)


def picked(X: F32, k: int, first: int | None, initial: list[int], device: str) -> tuple[list[int], list[float]]:
    """Return the picks of the torch version and their distances."""
    picks: list[Pick] = []
    bounds = kcenter_torch.TorchBounds(X, squared_norms(X), k + len(initial), device)
    kcenter._extend(bounds, len(X), k, first, initial, picks)
    return [row for row, _ in picks], np.sqrt([gap for _, gap in picks]).tolist()


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(KINDS), st.integers(1, 24), st.integers(1, 5), st.data(), st.integers(0, 2**32 - 1))
def test_on_torch_same_as_the_reference(kind, n, d, data, seed):
    """Same picks as the definition, for any size of the parts and any start."""
    X = vectors(kind, n, d, np.random.default_rng(seed))
    initial = data.draw(st.lists(st.integers(0, n - 1), unique=True, min_size=1, max_size=max(1, n - 1)))
    first, initial = (initial[0], []) if len(initial) == n or data.draw(st.booleans()) else (None, initial)
    k = data.draw(st.integers(1, n - len(initial)))
    sizes = {"_ABOVE": 11, "_WIDE": 30, "_TIED": 3, "_STEPS": 4, "_ROWS": 5, "_CENTERS": 4}
    with pytest.MonkeyPatch.context() as patch:
        for name, largest in sizes.items():
            patch.setattr(kcenter_torch, name, data.draw(st.integers(1, largest)))
        got, _ = picked(X, k, first, initial, "cpu")
    assert got == k_center_greedy_reference(X, k, first=first, initial=initial)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
def test_same_as_on_the_cpu(kind, device, monkeypatch):
    """Picks and their distances are bit for bit those of numpy."""
    monkeypatch.setattr(kcenter_torch, "_ABOVE", 1000)
    monkeypatch.setattr(kcenter_torch, "_WIDE", 1000)
    X = vectors(kind, 9_000, 16, np.random.default_rng(5))
    want, gaps = greedy(X, squared_norms(X), 150, 17)
    assert picked(X, 150, 17, [], device) == (want.tolist(), pytest.approx(gaps.tolist(), abs=0, rel=0, nan_ok=True))


def test_a_device_that_is_not_there_is_refused():
    """No other device is taken silently."""
    X = np.eye(4, dtype=np.float32)
    with pytest.raises(UsageError, match="'tpu', but it must be cpu or cuda"):
        k_center_greedy(X, 2, device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="torch sees no GPU"):
            k_center_greedy(X, 2, device="cuda")
