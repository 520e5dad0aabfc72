"""What picks are shared out over: K-means clusters, tasks, or one pool, and what is central in each.

`task-center` follows "Maybe Only 0.5 % Data is Needed" (arXiv 2305.09246): K-means over the whole pool, whatever the
groups are; the *distribution centre* of a group is the centre of the cluster that holds most of its rows (the lowest
cluster on ties), and the row nearest to it by cosine is the group's first pick. Where the groups are the clusters
themselves that is the centre of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from curate.data.quota import Quota
from curate.engine import RAY
from curate.engine.blocks import one_blas_thread
from curate.errors import UsageError
from curate.report.progress import Advance
from curate.sft import spread
from curate.sft.config import IN_CLUSTERS, TASK_CENTER, SelectConfig
from curate.sft.distance import F32
from curate.sft.kmeans import kmeans
from curate.sft.pick import similarity_to_mean

MAX_SQRT_CLUSTERS = 1024  # iterative-data-selection's cap on K


@dataclass(frozen=True)
class Groups:
    """A label per candidate row, the cosine to the centre of its group, and the names of the labels.

    clusters: K-means cluster per candidate row, where there was K-means. about: what the report tells of it.
    balance: what was asked of each value of --balance, what it has and what it gives.
    """

    kind: str
    labels: npt.NDArray[np.integer]
    similarity: F32
    names: list[str]
    clusters: npt.NDArray[np.integer] | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    balance: Sequence[Quota] = ()

    def first(self, n: int) -> Groups:
        """Return the groups of the first n rows."""
        clusters = None if self.clusters is None else self.clusters[:n]
        return replace(self, labels=self.labels[:n], similarity=self.similarity[:n], clusters=clusters)


def group_rows(pool: F32, tasks: pl.Series, k: int, config: SelectConfig, seed: int, advance: Advance) -> Groups:
    """Put the candidate rows, in order of id, into groups: K-means clusters, tasks, or one pool."""
    kind = config.scope
    if kind == "auto":
        without_tasks = "cluster" if config.strategy in IN_CLUSTERS else "global"
        kind = without_tasks if config.task_column is None else "task"
    found = None
    if kind == "cluster" or config.strategy == TASK_CENTER:
        rule = "sqrt" if (config.strategy, config.clusters) == (TASK_CENTER, "auto") else config.clusters
        count = cluster_count(len(pool), k, rule)
        assign = spread.search if config.engine == RAY else None
        found = kmeans(pool, count, seed=seed, workers=config.workers, assign=assign, ordered=True, on_progress=advance)
        about = {"objective": found.objective, "iterations": found.iterations, "fitted_rows": found.fitted_rows}
        if kind == "cluster":
            names = [str(c) for c in range(len(found.centers))]
            return Groups("cluster", found.labels, found.similarity, names, found.labels, about)
    if kind == "task":
        named = tasks.fill_null("(no task)")
        names = sorted(named.unique().to_list())
        labels = named.replace_strict(names, range(len(names)), return_dtype=pl.Int32).to_numpy()
    else:
        names, labels = ["(one pool)"], np.zeros(len(pool), dtype=np.int32)
    if found is None:
        return Groups(kind, labels, similarity_to_mean(pool, labels), names)
    similarity = similarity_to_distribution_center(pool, labels, found.labels, found.centers)
    return Groups(kind, labels, similarity, names, found.labels, about | {"kmeans_clusters": len(found.centers)})


def similarity_to_distribution_center(
    X: F32, labels: npt.NDArray[np.integer], clusters: npt.NDArray[np.integer], centers: F32
) -> F32:
    """Return the cosine of each unit row of `X` (n, d) to the distribution centre of the rows with its label.

    labels, clusters: (n,) group and K-means cluster of each row. centers: (K, d) unit centres of the clusters.
    """
    rows_in = np.zeros((int(labels.max()) + 1, len(centers)), dtype=np.int64)
    np.add.at(rows_in, (labels, clusters), 1)
    center = rows_in.argmax(axis=1)
    out = np.empty(len(X), dtype=np.float32)
    with one_blas_thread():
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            out[rows] = X[rows] @ centers[center[label]]
    return out


def sampled(groups: Groups, rows: int) -> list[str]:
    """Return a note where the clusters were fitted on a part of the rows."""
    fitted = groups.about.get("fitted_rows", rows)
    if fitted == rows:
        return []
    return [f"K-means was fitted on a sample of {fitted:,} of {rows:,} rows; then each row went to its nearest centre"]


def cluster_count(n: int, k: int, rule: str | int) -> int:
    """Return K: half the budget (auto), ⌈√(n/2)⌉ up to 1,024 (sqrt, CaR's rule), or the number given; at most n."""
    if rule == "auto":
        return min(n, ceil(k / 2))
    if rule == "sqrt":
        return min(n, ceil(sqrt(n / 2)), MAX_SQRT_CLUSTERS)
    if int(rule) > n:
        raise UsageError(f"--clusters {rule} should be at most the number of candidate rows, {n}", "Give fewer.")
    return int(rule)
