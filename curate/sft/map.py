"""A map of the pool: its vectors in two dimensions, for people to look at. Nothing is selected by it.

The two directions in which the vectors spread most (PCA), fitted on at most 20,000 evenly spread rows. It needs nothing
but numpy, gives the same places for the same vectors, and draws rows that are equal in the same place. It keeps a few
per cent of the spread of a lexical space, so rows that lie together on it need not be near each other: the report says
how much is kept. UMAP draws clearer islands, and distances between them that mean nothing; embedding-atlas does it in
the browser for those who want it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from curate.engine.blocks import map_blocks, one_blas_thread
from curate.sft.coverage import compared_rows
from curate.sft.distance import F32, F64
from curate.sft.terms import top_terms

_BLOCK = 8192
COLUMNS = (
    "id", "text", "response", "x", "y", "cluster", "cluster_title", "task", "source", "drop_reason", "selected", "rank",
    "distance", "n_tokens",
)  # fmt: skip


def place_rows(
    table: pl.DataFrame, live: pl.DataFrame, vectors: F32, workers: int = 1
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Give the ledger `x` and `y`: places of the rows that have vectors (n_live, d); null for all others.

    live: rows of `table` with their number in it, `row`. Returns the ledger and what the report tells of the map.
    """
    places, kept = project(vectors, workers)
    found = live.select("row", x=places[:, 0], y=places[:, 1])
    placed = table.with_row_index("row").join(found, on="row", how="left", maintain_order="left").drop("row")
    fitted = len(compared_rows(len(vectors)))
    return placed, {"projection": "pca", "spread_kept": kept, "rows": live.height, "fitted_rows": fitted}


def project(X: F32, workers: int = 1) -> tuple[F32, float]:
    """Return the first two principal components of each row of `X` (n, d) as (n, 2), and the share of spread they keep.

    The sign of a component makes its largest weight positive. The share is 0 where all rows are equal.
    """
    sample = X[compared_rows(len(X))]
    mean = sample.mean(axis=0, dtype=np.float64)
    center = mean.astype(np.float32)

    def products(start: int, stop: int) -> F64:
        rows = sample[start:stop] - center
        product: F64 = (rows.T @ rows).astype(np.float64)
        return product

    scatter = np.sum(map_blocks(products, len(sample), _BLOCK, workers), axis=0)
    with one_blas_thread():
        values, directions = np.linalg.eigh(scatter)
    values, directions = values[::-1][:2], directions[:, ::-1][:, :2]
    directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])])
    axes = directions.astype(np.float32)
    parts = map_blocks(lambda i, j: (X[i:j] - center) @ axes, len(X), _BLOCK, workers)
    places = np.zeros((len(X), 2), dtype=np.float32)
    places[:, : axes.shape[1]] = np.concatenate(parts)
    total = float(np.trace(scatter))
    return places, float(np.clip(values.sum() / total, 0, 1)) if total > 0 else 0.0


def project_reference(X: F32) -> tuple[F64, float]:
    """Return what `project` does for up to 20,000 rows, from the singular values in float64; signs are free."""
    centered = X.astype(np.float64) - X.astype(np.float64).mean(axis=0)
    _, singular, directions = np.linalg.svd(centered, full_matrices=False)
    return centered @ directions[:2].T, float((singular[:2] ** 2).sum() / (singular**2).sum())


def map_rows(ledger: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of a ledger that have a place, with the columns that map viewers read (`map.parquet`)."""
    placed = ledger.filter(pl.col("x").is_not_null())
    titles = top_terms(placed["prompt"], placed["cluster"])
    return (
        placed.with_columns(text="prompt", selected=pl.col("rank").is_not_null())
        .join(titles, on="cluster", how="left", maintain_order="left")
        .select(COLUMNS)
    )
