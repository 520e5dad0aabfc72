"""Does a selection teach the task map of its pool? 1-NN category accuracy on held-out rows of Super-NI.

    python benchmarks/categories.py superni_en_instances.jsonl.gz superni_en_tasks.jsonl.gz

Rows are embedded by `lexical` (prompt, here the input), 4,000 are held out, and from the rest each strategy selects k
rows. A held-out row gets the category of its nearest selected row (cosine). Mean of four splits; random also over
eight draws a split. A proxy that needs no language model, and no proof of a better fine-tuned one.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from curate.data import quota
from curate.sft import strategies
from curate.sft.embed import load
from curate.sft.kcenter import k_center_greedy
from curate.sft.kmeans import spherical_kmeans
from curate.sft.pick import pick_in_clusters

Select = Callable[[np.ndarray, int, np.ndarray], np.ndarray]  # vectors, k, bytes of the answers -> rows
SIZES = (107, 214, 535, 1070)
HELD_OUT, SPLITS, DRAWS = 4000, 4, 8


def read(path: str) -> list[dict[str, Any]]:
    """Read gzip'd JSON lines."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def in_clusters(count: Callable[[int, int], int], core: float) -> Select:
    """Return the strategy: K-means, quotas, centre sample and K-Center-Greedy in the core."""

    def select(X: np.ndarray, k: int, lengths: np.ndarray) -> np.ndarray:
        found = spherical_kmeans(X, count(len(X), k), seed=0, workers=2)
        quotas = quota.one_each_then_fill(np.bincount(found.labels, minlength=count(len(X), k)).tolist(), k)
        return pick_in_clusters(X, found.labels, found.similarity, quotas, core=core).rows

    return select


def by_name(name: str) -> Select:
    """Return the strategy of `curate select --strategy NAME`."""
    pick = strategies.load(name)
    return lambda X, k, lengths: pick(X, k, lengths=lengths, seed=0, workers=2).rows


STRATEGIES: dict[str, Select] = {
    "one pool": lambda X, k, lengths: k_center_greedy(X, k).indices,
    "√(n/2) clusters": in_clusters(lambda n, k: int(np.ceil(np.sqrt(n / 2))), 1),
    "√(n/2), core ¼": in_clusters(lambda n, k: int(np.ceil(np.sqrt(n / 2))), 0.25),
    "k/2 clusters": in_clusters(lambda n, k: -(-k // 2), 1),
    "k/2, core ¼ (default)": in_clusters(lambda n, k: -(-k // 2), 0.25),
    **{name: by_name(name) for name in strategies.names() if name not in (*strategies.IN_CLUSTERS, "random")},
}


def main() -> None:
    """Run, print the table, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("instances")
    parser.add_argument("tasks")
    options = parser.parse_args()
    category = {row["_task"]: row["Categories"][0] for row in read(options.tasks)}
    rows = read(options.instances)
    labels = np.unique([category[row["_task"]] for row in rows], return_inverse=True)[1]
    lengths = np.array([len(row["output"][0].encode()) for row in rows])
    vectors = load("lexical", device="cpu", dtype="fp32", seed=0, workers=2, on_progress=None).embed(
        [row["input"] for row in rows]
    )
    result: dict[str, dict[int, list[float]]] = {name: {k: [] for k in SIZES} for name in ("random", *STRATEGIES)}
    for split in range(SPLITS):
        order = np.random.default_rng(split).permutation(len(rows))
        held, rest = order[:HELD_OUT], np.sort(order[HELD_OUT:])
        pool = np.ascontiguousarray(vectors[rest])

        def score(picks: np.ndarray, rest: np.ndarray = rest, held: np.ndarray = held) -> float:
            chosen = rest[picks]
            nearest = (vectors[held] @ vectors[chosen].T).argmax(axis=1)
            return float((labels[chosen][nearest] == labels[held]).mean())

        for k in SIZES:
            rng = np.random.default_rng(1000 + split)
            result["random"][k] += [score(rng.choice(len(pool), k, replace=False)) for _ in range(DRAWS)]
            for name, select in STRATEGIES.items():
                result[name][k].append(score(select(pool, k, lengths[rest])))
    print("k".ljust(24), *(f"{k:>12,}" for k in SIZES))
    for name, scores in result.items():
        cells = [f"{np.mean(scores[k]):.3f}" for k in SIZES]
        if name == "random":
            cells = [f"{cell} ± {np.std(scores[k], ddof=1):.3f}" for cell, k in zip(cells, SIZES, strict=True)]
        print(name.ljust(24), *(f"{cell:>12}" for cell in cells))
    print(json.dumps({name: {k: float(np.mean(v)) for k, v in by.items()} for name, by in result.items()}))


if __name__ == "__main__":
    main()
