"""What each strategy costs and what it optimises, on one real pool; random selections stand beside.

    python benchmarks/strategies.py alpaca_data_52k.jsonl.gz [--counts 260,2600] [--workers 2]

Rows are embedded by `lexical` (the prompt). Columns: seconds of the pick alone (one run), and of all cores together;
covering radius and mean distance to the nearest selected row (lower covers more); facility location, the mean over all
rows of the largest cosine to a selected one (higher covers more); median answer in bytes. None of them says what a
model learns from the rows. `facility-location` and `k-center` pick in k/2 clusters, as `curate select` does (the time
of K-means is theirs), the others from one pool.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Callable

import numpy as np

from curate.data import quota
from curate.sft import strategies
from curate.sft.coverage import nearest_selected
from curate.sft.embed import load
from curate.sft.kcenter import k_center_greedy
from curate.sft.kmeans import spherical_kmeans
from curate.sft.pick import pick_in_clusters

DRAWS = 5
COLUMNS = ("seconds", "cpu", "radius", "mean", "facility", "bytes")


def read(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors of the prompts, and the length of each answer in bytes."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    texts = [f"{row['instruction']}\n\n{row['input']}".strip() for row in rows]
    embedder = load("lexical", device="cpu", dtype="fp32", seed=0, workers=2, on_progress=None)
    return embedder.embed(texts), np.array([len(row["output"].encode()) for row in rows])


def in_clusters(strategy: str, X: np.ndarray, lengths: np.ndarray, k: int, workers: int) -> np.ndarray:
    """Select as `curate select` does by default, or with `--strategy k-center`."""
    found = spherical_kmeans(X, -(-k // 2), seed=0, workers=workers)
    quotas = quota.one_each_then_fill(np.bincount(found.labels).tolist(), k)
    if strategy == "k-center":
        return pick_in_clusters(X, found.labels, found.similarity, quotas, core=0.25, workers=workers).rows
    return strategies.pick_in_groups(
        strategies.load(strategy), X, found.labels, quotas, [""] * len(quotas), lengths=lengths, seed=0,
        workers=workers,
    ).rows  # fmt: skip


def measure(X: np.ndarray, lengths: np.ndarray, rows: np.ndarray, workers: int) -> dict[str, float]:
    """Return what a selection is worth by each measure."""
    _, distance = nearest_selected(X, rows, workers=workers)
    cosine = np.maximum(1 - distance**2 / 2, 0)
    return {
        "radius": float(distance.max()),
        "mean": float(distance.mean()),
        "facility": float(cosine.mean()),
        "bytes": float(np.median(lengths[rows])),
    }


def main() -> None:
    """Run, print a table for each k, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pool")
    parser.add_argument("--counts", default="260,2600")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", default="", help="part of the name of the strategies to measure")
    options = parser.parse_args()
    X, lengths = read(options.pool)
    X = np.ascontiguousarray(X)
    workers = options.workers
    picks: dict[str, Callable[[int], np.ndarray]] = {
        "facility-location": lambda k: in_clusters("facility-location", X, lengths, k, workers),
        "k-center": lambda k: in_clusters("k-center", X, lengths, k, workers),
        "k-center, one pool": lambda k: k_center_greedy(X, k, workers=workers).indices,
    }
    for name in strategies.names():
        if (pick := strategies.load(name)) and name != "random":
            label = "facility, one pool" if name == "facility-location" else name
            picks[label] = lambda k, pick=pick: pick(X, k, lengths=lengths, workers=workers).rows
            pick(X[:100], 1, lengths=lengths[:100])  # compiles what is to be compiled
    result = []
    for k in map(int, options.counts.split(",")):
        print(f"\n{len(X):,} × {X.shape[1]}, k = {k:,}")
        print("strategy".ljust(20), *(f"{name:>15}" for name in COLUMNS))
        for name, select in [(name, select) for name, select in picks.items() if options.only in name]:
            start, busy = time.perf_counter(), time.process_time()
            rows = select(k)
            spent = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - busy}
            line = {**spent, **measure(X, lengths, rows, workers)}
            print(name.ljust(20), *(f"{value:>15.3f}" for value in line.values()), flush=True)
            result.append({"k": k, "strategy": name, **line})
        draws = [np.random.default_rng(seed).choice(len(X), k, replace=False) for seed in range(DRAWS)]
        chance = [measure(X, lengths, rows, workers) for rows in draws]
        values = {name: np.array([line[name] for line in chance]) for name in chance[0]}
        cells = [f"{v.mean():.3f} ± {v.std(ddof=1):.3f}" for v in values.values()]
        print(f"random × {DRAWS}".ljust(20), " " * 31, *(f"{cell:>15}" for cell in cells), flush=True)
        result.append({"k": k, "strategy": "random", **{name: float(v.mean()) for name, v in values.items()}})
    print(json.dumps(result))


if __name__ == "__main__":
    main()
