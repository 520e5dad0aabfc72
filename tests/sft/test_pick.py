"""Picking within clusters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import UsageError
from curate.sft.kcenter import k_center_greedy, k_center_greedy_reference
from curate.sft.pick import pick_in_clusters, similarity_to_mean


def unit(n: int, d: int, seed: int = 0) -> np.ndarray:
    X = np.random.default_rng(seed).standard_normal((n, d))
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 60), st.integers(1, 5), st.data(), st.integers(0, 1000), st.sampled_from([0.1, 0.25, 0.5, 1.0]))
def test_each_cluster_is_greedy_in_its_core(n, groups, data, seed, core):
    """Cluster by cluster: the centre sample, then the reference greedy over the rows nearest the centre."""
    X, rng = unit(n, 4, seed), np.random.default_rng(seed)
    labels = rng.integers(0, groups, n)
    similarity = similarity_to_mean(X, labels)
    sizes = np.bincount(labels, minlength=groups)
    quotas = [data.draw(st.integers(0, int(size))) for size in sizes]
    if not sum(quotas):
        quotas[int(labels[0])] = 1
    got = pick_in_clusters(X, labels, similarity, quotas, core=core)
    for label in range(groups):
        mine = got.cluster == label
        assert got.order[mine].tolist() == list(range(quotas[label]))
        if quotas[label]:
            rows = np.flatnonzero(labels == label)
            by_centre = sorted(rows, key=lambda i: (-similarity[i], i))
            inner = sorted(by_centre[: max(quotas[label], math.ceil(round(core * len(rows), 9)))])
            first = inner.index(by_centre[0])
            want = k_center_greedy_reference(X[inner], quotas[label], first=first)
            assert got.rows[mine].tolist() == [inner[i] for i in want]


def test_rank_goes_round_the_clusters():
    """All first picks, larger clusters first and lower labels on ties, then all second picks, and so on."""
    labels = np.array([0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 3])
    X = unit(11, 5)
    got = pick_in_clusters(X, labels, similarity_to_mean(X, labels), [1, 3, 2, 3], core=1)
    assert got.cluster.tolist() == [1, 3, 0, 2, 1, 3, 2, 1, 3]
    assert got.order.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2]
    assert got.counts() == {"centre_samples": 4, "k_center": 5, "coincident": 0}
    assert np.isnan(got.radius[:4]).all()
    assert (got.radius[4:] > 0).all()
    assert got.first(5).rows.tolist() == got.rows[:5].tolist()
    assert got.first(5).counts() == {"centre_samples": 4, "k_center": 1, "coincident": 0}


def test_radius_is_the_distance_at_the_pick():
    """Each radius is the distance of the pick to the earlier picks of its cluster."""
    X = unit(40, 3)
    labels = np.arange(40) % 2
    got = pick_in_clusters(X, labels, similarity_to_mean(X, labels), [6, 5], core=0.5)
    for place in range(len(got.rows)):
        before = got.rows[:place][got.cluster[:place] == got.cluster[place]]
        if len(before):
            apart = np.linalg.norm(X[before].astype(np.float64) - X[got.rows[place]], axis=1).min()
            assert got.radius[place] == pytest.approx(apart, rel=1e-12)


def test_one_pool_is_k_center_from_the_centre_sample():
    """One label, the whole pool and similarity to the mean is plain K-Center-Greedy."""
    X, labels = unit(300, 6), np.zeros(300, dtype=np.int64)
    got = pick_in_clusters(X, labels, similarity_to_mean(X, labels), [30], core=1)
    assert got.rows.tolist() == k_center_greedy(X, 30).indices.tolist()


def test_a_core_of_copies_grows_to_the_whole_cluster():
    """Copies of picks are taken only when the whole cluster has nothing else, by lowest index and counted."""
    near, far = [1, 0], [0.6, 0.8]
    X = np.array([near] * 6 + [far] * 2, dtype=np.float32)
    labels, similarity = np.zeros(8, dtype=np.int64), X[:, 0].copy()
    two = pick_in_clusters(X, labels, similarity, [2], core=0.25)
    assert two.rows.tolist() == [0, 6]
    four = pick_in_clusters(X, labels, similarity, [4], core=0.25)
    assert four.rows.tolist() == [0, 6, 1, 2]
    assert four.radius[2:].tolist() == [0, 0]
    assert four.counts() == {"centre_samples": 1, "k_center": 1, "coincident": 2}


def test_similarity_to_the_mean_of_a_task():
    """The cosine to the normalised mean of the rows of the same label; 0 where they cancel out."""
    X = np.array([[1, 0], [0, 1], [1, 0], [-1, 0]], dtype=np.float32)
    got = similarity_to_mean(X, np.array([5, 5, 2, 2]))
    assert got == pytest.approx([0.5**0.5, 0.5**0.5, 0, 0])


@pytest.mark.parametrize(
    ("labels", "quotas", "core", "message"),
    [
        ([0, 0, 1], [1, 1], 0.0, "core is 0.0"),
        ([0, 0, 1], [1, 1], 1.5, "core is 1.5"),
        ([0, 0, 1], [1, 1], math.nan, "core is nan"),
        ([0, 0, 1], [1, 2], 0.5, "quota of cluster 1 is 2, but it has 1 rows"),
        ([0, 0, 1], [-1, 1], 0.5, "quota of cluster 0 is -1"),
        ([0, 0, 1], [0, 0], 0.5, "quota of cluster 0 is 0"),
        ([0, 0, 2], [1, 1], 0.5, "do not fit"),
        ([0, 0], [1, 1], 0.5, "do not fit"),
    ],
)
def test_impossible_arguments_are_refused(labels, quotas, core, message):
    """The message holds both numbers."""
    with pytest.raises(UsageError, match=message):
        pick_in_clusters(np.eye(3, dtype=np.float32), np.array(labels), np.ones(3, np.float32), quotas, core=core)
