"""Duplicates inside the pool, level by level: the same conversation, nearly the same prompt, nearly the same vector.

- Exact: two rows are the same when their canonical chats agree in everything but Unicode normal form and white space:
  who says what in which turn, tools and calls included. Case and punctuation count.
- Near: rows whose prompts (all turns of the user) share 70 % of their runs of five words, found and verified as the
  corpus wing does it (`corpus/minhash.py`), in connected clusters. Answers do not count: a small set has no use for the
  same question twice. Exact copies of a prompt are near-duplicates too.
- Semantic: rows whose vectors have a cosine of at least the threshold with a row that stays, inside K-means cells
  (SemDeDup, Abbas et al. 2023, arXiv 2303.09540). Pairs across cells are not seen.

The survivor is always the row with the lowest id; ids follow the content, so neither the order of the input nor that of
the rows decides.
"""

from __future__ import annotations

import unicodedata
from hashlib import blake2b
from math import ceil
from typing import Any

import numpy as np
import orjson
import polars as pl

from curate.engine.blocks import map_blocks
from curate.errors import UsageError
from curate.sft.distance import F32, F64, I64, slack, squared_distances, squared_norms
from curate.sft.kmeans import kmeans
from curate.sft.ledger import mark

EXACT = "duplicate.exact"
NEAR = "duplicate.near"
SEMANTIC = "duplicate.semantic"
CELL = 4096  # rows in a K-means cell on average (our choice): one pass over all pairs of it takes a tenth of a second
_BLOCK = 512  # rows compared at a time


def mark_exact(frame: pl.DataFrame) -> pl.DataFrame:
    """Mark all but the lowest `id` of each group of alive rows with the same chat; `evidence` is the survivor's id."""
    alive = frame.filter(pl.col("drop_reason").is_null()).select("id", "chat")
    keys = pl.Series("key", [content_key(chat) for chat in alive["chat"]], dtype=pl.Binary)
    lowest = alive.select("id", evidence=pl.col("id").min().over(keys))
    return mark(frame, lowest.filter(pl.col("id") != pl.col("evidence")), EXACT)


