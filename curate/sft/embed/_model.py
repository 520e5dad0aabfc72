"""An embedder that computes each text by itself: equal texts once, known ones from the cache, the rest by a model.

What a kind of model (sentence_transformers, hidden, static) brings is a function that computes vectors; this module
does what is the same for all of them: unit norm, checks, counts, the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from curate.errors import CurateError
from curate.sft.embed._cache import VectorCache, text_keys

Take = Callable[[np.ndarray, np.ndarray, np.ndarray], None]
"""Called with positions, which of these texts were cut (bool) and their vectors (float32), of any length."""


@dataclass
class ModelEmbedder:
    """`compute(texts, take)` hands the vectors of texts, all distinct, to `take`, batch by batch in any order.

    A vector has to depend on its text and `identity` alone, to the last bit. `about` says which model, and after
    `embed` how it went.
    """

    about: dict[str, Any]
    compute: Callable[[list[str], Take], None]
    identity: dict[str, Any]
    on_progress: Callable[[int, int | None], None] | None = None
    check: Callable[[list[str], np.ndarray, np.ndarray], dict[str, Any]] | None = None
    """Called with texts, their unit vectors and which were computed just now; what it returns goes into `about`."""
    notes: list[str] = field(default_factory=list)

    def embed(self, texts: Sequence[str] | pl.Series) -> np.ndarray:
        """Return one unit row (float32) for each text; zero for a text that holds nothing the model knows.

        Raises CurateError when a vector is not finite.
        """
        row: dict[str, int] = {}
        rows = np.array([row.setdefault(text, len(row)) for text in texts], dtype=np.int64)
        distinct = list(row)
        vectors = np.zeros((len(distinct), self.about["dimensions"]), dtype=np.float32)
        truncated = np.zeros(len(distinct), dtype=bool)
        missing, said = self._compute_missing(distinct, truncated, vectors)
        if self.check is not None:
            self.about |= self.check(distinct, vectors, missing)
        zero = int(np.count_nonzero(np.logical_not(vectors.any(axis=1))[rows]))
        if zero:
            texts_hold = "1 text holds" if zero == 1 else f"{zero:,} texts hold"
            said.append(f"{texts_hold} nothing that {self.about['name']} knows: a zero vector")
        self.about |= {
            "rows": len(rows),
            "truncated_rows": int(truncated[rows].sum()),
            "zero_rows": zero,
            "distinct_texts": len(distinct),
            "cached_texts": len(distinct) - len(missing),
            "notes": self.notes + said,
        }
        return vectors if len(distinct) == len(rows) else vectors[rows]

    def _compute_missing(
        self, texts: list[str], truncated: np.ndarray, vectors: np.ndarray
    ) -> tuple[np.ndarray, list[str]]:
        """Fill `truncated` and `vectors`; return which texts were not in the cache, and what is to be said of it."""
        cache, keys = VectorCache(self.identity), text_keys(texts)
        missing = cache.fill(keys, truncated, vectors)
        done = 0

        def take(at: np.ndarray, cut: np.ndarray, found: np.ndarray) -> None:
            nonlocal done
            where = missing[at]
            truncated[where], vectors[where] = cut, self._unit(found, [texts[i] for i in where[:1]])
            cache.add(keys[where], cut, vectors[where])
            done += len(at)
            if self.on_progress is not None:
                self.on_progress(done, len(missing))

        try:
            self.compute([texts[i] for i in missing], take)
        finally:  # also after Ctrl-C: what is computed is kept
            cache.flush()
        return missing, [f"vectors are not cached: {cache.fault}"] if cache.fault else []

    def _unit(self, vectors: np.ndarray, texts: list[str]) -> np.ndarray:
        norm = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(norm).all():
            raise CurateError(
                f"{self.about['name']} gave a vector that is not finite, for {texts[0][:60]!r} or a text beside it",
                "Try --dtype fp32, or another embedder.",
            )
        unit: np.ndarray = vectors / np.where(norm > 0, norm, 1)
        return unit
