"""ProbCover: balls of one radius around the picks should hold as many rows as possible (arXiv 2205.11320).

K-Center-Greedy covers all rows by balls as small as possible, so outliers rule it; here the radius is fixed, and rows
far from all others are left uncovered. Greedy, exact (`_cover.py`): each pick covers the most rows not covered yet.

The radius: the paper takes the largest at which 95 % of the balls lie within one class, by K-means pseudo-labels, and
that needs the number of classes, which an instruction pool does not have. By default a ball holds n / k rows on
average, so that k balls could just hold all: the radius is the 1/k quantile of the distances between rows (of 2,048
seeded ones), to 3 decimals so that it is the same on every machine. That is our choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from curate.errors import UsageError
from curate.sft.strategies import Chosen, check
from curate.sft.strategies._cover import Objective, greedy_cover, greedy_cover_reference, sample_to_cover

if TYPE_CHECKING:
    from curate.sft.distance import F32, I64

_ROWS = 2048  # rows whose distances tell the radius


def pick(
    X: F32,
    k: int,
    *,
    radius: float | None = None,
    lengths: I64 | None = None,
    seed: int = 0,
    workers: int = 1,
) -> Chosen:
    """Choose `k` of the unit rows of `X` (n, d) whose balls of `radius` (L2) hold the most rows.

    Above 65,536 rows, a seeded sample of them is to be covered (`about["sampled_rows"]`). When no row is left that
    covers a new one the rest comes by lowest index. A row of zeros covers nothing. Raises UsageError on rows that are
    not of length 1 (or 0), on a radius outside (0, 2), and unless 1 <= k <= n.
    """
    check(X, k)
    if radius is None:
        radius = default_radius(X, k, seed)
    if not 0 < radius < 2:
        raise UsageError(f"the radius is {radius}, but unit rows are between 0 and 2 apart", "Give one between these")
    sample = sample_to_cover(len(X), k, seed)
    rows, beyond = greedy_cover(X, k, _objective(radius), sample, workers)
    sampled = {"sampled_rows": len(sample)} if len(sample) < len(X) else {}
    return Chosen(rows, beyond, {"ball_radius": radius, **sampled})


def pick_reference(X: F32, k: int, radius: float) -> list[int]:
    """Choose by the definition, in float64."""
    return greedy_cover_reference(X, k, _objective(radius))


def default_radius(X: F32, k: int, seed: int = 0) -> float:
    """Return the 1/k quantile of the distances between rows; see the module's docstring."""
    rows = X if len(X) <= _ROWS else X[np.sort(np.random.default_rng(seed).choice(len(X), _ROWS, replace=False))]
    cosine = (rows @ rows.T)[~np.eye(len(rows), dtype=bool)]
    closest = float(np.quantile(cosine, 1 - 1 / k)) if len(cosine) else 1.0
    return min(1.999, max(0.001, round(float(np.sqrt(max(0.0, 2 - 2 * closest))), 3)))


def _objective(radius: float) -> Objective:
    """Say that a row counts as soon as it is in a ball, and once: no cosine reaches its threshold after that."""
    from curate.sft.strategies._cover_kernels import hit_bounds

    return Objective(
        1 - radius * radius / 2,
        lambda c, t: (c >= t).astype(np.float64),
        lambda c, t: np.where(c >= t, np.inf, t),
        hit_bounds,
    )
