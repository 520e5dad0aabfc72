"""Is a selection better than chance? Proxies that need no large model; docs/evidence.md tells what came out.

    python benchmarks/evidence.py probe ../shared/data [--splits 4] [--only cluster] [--cache DIRECTORY]
    python benchmarks/evidence.py quality ../shared/data
    python benchmarks/evidence.py train ../shared/data [--steps 2000 --seeds 3 --device cuda]

The criterion, fixed before anything was measured: a strategy succeeds at a size if its score is better than the mean of
random selections of that size by more than two of their standard deviations. Tables give the distance in these.

`probe`: does a selection teach the task map? 4,000 rows of Super-NI are held out, and from the rest each strategy
selects k rows by the vectors of one embedder. Held-out rows get the category of their nearest selected row (1-NN) or of
a logistic regression on the selected rows, in the space of the same embedder and in that of the other, which the
strategy has not seen. The skewed pool has a tenth of the rows of every second category; the held-out rows stay as they
are. Means of the splits; random: ten draws a split, and their standard deviation within splits.

`quality`: how far each filter and score agrees with published selections of Alpaca, and with revisions by experts.

`train`: a small transformer of bytes, trained from scratch on each selection and on random ones of the same size for a
fixed number of steps; its loss on held-out rows. That is no measure of what a fine-tuned model says.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import published

from curate.data import quota
from curate.sft import embed, groups, strategies
from curate.sft.kcenter import k_center_greedy
from curate.sft.kmeans import Clusters, spherical_kmeans
from curate.sft.pick import pick_in_clusters

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
SIZES = (107, 214, 1070, 2139)  # 0.5, 1, 5 and 10 % of 21,391
HELD_OUT, DRAWS = 4000, 10


@dataclass
class Pool:
    """Rows to select from: unit vectors (n, d), the task of each row, the bytes of its answer."""

    X: np.ndarray
    tasks: np.ndarray
    lengths: np.ndarray
    found: dict[int, Clusters] = field(default_factory=dict)
    greedy: np.ndarray | None = None

    def clusters(self, count: int) -> Clusters:
        """Return K-means of `count` clusters, made once."""
        if count not in self.found:
            self.found[count] = spherical_kmeans(self.X, count, seed=0)
        return self.found[count]


Select = Callable[[Pool, int], np.ndarray]  # pool, k -> rows
Count = Callable[[int, int], int]  # rows, k -> clusters


def root(n: int, k: int) -> int:
    """CaR's rule: the root of half the rows."""
    return groups.cluster_count(n, k, "sqrt")


