"""The lexical embedder, the default: hashed words and character n-grams, TF-IDF, truncated SVD fitted on the pool.

It needs no download, works in every script and does thousands of rows a second. It sees words, not meaning: "buy a
car" and "purchase an automobile" are strangers to it.

    texts ──hash──▶ counts ──TF-IDF──▶ sparse unit rows ──project──▶ 256 dimensions, unit norm
                    (all rows, block by block)         ▲
    seeded sample ──hash──▶ counts ──IDF, randomised SVD┘

Decided by measurement (`benchmarks/lexical.py` and `docs/log.md`):

- Words, pairs of neighbouring words, and character 2- and 3-grams that run across words and punctuation, in 65,536
  columns; words weigh 1.5 times as much. Longer n-grams, n-grams inside words only, more columns: no better, slower.
- IDF and SVD are fitted on at most 16,384 rows. Fitted on 8,192 of 21,391 rows the vectors serve as well as fitted on
  all, and memory does not grow with the pool: counts exist for the sample and for the blocks in work.
- Two rounds of subspace iteration from a Gaussian start, without oversampling: more of either changes nothing.
- Always 256 dimensions; where the sample has a lower rank the last ones are zero.

Every text but the empty one gets a unit vector. A text that has (nearly) nothing in common with the fitted rows would
be projected to rounding errors; it gets its TF-IDF row summed into 256 bins instead (`sketched_rows` counts them), so
that equal texts stay equal and different ones stay apart.

The vectors are the same for any number of workers: rows are independent, and sums over rows go through fixed blocks.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from curate.engine.blocks import map_blocks, one_blas_thread
from curate.errors import UsageError

DIMENSIONS = 256
FIT_ROWS = 16_384
FIT_BYTES = 8 << 20  # of text: of long rows fewer are fitted on, so that memory stays bounded (our choice)
WORD_WEIGHT = 1.5
ROUNDS = 2

_BLOCK_ROWS, _BLOCK_BYTES = 2048, 256 << 10  # hashed at a time by each worker
_SENT_ROWS = 8192  # texts that a worker of a cluster gets at a time
_DENSE_BLOCK = 4096  # rows of a product whose sums are kept apart
_STRIPE = 32  # blocks between two reports of progress
_LOST = 1e-3  # a row that keeps less than this share of its norm is sketched


class Sparse(NamedTuple):
    """Sparse rows: row i has the entries ends[i] to ends[i + 1] of `columns` (int32) and `values`."""

    ends: np.ndarray
    columns: np.ndarray
    values: np.ndarray


def load(
    argument: str | None,
    *,
    device: str = "auto",
    dtype: str = "fp32",
    seed: int = 0,
    workers: int = 1,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> Lexical:
    """Return the lexical embedder. It runs on the CPU in float32; UsageError for anything else."""
    if argument is not None:
        raise UsageError(f"the embedder lexical takes no argument, and got {argument!r}", "Use --embedder lexical")
    if device == "cuda" or dtype != "fp32":
        asked = "--device cuda" if device == "cuda" else f"--dtype {dtype}"
        raise UsageError(f"{asked}: the embedder lexical runs on the CPU in float32", "Leave the option out.")
    return Lexical(seed=seed, workers=workers, on_progress=on_progress)


@dataclass
class Lexical:
    """Embeds a pool by what its texts are written with; `about` tells what was fitted.

    run: the `map_chunks` of a cluster whose workers project the texts (None: threads of this process do).
    """

    seed: int = 0
    workers: int = 1
    on_progress: Callable[[int, int | None], None] | None = None
    run: Callable[..., Iterator[Any]] | None = None
    about: dict[str, Any] = field(default_factory=dict)

    def embed(self, texts: Sequence[str] | pl.Series) -> np.ndarray:
        """Return one unit row of 256 float32 for each text, fitted on these texts; an empty text gives a zero row."""
        texts = pl.Series(texts, dtype=pl.String).fill_null("")
        rows = sample_rows(texts, self.seed)
        vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
        sketched = rank = 0
        if len(texts):
            idf, basis = _fit(texts.gather(rows), self.seed, self.workers)
            rank = int(np.count_nonzero(basis.any(axis=0)))
            if self.run is None:
                sketched = _project(texts, idf, basis, vectors, self.workers, self.on_progress)
            else:
                sketched = _project_by(self.run, texts, idf, basis, vectors, self.on_progress)
        self.about = {
            "name": "lexical",
            "description": "hashed words, word pairs and character 2-3-grams, TF-IDF, truncated SVD; not semantic",
            "dimensions": DIMENSIONS, "dtype": "float32", "device": "cpu", "max_tokens": None, "truncated_rows": 0,
            "rows": len(texts), "fitted_rows": len(rows), "rank": rank, "sketched_rows": sketched, "seed": self.seed,
            "unicode": unicodedata.unidata_version,
        }  # fmt: skip
        return vectors


def sample_rows(texts: pl.Series, seed: int) -> np.ndarray:
    """Return the positions of the rows to fit on, ascending: a seeded sample of at most FIT_ROWS rows.

    Their texts have at most FIT_BYTES bytes; of a text, no more bytes count than it can have features.
    """
    from curate.sft.embed._lexical_kernels import COLUMNS

    shuffled = np.random.default_rng(seed).permutation(len(texts))[:FIT_ROWS]
    size = np.cumsum(np.minimum(texts.str.len_bytes().to_numpy()[shuffled], COLUMNS), dtype=np.int64)
    return np.sort(shuffled[: np.searchsorted(size, FIT_BYTES, side="right")])


def _fit(texts: pl.Series, seed: int, workers: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the IDF of each column (float32) and the basis (float32, columns × DIMENSIONS) to project on."""
    counts = hash_texts(texts, workers)
    idf = inverse_frequency(counts.columns, len(texts))
    return idf, singular_vectors(tf_idf(counts, idf), seed, workers)


