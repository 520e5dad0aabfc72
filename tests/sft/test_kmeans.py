"""K-means by cosine and by Euclidean distance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import UsageError
from curate.sft import kmeans
from curate.sft.kmeans import kmeans_reference, nearest_centers, spherical_kmeans


def unit(n: int, d: int, seed: int = 0) -> np.ndarray:
    X = np.random.default_rng(seed).standard_normal((n, d))
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


def blobs(n: int, d: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, n)
    X = unit(k, d, seed)[truth] + 0.2 * rng.standard_normal((n, d)) / np.sqrt(d)
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32), truth


def start(X: np.ndarray, k: int, seed: int, metric: str = "cosine") -> np.ndarray:
    """Return the centres that `kmeans` starts from."""
    data = X[kmeans._hashed(X, seed, 1)]
    norms = (data.astype(np.float64) ** 2).sum(axis=1)
    return data[kmeans._start(data, norms, k, metric, np.random.default_rng(seed), 1)]


def same(a: kmeans.Clusters, b: kmeans.Clusters) -> bool:
    """Tell whether two results are the same bytes."""
    arrays = all(
        getattr(a, name).tobytes() == getattr(b, name).tobytes() for name in ("centers", "labels", "similarity")
    )
    return arrays and (a.objective, a.iterations, a.fitted_rows) == (b.objective, b.iterations, b.fitted_rows)


@pytest.mark.parametrize("seed", range(5))
def test_last_bits_do_not_decide_where_rows_are_in_order(seed):
    """Processors differ in the last bits of a vector; rows in an order of their own are in the same clusters there."""
    X, _ = blobs(500, 16, 12, seed)
    other = np.nextafter(X, np.random.default_rng(seed).choice([-1, 1], X.shape).astype(np.float32))
    one, two = (spherical_kmeans(rows, 9, seed=seed, ordered=True) for rows in (X, other))
    assert one.labels.tolist() == two.labels.tolist()


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(2, 8), st.data(), st.integers(0, 1000))
def test_result_holds_together(n, d, data, seed):
    """Rows are with the nearest centre, centres have length 1, and the numbers reported follow from them."""
    X = unit(n, d, seed)
    k = data.draw(st.integers(1, n))
    got = spherical_kmeans(X, k, seed=seed)
    table = X.astype(np.float64) @ got.centers.T.astype(np.float64)
    own = table[np.arange(n), got.labels]
    assert (own >= table.max(axis=1) - 1e-12).all()
    assert np.abs(own - got.similarity).max() <= 1e-7
    assert np.abs(np.linalg.norm(got.centers, axis=1) - 1).max() <= 1e-6
    assert got.objective == pytest.approx(own.mean(), abs=1e-6)
    assert len(got.centers) <= k
    assert got.fitted_rows == n


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(1, 8), st.data(), st.integers(0, 1000))
def test_euclidean_result_holds_together(n, d, data, seed):
    """Each row is with the nearest centre, and what is reported are distances."""
    X = (3 * np.random.default_rng(seed).standard_normal((n, d)) + 5).astype(np.float32)
    k = data.draw(st.integers(1, n))
    got = kmeans.kmeans(X, k, seed=seed, metric="euclidean")
    table = np.linalg.norm(X.astype(np.float64)[:, None] - got.centers.astype(np.float64), axis=2)
    own = table[np.arange(n), got.labels]
    assert (own <= table.min(axis=1) + 1e-9).all()
    assert np.abs(own + got.similarity).max() <= 1e-6
    assert got.objective == pytest.approx((own**2).mean(), rel=1e-5, abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 80), st.integers(1, 6), st.integers(1, 12), st.sampled_from(kmeans.METRICS),
    st.sampled_from([None, 20]), st.integers(0, 1000),
)  # fmt: skip
def test_any_order_of_rows_gives_the_same_clusters(n, d, k, metric, sample, seed):
    """Rows of small whole numbers, so full of ties and copies, and of zeros: permuted rows get the labels they had."""
    rng = np.random.default_rng(seed)
    X = rng.integers(-1, 2, (n, d)).astype(np.float32)
    if metric == "cosine":
        X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1)
    order = rng.permutation(n)
    k = min(k, n)
    one = kmeans.kmeans(X, k, seed=seed, metric=metric, sample=sample)
    two = kmeans.kmeans(X[order], k, seed=seed, metric=metric, sample=sample)
    assert two.labels.tolist() == one.labels[order].tolist()
    assert two.similarity.tobytes() == one.similarity[order].tobytes()
    assert two.centers.tobytes() == one.centers.tobytes()
    assert (two.objective, two.iterations) == (one.objective, one.iterations)


def test_any_order_of_many_rows_gives_the_same_clusters():
    """The same where rows fill several blocks and only a sample is fitted."""
    X, _ = blobs(5000, 24, 300)
    order = np.random.default_rng(1).permutation(len(X))
    one = spherical_kmeans(X, 400, seed=2, sample=3000, workers=2)
    two = spherical_kmeans(X[order], 400, seed=2, sample=3000)
    assert two.labels.tolist() == one.labels[order].tolist()
    assert two.centers.tobytes() == one.centers.tobytes()


@pytest.mark.parametrize("metric", kmeans.METRICS)
def test_iterations_are_those_of_the_reference(metric):
    """Assignment and update are Lloyd's, against a loop in float64, after one iteration and to the end."""
    X, _ = blobs(1500, 12, 40)
    for max_iter in (1, 25):
        got = kmeans.kmeans(X, 60, seed=3, metric=metric, max_iter=max_iter)
        centers = start(X, 60, 3, metric).astype(np.float64)
        for _ in range(got.iterations):
            _, _, centers = kmeans_reference(X, centers, metric)
        labels, _, _ = kmeans_reference(X, centers, metric)
        assert np.abs(got.centers - centers).max() <= 1e-5
        assert got.labels.tolist() == labels.tolist()


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(1, 20), st.integers(1, 30), st.integers(0, 1000), st.sampled_from([1, 3, 1024]))
def test_ties_go_to_the_lowest_centre_in_float64(n, d, k, seed, tile):
    """Whole numbers are exact in float64: nearest centres are those of the table, however the centres are cut up."""
    rng = np.random.default_rng(seed)
    X, centers = (rng.integers(-2, 3, (rows, d)).astype(np.float32) for rows in (n, k))
    half = (centers.astype(np.float64) ** 2).sum(axis=1) / 2
    whole = kmeans._TILE
    try:
        kmeans._TILE = tile
        got = nearest_centers(X, centers, half, 1e-3 * d)
    finally:
        kmeans._TILE = whole
    assert got.tolist() == (X.astype(np.float64) @ centers.T - half).argmax(axis=1).tolist()