def part(of: int) -> Count:
    """Return the rule of k / of clusters."""
    return lambda n, k: -(-k // of)


def k_center(count: Count, core: float) -> Select:
    """Return the strategy: K-means, quotas by size, centre sample and K-Center-Greedy in the core."""

    def select(pool: Pool, k: int) -> np.ndarray:
        found = pool.clusters(count(len(pool.X), k))
        quotas = quota.one_each_then_fill(np.bincount(found.labels).tolist(), k)
        return pick_in_clusters(pool.X, found.labels, found.similarity, quotas, core=core).rows

    return select


def facility_location(count: Count) -> Select:
    """Return the strategy: K-means, quotas by size, facility location in each cluster."""
    pick = strategies.load("facility-location")

    def select(pool: Pool, k: int) -> np.ndarray:
        labels = pool.clusters(count(len(pool.X), k)).labels
        quotas = quota.one_each_then_fill(np.bincount(labels).tolist(), k)
        names = [""] * len(quotas)
        return strategies.pick_in_groups(pick, pool.X, labels, quotas, names, lengths=pool.lengths, seed=0).rows

    return select


def task_center(pool: Pool, k: int) -> np.ndarray:
    """Pick as `--task-column task --strategy task-center` does: the only one here that is told the tasks."""
    found = pool.clusters(root(len(pool.X), k))
    tasks = np.unique(pool.tasks, return_inverse=True)[1]
    similarity = groups.similarity_to_distribution_center(pool.X, tasks, found.labels, found.centers)
    quotas = quota.one_each_then_fill(np.bincount(tasks).tolist(), k)
    return pick_in_clusters(pool.X, tasks, similarity, quotas, core=1).rows


def one_pool(name: str) -> Select:
    """Return the strategy of `curate select --strategy NAME --scope global`."""
    pick = strategies.load(name)
    return lambda pool, k: pick(pool.X, k, lengths=pool.lengths, seed=0).rows


def greedy_facility_location(pool: Pool, k: int) -> np.ndarray:
    """Choose from one pool; the first rows of a greedy order are those of any smaller k, so it is made once."""
    if pool.greedy is None:
        pool.greedy = strategies.load("facility-location")(pool.X, max(SIZES)).rows
    return pool.greedy[:k]


STRATEGIES: dict[str, Select] = {
    "k-center, one pool": lambda pool, k: k_center_greedy(pool.X, k).indices,
    "k-center, √(n/2) clusters, whole": k_center(root, 1),
    "k-center, √(n/2) clusters, core": k_center(root, 0.25),
    "k-center, k/2 clusters, whole": k_center(part(2), 1),
    "k-center, k/2 clusters, core": k_center(part(2), 0.25),
    "cluster-medoids (k clusters)": one_pool("cluster-medoids"),
    "facility-location, √(n/2) clusters": facility_location(root),
    "facility-location, k/2 clusters": facility_location(part(2)),
    "facility-location, k/4 clusters": facility_location(part(4)),
    "facility-location, one pool": greedy_facility_location,
    "prob-cover": one_pool("prob-cover"),
    "task-center (is told tasks)": task_center,
    "repr-filter": one_pool("repr-filter"),
    "longest": one_pool("longest"),
}


def vectors(name: str, texts: list[str], cache: str | None) -> np.ndarray:
    """Embed, or read what a run before has left in the directory `cache`."""
    path = Path(cache, f"superni_{name.rpartition('/')[2]}.npy") if cache else None
    if path and path.exists():
        return np.load(path)
    X = embed.load(name, device="cpu", dtype="fp32", seed=0, workers=2, on_progress=None).embed(texts)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, X)
    return X


def super_ni(data: Path) -> tuple[list[dict[str, Any]], np.ndarray, np.ndarray]:
    """Return the instances of Super-NI, the category of each as a number, and the names of the categories."""
    tasks, rows = (published.read(data / f"instruct/superni_en_{name}.jsonl.gz") for name in ("tasks", "instances"))
    category = {row["_task"]: row["Categories"][0] for row in tasks}
    names, labels = np.unique([category[row["_task"]] for row in rows], return_inverse=True)
    return rows, labels, names


