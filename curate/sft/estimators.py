"""The selection as scikit-learn estimators: `KCenterGreedy(n_select=260).fit(X).indices_`.

Each is a thin face on a function of this package, which its docstring names; options and errors are explained there.

- Vectors are computed with in float32. Other types are converted, each number to the nearest float32: rows that differ
  by less become equal. Where cosines are wanted, rows are divided by their length in float64 first; zero rows stay.
- `indices_` (n_select,) are row numbers in pick order, exactly as many as asked for; the same for any `n_jobs`.
- `n_jobs`: threads, as everywhere in scikit-learn: None is 1, -1 all cores.

There is no `Longest`: it does not look at X, and `np.argsort(-lengths, kind="stable")[:k]` is all of it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import effective_n_jobs
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from curate.errors import UsageError
from curate.sft.kcenter import k_center_greedy
from curate.sft.kmeans import spherical_kmeans
from curate.sft.strategies import Chosen, cluster_medoids, facility_location, prob_cover, repr_filter

if TYPE_CHECKING:
    import numpy.typing as npt

    from curate.sft.distance import F32


class ParameterError(UsageError, ValueError):
    """A parameter does not fit the data: a UsageError that scikit-learn's callers can catch as ValueError."""


class KCenterGreedy(BaseEstimator):  # type: ignore[misc]
    """Pick the row farthest from all picked so far, again and again (Gonzalez 1985): `k_center_greedy`.

    n_select: rows to pick. initial: rows that are chosen already; they are neither picked nor counted. metric:
    "euclidean", or "cosine" for the Euclidean distance of rows of length 1. device: "cpu" or "cuda". state: a file that
    keeps the picks while it runs, so that the same fit continues after a kill.

    Fitted: indices_ (n_select,), radii_ (n_select,) the radius after each pick; nearest_ (n,) and min_distances_ (n,),
    the nearest pick or initial row of each row and how far it is; radius_ the largest distance; certificate_: no
    n_select rows have a smaller radius (None with `initial`); coincident_: picks that coincide with earlier ones.
    """

    def __init__(
        self,
        n_select: int = 1,
        *,
        initial: Sequence[int] = (),
        metric: str = "euclidean",
        n_jobs: int | None = None,
        device: str = "cpu",
        state: str | os.PathLike[str] | None = None,
    ) -> None:
        self.n_select = n_select
        self.initial = initial
        self.metric = metric
        self.n_jobs = n_jobs
        self.device = device
        self.state = state

    def fit(self, X: npt.ArrayLike, y: Any = None) -> KCenterGreedy:
        """Pick from the rows of `X` (n, d); y is ignored. Raises ValueError on parameters that do not fit."""
        if self.metric not in ("euclidean", "cosine"):
            raise ParameterError(f"metric is {self.metric!r}", 'Give "euclidean" or "cosine".')
        rows = _vectors(self, X, unit=self.metric == "cosine")
        initial = list(self.initial)
        inside = (isinstance(row, Integral) and 0 <= row < len(rows) for row in initial)
        if not all(inside) or len(set(initial)) < len(initial):
            raise ParameterError(f"initial={initial[:10]} should be different row numbers below {len(rows)}", "")
        _check_count(self.n_select, len(rows) - len(initial))
        workers = effective_n_jobs(self.n_jobs)
        found = k_center_greedy(
            rows, self.n_select, initial=initial, workers=workers, device=self.device, state=self.state
        )
        self.indices_, self.radii_ = found.indices, found.radii
        self.nearest_, self.min_distances_ = found.nearest, found.distances
        self.radius_ = float(found.distances.max())
        self.certificate_, self.coincident_ = found.certificate, found.coincident
        return self


