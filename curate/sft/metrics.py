"""What is a selection like beside random ones, and beside the longest answers, of the same size?

Whether a set trains a better model no number here can tell; how it differs from chance they can. So every metric is
measured in the same way on the selection, on random selections and on the longest answers (a baseline that is hard to
beat: Zhao et al. 2024, arXiv 2402.04833), and a difference from chance of more than two standard deviations is marked.

- `radius`, `p95`, `mean`: distance of the rows of the pool to the nearest selected one, on the `compared_rows`.
- `facility_location`: mean over the same rows of max(0, cosine to the most similar selected row).
- `near_duplicates`: share of selected rows with a cosine of .95 or more to another selected one. By cosine and not by
  MinHash, since the vectors are there; with the default embedder it is about words, and with a model about meaning.
- `cluster_entropy`, `task_entropy`: -Σ p ln p over the K-means clusters of the run, and over tasks, if there are any.
- `tokens` in all; `prompt_bytes` and `answer_bytes`, means.
- with `all`: `novelsum` (`novelsum.py`), and `vendi` (Friedman & Dieng 2022, arXiv 2210.02410), the effective number of
  distinct rows.

All selections are measured in one pass: rows that the same ones hold stand side by side and meet each row of the pool
once, so seven halves of a pool cost as much as the pool, and not 3.5 times that. The pass tells near-duplicates too,
where 4,000 or more rows of a selection are among the compared ones. Whatever else compares a selection with itself
looks at 4,000 rows of it at most, evenly spread, against all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from curate.engine.blocks import map_blocks, one_blas_thread
from curate.sft.coverage import compared_rows, coverage, mean_and_sd
from curate.sft.distance import F32, F64, I64, squared_norms
from curate.sft.novelsum import novelsum

NEAR = 0.95  # cosine
COVERAGE = ("radius", "p95", "mean")
_JUDGED = 4_000  # rows: the standard error of a share of 1 % is then below 0.2 %
_SCREEN = 2**20  # float32 cosines of one block: 4 MB
_TILE = 2**12  # selected rows that others are held against at a time: 4 MB at 256 dimensions


@dataclass(frozen=True)
class Comparison:
    """The metrics by name of a selection, of random ones and of the longest answers (None: coverage alone was asked).

    rows: how many rows of the pool distances are measured on. seeds: those of the random selections.
    """

    rows: int
    seeds: list[int]
    selected: dict[str, float]
    random: list[dict[str, float]]
    longest: dict[str, float] | None

    def coverage(self) -> dict[str, Any]:
        """Return the coverage by random selections, and by this one on the same rows."""
        spread = mean_and_sd(self.random)
        return {
            "coverage": {name: spread[name] for name in COVERAGE},
            "selected": {name: self.selected[name] for name in COVERAGE},
            "rows": self.rows,
            "selections": len(self.seeds),
            "seeds": self.seeds,
        }

    def metrics(self) -> dict[str, dict[str, Any]]:
        """Return for each metric what all have, and whether the selection is more than two sd from random."""
        if self.longest is None:
            return {}
        return {
            name: {
                "selected": self.selected[name],
                "random": spread,
                "longest": self.longest[name],
                "beyond_two_sd": abs(self.selected[name] - spread["mean"]) > 2 * spread["sd"],
            }
            for name, spread in mean_and_sd(self.random).items()
        }


def compare(
    X: F32,
    candidates: I64,
    facts: pl.DataFrame,
    picked: I64,
    seeds: Sequence[int],
    *,
    level: str = "fast",
    workers: int = 1,
) -> Comparison:
    """Measure the rows `candidates[picked]` of `X`, as many random candidates for each seed, and the longest answers.

    X: (n, d) unit rows of the pool. candidates: (m,) rows that can be selected. facts: of the candidates, from
    `row_facts`. picked: (k,). level: that of --metrics. Prior validation of data is assumed.
    """
    norms, rows = squared_norms(X), compared_rows(len(X))
    k, m = len(picked), len(candidates)
    selections = [picked, *(np.random.default_rng(seed).choice(m, k, replace=False) for seed in seeds)]
    if level != "none":
        selections.append(np.argsort(-facts["answer_bytes"].to_numpy(), kind="stable")[:k])
    selections = [np.sort(selection) for selection in selections]  # the last bits of a sum depend on the order
    nearest = nearest_other(X, norms, rows, [candidates[selection] for selection in selections], workers)
    reference = np.unique(X[rows], axis=0) if level == "all" else None

    def measure(selection: I64, squared: F64, cosine: F32) -> dict[str, float]:
        chosen = candidates[selection]
        inside = np.isin(rows, chosen)
        told = coverage(np.sqrt(np.where(inside, 0, squared)))
        if level == "none":
            return told
        similarity = np.where(inside, norms[rows], np.maximum(cosine, 0))
        told["facility_location"] = float(similarity.mean(dtype=np.float64))
        near = cosine[inside] >= NEAR
        told["near_duplicates"] = float(near.mean()) if len(near) >= _JUDGED else near_duplicates(X[chosen], workers)
        told |= composition(facts[selection])
        if reference is not None:
            Z = X[chosen]
            told |= {"novelsum": novelsum(Z, reference, compared_rows(k, _JUDGED), workers), "vendi": vendi(Z)}
        return told

    selected, *others = (measure(*each) for each in zip(selections, *nearest, strict=True))
    longest = None if level == "none" else others.pop()
    return Comparison(rows=len(rows), seeds=list(seeds), selected=selected, random=others, longest=longest)


def nearest_other(X: F32, norms: F64, rows: I64, selections: Sequence[I64], workers: int = 1) -> tuple[F64, F32]:
    """Return what the `rows` of `X` (n, d) have nearest to them in each of the selections, themselves left out.

    That is their squared distance to a selected row, and their largest dot product with one, both in float32 and of
    shape (selections, rows); infinite where there is no other. norms: from `squared_norms`. At most 63 selections.
    """
    held_by = np.zeros(len(X), dtype=np.int64)
    for bit, selection in enumerate(selections):
        held_by[selection] |= 1 << bit
    held = np.flatnonzero(held_by)
    order = held[np.argsort(held_by[held], kind="stable")]
    place = np.full(len(X), -1)
    place[order] = np.arange(len(order))
    some, own = X[rows], place[rows]
    squared = np.full((len(selections), len(rows)), np.inf, dtype=np.float32)
    largest = np.full((len(selections), len(rows)), -np.inf, dtype=np.float32)
    for begin in range(0, len(order), _TILE):
        tile = order[begin : begin + _TILE]
        held_alike, starts = np.unique(held_by[tile], return_index=True)
        least, most = _nearest_in_groups(some, own - begin, X[tile], norms[tile], starts, workers)
        for bit in range(len(selections)):
            ours = (held_alike >> bit) & 1 == 1
            squared[bit] = np.minimum(squared[bit], least[ours].min(axis=0, initial=np.inf))
            largest[bit] = np.maximum(largest[bit], most[ours].max(axis=0, initial=-np.inf))
    return np.maximum(squared + norms[rows], 0), largest


def _nearest_in_groups(
    A: F32, itself: I64, centers: F32, center_norms: F64, starts: I64, workers: int
) -> tuple[F32, F32]:
    """Return the least |c|² - 2 a·c and the largest a·c of each row of `A` in each group of `centers`: (groups, rows).

    A group ends where the next one `starts`. itself: where a row stands among the centers, if it does.
    """
    squares = center_norms.astype(np.float32)

    def block(start: int, stop: int) -> tuple[F32, F32]:
        screen = A[start:stop] @ centers.T
        own = itself[start:stop]
        there = np.flatnonzero((own >= 0) & (own < len(centers)))
        screen[there, own[there]] = -np.inf
        products = np.maximum.reduceat(screen, starts, axis=1)
        screen *= -2
        screen += squares
        return np.minimum.reduceat(screen, starts, axis=1).T, products.T

    parts = map_blocks(block, len(A), max(64, _SCREEN // len(centers)), workers)
    least, most = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    return least, most


def row_facts(offered: pl.DataFrame, clusters: np.ndarray | None) -> pl.DataFrame:
    """Return what `composition` needs of each row; columns that the pool has nothing in are left out."""
    facts = offered.select(
        tokens="n_tokens",
        prompt_bytes=pl.col("prompt").str.len_bytes().cast(pl.Int64),
        answer_bytes=pl.col("response").str.len_bytes().cast(pl.Int64),
        cluster=pl.lit(None if clusters is None else pl.Series(clusters)),
        task="task",
    )
    return facts.select(column for column in facts if column.null_count() < len(column))


def composition(facts: pl.DataFrame) -> dict[str, float]:
    """Return mean bytes of prompt and answer, tokens in all, entropy of clusters and of tasks."""
    told = {name: float(facts[name].sum()) / facts.height for name in ("prompt_bytes", "answer_bytes")}
    if "tokens" in facts.columns:
        told["tokens"] = float(facts["tokens"].sum())
    return told | {f"{name}_entropy": entropy(facts[name]) for name in ("cluster", "task") if name in facts.columns}


def entropy(labels: pl.Series) -> float:
    """Return -Σ p ln p, in nats, of the shares of the values of `labels`; nulls are a value."""
    share: F64 = np.sort(labels.value_counts()["count"].to_numpy()) / len(labels)
    return float(abs((share * np.log(share)).sum()))


def near_duplicates(Z: F32, workers: int = 1) -> float:
    """Return the share of the unit rows of `Z` (k, d) with a cosine of at least .95 to another row, in float32."""
    judged = compared_rows(len(Z), _JUDGED)

    def block(start: int, stop: int) -> np.ndarray:
        rows = judged[start:stop]
        cosine = Z[rows] @ Z.T
        cosine[np.arange(len(rows)), rows] = -1
        near: np.ndarray = cosine.max(axis=1) >= NEAR
        return near

    return float(np.concatenate(map_blocks(block, len(judged), max(64, _SCREEN // len(Z)), workers)).mean())


def vendi(Z: F32) -> float:
    """Return exp(-Σ λ ln λ), λ > 0 the eigenvalues of ZᵀZ/k for unit rows `Z` (k, d): those of the k x k cosines."""
    wide = Z.astype(np.float64)
    with one_blas_thread():
        values = np.linalg.eigvalsh(wide.T @ wide / len(Z))
    values = values[values > 0]
    return float(np.exp(-(values * np.log(values)).sum()))
