"""The strategies: each equals its reference, gives exactly k rows, and does not depend on threads or batches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import UsageError
from curate.sft import strategies
from curate.sft.strategies import _cosine, _cover, _cover_kernels, cluster_medoids, facility_location, prob_cover
from curate.sft.strategies import repr_filter as repr_module
from curate.sft.strategies._cover import greedy_cover

NAMES = [name for name in strategies.names() if strategies.load(name)]


def vectors(kind: str, n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """Return unit rows: anywhere, with many equal ones, on a grid full of exact ties, or copies a rounding apart."""
    if kind == "grid":  # coordinates ±0.5: every cosine of two rows is exact, and most tie
        return np.ascontiguousarray(np.resize(rng.choice([-0.5, 0.5], (n, 4)), (n, 4)).astype(np.float32))
    X = rng.standard_normal((n, d))
    if kind == "copies":
        X = X[rng.integers(0, max(1, n // 3), n)]
    if kind == "near copies":
        X = X[rng.integers(0, max(1, n // 3), n)] + 1e-6 * rng.standard_normal((n, d))
    X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)
    if kind == "zeros":
        X[rng.random(n) < 0.3] = 0
    return X


KINDS = ["random", "copies", "grid", "near copies", "zeros"]
pools = st.tuples(st.sampled_from(KINDS), st.integers(1, 60), st.integers(1, 9), st.integers(0, 2**32 - 1))


@settings(deadline=None, max_examples=60)
@given(pools, st.data())
def test_facility_location_is_the_greedy_in_float64(pool, data):
    """Lazy bounds change no pick: ties go to the lowest index, and rows without gain come last."""
    kind, n, d, seed = pool
    X = vectors(kind, n, d, np.random.default_rng(seed))
    k = data.draw(st.integers(1, n))
    assert facility_location.pick(X, k).rows.tolist() == facility_location.pick_reference(X, k)


@settings(deadline=None, max_examples=60)
@given(pools, st.data())
def test_facility_location_goes_on_from_rows_chosen_before(pool, data):
    """Rows chosen before count in f, and only candidates are picked: the greedy in float64 again."""
    kind, n, d, seed = pool
    rng = np.random.default_rng(seed)
    X = vectors(kind, n, d, rng)
    chosen = data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=4))
    candidates = np.sort(rng.choice(n, data.draw(st.integers(1, n)), replace=False))
    k = data.draw(st.integers(1, len(candidates)))
    got = facility_location.pick(X, k, candidates=candidates, chosen=X[chosen])
    assert got.rows.tolist() == facility_location.pick_reference(X, k, candidates.tolist(), chosen)


@settings(deadline=None, max_examples=60)
@given(pools, st.floats(0.05, 1.9), st.data())
def test_prob_cover_is_the_greedy_in_float64(pool, radius, data):
    """Whether a row lies in a ball is decided in float64, so that near copies on the rim change no pick."""
    kind, n, d, seed = pool
    X = vectors(kind, n, d, np.random.default_rng(seed))
    k = data.draw(st.integers(1, n))
    assert prob_cover.pick(X, k, radius=radius).rows.tolist() == prob_cover.pick_reference(X, k, radius)


@settings(deadline=None, max_examples=60)
@given(pools, st.sampled_from([0.0, 0.5, 0.9, 1.0]), st.data())
def test_repr_filter_is_the_loop_over_scores(pool, threshold, data):
    """A row is kept unless a better one is a near neighbour; those left out make up the number."""
    kind, n, d, seed = pool
    rng = np.random.default_rng(seed)
    X, scores, k = vectors(kind, n, d, rng), rng.integers(0, 9, n), data.draw(st.integers(1, n))
    got = repr_module.filter_neighbours(X, k, scores, threshold=threshold)
    assert got.rows.tolist() == repr_module.filter_neighbours_reference(X, k, scores, threshold)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.integers(0, 1000))
def test_rows_by_closeness_go_round_the_clusters(labels, seed):
    """The nearest row of each cluster, larger clusters first, then the second nearest; ties to the lowest index."""
    similarity = np.random.default_rng(seed).integers(0, 4, len(labels)).astype(np.float32)
    got = cluster_medoids.by_closeness(np.array(labels), similarity)
    assert got.tolist() == cluster_medoids.by_closeness_reference(np.array(labels), similarity)


@pytest.mark.parametrize("objective", [facility_location._objective(), prob_cover._objective(1.1)])
def test_bounds_hold_the_true_gain(objective):
    """The kernels' bounds enclose the gains in float64, and closely."""
    rng = np.random.default_rng(3)
    X = vectors("random", 500, 64, rng)
    threshold = rng.uniform(-0.2, 0.6, 500).astype(np.float32)
    error = np.float32(_cosine.cosine_error(64))
    high, low = np.zeros((2, 500))
    objective.bounds(X @ X.T, threshold, error, high, low)
    gains = objective.gain(_cosine.cosines_reference(X), threshold.astype(np.float64)).sum(axis=1)
    assert (low <= gains).all()
    assert (gains <= high).all()
    if objective.bounds is _cover_kernels.excess_bounds:
        assert (high - low).max() <= 500 * 2.1 * error


