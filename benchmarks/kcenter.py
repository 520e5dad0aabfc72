"""K-Center-Greedy against the naive loop over a numpy matrix-vector product, in one run.

    python benchmarks/kcenter.py [--workers 2] [--repeat 3]

Vectors: 2,000 Gaussian clusters of power-law size, unit norm. Prints a table and, last, one line of JSON. Seconds are
medians; picks are compared with those of the naive float32 loop, which may differ where float32 cannot tell rows apart.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from curate.engine.blocks import one_blas_thread
from curate.sft.distance import squared_norms
from curate.sft.kcenter import central_row, greedy

CASES = [(52_000, 256, 260), (100_000, 384, 1_000)]


def mixture(n: int, d: int, clusters: int = 2000, seed: int = 0) -> np.ndarray:
    """Return `n` unit rows around `clusters` centres, the c-th drawn in proportion to 1/(c + 1)."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, clusters + 1)
    centers = rng.standard_normal((clusters, d)).astype(np.float32)
    X = centers[rng.choice(clusters, n, p=share / share.sum())]
    X += 0.7 * rng.standard_normal((n, d), dtype=np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X


def naive(X: np.ndarray, k: int, first: int) -> list[int]:
    """Pick `k` rows, reading all of `X` for each."""
    far = np.full(len(X), np.inf, dtype=np.float32)
    picks = [first]
    while len(picks) < k:
        np.minimum(far, 2 - 2 * (X @ X[picks[-1]]), out=far)
        far[picks[-1]] = -np.inf
        picks.append(int(far.argmax()))
    return picks


def ours(X: np.ndarray, norms: np.ndarray, k: int, first: int, workers: int) -> list[int]:
    """Pick `k` rows as `curate select --scope global` does."""
    picks, _ = greedy(X, norms, k, first, workers=workers)
    return [int(row) for row in picks]


def timed(call: Callable[[], list[int]], repeat: int) -> tuple[float, list[int]]:
    """Return the median seconds of `repeat` calls, and what the last one returned."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        picks = call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), picks


def main() -> None:
    """Run all cases."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--repeat", type=int, default=3)
    args = options.parse_args()
    results = []
    print(f"{'n':>9}{'d':>6}{'k':>7}{'naive s':>10}{'curate s':>10}{'ratio':>8}  same picks")
    for n, d, k in CASES:
        X = mixture(n, d)
        norms = squared_norms(X)
        first = central_row(X, norms)
        slow, want = timed(partial(naive, X, k, first), 1)
        with one_blas_thread():
            fast, got = timed(partial(ours, X, norms, k, first, args.workers), args.repeat)
        same = sum(a == b for a, b in zip(want, got, strict=True))
        print(f"{n:>9,}{d:>6}{k:>7,}{slow:>10.2f}{fast:>10.2f}{slow / fast:>8.1f}  {same:,} of {k:,}")
        results.append({"n": n, "d": d, "k": k, "naive": slow, "curate": fast, "ratio": slow / fast, "same": same})
    machine = platform.processor() or platform.machine()
    print(json.dumps({"machine": machine, "workers": args.workers, "cases": results}))


if __name__ == "__main__":
    main()
