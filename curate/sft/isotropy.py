"""Are vectors spread out, or do they lie in a cone? Mean pairwise cosine, and what takes the common part away.

Hidden states of language models point much the same way. Then all distances are small, and picks follow what little is
left. The mean pairwise cosine of n unit rows with sum s is (‖s‖² - n) / (n (n - 1)): exact, over all pairs, in O(n d).
"""

from __future__ import annotations

import numpy as np

from curate.engine.blocks import map_blocks

NARROW = 0.9  # a mean pairwise cosine above it is said (our choice)
_BLOCK = 8192


def mean_cosine(vectors: np.ndarray, workers: int = 1) -> float | None:
    """Return the mean cosine of two different rows of `vectors` (unit or zero, float32, n × d); None with one row."""
    n = len(vectors)
    if n < 2:
        return None
    total, squares = _sum(vectors, workers), float(np.count_nonzero(vectors.any(axis=1)))
    return float((total @ total - squares) / (n * (n - 1)))


def mean_cosine_reference(vectors: np.ndarray) -> float:
    """Return what `mean_cosine` does, pair by pair in float64."""
    cosine = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    return float(cosine[np.triu_indices(len(vectors), 1)].mean())


def center(vectors: np.ndarray, workers: int = 1) -> None:
    """Subtract the mean of all rows from each row and scale it to unit norm again, in place.

    A row that is the mean to rounding becomes zero: its direction would be an accident.
    """
    mean = (_sum(vectors, workers) / max(1, len(vectors))).astype(np.float32)
    tiny = np.sqrt(vectors.shape[1]) * np.finfo(np.float32).eps

    def subtract(start: int, stop: int) -> None:
        rows = vectors[start:stop]
        rows -= mean
        norm = np.linalg.norm(rows, axis=1, keepdims=True)
        rows *= np.where(norm > tiny, 1 / np.maximum(norm, tiny), 0).astype(np.float32)

    map_blocks(subtract, len(vectors), _BLOCK, workers)


def narrow_note(cosine: float | None, *, centered: bool) -> list[str]:
    """Return the warning to give when two rows have a mean cosine of `cosine`."""
    if cosine is None or cosine <= NARROW:
        return []
    what = "even about their mean" if centered else "so distances tell little; --center subtracts their mean first"
    return [f"the vectors lie in a narrow cone (mean pairwise cosine {cosine:.3f}), {what}"]


def _sum(vectors: np.ndarray, workers: int) -> np.ndarray:
    """Return the sum of all rows in float64, block by block, so that it is the same for any number of workers."""
    parts = map_blocks(lambda i, j: vectors[i:j].sum(axis=0, dtype=np.float64), len(vectors), _BLOCK, workers)
    total: np.ndarray = np.sum(parts, axis=0)
    return total
