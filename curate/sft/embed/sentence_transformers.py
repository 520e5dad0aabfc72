"""Embed with a transformer: any text model that sentence-transformers loads, from the hub or from a folder.

Tokens, pooling and prompt are the model's own (masked mean where a model defines none); the unit norm is ours where the
model has none. How a model is found and what is never loaded: `_loading`; how it is run: `_torch`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import metadata
from typing import Any

import numpy as np

from curate.errors import CurateError, UsageError
from curate.sft.embed import _torch
from curate.sft.embed._loading import PACKAGED, Found, cannot_load, device_of, locate, module_types, no_bars
from curate.sft.embed._model import ModelEmbedder


def load(
    argument: str | None,
    *,
    device: str = "auto",
    dtype: str = "fp32",
    seed: int = 0,
    workers: int = 1,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> ModelEmbedder:
    """Return the embedder for a hub id or a folder.

    Raises UsageError when none is named, a folder is not there or there is no GPU, and CurateError when the model
    cannot be loaded or is no transformer of texts.
    """
    if not argument:
        raise UsageError("which model?", f"Give a hub id or a folder: --embedder {PACKAGED[0]}")
    target = device_of(device)
    found = locate(argument)
    model = _open(argument, found, target)
    return _torch.embedder(
        tokenize=partial(_tokenize, model),
        forward=partial(_forward, model, _constants(model)),
        about={"name": argument, **found.about(), **_sizes(model), "device": target},
        settings={"settings_sha256": found.settings_sha256(), "library": metadata.version("sentence-transformers")},
        bf16=dtype == "bf16", seed=seed, threads=workers, on_progress=on_progress,
    )  # fmt: skip


def _open(name: str, found: Found, device: str) -> Any:
    """Return the model. Raises CurateError where it cannot be loaded or its first module is no transformer."""
    from sentence_transformers import SentenceTransformer

    if any(kind.endswith(".StaticEmbedding") for kind in module_types(found.folder)):
        raise UsageError(f"{name} is a static model", f"Use --embedder static:{name}")
    with no_bars():
        try:
            model = SentenceTransformer(
                str(found.folder),
                device=device,
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True, "dtype": "float32"},
            )
        except Exception as error:
            kind = "a sentence-transformers or transformers model with safetensors weights"
            raise cannot_load(name, error, kind) from error
    if getattr(getattr(model[0], "tokenizer", None), "pad_token", "") is None:
        raise CurateError(
            f"{name} has no padding token: a language model, and no embedding model",
            f"For its hidden states: --embedder hidden:{name}",
        )
    if "attention_mask" not in model.preprocess(["a"]):
        raise CurateError(f"{name} begins with {type(model[0]).__name__}", "Use a transformer that embeds texts.")
    return model.eval()


def _sizes(model: Any) -> dict[str, Any]:
    limit = model.max_seq_length
    return {
        "dimensions": int(model.encode(["a"], show_progress_bar=False).shape[1]),
        "max_tokens": int(limit) if limit is not None and limit < 10**9 else None,
        "modules": [type(module).__name__ for module in model],
        "normalised_by": "model" if type(model[-1]).__name__ == "Normalize" else "curate",
        "prompt": _prompt(model) or None,
    }


def _prompt(model: Any) -> str:
    """Return what the model puts before each text, "" for nothing."""
    return (model.prompts or {}).get(model.default_prompt_name) or ""


def _tokenize(model: Any, texts: list[str]) -> list[_torch.Tokens]:
    """Tokenise as `encode` does, and take the padding off again."""
    prompt = _prompt(model)
    batch = model.preprocess(texts, prompt=prompt or None)
    real = batch["attention_mask"].bool().numpy()
    tensors = {name: value.numpy() for name, value in batch.items() if getattr(value, "shape", None) == real.shape}
    cut = _torch.truncated(model.tokenizer, [prompt + text for text in texts], real.sum(axis=1), model.max_seq_length)
    return [
        _torch.Tokens(bool(cut[i]), {name: np.ascontiguousarray(value[i][real[i]]) for name, value in tensors.items()})
        for i in range(len(texts))
    ]


def _constants(model: Any) -> dict[str, Any]:
    """Return what the model wants to know beside tokens, such as the length of its prompt."""
    batch = model.preprocess(["a"], prompt=_prompt(model) or None)
    return {name: value for name, value in batch.items() if not hasattr(value, "shape")}


def _forward(model: Any, constants: dict[str, Any], features: dict[str, Any]) -> Any:
    return model(features | constants)["sentence_embedding"]
