"""Where the vectors of a selection come from: an embedder, or a file of one's own; and whether they are spread out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from curate.report.progress import Advance
from curate.sft import isotropy, own_vectors
from curate.sft.config import SelectConfig
from curate.sft.embed import load as load_embedder
from curate.sft.embed.lexical import DIMENSIONS
from curate.sft.ledger import text_to_embed
from curate.sft.memory import check_memory

Vectors: TypeAlias = tuple[np.ndarray, dict[str, Any], list[str]]
"""Unit rows (float32, n_live × d), what made them, and notes for the user."""
VectorSource: TypeAlias = Callable[[pl.DataFrame, int], Vectors]
"""Gives vectors to live rows; it is told the number of records that can be read."""


def vector_source(config: SelectConfig, seed: int, on_progress: Advance) -> VectorSource:
    """Load the embedder or open the file of --vectors; return what gives vectors to live rows.

    That function takes the live rows and the number of records that can be read.
    """
    vectors_of = _from_embedder(config, seed, on_progress) if config.vectors is None else _from_file(config)

    def vectors(live: pl.DataFrame, readable: int) -> Vectors:
        rows, about = vectors_of(live, readable)
        notes = about.pop("notes", [])
        if config.center:
            isotropy.center(rows, config.workers)
        cosine = isotropy.mean_cosine(rows, config.workers)
        about |= {"centered": config.center, "mean_pairwise_cosine": cosine}
        return rows, about, [*notes, *isotropy.narrow_note(cosine, centered=config.center)]

    return vectors


def _from_embedder(config: SelectConfig, seed: int, on_progress: Advance) -> Callable[..., tuple[np.ndarray, Any]]:
    embedder = load_embedder(
        config.embedder,
        engine=config.engine,
        device=config.device,
        dtype=config.dtype,
        seed=seed,
        workers=config.workers,
        on_progress=on_progress,
    )

    def vectors_of(live: pl.DataFrame, _: int) -> tuple[np.ndarray, Any]:
        check_memory(config.memory, live.height, embedder.about.get("dimensions", DIMENSIONS))
        return embedder.embed(text_to_embed(live, config.embed_text)), dict(embedder.about)

    return vectors_of


def _from_file(config: SelectConfig) -> Callable[..., tuple[np.ndarray, Any]]:
    own = own_vectors.load(str(config.vectors))

    def vectors_of(live: pl.DataFrame, readable: int) -> tuple[np.ndarray, Any]:
        check_memory(config.memory, live.height, own.dimensions)
        return own.rows_of(live, readable, config.workers), dict(own.about)

    return vectors_of
