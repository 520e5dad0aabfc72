"""Random rows: what every strategy has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.sft.strategies import Chosen, check

if TYPE_CHECKING:
    from curate.sft.distance import F32, I64


def pick(X: F32, k: int, *, lengths: I64 | None = None, seed: int = 0, workers: int = 1) -> Chosen:
    """Choose the first `k` of a seeded shuffle of the rows of `X` (n, d). Raises UsageError unless 1 <= k <= n."""
    check(X, k)
    return Chosen(np.random.default_rng(seed).permutation(len(X))[:k])
