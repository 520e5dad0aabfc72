"""Embed with the hidden states of a language model: `--embedder hidden:NAME_OR_PATH[:layer]`.

The embedding of "Maybe Only 0.5 % Data is Needed" (arXiv 2305.09246, step 2): the last hidden state (or that of a
layer), averaged over the tokens of a text, to unit norm. NAME_OR_PATH is any model that transformers' AutoModel loads.

- Batches have no padding (`_torch`), so the mean over real tokens is the mean.
- Texts are cut at 512 tokens; `truncated_rows` counts them.
- Layers count as transformers counts them: 0 is the input embedding, -1 or the number of layers is the last, after the
  model's final norm.
- Hidden states of language models lie in a narrow cone; `--center` is for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from curate.errors import UsageError
from curate.sft.embed import _torch
from curate.sft.embed._loading import Found, cannot_load, device_of, locate, no_bars
from curate.sft.embed._model import ModelEmbedder

MAX_TOKENS = 512  # our choice; the paper names no limit


def load(
    argument: str | None,
    *,
    device: str = "auto",
    dtype: str = "fp32",
    seed: int = 0,
    workers: int = 1,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> ModelEmbedder:
    """Return the embedder for NAME_OR_PATH[:layer].

    Raises UsageError when no model or no such layer is named, and CurateError when the model cannot be loaded.
    """
    split = re.fullmatch(r"(.+?)(?::(-?\d+))?", argument or "")
    if split is None:
        raise UsageError("whose hidden states?", "Give a hub id or a folder: --embedder hidden:Qwen/Qwen3-0.6B")
    name, target = split[1], device_of(device)
    found = locate(name)
    model, tokenizer = _open(name, found, target)
    layer = _layer(split[2], int(model.config.num_hidden_layers))
    limit = min(MAX_TOKENS, int(getattr(model.config, "max_position_embeddings", None) or MAX_TOKENS))
    sizes = {"dimensions": int(model.config.hidden_size), "max_tokens": limit, "layer": layer}
    return _torch.embedder(
        tokenize=partial(_tokenize, tokenizer, limit),
        forward=partial(_forward, model, layer),
        about={"name": f"hidden:{argument}", **found.about(), **sizes, "normalised_by": "curate", "device": target},
        settings={"settings_sha256": found.settings_sha256(), "hidden_layer": layer},
        bf16=dtype == "bf16", seed=seed, threads=workers, on_progress=on_progress,
    )  # fmt: skip


def _open(name: str, found: Found, device: str) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    with no_bars():
        try:
            tokenizer = AutoTokenizer.from_pretrained(found.folder, trust_remote_code=False, local_files_only=True)
            model = AutoModel.from_pretrained(
                found.folder, trust_remote_code=False, local_files_only=True, use_safetensors=True, dtype="float32"
            )
        except Exception as error:
            raise cannot_load(name, error, "a transformers model with safetensors weights and a tokenizer") from error
    return model.eval().to(device), tokenizer


def _layer(asked: str | None, layers: int) -> int:
    """Return the number of the layer, 0 to `layers`; the last one unless another is asked for."""
    layer = int(asked) if asked else layers
    if not -layers - 1 <= layer <= layers:
        raise UsageError(f"the model has {layers} layers, and layer {layer} is asked for", f"Give 0 to {layers}.")
    return layer % (layers + 1)


def _tokenize(tokenizer: Any, limit: int, texts: list[str]) -> list[_torch.Tokens]:
    rows = tokenizer(texts, truncation=True, max_length=limit, padding=False, verbose=False)["input_ids"]
    ids = [np.array(row, dtype=np.int64) for row in rows]
    cut = _torch.truncated(tokenizer, texts, np.array([len(row) for row in ids]), limit)
    return [
        _torch.Tokens(bool(cut[i]), {"input_ids": row, "attention_mask": np.ones_like(row)})
        for i, row in enumerate(ids)
    ]


def _forward(model: Any, layer: int, features: dict[str, Any]) -> Any:
    states = model(**features, output_hidden_states=True, use_cache=False).hidden_states
    return states[layer].float().mean(dim=1)
