"""Spherical K-means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import UsageError
from curate.sft import kmeans
from curate.sft.kmeans import kmeans_reference, spherical_kmeans


def unit(n: int, d: int, seed: int = 0) -> np.ndarray:
    X = np.random.default_rng(seed).standard_normal((n, d))
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


def blobs(n: int, d: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    X = unit(k, d, seed)[truth] + 0.2 * rng.standard_normal((n, d)) / np.sqrt(d)
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), truth


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(2, 8), st.data(), st.integers(0, 1000))
def test_result_holds_together(n, d, data, seed):
    """Rows are with the nearest centre, centres have length 1, and the numbers reported follow from them."""
    X = unit(n, d, seed)
    k = data.draw(st.integers(1, n))
    got = spherical_kmeans(X, k, seed=seed)
    table = X.astype(np.float64) @ got.centers.T.astype(np.float64)
    own = table[np.arange(n), got.labels]
    assert (own >= table.max(axis=1) - 1e-6).all()
    assert np.abs(own - got.similarity).max() <= 1e-6
    assert np.abs(np.linalg.norm(got.centers, axis=1) - 1).max() <= 1e-6
    assert got.objective == pytest.approx(own.mean(), abs=1e-6)
    assert len(got.centers) <= k
    assert got.fitted_rows == n


def test_one_iteration_is_that_of_the_reference():
    """Assignment and update are Lloyd's, against a loop in float64."""
    X = unit(400, 6)
    once = spherical_kmeans(X, 12, seed=3, max_iter=1)
    rng = np.random.default_rng(3)
    start = X[kmeans._start(X, np.ones(400), 12, rng, 1)]
    labels, _, centers = kmeans_reference(X, start)
    assert np.abs(once.centers - centers).max() <= 1e-6
    labels, cosines, _ = kmeans_reference(X, once.centers)
    assert once.labels.tolist() == labels.tolist()
    assert np.abs(once.similarity - cosines).max() <= 1e-6


def test_shortcuts_give_lloyds_result():
    """Comparing rows with moved centres only ends where full iterations end."""
    X, _ = blobs(1500, 12, 40)
    got = spherical_kmeans(X, 60, seed=1)
    centers = X[kmeans._start(X, np.ones(1500), 60, np.random.default_rng(1), 1)].astype(np.float64)
    for _ in range(got.iterations):
        _, _, centers = kmeans_reference(X, centers)
    assert np.abs(got.centers - centers).max() <= 1e-5


def test_well_separated_groups_are_not_mixed():
    """With twice as many clusters as there are clear groups, no cluster holds rows of two."""
    X, truth = blobs(2000, 32, 40)
    got = spherical_kmeans(X, 80, seed=0)
    assert len(set(zip(truth.tolist(), got.labels.tolist(), strict=True))) == len(set(got.labels.tolist()))


def test_more_iterations_are_never_worse():
    """Each of Lloyd's iterations raises the mean cosine."""
    X = unit(3000, 16)
    values = [spherical_kmeans(X, 50, seed=0, max_iter=i).objective for i in (1, 2, 4, 8, 25)]
    assert values == sorted(values)


def test_workers_and_blocks_give_the_same_bytes():
    """One, two and three workers give byte-identical clusters; the seed matters."""
    X, _ = blobs(5000, 24, 30)
    one = spherical_kmeans(X, 300, seed=0)
    for workers in (2, 3):
        more = spherical_kmeans(X, 300, seed=0, workers=workers)
        for name in ("centers", "labels", "similarity"):
            assert getattr(more, name).tobytes() == getattr(one, name).tobytes()
        assert (more.objective, more.iterations) == (one.objective, one.iterations)
    assert spherical_kmeans(X, 300, seed=1).labels.tobytes() != one.labels.tobytes()


def test_fitting_on_a_sample_is_said_and_all_rows_are_assigned():
    """`sample` rows are fitted, the others get the nearest centre."""
    X, _ = blobs(4000, 24, 30)
    got = spherical_kmeans(X, 30, seed=0, sample=500)
    assert got.fitted_rows == 500
    assert got.labels.tolist() == (X @ got.centers.T).argmax(axis=1).tolist()
    assert got.objective > 0.9