def test_a_wide_window_changes_nothing():
    """Where float32 is trusted with nothing, float64 decides all, with the same result."""
    X, centers = unit(300, 24), unit(40, 24, seed=1)
    assert (
        nearest_centers(X, centers, np.zeros(40), 3.0).tolist()
        == nearest_centers(X, centers, np.zeros(40), 1e-5).tolist()
    )


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
        assert same(spherical_kmeans(X, 300, seed=0, workers=workers), one)
    assert spherical_kmeans(X, 300, seed=1).labels.tobytes() != one.labels.tobytes()


def test_fitting_on_a_sample_is_said_and_all_rows_are_assigned():
    """`sample` rows are fitted, the others get the nearest centre."""
    X, _ = blobs(4000, 24, 30)
    got = spherical_kmeans(X, 30, seed=0, sample=500)
    assert got.fitted_rows == 500
    assert got.labels.tolist() == (X.astype(np.float64) @ got.centers.T).argmax(axis=1).tolist()
    assert got.objective > 0.9
    assert [kmeans.rows_to_fit(n, k) for n, k in ((1000, 10), (10**6, 10), (10**6, 1000))] == [1000, 200_000, 256_000]


def test_a_read_only_memory_map_is_as_good(tmp_path):
    """Rows may lie in a file."""
    X, _ = blobs(3000, 16, 30)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    for sample in (None, 1000):
        assert same(spherical_kmeans(mapped, 30, seed=0, sample=sample), spherical_kmeans(X, 30, seed=0, sample=sample))


@pytest.mark.parametrize("sample", [None, 1000])
def test_progress_ends_at_the_total_or_stops_early(sample):
    """Rows done rise, never above the total, and the final assignment ends at it."""
    told: list[tuple[int, int]] = []
    spherical_kmeans(unit(3000, 8), 20, seed=0, sample=sample, max_iter=5, on_progress=lambda *now: told.append(now))
    done = [rows for rows, _ in told]
    assert done == sorted(done)
    assert len({total for _, total in told}) == 1
    assert done[-1] <= told[-1][1]
    assert sample is None or done[-1] == told[-1][1]


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


@pytest.mark.parametrize("metric", kmeans.METRICS)
def test_an_empty_cluster_takes_the_farthest_row_of_the_largest(metric):
    """The fixed rule, with the lowest index on ties; clusters whose rows coincide are not split."""
    angles = np.array([0.1, 0.5, 0.5, 0.2, 1.5, 1.6])
    X = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    centers = np.array([[1, 0], [0, 1], [0, -1]], dtype=np.float32)
    labels = np.array([0, 0, 0, 0, 1, 1])
    assert kmeans._fill_empty(X, np.ones(6), centers, labels, metric).tolist() == [0, 2, 0, 0, 1, 1]
    coincide = np.tile(X[:1], (4, 1))
    assert kmeans._fill_empty(coincide, np.ones(4), centers, np.zeros(4, np.int64), metric).tolist() == [0] * 4


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
        chosen = kmeans._start(X, np.ones(7), 6, "cosine", np.random.default_rng(seed), 1)
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
        (np.eye(3, dtype=np.float32), 2, {"metric": "euclid"}, "euclid"),
        (np.full((3, 2), np.nan, np.float32), 2, {}, "3 of 3 vectors"),
    ],
)
def test_impossible_arguments_are_refused(X, k, options, message):
    """The message holds what came and what would do."""
    with pytest.raises(UsageError, match=message):
        kmeans.kmeans(X, k, seed=0, **options)
