"""The longest answers: a baseline that is hard to beat (Zhao et al. 2024, arXiv 2402.04833: the 1,000 longest)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.sft.strategies import Chosen, check, check_lengths

if TYPE_CHECKING:
    from curate.sft.distance import F32, I64


def pick(X: F32, k: int, *, lengths: I64 | None = None, seed: int = 0, workers: int = 1) -> Chosen:
    """Choose the `k` rows of `X` (n, d) of the largest `lengths` (n,), lowest index on ties.

    Raises UsageError without one length a row, and unless 1 <= k <= n.
    """
    check(X, k)
    return Chosen(np.argsort(-check_lengths(lengths, len(X)), kind="stable")[:k])
