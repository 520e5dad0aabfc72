"""Score first, then leave out near neighbours: the Repr Filter of Deita (Liu et al. 2023, arXiv 2312.15685).

Rows are looked at in descending score, and one is kept unless its cosine to a row kept before is above the threshold
(0.9, theirs). The score here is the length of the answer, which is the strongest baseline that needs no model.

When all rows have been looked at and fewer than k are kept, the best of those left out make up the number, in order of
score: the budget is delivered, and the report tells how many came that way. A looser threshold would instead have to be
searched for, and would be another one on every pool.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from curate.engine.blocks import map_blocks
from curate.errors import UsageError
from curate.sft.strategies import Chosen, check, check_lengths
from curate.sft.strategies._cosine import cosine_error, cosines, cosines_reference

if TYPE_CHECKING:
    import numpy.typing as npt

    from curate.sft.distance import F32, I64

THRESHOLD = 0.9
_BATCH = 256  # rows looked at together
_BLOCK = 2048  # kept rows of one matrix product


def pick(X: F32, k: int, *, lengths: I64 | None = None, seed: int = 0, workers: int = 1) -> Chosen:
    """Choose `k` of the unit rows of `X` (n, d): the longest answers of which no two are near neighbours.

    Raises UsageError on rows that are not of length 1 (or 0), without one length a row, and unless 1 <= k <= n.
    """
    return filter_neighbours(X, k, check_lengths(lengths, len(X)), workers=workers)


def filter_neighbours(
    X: F32, k: int, scores: npt.NDArray[np.number], *, threshold: float = THRESHOLD, workers: int = 1
) -> Chosen:
    """Choose `k` of the unit rows of `X` (n, d): the highest `scores` (n,), no two with a cosine above threshold.

    Equal scores go by lowest index. Rows beyond the rule come last, in order of score. Raises UsageError on rows that
    are not of length 1 (or 0), scores that are NaN or not one a row, and unless 1 <= k <= n.
    """
    check(X, k)
    if np.shape(scores) != (len(X),) or np.isnan(scores).any():
        raise UsageError(f"{len(X)} rows have scores of shape {np.shape(scores)}, or NaN", "Give a number for each row")
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    kept = _keep(X, k, order, threshold, workers)
    rest = order[~np.isin(order, kept)][: k - len(kept)]
    return Chosen(np.concatenate([kept, rest]), len(rest), {"threshold": threshold})


def filter_neighbours_reference(X: F32, k: int, scores: npt.NDArray[np.number], threshold: float) -> list[int]:
    """Choose by the definition: one row after the other, in float64."""
    cosine = cosines_reference(X)
    order = sorted(range(len(X)), key=lambda row: (-scores[row], row))
    kept = list[int]()
    for row in order:
        if all(cosine[row, other] <= threshold for other in kept):
            kept.append(row)
    return [*kept, *(row for row in order if row not in kept)][:k]


def _keep(X: F32, k: int, order: I64, threshold: float, workers: int) -> I64:
    """Return up to `k` rows, looked at in `order`, that are no near neighbours. Prior validation of data is assumed."""
    error = cosine_error(X.shape[1])
    kept, centers, count = np.empty(k, dtype=np.int64), np.empty((k, X.shape[1]), dtype=np.float32), 0
    for start in range(0, len(order), _BATCH):
        rows = order[start : start + _BATCH]
        batch, before = X[rows], count
        nearest = np.full(len(rows), -1.0, dtype=np.float32)  # cosine to the rows kept before this batch
        if before:
            nearest = np.max(map_blocks(partial(_nearest, batch, centers), before, _BLOCK, workers), axis=0)
        among = batch @ batch.T
        for i, row in enumerate(rows):
            mine = among[i, np.isin(rows, kept[before:count])].max(initial=nearest[i])
            if mine > threshold + error:
                continue
            if mine >= threshold - error and cosines(centers, np.arange(count), X[row]).max() > threshold:
                continue
            kept[count], centers[count] = row, X[row]
            count += 1
            if count == k:
                return kept
    return kept[:count]


def _nearest(batch: F32, centers: F32, start: int, stop: int) -> F32:
    best: F32 = (batch @ centers[start:stop].T).max(axis=1)
    return best