def test_cosines_are_those_of_the_reference():
    """Single rows and many rows give the same bits as the loop over coordinates."""
    X = vectors("random", 90, 33, np.random.default_rng(4))
    want = _cosine.cosines_reference(X)
    for row in (0, 89):
        assert (_cosine.cosines(X, np.arange(90), X[row]) == want[row]).all()
        assert _cosine.cosines(X, np.array([7]), X[row]) == want[row, 7]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 40, 120])
def test_every_strategy_gives_exactly_k_rows(name, kind, k):
    """Different rows, as many as asked, where rows coincide too, for every module in the package."""
    rng = np.random.default_rng(5)
    X = vectors(kind, 120, 8, rng)
    got = strategies.load(name)(X, k, lengths=rng.integers(0, 50, 120), seed=1)
    assert len(set(got.rows.tolist())) == len(got.rows) == k
    assert 0 <= got.beyond < k or name == "prob-cover"
    assert got.rows.min() >= 0
    assert got.rows.max() < 120


@pytest.mark.parametrize("name", NAMES)
def test_threads_and_batches_do_not_matter(name, monkeypatch):
    """The same rows for any number of workers, and for small blocks and batches."""
    rng = np.random.default_rng(6)
    X, lengths = vectors("near copies", 9000, 24, rng), rng.integers(0, 500, 9000)
    want = strategies.load(name)(X, 60, lengths=lengths, seed=2)
    got = strategies.load(name)(X, 60, lengths=lengths, seed=2, workers=3)
    monkeypatch.setattr(_cover, "_BATCH", 7)
    monkeypatch.setattr(_cover, "_BLOCK", 1000)
    monkeypatch.setattr(repr_module, "_BATCH", 13)
    small = strategies.load(name)(X, 60, lengths=lengths, seed=2)
    assert got.rows.tolist() == want.rows.tolist() == small.rows.tolist()


@pytest.mark.parametrize("name", ["facility-location", "longest", "repr-filter"])
def test_order_of_rows_does_not_matter(name):
    """Without ties, permuted rows give the same picks in the same order (counts of prob-cover tie all the time)."""
    rng = np.random.default_rng(7)
    X, lengths, order = vectors("random", 400, 16, rng), rng.permutation(400), rng.permutation(400)
    pick = strategies.load(name)
    want = pick(X, 30, lengths=lengths).rows
    assert order[pick(X[order], 30, lengths=lengths[order]).rows].tolist() == want.tolist()


def test_facility_location_reaches_its_bound():
    """The greedy's f is at least 1 - 1/e of the best over all subsets."""
    import itertools

    X = vectors("random", 11, 3, np.random.default_rng(8))
    table = np.maximum(X @ X.T, 0)
    best = max(table[:, list(rows)].max(axis=1).sum() for rows in itertools.combinations(range(11), 3))
    assert table[:, facility_location.pick(X, 3).rows].max(axis=1).sum() >= (1 - np.exp(-1)) * best