class SphericalKMeans(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Cluster rows by cosine: `spherical_kmeans`, seeded.

    Fitted: cluster_centers_ (K, d) of length 1, K below n_clusters where rows coincide; labels_ (n,); objective_, the
    mean cosine of a row to its centre; n_iter_.
    """

    def __init__(
        self, n_clusters: int = 8, *, max_iter: int = 25, random_state: Any = 0, n_jobs: int | None = None
    ) -> None:
        self.n_clusters = n_clusters
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: npt.ArrayLike, y: Any = None) -> SphericalKMeans:
        """Cluster the rows of `X` (n, d); y is ignored. Raises ValueError on parameters that do not fit."""
        rows = _vectors(self, X)
        _check_count(self.n_clusters, len(rows), "n_clusters")
        if self.max_iter < 1:
            raise ParameterError(f"max_iter={self.max_iter} should be at least 1", "")
        found = spherical_kmeans(
            rows,
            self.n_clusters,
            seed=_seed(self.random_state),
            max_iter=self.max_iter,
            workers=effective_n_jobs(self.n_jobs),
        )
        self.cluster_centers_ = found.centers
        self.labels_ = found.labels
        self.objective_ = found.objective
        self.n_iter_ = found.iterations
        return self

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """Return the nearest centre by cosine of each row of `X` (n, d), the lowest on ties."""
        check_is_fitted(self)
        rows = _vectors(self, X, reset=False)
        blocks = [rows[start : start + 4096] @ self.cluster_centers_.T for start in range(0, len(rows), 4096)]
        return np.concatenate([block.argmax(axis=1) for block in blocks]).astype(np.int32)


class FacilityLocation(BaseEstimator):  # type: ignore[misc]
    """Pick the rows to which all rows are most similar by cosine, greedily: `strategies.facility_location`.

    From one pool, as `curate select --scope global` does; its default applies the rule within clusters. random_state:
    for the sample that is looked at above 65,536 rows. Fitted: indices_ (n_select,).
    """

    def __init__(self, n_select: int = 1, *, random_state: Any = 0, n_jobs: int | None = None) -> None:
        self.n_select = n_select
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: npt.ArrayLike, y: Any = None) -> FacilityLocation:
        """Pick from the rows of `X` (n, d); y is ignored. Raises ValueError on parameters that do not fit."""
        rows = _selectable(self, X)
        seed, workers = _seed(self.random_state), effective_n_jobs(self.n_jobs)
        _keep(self, facility_location.pick(rows, self.n_select, seed=seed, workers=workers))
        return self


class ProbCover(BaseEstimator):  # type: ignore[misc]
    """Pick the rows whose balls of one radius hold the most rows, greedily: `strategies.prob_cover`.

    radius: Euclidean, of rows of length 1; None = so that a ball holds n / n_select rows on average. random_state: for
    the rows that tell the radius, and the sample that is looked at above 65,536 rows. Fitted: indices_ (n_select,),
    radius_.
    """

    def __init__(
        self, n_select: int = 1, *, radius: float | None = None, random_state: Any = 0, n_jobs: int | None = None
    ) -> None:
        self.n_select = n_select
        self.radius = radius
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: npt.ArrayLike, y: Any = None) -> ProbCover:
        """Pick from the rows of `X` (n, d); y is ignored. Raises ValueError on parameters that do not fit."""
        rows = _selectable(self, X)
        if self.radius is not None and not 0 < self.radius < 2:
            raise ParameterError(f"radius={self.radius} should be above 0 and below 2", "")
        seed, workers = _seed(self.random_state), effective_n_jobs(self.n_jobs)
        chosen = prob_cover.pick(rows, self.n_select, radius=self.radius, seed=seed, workers=workers)
        _keep(self, chosen)
        self.radius_ = float(chosen.about["ball_radius"])
        return self


class ReprFilter(BaseEstimator):  # type: ignore[misc]
    """Pick the rows of the best scores of which no two are near neighbours: `strategies.repr_filter`.

    threshold: cosine above which two rows are near. Fitted: indices_ (n_select,).
    """

    def __init__(
        self, n_select: int = 1, *, threshold: float = repr_filter.THRESHOLD, n_jobs: int | None = None
    ) -> None:
        self.n_select = n_select
        self.threshold = threshold
        self.n_jobs = n_jobs

    def fit(self, X: npt.ArrayLike, y: Any = None, *, scores: npt.ArrayLike | None = None) -> ReprFilter:
        """Pick from the rows of `X` (n, d) by `scores` (n,), the highest first; None = in the order of the rows.

        y is ignored. Raises ValueError on parameters that do not fit.
        """
        rows = _selectable(self, X)
        given = np.zeros(len(rows)) if scores is None else np.asarray(scores, dtype=np.float64)
        if given.shape != (len(rows),) or np.isnan(given).any():
            raise ParameterError(f"scores of shape {given.shape} should be {len(rows)} numbers, none of them NaN", "")
        workers = effective_n_jobs(self.n_jobs)
        _keep(
            self,
            repr_filter.filter_neighbours(rows, self.n_select, given, threshold=self.threshold, workers=workers),
        )
        return self


class ClusterMedoids(BaseEstimator):  # type: ignore[misc]
    """Pick the row nearest the centre of each of n_select clusters: `strategies.cluster_medoids`.

    Fitted: indices_ (n_select,).
    """

    def __init__(self, n_select: int = 1, *, random_state: Any = 0, n_jobs: int | None = None) -> None:
        self.n_select = n_select
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: npt.ArrayLike, y: Any = None) -> ClusterMedoids:
        """Pick from the rows of `X` (n, d); y is ignored. Raises ValueError on parameters that do not fit."""
        rows = _selectable(self, X)
        seed, workers = _seed(self.random_state), effective_n_jobs(self.n_jobs)
        _keep(self, cluster_medoids.pick(rows, self.n_select, seed=seed, workers=workers))
        return self


class Random(BaseEstimator):  # type: ignore[misc]
    """Pick rows at random, which every other estimator has to beat. Fitted: indices_ (n_select,)."""

    def __init__(self, n_select: int = 1, *, random_state: Any = 0) -> None:
        self.n_select = n_select
        self.random_state = random_state

    def fit(self, X: npt.ArrayLike, y: Any = None) -> Random:
        """Pick from the rows of `X` (n, d); y is ignored. Raises ValueError on parameters that do not fit."""
        rows = _selectable(self, X)
        self.indices_ = np.random.default_rng(_seed(self.random_state)).permutation(len(rows))[: self.n_select]
        return self


def _vectors(estimator: Any, X: npt.ArrayLike, *, unit: bool = True, reset: bool = True) -> F32:
    """Return `X` as scikit-learn checks it, in float32, and the rows of length 1 (or 0) if `unit`."""
    given = validate_data(estimator, X, reset=reset, dtype=[np.float64, np.float32], order="C")
    largest = np.abs(given).max(axis=1, keepdims=True)
    if unit:
        scaled = given.astype(np.float64) / np.where(largest > 0, largest, 1)  # so that no square overflows
        lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
        given = scaled / np.where(lengths > 0, lengths, 1)
    elif largest.max() * given.shape[1] ** 0.5 > 1e18:
        raise ParameterError(f"X holds {largest.max():g}, whose square float32 cannot hold", "Scale the columns.")
    return np.ascontiguousarray(given, dtype=np.float32)


def _selectable(estimator: Any, X: npt.ArrayLike) -> F32:
    """Return the rows of `X` at length 1, of which `n_select` can be picked."""
    rows = _vectors(estimator, X)
    _check_count(estimator.n_select, len(rows))
    return rows


def _check_count(count: int, n: int, name: str = "n_select") -> None:
    if not 1 <= count <= n:
        raise ParameterError(f"{name}={count} should be between 1 and n_samples={n}", "")


def _keep(estimator: Any, chosen: Chosen) -> None:
    estimator.indices_ = chosen.rows


def _seed(random_state: Any) -> int:
    """Return a seed drawn as scikit-learn draws: an int always gives the same, None never."""
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
