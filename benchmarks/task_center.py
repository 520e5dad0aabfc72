"""What the 0.5 % paper's rule does where tasks are known: Super-NI, picks within tasks, against random ones.

    python benchmarks/task_center.py superni_en_instances.jsonl.gz

Rows are input and answer embedded by `lexical`, as `--preset paper` has it, without definitions (they would tell the
task). 4,000 rows are held out; of the rest each rule picks k rows by the same quotas over tasks. Measured on the rows
held out: share whose nearest pick (cosine) has their task, mean distance to the nearest pick, and the largest one. The
skewed pool has a tenth of the rows of every second task, with quotas for tau 1 and 3. Means of four splits, random over
four draws a split (± standard deviation of all draws).
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Callable

import numpy as np

from curate.data import quota
from curate.sft import strategies
from curate.sft.embed import load
from curate.sft.groups import cluster_count, similarity_to_distribution_center
from curate.sft.kmeans import spherical_kmeans
from curate.sft.pick import pick_in_clusters, similarity_to_mean

SIZES = (107, 214, 535, 1070)
HELD_OUT, SPLITS, DRAWS = 4000, 4, 4
Rule = Callable[[np.ndarray, np.ndarray, list[int], int], np.ndarray]  # vectors, tasks, quotas, seed -> rows


def at_random(X: np.ndarray, tasks: np.ndarray, quotas: list[int], seed: int) -> np.ndarray:
    """Draw so many rows of each task."""
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(np.flatnonzero(tasks == task), q, replace=False) for task, q in enumerate(quotas) if q]
    return np.concatenate(drawn)


def task_center(X: np.ndarray, tasks: np.ndarray, quotas: list[int], seed: int) -> np.ndarray:
    """Pick as `--strategy task-center` does."""
    found = spherical_kmeans(X, cluster_count(len(X), 0, "sqrt"), seed=0, workers=2)
    similarity = similarity_to_distribution_center(X, tasks, found.labels, found.centers)
    return pick_in_clusters(X, tasks, similarity, quotas, core=1, workers=2).rows


def facility_location(X: np.ndarray, tasks: np.ndarray, quotas: list[int], seed: int) -> np.ndarray:
    """Pick as `--task-column` does by default: the rows of each task to which its rows are most similar."""
    pick, names, lengths = strategies.load("facility-location"), [""] * len(quotas), np.zeros(len(X), dtype=np.int64)
    return strategies.pick_in_groups(pick, X, tasks, quotas, names, lengths=lengths, seed=0, workers=2).rows


def in_core(X: np.ndarray, tasks: np.ndarray, quotas: list[int], seed: int) -> np.ndarray:
    """Pick as `--task-column --strategy k-center` does: the core of each task, from the row nearest to its mean."""
    return pick_in_clusters(X, tasks, similarity_to_mean(X, tasks), quotas, core=0.25, workers=2).rows


RULES: dict[str, Rule] = {
    "random in tasks": at_random,
    "task-center": task_center,
    "k-center, core ¼": in_core,
    "facility-location": facility_location,
}


def main() -> None:
    """Run, and print one table for each pool and tau."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("instances")
    with gzip.open(parser.parse_args().instances, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    tasks = np.unique([row["_task"] for row in rows], return_inverse=True)[1]
    texts = [f"{row['input']}\n\n{row['output'][0]}" for row in rows]
    X = load("lexical", device="cpu", dtype="fp32", seed=0, workers=2, on_progress=None).embed(texts)
    for name, skewed, tau in (("whole pool", False, 1.0), ("skewed, tau 1", True, 1.0), ("skewed, tau 3", True, 3.0)):
        print(name.ljust(18), *(f"{k:>26,}" for k in SIZES))
        for rule, pick in RULES.items():
            cells = []
            for k in SIZES:
                seeds = range(DRAWS if pick is at_random else 1)
                found = np.array([one(X, tasks, skewed, tau, pick, k, s, t) for s in range(SPLITS) for t in seeds])
                spread = f" ± {found[:, 0].std(ddof=1):.3f}" if pick is at_random else ""
                cells.append(f"{found[:, 0].mean():.3f}{spread} {found[:, 1].mean():.3f} {found[:, 2].mean():.3f}")
            print(rule.ljust(18), *(f"{cell:>26}" for cell in cells))


def one(
    X: np.ndarray, tasks: np.ndarray, skewed: bool, tau: float, pick: Rule, k: int, split: int, seed: int
) -> tuple[float, float, float]:
    """Return task accuracy, mean and largest distance of the rows held out, for one split."""
    rng = np.random.default_rng(split)
    order = rng.permutation(len(X))
    held, rest = order[:HELD_OUT], np.sort(order[HELD_OUT:])
    if skewed:
        rest = rest[(tasks[rest] % 2 == 0) | (rng.random(len(rest)) < 0.1)]
    sizes = np.bincount(tasks[rest], minlength=int(tasks.max()) + 1).tolist()
    quotas = quota.one_each_then_fill(sizes, k, tau)
    chosen = rest[pick(np.ascontiguousarray(X[rest]), tasks[rest], quotas, 100 * split + seed)]
    cosine = X[held] @ X[chosen].T
    distance = np.sqrt(np.maximum(0, 2 - 2 * cosine.max(axis=1)))
    return float((tasks[chosen][cosine.argmax(axis=1)] == tasks[held]).mean()), distance.mean(), distance.max()


if __name__ == "__main__":
    main()
