"""Does a pool fit into --memory? Asked when its texts are held, before its vectors are made.

The vectors come once to stay, three quarters more while `lexical` makes them, and once more at most where K-means
copies the rows that it is fitted on. A million rows took 4.5 GB; docs/benchmarks.md.
"""

from __future__ import annotations

from curate.engine.memory import resident_bytes
from curate.errors import CurateError

VECTORS_HELD = 2.75  # times the size of the vectors
LIBRARIES = 300 << 20  # bytes of what is loaded afterwards: compiled kernels, matrix libraries


def check_memory(limit: int | None, rows: int, dimensions: int) -> None:
    """Raise CurateError where `rows` float32 vectors beside what is held would pass `limit` bytes (None: no limit)."""
    vectors = 4 * rows * dimensions
    needed = resident_bytes() + LIBRARIES + round(VECTORS_HELD * vectors)
    if limit is None or needed <= limit:
        return
    raise CurateError(
        f"--memory {limit / 2**30:.2f}GB: {rows:,} rows need about {needed / 2**30:.2f} GB, their vectors of "
        f"{dimensions} dimensions {vectors / 2**30:.2f} GB of it",
        f"Give --memory {needed / 2**30 + 0.1:.1f}GB, a part of the pool, or vectors of fewer dimensions.",
    )
