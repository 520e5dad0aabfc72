"""Embed with a model on the workers of a cluster, one for each GPU where there are any, else one for each CPU.

The model is loaded by the workers alone: the machine that starts a run may have no GPU, and no model. A vector depends
on its text and on what the embedder calls its identity, so it does not matter which worker computes it, as long as all
have the same processor. The cache of vectors stays with the machine that starts the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from curate.engine import ray
from curate.sft.embed._model import ModelEmbedder, Take

if TYPE_CHECKING:
    from curate.sft.embed import Embedder

CHUNK_TEXTS = 4096  # sorted by length and embedded at a time; few enough to be done again


def load(
    module: Any,
    argument: str | None,
    *,
    device: str,
    seed: int,
    on_progress: Callable[[int, int | None], None] | None,
    **options: Any,
) -> Embedder:
    """Return an embedder whose model, that of an embedder's `module`, is with the workers; the rest as its `load`.

    What the lexical embedder fits, it fits here; a module of the user's own runs here.
    """
    given = options | {"device": device, "seed": seed, "on_progress": on_progress}
    if not module.__name__.startswith(__package__):
        own: Embedder = module.load(argument, **given)
        return own
    if module.__name__ == f"{__package__}.lexical":
        lexical: Embedder = replace(module.load(argument, **given), run=ray.map_chunks)
        return lexical
    gpus = 1 if device != "cpu" and ray.resource("GPU") else 0
    there = given | {"workers": 1, "on_progress": None}
    ask = partial(ray.map_chunks, _answer, workers=1, setup=partial(module.load, argument, **there), gpus=gpus)
    about, identity, notes, checked = next(ask([("facts", None)]))

    def compute(question: str, texts: list[str], take: Take) -> None:
        starts = range(0, len(texts), CHUNK_TEXTS)
        for start, found in zip(starts, ask((question, texts[at : at + CHUNK_TEXTS]) for at in starts), strict=True):
            places, truncated, vectors = found
            take(start + places, truncated, vectors)

    check = None
    if checked:
        from curate.sft.embed._torch import cosine_to_fp32

        check = partial(cosine_to_fp32, exact=partial(compute, "exact"), seed=seed)
    return ModelEmbedder(about, partial(compute, "compute"), identity, on_progress, check, notes)


def _answer(question: tuple[str, Any], embedder: ModelEmbedder) -> Any:
    """Answer in a worker: what the embedder is (facts), or vectors of texts, in its precision or in float32 (exact)."""
    asked, texts = question
    if asked == "facts":
        return embedder.about, embedder.identity, embedder.notes, embedder.check is not None
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    compute = embedder.compute if asked == "compute" else embedder.check.keywords["exact"]  # type: ignore[union-attr]
    compute(texts, lambda *batch: found.append(batch))
    none = np.empty(0, np.int64), np.empty(0, np.bool_), np.empty((0, embedder.about["dimensions"]), np.float32)
    return tuple(np.concatenate(column) for column in zip(none, *found, strict=True))