def _project(
    texts: pl.Series,
    idf: np.ndarray,
    basis: np.ndarray,
    out: np.ndarray,
    workers: int,
    on_progress: Callable[[int, int | None], None] | None,
) -> int:
    """Write the unit vectors of `texts` to `out`, block by block; return how many were sketched."""
    from curate.sft.embed._lexical_kernels import multiply_rows

    edges = block_edges(texts)
    sketched = 0

    def project(first: int, i: int, j: int) -> int:
        start, stop = edges[first + i], edges[first + j]
        rows, vectors = tf_idf(hash_block(texts[start:stop]), idf), out[start:stop]
        multiply_rows(rows.ends, rows.columns, rows.values, basis, vectors)
        norm = np.linalg.norm(vectors, axis=1)
        lost = np.flatnonzero((norm < _LOST) & (np.diff(rows.ends) > 0))
        for row in lost.tolist():
            vectors[row] = sketch(rows, row)
        norm[lost] = np.linalg.norm(vectors[lost], axis=1)
        vectors /= np.where(norm > 0, norm, 1)[:, None]
        return len(lost)

    for first in range(0, len(edges) - 1, _STRIPE):
        last = min(first + _STRIPE, len(edges) - 1)
        sketched += sum(map_blocks(partial(project, first), last - first, 1, workers))
        if on_progress is not None:
            on_progress(edges[last], len(texts))
    return sketched


def _project_by(
    run: Callable[..., Iterator[Any]],
    texts: pl.Series,
    idf: np.ndarray,
    basis: np.ndarray,
    out: np.ndarray,
    on_progress: Callable[[int, int | None], None] | None,
) -> int:
    """Do as `_project`, by the workers of a cluster."""
    starts = range(0, len(texts), _SENT_ROWS)
    chunks = (texts[start : start + _SENT_ROWS] for start in starts)
    sketched = 0
    for start, (vectors, lost) in zip(starts, run(_projected, chunks, 1, partial(tuple, (idf, basis))), strict=True):
        out[start : start + len(vectors)] = vectors
        sketched += lost
        if on_progress is not None:
            on_progress(start + len(vectors), len(texts))
    return sketched


def _projected(texts: pl.Series, fitted: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, int]:
    vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
    return vectors, _project(texts, *fitted, vectors, 1, None)


# -- Text to sparse rows -----------------------------------------------------------------------------------------------


def block_edges(texts: pl.Series) -> list[int]:
    """Return where to cut `texts` into blocks of a bounded number of rows and bytes; a long row is a block."""
    size = np.cumsum(texts.str.len_bytes().to_numpy(), dtype=np.int64)
    edges = [0]
    while (start := edges[-1]) < len(texts):
        budget = _BLOCK_BYTES + (size[start - 1] if start else 0)
        stop = int(np.searchsorted(size, budget, side="right"))
        edges.append(min(max(stop, start + 1), start + _BLOCK_ROWS, len(texts)))
    return edges


def hash_texts(texts: pl.Series, workers: int) -> Sparse:
    """Return the feature counts of all `texts` at once."""
    edges = block_edges(texts)
    parts = map_blocks(lambda i, j: hash_block(texts[edges[i] : edges[j]]), len(edges) - 1, 1, workers)
    starts = np.cumsum([0] + [len(part.columns) for part in parts])
    ends = [part.ends[1:] + start for part, start in zip(parts, starts, strict=False)]
    return Sparse(
        np.concatenate([[0], *ends]),
        np.concatenate([part.columns for part in parts]),
        np.concatenate([part.values for part in parts]),
    )


def hash_block(texts: pl.Series) -> Sparse:
    """Return the feature counts (int32) of a block of texts."""
    from curate.sft.embed._lexical_kernels import COLUMNS, character_table, hash_rows

    data = np.frombuffer(texts.str.join("").item().encode(), dtype=np.uint8)
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum(texts.str.len_bytes().to_numpy(), out=offsets[1:])
    room = int(np.minimum(4 * np.diff(offsets) + 2, COLUMNS).sum())
    columns, counts = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int32)
    ends = np.empty(len(texts) + 1, dtype=np.int64)
    hash_rows(data, offsets, character_table(), np.full(COLUMNS, -1, dtype=np.int32), columns, counts, ends)
    return Sparse(ends, columns[: ends[-1]].copy(), counts[: ends[-1]].copy())


