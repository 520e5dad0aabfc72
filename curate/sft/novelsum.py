"""NovelSum (Yang et al. 2025, arXiv 2502.17184): how new is each row of a set to the others, where the pool is dense?

NovelSum(S) = mean over i of σ_i · (Σ_r v_(r) / r) / (Σ_r 1 / r), with v_(1) <= v_(2) <= ... the cosine distances of row
i to all rows of S, itself included (the first, 0), and σ_i = (mean squared L2 distance to the 10 nearest other distinct
rows of the pool + 1e-9)^-½. That is the form of the released code: density of row i, itself counted. What differs here:
the rows that all metrics are measured on stand for the pool.

The authors report r = .97 with benchmark scores over 53 sets of 10,000 rows. It is no promise for other sizes.
"""

from __future__ import annotations

import numpy as np

from curate.engine.blocks import map_blocks
from curate.sft.distance import F32, F64, I64, squared_distances

_NEIGHBOURS = 10
_SCREEN = 2**20  # float32 distances of one block: 4 MB


def novelsum(Z: F32, reference: F32, judged: I64, workers: int = 1) -> float:
    """Return the mean over the rows `judged` of the unit rows `Z` (k, d), each against all of `Z`.

    reference: (m, d) distinct rows of the pool, for the density. Prior validation of data is assumed.
    """
    weights = 1 / np.arange(1, len(Z) + 1)
    weights /= weights.sum()
    squares = np.einsum("ij,ij->i", reference, reference)

    def block(start: int, stop: int) -> F64:
        rows = judged[start:stop]
        distance = 1 - Z[rows] @ Z.T
        distance[np.arange(len(rows)), rows] = 0
        distance = np.sort(np.maximum(distance, 0), axis=1)
        novelty: F64 = _density(Z[rows], reference, squares) * (distance @ weights)
        return novelty

    size = max(64, _SCREEN // max(len(Z), len(reference)))
    return float(np.concatenate(map_blocks(block, len(judged), size, workers)).mean())


def _density(A: F32, reference: F32, squares: F32) -> F64:
    """Return σ of each row of `A`: which rows are nearest is decided in float32, how far they are in float64."""
    if len(reference) == 1:
        return np.zeros(len(A))  # nothing is new
    near = min(_NEIGHBOURS + 1, len(reference))
    closeness = squares - 2 * A @ reference.T
    nearest = np.argpartition(closeness, near - 1, axis=1)[:, :near]
    rows = np.repeat(np.arange(len(A)), near)
    squared = np.sort(squared_distances(A, rows, reference, nearest.ravel()).reshape(len(A), near), axis=1)
    itself = squared[:, :1] == 0  # in the reference, and so the first of the nearest
    mean: F64 = np.where(itself, squared[:, 1:], squared[:, :-1]).mean(axis=1)
    return 1 / np.sqrt(mean + 1e-9)