def test_prob_cover_leaves_outliers_alone():
    """Two dense places are covered before a lone row; after that nothing gains, and the lowest index follows."""
    X = np.array([[1, 0], [0, 1], [0, 1], [0, 1], [-1, 0], [-1, 0]], dtype=np.float32)
    got = prob_cover.pick(X, 4, radius=0.5)
    assert got.rows.tolist() == [1, 4, 0, 2]
    assert got.beyond == 1


def test_a_ball_of_the_default_radius_holds_one_in_k():
    """The mean share of rows within the radius is 1/k, to the rounding of the radius."""
    X = vectors("random", 1500, 12, np.random.default_rng(9))
    radius = prob_cover.default_radius(X, 50)
    apart = np.sqrt(np.maximum(0, 2 - 2 * X @ X.T))[~np.eye(1500, dtype=bool)]
    assert np.mean(apart <= radius - 0.001) <= 1 / 50 <= np.mean(apart <= radius + 0.001)


def test_large_pools_are_measured_on_a_sample():
    """All rows up to 65,536 of all groups; above, 2^32 / n seeded ones but never fewer than 4 k."""
    assert len(_cover.sample_to_cover(65_536, 10, 0)) == 65_536
    assert len(_cover.sample_to_cover(1 << 20, 10, 0)) == 4096
    assert len(_cover.sample_to_cover(1 << 20, 5000, 0)) == 20_000
    assert (_cover.sample_to_cover(1 << 20, 10, 0) != _cover.sample_to_cover(1 << 20, 10, 1)).any()
    assert len(_cover.sample_to_cover(10_000, 10, 0, pool_rows=1 << 20)) == 4096
    X = vectors("random", 300, 6, np.random.default_rng(10))
    objective = facility_location._objective()
    some, _ = greedy_cover(X, 20, objective, np.arange(0, 300, 2))
    assert len(set(some.tolist())) == 20


def test_groups_are_picked_apart_and_ranked_in_rounds():
    """Quotas hold in each group; first picks come first, larger groups before smaller ones."""
    rng = np.random.default_rng(11)
    X, labels, lengths = vectors("random", 30, 5, rng), np.repeat([0, 1, 2], [5, 15, 10]), rng.permutation(30)
    got = strategies.pick_in_groups(
        strategies.load("longest"), X, labels, [2, 3, 0], ["a", "b", "c"], lengths=lengths, seed=0
    )
    assert got.cluster.tolist() == [1, 0, 1, 0, 1]
    assert got.rows[0] == 5 + np.argmax(lengths[5:20])
    assert got.counts() == {"by_rule": 5, "beyond_rule": 0, "details": []}
    assert got.first(2).rows.tolist() == got.rows[:2].tolist()


def test_an_unknown_name_names_the_nearest():
    """The error knows what was meant."""
    with pytest.raises(UsageError, match="facility-loc") as caught:
        strategies.load("facility-loc")
    assert "Did you mean facility-location?" in caught.value.hint


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_picked_is_refused(name):
    """Too many rows, none, and rows that are not of length 1."""
    X, pick = np.eye(5, dtype=np.float32), strategies.load(name)
    for k in (0, 6):
        with pytest.raises(UsageError, match=f"cannot pick {k} of 5"):
            pick(X, k, lengths=np.arange(5))
    with pytest.raises(UsageError, match="row 0 has length 2"):
        pick(2 * X, 2, lengths=np.arange(5))


def test_bad_scores_lengths_and_radii_are_refused():
    """The message says what was given."""
    X = np.eye(5, dtype=np.float32)
    with pytest.raises(UsageError, match="lengths of shape none"):
        strategies.load("longest")(X, 2)
    with pytest.raises(UsageError, match=r"lengths of shape \(3,\)"):
        strategies.load("repr-filter")(X, 2, lengths=np.arange(3))
    with pytest.raises(UsageError, match="or NaN"):
        repr_module.filter_neighbours(X, 2, np.full(5, np.nan))
    for radius in (0.0, 2.0, float("nan")):
        with pytest.raises(UsageError, match="radius is"):
            prob_cover.pick(X, 2, radius=radius)
