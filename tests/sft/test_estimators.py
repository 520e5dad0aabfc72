"""The estimators keep scikit-learn's contract and give what the functions give."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

import curate
from curate.errors import UsageError
from curate.sft.distance import squared_distances
from curate.sft.kcenter import k_center_greedy_reference
from curate.sft.kmeans import spherical_kmeans
from curate.sft.strategies import cluster_medoids, facility_location, prob_cover, repr_filter

SELECTORS = [
    curate.KCenterGreedy(3),
    curate.KCenterGreedy(3, metric="cosine"),
    curate.FacilityLocation(3),
    curate.ProbCover(3),
    curate.ReprFilter(3),
    curate.ClusterMedoids(3),
    curate.Random(3),
]


def rows(n: int = 80, d: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def unit(X: np.ndarray) -> np.ndarray:
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float32)


@parametrize_with_checks([*SELECTORS, curate.SphericalKMeans(3)])
def test_scikit_learn_finds_no_fault(estimator, check):
    """All checks of scikit-learn pass; none is expected to fail."""
    check(estimator)


@pytest.mark.parametrize("estimator", SELECTORS, ids=repr)
@pytest.mark.parametrize("n_select", [1, 20, 80])
def test_exactly_n_select_different_rows(estimator, n_select):
    """As many rows as asked for, each once, the same again and for any number of threads."""
    fitted = clone(estimator).set_params(n_select=n_select).fit(rows())
    assert len(set(fitted.indices_.tolist())) == len(fitted.indices_) == n_select
    other = clone(estimator).set_params(n_select=n_select)
    if "n_jobs" in other.get_params():
        other.set_params(n_jobs=3)
    assert other.fit(rows()).indices_.tolist() == fitted.indices_.tolist()


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("initial", [(), [4, 70]])
def test_k_center_greedy_is_the_reference(metric, initial):
    """The picks of the naive greedy; distances to the nearest pick or initial row; the radius is the largest."""
    X = rows()
    got = curate.KCenterGreedy(n_select=9, initial=initial, metric=metric).fit(X)
    stored = unit(X) if metric == "cosine" else X.astype(np.float32)
    assert got.indices_.tolist() == k_center_greedy_reference(stored, 9, initial=initial)
    chosen = np.array([*initial, *got.indices_])
    pairs = np.repeat(np.arange(80), len(chosen)), np.tile(chosen, 80)
    want = np.sqrt(squared_distances(stored, pairs[0], stored, pairs[1]).reshape(80, -1).min(axis=1))
    assert got.min_distances_ == pytest.approx(want, abs=1e-12)
    assert got.radius_ == got.min_distances_.max()


def test_k_center_greedy_tells_how_it_went(tmp_path):
    """Radii fall to the last one, the certificate is half of it, rows stand by their nearest pick; no state is left."""
    X = np.concatenate([unit(rows(20)), unit(rows(20))[:5]])
    state = tmp_path / "picks.json"
    fitted = curate.KCenterGreedy(22, state=state).fit(X)
    assert (np.diff(fitted.radii_) <= 0).all()
    assert fitted.radii_[-1] == fitted.radius_ == 2 * fitted.certificate_
    assert fitted.coincident_ == 2
    gaps = np.linalg.norm(X.astype(np.float64) - X[fitted.nearest_].astype(np.float64), axis=1)
    assert np.allclose(fitted.min_distances_, gaps, rtol=1e-12, atol=0)
    assert not state.exists()
    assert curate.KCenterGreedy(3, initial=[1]).fit(X).certificate_ is None
    state.write_text("no picks")
    with pytest.raises(UsageError, match="holds no picks"):
        curate.KCenterGreedy(3, state=state).fit(X)
    with pytest.raises(UsageError, match="must be cpu or cuda"):
        curate.KCenterGreedy(3, device="tpu").fit(X)


def test_strategies_are_those_of_the_functions():
    """Each estimator gives the rows of its function on rows of length 1."""
    X, scores = rows(), np.random.default_rng(1).integers(0, 20, 80)
    cosine = unit(X)
    assert curate.FacilityLocation(9).fit(X).indices_.tolist() == facility_location.pick(cosine, 9).rows.tolist()
    cover = curate.ProbCover(9, radius=0.8).fit(X)
    assert cover.indices_.tolist() == prob_cover.pick(cosine, 9, radius=0.8).rows.tolist()
    assert cover.radius_ == 0.8
    kept = curate.ReprFilter(9, threshold=0.5).fit(X, scores=scores).indices_
    assert kept.tolist() == repr_filter.filter_neighbours(cosine, 9, scores, threshold=0.5).rows.tolist()
    assert curate.ReprFilter(9, threshold=1).fit(X).indices_.tolist() == list(range(9))
    seed = int(np.random.RandomState(0).randint(np.iinfo(np.int32).max))
    medoids = curate.ClusterMedoids(9, random_state=0).fit(X).indices_
    assert medoids.tolist() == cluster_medoids.pick(cosine, 9, seed=seed).rows.tolist()
    found, again = spherical_kmeans(cosine, 9, seed=seed), curate.SphericalKMeans(9, random_state=0).fit(X)
    assert again.labels_.tolist() == found.labels.tolist()
    assert (again.cluster_centers_ == found.centers).all()
    assert (again.predict(X) == (cosine @ found.centers.T).argmax(axis=1)).all()


@pytest.mark.parametrize("estimator", [*SELECTORS[1:-1], curate.SphericalKMeans(3)], ids=repr)
def test_length_and_type_do_not_matter_to_cosines(estimator):
    """Rows far longer or shorter than 1 give what rows of length 1 give, in float64, and zero rows do no harm."""
    X = rows(seed=3)
    scale = np.exp2(np.random.default_rng(4).integers(-300, 300, (80, 1)))
    X[7] = 0
    got = [
        clone(estimator).fit(values) for values in (X, X * 2.0**500, (X * 4).tolist(), X * np.minimum(scale, 2.0**60))
    ]
    for attribute in ("indices_", "labels_"):
        if hasattr(got[0], attribute):
            for other in got[1:]:
                assert getattr(other, attribute).tolist() == getattr(got[0], attribute).tolist()


@pytest.mark.parametrize("estimator", [*SELECTORS, curate.SphericalKMeans(3)], ids=repr)
def test_what_does_not_fit_is_a_value_error(estimator):
    """Parameters are checked in `fit`, and the error is both scikit-learn's kind and ours."""
    name = "n_clusters" if "n_clusters" in estimator.get_params() else "n_select"
    for count in (0, 81):
        with pytest.raises(ValueError, match=f"{name}={count} should be between 1 and n_samples=80") as caught:
            clone(estimator).set_params(**{name: count}).fit(rows())
        assert isinstance(caught.value, UsageError)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (curate.KCenterGreedy(2, metric="l2"), "metric is 'l2'"),
        (curate.KCenterGreedy(2, initial=[80]), r"initial=\[80\] should be"),
        (curate.KCenterGreedy(2, initial=[3, 3]), r"initial=\[3, 3\] should be"),
        (curate.KCenterGreedy(2, initial="medoid"), r"should be different row numbers below 80"),
        (curate.KCenterGreedy(2, initial=[2.5]), r"initial=\[2.5\] should be"),
        (curate.KCenterGreedy(79, initial=[3, 4]), "n_samples=78"),
        (curate.ProbCover(2, radius=2.5), "radius=2.5 should be"),
        (curate.SphericalKMeans(2, max_iter=0), "max_iter=0 should be"),
    ],
)
def test_other_parameters_are_checked(estimator, message):
    """The message holds the value and what is valid."""
    with pytest.raises(ValueError, match=message):
        estimator.fit(rows())


def test_bad_scores_and_huge_numbers_are_refused():
    """Scores need one number a row; distances need squares that float32 can hold."""
    for scores in (np.ones(3), np.full(80, np.nan)):
        with pytest.raises(ValueError, match="scores of shape"):
            curate.ReprFilter(2).fit(rows(), scores=scores)
    with pytest.raises(ValueError, match="whose square float32 cannot hold"):
        curate.KCenterGreedy(2).fit(rows() * 1e30)


def test_import_curate_does_not_load_scikit_learn():
    """The estimators load when they are first used."""
    code = "import sys, curate; assert 'sklearn' not in sys.modules; curate.Random; assert 'sklearn' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
