"""K-Center-Greedy against the loops that other people run, in one run.

    python benchmarks/kcenter.py 300k 1m shares alpaca_data_52k.jsonl.gz [--workers 2] [--repeat 3] [--float64]

Sets of vectors: `mixture`, 2,000 Gaussian clusters of power-law size, unit norm; `lexical`, the prompts of the file
given as `curate select` embeds them; `interpolated`, random pairs of the latter and a random point between them, unit
norm. Loops: `numpy` is a matrix-vector product for each pick, `torch` the same there, `sklearn` its pairwise distances
to one row (as active-learning scripts do it), `difference` the norm of X - x in torch (as anomalib does it).

Seconds are those of the clock and, in brackets, those of the processor, which say more on a machine that others use
too (with --workers 1: threads that wait for each other burn processor time). Ours are medians of the repeats, for the
picks alone as in the loops; --all times what `k_center_greedy` returns beside. Loops are timed on their first picks and
multiplied. Picks are compared with those of the numpy loop: it works in float32, and may differ where that cannot tell
rows apart; --float64 checks every pick with all n * k distances in float64. Prints a table and, last, a line of JSON.
"""

from __future__ import annotations

import argparse
import gzip
import json
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from curate.engine.blocks import one_blas_thread
from curate.sft.distance import squared_norms
from curate.sft.kcenter import _extend, central_row, k_center_greedy
from curate.sft.kcenter_numpy import Bounds

Loop = Callable[[np.ndarray, int, int], list[int]]


def mixture(n: int, d: int, clusters: int = 2000, seed: int = 0) -> np.ndarray:
    """Return `n` unit rows around `clusters` centres, the c-th drawn in proportion to 1/(c + 1)."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, clusters + 1)
    centers = rng.standard_normal((clusters, d)).astype(np.float32)
    X = centers[rng.choice(clusters, n, p=share / share.sum())]
    X += 0.7 * rng.standard_normal((n, d), dtype=np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X


def interpolated(E: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """Return `n` unit rows, each between two rows of `E`."""
    rng = np.random.default_rng(seed)
    left, right = rng.integers(0, len(E), (2, n))
    X = E[left]
    X += rng.random((n, 1), np.float32) * (E[right] - X)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X


def lexical(path: Path, workers: int) -> np.ndarray:
    """Return the vectors of the prompts in an Alpaca file."""
    from curate.sft.embed import load

    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    texts = [f"{row['instruction']}\n{row['input']}".strip() for row in rows]
    return load("lexical", workers=workers).embed(texts)


def naive(X: np.ndarray, k: int, first: int) -> list[int]:
    """Pick `k` unit rows, reading all of `X` for each."""
    far = np.full(len(X), np.inf, dtype=X.dtype)
    picks = [first]
    while len(picks) < k:
        np.minimum(far, 2 - 2 * (X @ X[picks[-1]]), out=far)
        far[picks[-1]] = -np.inf
        picks.append(int(far.argmax()))
    return picks


def naive_torch(X: np.ndarray, k: int, first: int) -> list[int]:
    """Do the same in torch."""
    import torch

    T = torch.from_numpy(X)
    far, picks = torch.full((len(X),), torch.inf), [first]
    while len(picks) < k:
        torch.minimum(far, 2 - 2 * (T @ T[picks[-1]]), out=far)
        far[picks[-1]] = -torch.inf
        picks.append(int(far.argmax()))
    return picks


def row_at_a_time(X: np.ndarray, k: int, first: int) -> list[int]:
    """Pick with scikit-learn's distances of all rows to the last pick."""
    from sklearn.metrics import pairwise_distances

    far, picks = np.full(len(X), np.inf), [first]
    while len(picks) < k:
        np.minimum(far, pairwise_distances(X, X[picks[-1:]])[:, 0], out=far)
        picks.append(int(far.argmax()))
    return picks


def norm_of_difference(X: np.ndarray, k: int, first: int) -> list[int]:
    """Pick with the norm of the difference of all rows to the last pick."""
    import torch

    T = torch.from_numpy(X)
    far, picks = torch.full((len(X),), torch.inf), [first]
    while len(picks) < k:
        torch.minimum(far, torch.linalg.norm(T - T[picks[-1]], ord=2, dim=1), out=far)
        picks.append(int(far.argmax()))
    return picks


def farthest_in_float64(X: np.ndarray, picks: list[int]) -> int:
    """Count the picks that are, to 1e-12 of a squared distance, as far from those before them as any row is."""
    wide = X[picks].astype(np.float64)

    def to_first(rows: np.ndarray) -> np.ndarray:  # squared distance to the first 1, 2, ... picks
        table = (rows**2).sum(axis=1)[:, None] + (wide**2).sum(axis=1) - 2 * rows @ wide.T
        return np.minimum.accumulate(table, axis=1)

    most, own = np.zeros(len(picks)), np.empty(len(picks) - 1)
    for start in range(0, len(X), 500):
        np.maximum(most, to_first(X[start : start + 500].astype(np.float64)).max(axis=0), out=most)
    for start in range(1, len(picks), 500):
        part = np.arange(start, min(start + 500, len(picks)))
        own[part - 1] = to_first(wide[part])[np.arange(len(part)), part - 1]
    return 1 + int((own >= most[:-1] - 1e-12).sum())


