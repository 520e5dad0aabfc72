"""Spherical K-means against faiss and scikit-learn in one run: seconds and mean cosine of all rows to their centres.

    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE python benchmarks/kmeans.py [--rows 1000000] [--clusters 1000]

Vectors: the mixture of benchmarks/kcenter.py, 384 columns. Each method fits and assigns all rows; its mean cosine is
computed from its labels and normalised centres by the same code. `assign` times one pass of all rows against the same
centres, by BLAS and by faiss. Prints wall and processor seconds and, last, one line of JSON. On a machine that others
use too, run it with OMP_NUM_THREADS=1 and --workers 1 and compare processor seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial

import faiss
import numpy as np
from kcenter import mixture
from sklearn.cluster import MiniBatchKMeans

from curate.sft.distance import slack
from curate.sft.kmeans import kmeans, nearest_centers

Found = tuple[np.ndarray, np.ndarray, str]  # labels, centres, what to say


def ours(X: np.ndarray, k: int, workers: int, sample: int | None = None) -> Found:
    """Cluster as `curate select` does."""
    found = kmeans(X, k, seed=0, workers=workers, sample=sample)
    return found.labels, found.centers, f"{found.fitted_rows:,} rows, {found.iterations} iterations"


def by_faiss(X: np.ndarray, k: int, workers: int, most: int) -> Found:
    """Cluster with faiss: 20 iterations, at most `most` points a centroid."""
    faiss.omp_set_num_threads(workers)
    found = faiss.Kmeans(X.shape[1], k, niter=20, spherical=True, max_points_per_centroid=most, seed=1)
    found.train(X)
    labels = found.index.search(X, 1)[1][:, 0]
    return labels, found.centroids, f"{min(len(X), most * k):,} rows, 20 iterations"


def by_sklearn(X: np.ndarray, k: int, workers: int) -> Found:
    """Cluster with mini-batches (Euclidean) that make up the rows once; the centres are normalised afterwards."""
    del workers  # scikit-learn takes all cores
    found = MiniBatchKMeans(
        k, init="k-means++", n_init=1, batch_size=10_000, max_iter=1, max_no_improvement=None, tol=0.0, random_state=0
    ).fit(X)
    return found.labels_, found.cluster_centers_, f"{found.n_steps_} batches of 10,000"


def mean_cosine(X: np.ndarray, labels: np.ndarray, centers: np.ndarray) -> float:
    """Return the mean cosine of the rows to their centres."""
    centers = centers / np.linalg.norm(centers, axis=1, keepdims=True)
    blocks = range(0, len(X), 65_536)
    cosines = [np.einsum("ij,ij->i", X[i : i + 65_536], centers[labels[i : i + 65_536]]) for i in blocks]
    return float(np.concatenate(cosines).mean(dtype=np.float64))


def main() -> None:
    """Run all methods that are asked for."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--clusters", type=int, default=1_000)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--repeat", type=int, default=1)
    options.add_argument("--methods", default="curate,faiss,faiss-all,sklearn,assign")
    args = options.parse_args()
    X, k = mixture(args.rows, 384), args.clusters
    kmeans(X[:2000], 10, seed=0)  # compiles the kernels
    methods: dict[str, Callable[..., Found]] = {
        "curate": ours,
        "curate-all": partial(ours, sample=len(X)),
        "faiss": partial(by_faiss, most=256),
        "faiss-all": partial(by_faiss, most=len(X)),
        "sklearn": by_sklearn,
    }
    methods |= {f"curate-{rows}": partial(ours, sample=rows * k) for rows in (16, 32, 64, 128)}
    results: dict[str, dict[str, float]] = {}
    print(f"{len(X):,} x {X.shape[1]}, K = {k:,}")
    for name in args.methods.split(","):
        if name == "assign":
            continue
        walls, cpus = [], []
        for _ in range(args.repeat):
            wall, cpu = time.perf_counter(), time.process_time()
            labels, centers, about = methods[name](X, k, args.workers)
            walls.append(time.perf_counter() - wall)
            cpus.append(time.process_time() - cpu)
        seconds, processor = statistics.median(walls), statistics.median(cpus)
        cosine = mean_cosine(X, labels, centers)
        results[name] = {"seconds": seconds, "processor": processor, "cosine": cosine}
        print(f"{name:<12}{seconds:>8.1f} s{processor:>8.1f} s CPU   cosine {cosine:.4f}   {about}", flush=True)
    if "assign" in args.methods.split(","):
        results["assign"] = assign(X, k, args.workers)
    print(json.dumps({"machine": platform.machine(), "load": os.getloadavg()[0], "results": results}))


def assign(X: np.ndarray, k: int, workers: int) -> dict[str, float]:
    """Time the assignment of all rows to k of them."""
    centers = np.ascontiguousarray(X[np.random.default_rng(0).choice(len(X), k, replace=False)])
    index = faiss.IndexFlatIP(X.shape[1])
    index.add(centers)
    faiss.omp_set_num_threads(workers)
    start = time.process_time()
    theirs = index.search(X, 1)[1][:, 0]
    middle = time.process_time()
    labels = nearest_centers(X, centers, np.zeros(k), slack(X.shape[1], 1.000001), workers)
    blas, flat = time.process_time() - middle, middle - start
    print(f"one assignment, s CPU: BLAS {blas:.1f}, faiss {flat:.1f}; {(labels != theirs).sum()} labels differ")
    return {"blas": blas, "faiss": flat}


if __name__ == "__main__":
    main()
