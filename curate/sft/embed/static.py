"""Embed with a static model: a vector for each token, averaged (`--embedder static:FOLDER_OR_ID`).

Folders of model2vec and StaticEmbedding folders of sentence-transformers, read by model2vec itself. Texts are not cut.
Thousands of rows a second, without a GPU; what it costs in quality: docs/embedders.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from curate.errors import MissingExtra, UsageError
from curate.sft.embed._loading import cannot_load, locate, module_types
from curate.sft.embed._model import ModelEmbedder, Take

_ROWS = 1024  # averaged between two reports of progress


def load(
    argument: str | None,
    *,
    device: str = "auto",
    dtype: str = "fp32",
    seed: int = 0,
    workers: int = 1,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> ModelEmbedder:
    """Return the embedder for a folder or a hub id. It runs on the CPU in float32, UsageError for anything else.

    Raises MissingExtra without model2vec, and CurateError when the model cannot be loaded.
    """
    if not argument:
        raise UsageError("which static model?", "Give a folder or a hub id: --embedder static:./folder")
    if device == "cuda" or dtype != "fp32":
        asked = "--device cuda" if device == "cuda" else f"--dtype {dtype}"
        raise UsageError(f"{asked}: static models run on the CPU in float32", "Leave the option out.")
    if find_spec("model2vec") is None:
        raise MissingExtra(f"the embedder static:{argument}", "model2vec", "static")
    from model2vec import StaticModel

    found = locate(argument)
    try:
        model = StaticModel.from_pretrained(found.folder)
    except Exception as error:
        raise cannot_load(argument, error, "a folder of model2vec or of StaticEmbedding") from error
    about = {"name": f"static:{argument}", **found.about(), "dimensions": int(model.dim), "dtype": "float32"}
    return ModelEmbedder(
        about | {"device": "cpu", "max_tokens": None, "normalised_by": "curate"},
        partial(_compute, model),
        identity={
            "weights_sha256": about["weights_sha256"],
            "settings_sha256": found.settings_sha256(),
            "model2vec": metadata.version("model2vec"),
            "numpy": np.__version__,
        },
        on_progress=on_progress,
    )


def is_static(folder: Path) -> bool:
    """Return whether a folder holds a static model, by its modules.json or config.json."""
    if any(kind.endswith(".StaticEmbedding") for kind in module_types(folder)):
        return True
    try:
        return bool(json.loads((folder / "config.json").read_bytes()).get("model_type") == "model2vec")
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def _compute(model: Any, texts: list[str], take: Take) -> None:
    for start in range(0, len(texts), _ROWS):
        some = texts[start : start + _ROWS]
        vectors = model.encode(some, max_length=None, use_multiprocessing=False)
        take(np.arange(start, start + len(some)), np.zeros(len(some), dtype=bool), vectors.astype(np.float32))