LOOPS: dict[str, tuple[Loop, int]] = {  # with the picks that are timed
    "numpy": (naive, 100),
    "torch": (naive_torch, 30),
    "sklearn": (row_at_a_time, 12),
    "difference": (norm_of_difference, 12),
}
CASES = {  # set of vectors, n, d, k, loops
    "100k": [("mixture", 100_000, 384, 1_000, ("numpy", "torch"))],
    "300k": [
        ("mixture", 300_000, 384, 1_500, ("numpy", "torch")),
        ("interpolated", 300_000, 256, 1_500, ("numpy", "torch")),
    ],
    "1m": [("mixture", 1_000_000, 384, 5_000, ("numpy", "torch", "sklearn", "difference"))],
    "shares": [
        *(("mixture", 100_000, 384, k, ("numpy",)) for k in (1_000, 5_000, 10_000)),
        *(("mixture", 100_000, 1_024, k, ("numpy",)) for k in (1_000, 5_000)),
    ],
    "alpaca": [("lexical", 0, 256, k, tuple(LOOPS)) for k in (260, 5_200)],
}


def timed(call: Callable[[], object]) -> np.ndarray:
    """Return the seconds that a call takes, by the clock and of the processor."""
    start = time.perf_counter(), time.process_time()
    call()
    return np.array([time.perf_counter() - start[0], time.process_time() - start[1]])


def measured(X: np.ndarray, k: int, loops: tuple[str, ...], args: argparse.Namespace) -> dict[str, Any]:
    """Time ours and the loops on one set of vectors."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(args.workers)
    norms = squared_norms(X)
    first = central_row(X, norms)
    seconds = []
    with one_blas_thread():
        for _ in range(args.repeat):
            bounds, found = Bounds(X, norms, k, args.workers), []
            seconds.append(timed(lambda: _extend(bounds, len(X), k, first, (), found)))  # noqa: B023
    picks = [row for row, _ in found]
    result: dict[str, Any] = {
        "curate": np.median(seconds, axis=0).tolist(),
        "evaluated": bounds.evaluated / (len(X) * k),
    }
    for name in loops:
        loop, some = LOOPS[name]
        some = min(k, some)
        made: list[int] = []
        with threadpool_limits(args.workers):
            took = timed(lambda: made.extend(loop(X, some, first)))  # noqa: B023
        result[name] = (took * k / some).tolist()
        if name == "numpy":
            result["same"] = f"{sum(a == b for a, b in zip(made, picks, strict=False))} of {some}"
    if args.all:
        result["all"] = timed(lambda: k_center_greedy(X, k, first=first, workers=args.workers)).tolist()
    if args.float64:
        result["farthest"] = f"{farthest_in_float64(X, picks)} of {k:,} picks are farthest in float64"
    return result


def cases(names: list[str], file: Path | None, workers: int) -> Iterator[tuple[str, np.ndarray, int, tuple[str, ...]]]:
    """Make the vectors of each case; one set is in memory at a time."""
    real = None if file is None else lexical(file, workers)
    for name in names:
        X, before = np.empty((0, 0), np.float32), None
        for kind, n, d, k, loops in CASES[name]:
            if kind != "mixture" and real is None:
                print(f"{name}: {kind} left out: no file is given")
                continue
            if (kind, n, d) != before:
                del X
                X = {"mixture": lambda: mixture(n, d), "interpolated": lambda: interpolated(real, n)}.get(  # noqa: B023
                    kind, lambda: real
                )()
            before = kind, n, d
            yield kind, X, k, loops


def main() -> None:
    """Run the cases named."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("cases", nargs="+", metavar="CASE|FILE", help=f"{', '.join(CASES)}, and an Alpaca file")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--repeat", type=int, default=3)
    options.add_argument("--all", action="store_true", help="time k_center_greedy with all that it returns")
    options.add_argument("--float64", action="store_true", help="check every pick in float64")
    args = options.parse_args()
    file = next((Path(name) for name in args.cases if name not in CASES), None)
    results = []
    for kind, X, k, loops in cases([name for name in args.cases if name in CASES], file, args.workers):
        row = measured(X, k, loops, args)
        results.append({"vectors": kind, "n": len(X), "d": X.shape[1], "k": k, **row})
        print(f"{kind} {len(X):,} x {X.shape[1]}, k = {k:,}: {row['evaluated']:.3f} of the distances evaluated")
        for name in [name for name in ("curate", "all", *loops) if name in row]:
            (wall, cpu), (our_wall, our_cpu) = row[name], row["curate"]
            print(f"    {name:<12}{wall:>9.2f} s ({cpu:>8.2f} s)   x {wall / our_wall:.1f} ({cpu / our_cpu:.1f})")
        print("    same picks", row["same"], row.get("farthest", ""), flush=True)
    machine = platform.processor() or platform.machine()
    print(json.dumps({"machine": machine, "workers": args.workers, "cases": results}))


if __name__ == "__main__":
    main()