def content_key(chat: str) -> bytes:
    """Return the 128-bit hash of a canonical chat; white space and Unicode normal form do not count."""
    return blake2b(orjson.dumps(_plain(orjson.loads(chat)), option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _plain(value: Any) -> Any:
    """Put every text in the JSON `value` into NFC, with single spaces for runs of white space and none at the ends."""
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFC", value).split())
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def mark_near(frame: pl.DataFrame, workers: int = 1) -> pl.DataFrame:
    """Mark all but the lowest `id` of each cluster of alive rows with nearly the same `prompt`.

    `evidence` is the survivor's id. Rows without a prompt are left alone.
    """
    from curate.corpus.clusters import find_duplicates
    from curate.corpus.minhash import MinHashParameters

    alive = frame.filter(pl.col("drop_reason").is_null()).select("id", "prompt").sort("id")
    order = np.arange(alive.height, dtype=np.uint32)
    found = find_duplicates(alive["prompt"], MinHashParameters(), order, workers)
    marks = alive.select("id", evidence=pl.col("id").gather(found.survivor)).filter(pl.Series(~found.kept))
    return mark(frame, marks, NEAR)


def mark_semantic(
    table: pl.DataFrame, live: pl.DataFrame, vectors: F32, threshold: float, seed: int, workers: int = 1
) -> tuple[pl.DataFrame, np.ndarray, list[str]]:
    """Mark the live rows whose vector has a cosine of at least `threshold` with that of a row that stays.

    live: rows of `table` in order of id; vectors: (n_live, d) float32 of length 1, or 0 for a text without features,
    which is like nothing. Returns the table, which of the live rows stay, and notes. `evidence` is the nearest row that
    stays, and the cosine.
    """
    cells = ceil(len(vectors) / CELL)
    labels = kmeans(vectors, cells, seed=seed, workers=workers, ordered=True).labels
    like, cosine = semantic_duplicates(vectors, labels, threshold, workers)
    gone = np.flatnonzero(like >= 0)
    said = [
        f"cosine {value:.4f} with {id}" for value, id in zip(cosine[gone], live["id"].gather(like[gone]), strict=True)
    ]
    marks = pl.DataFrame({"id": live["id"].gather(gone), "evidence": pl.Series(said, dtype=pl.String)})
    notes = [f"semantic duplicates are looked for inside {cells:,} K-means cells; pairs across them are not seen"]
    return mark(table, marks, SEMANTIC), like < 0, notes if cells > 1 else []


def semantic_duplicates(X: F32, labels: np.ndarray, threshold: float, workers: int = 1) -> tuple[I64, F64]:
    """Return for each row of `X` (n, d) the nearest row that stays, -1 where it stays itself, and the cosine with it.

    Within each label rows are taken in order: a row goes where an earlier one that stays has a cosine of at least
    `threshold`, by definition 1 - |x - y|^2 / 2 of the stored rows in float64. Of equally near rows the first counts.
    Raises UsageError on vectors that cannot be compared and on a threshold outside of (0, 1].
    """
    norms = squared_norms(X)
    if not 0 < threshold <= 1:
        raise UsageError(f"cosine {threshold} is not above 0 and at most 1", "Usual: 0.95")
    like, cosine = np.full(len(X), -1, np.int64), np.ones(len(X))
    cells = [np.flatnonzero((labels == cell) & (norms > 0)) for cell in range(int(labels.max()) + 1)]
    error = slack(X.shape[1], float(norms.max()))

    def cell(first: int, stop: int) -> None:  # threads write to different rows
        for rows in cells[first:stop]:
            _first_of_each(X, rows, 2 - 2 * threshold, error, like, cosine)

    map_blocks(cell, len(cells), 1, workers)
    return like, cosine


def _first_of_each(X: F32, rows: I64, largest: float, error: float, like: I64, cosine: F64) -> None:
    """Decide on `rows` (ascending), block by block: against the rows that stay so far, then among themselves."""
    stay = np.empty(0, np.int64)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        one, other, squares = _close_pairs(X, block, np.concatenate((stay, block)), largest, error)
        ok = other < one
        order = np.lexsort((other[ok], squares[ok], one[ok]))
        staying = set(stay.tolist())
        for a, b, square in zip(
            one[ok][order].tolist(), other[ok][order].tolist(), squares[ok][order].tolist(), strict=True
        ):
            if like[a] < 0 and (b in staying or (b >= block[0] and like[b] < 0)):
                like[a], cosine[a] = b, 1 - square / 2
        stay = np.concatenate((stay, block[like[block] < 0]))


def _close_pairs(X: F32, rows: I64, others: I64, largest: float, error: float) -> tuple[I64, I64, F64]:
    """Return the pairs within the squared distance `largest`, screened in float32, decided in float64."""
    A, B = X[rows], X[others]
    screen = (-2 * A) @ B.T
    screen += np.einsum("ij,ij->i", B, B)
    screen += np.einsum("ij,ij->i", A, A)[:, None]
    i, j = np.nonzero(screen <= largest + error)
    squares = squared_distances(X, rows[i], X, others[j])
    close = squares <= largest
    return rows[i[close]], others[j[close]], squares[close]


def semantic_duplicates_reference(X: F32, labels: np.ndarray, threshold: float) -> list[int]:
    """Return the nearest earlier row that stays for each row, -1 where it stays itself: every pair in float64."""
    wide = X.astype(np.float64)
    like: list[int] = []
    for i in range(len(X)):
        stays = [j for j in range(i) if like[j] < 0 and labels[j] == labels[i] and wide[j].any() and wide[i].any()]
        cosines = [1 - ((wide[i] - wide[j]) ** 2).sum() / 2 for j in stays]
        best = int(np.argmax(cosines)) if cosines else -1
        like.append(stays[best] if cosines and cosines[best] >= threshold else -1)
    return like