@pytest.mark.parametrize("copies", [1, 3])
def test_never_more_clusters_than_distinct_rows(copies):
    """Seven distinct rows make at most seven clusters, each at its rows."""
    X = np.tile(unit(7, 5), (copies, 1))
    got = spherical_kmeans(X, len(X), seed=0)
    assert len(got.centers) == 7
    assert np.abs(got.similarity - 1).max() <= 1e-6
    assert len(set(got.labels.tolist())) == 7


def test_identical_rows_are_one_cluster():
    """All rows equal: one cluster."""
    got = spherical_kmeans(np.tile(unit(1, 8), (50, 1)), 10, seed=0)
    assert len(got.centers) == 1
    assert set(got.labels.tolist()) == {0}


def test_an_empty_cluster_takes_the_farthest_row_of_the_largest():
    """The fixed rule, with the lowest index on ties; clusters whose rows coincide are not split."""
    labels = np.array([0, 0, 0, 0, 1, 1])
    similarity = np.array([0.9, 0.5, 0.5, 0.8, 0.1, 0.1], dtype=np.float32)
    changed = np.zeros(3, dtype=bool)
    kmeans._fill_empty(labels, similarity, changed)
    assert labels.tolist() == [0, 2, 0, 0, 1, 1]
    assert changed.tolist() == [True, False, True]
    same, flat = np.zeros(4, dtype=np.int64), np.ones(4, dtype=np.float32)
    kmeans._fill_empty(same, flat, np.zeros(2, dtype=bool))
    assert same.tolist() == [0, 0, 0, 0]


def test_rows_of_zeros_have_no_direction():
    """They get cosine 0 and make no centre of their own, unless there is nothing else."""
    X = np.concatenate([unit(20, 6), np.zeros((5, 6), np.float32)])
    got = spherical_kmeans(X, 25, seed=0)
    assert got.similarity[20:].tolist() == [0] * 5
    assert np.abs(np.linalg.norm(got.centers, axis=1) - 1).max() <= 1e-6
    nothing = spherical_kmeans(np.zeros((3, 2), np.float32), 2, seed=0)
    assert (nothing.labels.tolist(), len(nothing.centers)) == ([0, 0, 0], 1)


def test_the_start_draws_by_squared_distance():
    """Drawing in batches keeps the k-means++ distribution: which of seven rows is left out, against exact odds."""
    angles = np.array([0, 0.1, 0.2, 0.5, 0.6, 1.0, 1.4])
    X = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    distance = np.maximum(1 - X.astype(np.float64) @ X.T, 0)
    np.fill_diagonal(distance, 0)
    odds = {frozenset([first]): 1 / 7 for first in range(7)}
    for _ in range(5):
        after: dict[frozenset[int], float] = {}
        for chosen, chance in odds.items():
            weight = distance[:, list(chosen)].min(axis=1)
            for row in np.flatnonzero(weight):
                more = chosen | {int(row)}
                after[more] = after.get(more, 0) + chance * weight[row] / weight.sum()
        odds = after
    want = np.array([odds[frozenset(range(7)) - {row}] for row in range(7)])
    left_out = np.zeros(7)
    draws = 3000
    for seed in range(draws):
        chosen = kmeans._start(X, np.ones(7), 6, np.random.default_rng(seed), 1)
        left_out[21 - chosen.sum()] += 1
    assert (np.abs(left_out - draws * want) <= 4 * np.sqrt(draws * want * (1 - want))).all()


@pytest.mark.parametrize(
    ("X", "k", "options", "message"),
    [
        (2 * np.eye(3, dtype=np.float32), 2, {}, "row 0 has length 2"),
        (np.eye(3, dtype=np.float32), 0, {}, "0 clusters of 3 rows"),
        (np.eye(3, dtype=np.float32), 4, {}, "4 clusters of 3 rows"),
        (np.eye(3, dtype=np.float32), 2, {"max_iter": 0}, "max_iter is 0"),
        (np.eye(3, dtype=np.float32), 3, {"sample": 2}, "sample is 2 for 3 clusters"),
        (np.full((3, 2), np.nan, np.float32), 2, {}, "3 of 3 vectors"),
    ],
)
def test_impossible_arguments_are_refused(X, k, options, message):
    """The message holds what came and what would do."""
    with pytest.raises(UsageError, match=message):
        spherical_kmeans(X, k, seed=0, **options)