def inverse_frequency(columns: np.ndarray, rows: int) -> np.ndarray:
    """Return the smoothed IDF ln((1 + rows) / (1 + df)) + 1 of each column, times WORD_WEIGHT for words (float32)."""
    from curate.sft.embed._lexical_kernels import COLUMNS, HALF

    idf = np.log((1 + rows) / (1 + np.bincount(columns, minlength=COLUMNS))) + 1
    idf[:HALF] *= WORD_WEIGHT
    return idf.astype(np.float32)


def tf_idf(counts: Sparse, idf: np.ndarray) -> Sparse:
    """Return rows of (1 + ln count) × IDF, scaled to unit norm (float32)."""
    values = (1 + np.log(counts.values, dtype=np.float32)) * idf[counts.columns]
    lengths = np.diff(counts.ends)
    row = np.repeat(np.arange(len(lengths)), lengths)
    norm = np.sqrt(np.bincount(row, weights=np.square(values), minlength=len(lengths)))
    return Sparse(counts.ends, counts.columns, values / norm[row].astype(np.float32))


def tf_idf_reference(counts: np.ndarray, idf: np.ndarray) -> np.ndarray:
    """Return the dense TF-IDF rows of a dense matrix of counts, in float64."""
    weights: np.ndarray = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) * idf.astype(np.float64)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    return weights


def sketch(rows: Sparse, row: int) -> np.ndarray:
    """Return the values of one row summed into DIMENSIONS bins: never zero, because no value is negative."""
    entries = slice(rows.ends[row], rows.ends[row + 1])
    bins = rows.columns[entries] % DIMENSIONS
    total: np.ndarray = np.bincount(bins, weights=rows.values[entries], minlength=DIMENSIONS)
    return total.astype(np.float32)


# -- Randomised SVD ----------------------------------------------------------------------------------------------------


def singular_vectors(rows: Sparse, seed: int, workers: int) -> np.ndarray:
    """Return the right singular vectors of sparse rows as a basis (float32, columns × DIMENSIONS), strongest first.

    Subspace iteration with a Rayleigh-Ritz step at the end (Halko, Martinsson, Tropp 2011, algorithms 4.4 and 5.1).
    The sign of a vector is such that its largest entry is positive. Dimensions beyond the rank are zero.
    """
    n = len(rows.ends) - 1
    turned = transposed(rows)
    q = np.random.default_rng(seed).standard_normal((n, min(DIMENSIONS, n)), dtype=np.float32)
    for _ in range(ROUNDS):
        q = orthonormal(_times(rows, _times(turned, q, workers), workers), workers)
    basis = orthonormal(_times(turned, q, workers), workers)
    basis *= np.where(basis.max(axis=0) >= -basis.min(axis=0), 1, -1).astype(np.float32)
    rank = basis.shape[1]
    return basis if rank == DIMENSIONS else np.pad(basis, ((0, 0), (0, DIMENSIONS - rank)))


def transposed(rows: Sparse) -> Sparse:
    """Return the rows of the transposed matrix, one for each column."""
    from scipy.sparse import csr_array

    from curate.sft.embed._lexical_kernels import COLUMNS

    turned = csr_array((rows.values, rows.columns, rows.ends), shape=(len(rows.ends) - 1, COLUMNS)).tocsc()
    return Sparse(turned.indptr.astype(np.int64), turned.indices.astype(np.int32), turned.data)


def orthonormal(x: np.ndarray, workers: int) -> np.ndarray:
    """Return orthonormal columns that span those of `x`, the direction of most energy first (float32).

    By the eigenvectors of the Gram matrix in float64, summed block by block; directions that hold less than 1e-10 of
    the energy of the first are rounding errors and left out.
    """

    def gram(start: int, stop: int) -> np.ndarray:
        block = x[start:stop].astype(np.float64)
        return block.T @ block

    with one_blas_thread():
        energy, directions = np.linalg.eigh(sum(map_blocks(gram, len(x), _DENSE_BLOCK, workers)))
    energy, directions = energy[::-1], directions[:, ::-1]
    kept = energy > 1e-10 * energy.max(initial=0)
    turn = (directions[:, kept] / np.sqrt(energy[kept])).astype(np.float32)
    out = np.empty((len(x), turn.shape[1]), dtype=np.float32)

    def project(start: int, stop: int) -> None:
        np.matmul(x[start:stop], turn, out=out[start:stop])

    map_blocks(project, len(x), _DENSE_BLOCK, workers)
    return out


def _times(rows: Sparse, dense: np.ndarray, workers: int) -> np.ndarray:
    """Return the product of sparse rows and a dense matrix (float32)."""
    from curate.sft.embed._lexical_kernels import multiply_rows

    out = np.zeros((len(rows.ends) - 1, dense.shape[1]), dtype=np.float32)

    def multiply(start: int, stop: int) -> None:
        multiply_rows(rows.ends[start : stop + 1], rows.columns, rows.values, dense, out[start:stop])

    map_blocks(multiply, len(out), _BLOCK_ROWS, workers)
    return out