def split_rows(n: int, split: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows held out and the others, in order."""
    order = np.random.default_rng(split).permutation(n)
    return order[:HELD_OUT], np.sort(order[HELD_OUT:])


def thinned(rows: np.ndarray, labels: np.ndarray, split: int) -> np.ndarray:
    """Return `rows` with a tenth of those of every second label."""
    rng = np.random.default_rng(1000 + split)
    return rows[(labels[rows] % 2 == 0) | (rng.random(len(rows)) < 0.1)]


def one_nearest(train: np.ndarray, labels: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Return the label of the nearest training row of each held-out row."""
    return labels[(held @ train.T).argmax(axis=1)]


def logistic(train: np.ndarray, labels: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Return what a logistic regression says of each held-out row (C = 10, 50 iterations: not searched for)."""
    import warnings

    from sklearn.linear_model import LogisticRegression

    if len(np.unique(labels)) == 1:
        return np.full(len(held), labels[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells that 50 iterations end before the optimum
        return LogisticRegression(C=10, max_iter=50).fit(train.astype(np.float64), labels).predict(held)


Scores = dict[tuple[str, str, int], list[float]]  # strategy, measure, k -> one number for each draw or split


def probe(options: argparse.Namespace) -> dict[str, Any]:
    """Measure every strategy with every embedder on both pools."""
    rows, labels, _ = super_ni(options.data)
    spaces = {name: vectors(name, [row["input"] for row in rows], options.cache) for name in ("lexical", MINILM)}
    names = [name for name in STRATEGIES if options.only in name]
    result: dict[str, Any] = {}
    for embedder in spaces:
        for kind in ("whole", "skewed"):
            scores: Scores = {}
            for split in range(options.splits):
                for key, values in probe_split(rows, labels, spaces, embedder, kind, split, names).items():
                    scores.setdefault(key, []).extend(values)
            print(f"\n{embedder}, {kind} pool")
            result[f"{embedder}, {kind}"] = show(scores, ["random", *names], options.splits)
    tally(result, names)
    return result


def tally(result: dict[str, Any], names: list[str]) -> None:
    """Print for each strategy and size the mean distance from random, and how often it was over 2 or under -2 sd."""
    tables = [told[measure] for told in result.values() for measure in told if measure != "categories"]
    print(f"\n{'mean distance, over 2 / under -2 sd':<36}", *(f"{k:>16,}" for k in SIZES))
    for name in names:
        away = np.array([[table[name][k]["away"] for k in SIZES] for table in tables])
        cells = zip(away.mean(axis=0), (away > 2).sum(axis=0), (away < -2).sum(axis=0), strict=True)
        print(f"{name:<36}", *(f"{f'{mean:+.1f}, {over} / {under}':>16}" for mean, over, under in cells))


def probe_split(
    rows: list[dict[str, Any]],
    labels: np.ndarray,
    spaces: dict[str, np.ndarray],
    embedder: str,
    kind: str,
    split: int,
    names: list[str],
) -> Scores:
    """Measure the strategies on one split of one pool."""
    held, rest = split_rows(len(rows), split)
    rest = rest if kind == "whole" else thinned(rest, labels, split)
    tasks = np.array([rows[row]["_task"] for row in rest])
    lengths = np.array([len(rows[row]["output"][0].encode()) for row in rest])
    pool = Pool(np.ascontiguousarray(spaces[embedder][rest]), tasks, lengths)
    draws, scores = np.random.default_rng(2000 + split), Scores()
    for k in SIZES:
        picks = [("random", draws.choice(len(rest), k, replace=False)) for _ in range(DRAWS)]
        picks += [(name, STRATEGIES[name](pool, k)) for name in names]
        for name, picked in picks:
            for measure, value in accuracies(spaces, embedder, labels, rest[picked], held).items():
                scores.setdefault((name, measure, k), []).append(value)
    return scores


def accuracies(
    spaces: dict[str, np.ndarray], embedder: str, labels: np.ndarray, chosen: np.ndarray, held: np.ndarray
) -> dict[str, float]:
    """Return the accuracy of both probes in both spaces, and how many categories are there at all."""
    told = {"categories": float(len(np.unique(labels[chosen])))}
    for name, X in spaces.items():
        space = "same embedder" if name == embedder else "other embedder"
        for probe_name, predict in (("1-NN", one_nearest), ("logistic", logistic)):
            hits = predict(X[chosen], labels[chosen], X[held]) == labels[held]
            told[f"{probe_name}, {space}"] = float(hits.mean())
    return told


def show(scores: Scores, names: list[str], splits: int) -> dict[str, Any]:
    """Print a table for each measure: the mean, and how many standard deviations of random it is above random."""
    result: dict[str, Any] = {}
    for measure in dict.fromkeys(measure for _, measure, _ in scores):
        print(f"\n{measure:<36}", *(f"{k:>16,}" for k in SIZES))
        for name in names:
            cells = []
            for k in SIZES:
                chance = np.array(scores["random", measure, k]).reshape(splits, DRAWS)
                sd = float(np.sqrt(chance.var(axis=1, ddof=1).mean()))
                mean = float(np.mean(scores[name, measure, k]))
                away = (mean - float(chance.mean())) / sd if sd else 0.0
                cells.append(f"{mean:.3f} ± {sd:.3f}" if name == "random" else f"{mean:.3f} ({away:+.1f})")
                result.setdefault(measure, {}).setdefault(name, {})[k] = {"mean": mean, "sd": sd, "away": away}
            print(f"{name:<36}", *(f"{cell:>16}" for cell in cells), flush=True)
    return result


TRAINED = ("facility-location, k/2 clusters", "k-center, k/2 clusters, core", "k-center, one pool", "longest")


def train(options: argparse.Namespace) -> dict[str, Any]:
    """Train the small transformer on selections by `lexical` vectors and on random rows, one split."""
    from small_model import as_bytes, bits_per_byte

    rows, labels, categories = super_ni(options.data)
    X = vectors("lexical", [row["input"] for row in rows], options.cache)
    tasks = np.array([row["_task"] for row in rows])
    lengths = np.array([len(row["output"][0].encode()) for row in rows])
    held, rest = split_rows(len(rows), 0)
    held, pool = held[:1000], Pool(np.ascontiguousarray(X[rest]), tasks[rest], lengths[rest])
    data = as_bytes([f"{row['input']}\n{row['output'][0]}" for row in rows])
    result: dict[str, Any] = {}
    for k in map(int, options.counts.split(",")):
        runs = [
            ("random", np.random.default_rng(s).choice(len(rest), k, replace=False), s) for s in range(options.draws)
        ]
        for name in TRAINED:
            runs += [(name, STRATEGIES[name](pool, k), seed) for seed in range(options.seeds)]
        bits: dict[str, list[np.ndarray]] = {}
        for name, picked, seed in runs:
            told = bits_per_byte(data[rest[picked]], data[held], labels[held], seed, options.steps, options.device)
            bits.setdefault(name, []).append(told)
        result[str(k)] = show_bits(k, bits, categories[np.unique(labels[held])])
    return result


def show_bits(k: int, bits: dict[str, list[np.ndarray]], categories: np.ndarray) -> dict[str, Any]:
    """Print bits a byte of each strategy, the mean and the worst category with the distance from random, then all."""
    chance = np.mean(bits["random"], axis=1)
    mean, sd, result = float(chance.mean()), float(chance.std(ddof=1)), {}
    print(f"\n{f'{k:,} rows':<36}{'bits a byte':>16}{'worst category':>16}{'categories better':>20}")
    for name, runs in bits.items():
        by_category = np.mean(runs, axis=0)
        found = {"mean": float(by_category.mean()), "worst": float(by_category.max()), "sd": sd}
        found["better"] = float((by_category < np.mean(bits["random"], axis=0)).mean())
        spread = f"± {sd:.3f}" if name == "random" else f"({(mean - found['mean']) / sd:+.1f})"
        print(f"{name:<36}{found['mean']:>9.3f} {spread:<6}{found['worst']:>16.3f}{found['better']:>20.0%}", flush=True)
        result[name] = found | {"by_category": dict(zip(categories.tolist(), by_category.tolist(), strict=True))}
    print("\ncategory:", " | ".join(result))
    for category in categories:
        print(f"{category:<36}", *(f"{found['by_category'][category]:>9.2f}" for found in result.values()))
    return result


def quality(options: argparse.Namespace) -> dict[str, Any]:
    """Compare filters and scores with published selections."""
    return published.quality(options.data)


def main() -> None:
    """Run one part, print its tables, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", choices=("probe", "quality", "train"))
    parser.add_argument("data", type=Path, help="the directory that holds instruct/, selections/ and pairs/")
    parser.add_argument("--cache", help="a directory for vectors")
    parser.add_argument("--splits", type=int, default=4, help="probe: splits of the pool")
    parser.add_argument("--only", default="", help="probe: part of the name of the strategies to measure")
    parser.add_argument("--counts", default="214,1070", help="train: rows of a selection")
    parser.add_argument("--steps", type=int, default=150, help="train: steps of the optimiser")
    parser.add_argument("--draws", type=int, default=5, help="train: random selections")
    parser.add_argument("--seeds", type=int, default=1, help="train: runs of each strategy")
    parser.add_argument("--device", default="cpu", help="train: a torch device")
    options = parser.parse_args()
    print(json.dumps({"probe": probe, "quality": quality, "train": train}[options.part](options)))


if __name__ == "__main__":
    main()
