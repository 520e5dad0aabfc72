"""`config.json` of a model to its `Shape`, for the architectures whose counts were checked against transformers.

An unknown `model_type` is an error, not a guess: two architectures with the same keys can differ by a matrix a layer.
A new architecture is one more reader here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from curate.budget.shapes import Latent, Shape
from curate.errors import CurateError, UsageError, unknown_name

Config = Mapping[str, Any]
_LARGEST = 10**9  # of any size; our choice, far above every model


def _experts(config: Config) -> int:
    """Return the number of experts; transformers writes it under either name."""
    return int(config["num_experts"] if "num_experts" in config else config["num_local_experts"])


def _gpt2(config: Config) -> Shape:
    width = config["n_embd"]
    return Shape(
        config["n_layer"],
        width,
        config["n_head"],
        config.get("n_inner") or 4 * width,
        config["vocab_size"],
        gated=False,
        tied=config.get("tie_word_embeddings", True),
        qkv_bias=True,
        out_bias=True,
        mlp_bias=True,
        norm_bias=True,
        positions=config["n_positions"],
    )


def _gpt_neox(config: Config) -> Shape:
    bias = config.get("attention_bias", True)
    return Shape(
        config["num_hidden_layers"],
        config["hidden_size"],
        config["num_attention_heads"],
        config["intermediate_size"],
        config["vocab_size"],
        gated=False,
        tied=config.get("tie_word_embeddings", False),
        qkv_bias=bias,
        out_bias=bias,
        mlp_bias=True,
        norm_bias=True,
    )


def _llama(config: Config, **differs: Any) -> Shape:
    """Return the shape of a Llama; `differs` holds what an offspring does otherwise."""
    options: dict[str, Any] = {
        "kv_heads": config.get("num_key_value_heads") or 0,
        "head_dim": config.get("head_dim") or 0,
        "tied": config.get("tie_word_embeddings", False),
        "qkv_bias": config.get("attention_bias", False),
        "out_bias": config.get("attention_bias", False),
        "mlp_bias": config.get("mlp_bias", False),
    }
    return Shape(
        config["num_hidden_layers"],
        config["hidden_size"],
        config["num_attention_heads"],
        config["intermediate_size"],
        config["vocab_size"],
        **(options | differs),
    )


def _qwen2(config: Config) -> Shape:
    return _llama(config, qkv_bias=True, out_bias=False)


def _qwen3(config: Config) -> Shape:
    return _llama(config, qk_norm="head", head_dim=config.get("head_dim") or 128)


def _olmo2(config: Config) -> Shape:
    return _llama(config, qk_norm="full")


def _gemma(config: Config) -> Shape:
    return _llama(config, tied=config.get("tie_word_embeddings", True), head_dim=config.get("head_dim") or 256)


def _gemma2(config: Config) -> Shape:
    return _llama(config, tied=config.get("tie_word_embeddings", True), head_dim=config.get("head_dim") or 256, norms=4)


def _mixtral(config: Config) -> Shape:
    return _llama(
        config,
        experts=_experts(config),
        experts_active=config["num_experts_per_tok"],
        expert_ff=config["intermediate_size"],
    )


def _dense_layers(config: Config) -> int:
    """Return how many layers of a Qwen mixture have no experts."""
    layers, every, dense = (
        config["num_hidden_layers"],
        config.get("decoder_sparse_step", 1),
        config.get("mlp_only_layers"),
    )
    named = {layer for layer in dense or () if 0 <= layer < layers and (layer + 1) % every == 0}
    return int(layers - layers // every + len(named))


def _qwen2_moe(config: Config) -> Shape:
    return _llama(
        config,
        qkv_bias=True,
        out_bias=False,
        experts=_experts(config),
        experts_active=config["num_experts_per_tok"],
        expert_ff=config["moe_intermediate_size"],
        shared_ff=config["shared_expert_intermediate_size"],
        shared_gate=True,
        dense_layers=_dense_layers(config),
    )


def _qwen3_moe(config: Config) -> Shape:
    return _llama(
        config,
        qk_norm="head",
        head_dim=config.get("head_dim") or 128,
        experts=_experts(config),
        experts_active=config["num_experts_per_tok"],
        expert_ff=config["moe_intermediate_size"],
        dense_layers=_dense_layers(config),
    )


def _deepseek(config: Config) -> Shape:
    return _llama(
        config,
        kv_heads=0,
        head_dim=config["qk_nope_head_dim"] + config["qk_rope_head_dim"],
        experts=config["n_routed_experts"],
        experts_active=config["num_experts_per_tok"],
        expert_ff=config["moe_intermediate_size"],
        shared_ff=config["moe_intermediate_size"] * (config.get("n_shared_experts") or 0),
        dense_layers=config.get("first_k_dense_replace", 0),
        latent=Latent(
            config.get("q_lora_rank") or 0,
            config["kv_lora_rank"],
            config["qk_rope_head_dim"],
            config["qk_nope_head_dim"],
            config["v_head_dim"],
        ),
    )


READERS: dict[str, Callable[[Config], Shape]] = {
    "deepseek_v2": _deepseek,
    "deepseek_v3": _deepseek,
    "gemma": _gemma,
    "gemma2": _gemma2,
    "gpt2": _gpt2,
    "gpt_neox": _gpt_neox,
    "llama": _llama,
    "mistral": _llama,
    "mixtral": _mixtral,
    "olmo2": _olmo2,
    "phi3": _llama,
    "qwen2": _qwen2,
    "qwen2_moe": _qwen2_moe,
    "qwen3": _qwen3,
    "qwen3_moe": _qwen3_moe,
}


def read_shape(path: str | Path) -> Shape:
    """Return the shape that a model's `config.json`, or a directory that holds one, describes.

    Raises CurateError for a file that cannot be read, lacks a key or holds a size that is no positive whole number,
    and UsageError for an architecture that is not known.
    """
    path = Path(path)
    path = path / "config.json" if os.path.isdir(path) else path
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        hint = "Give a config.json or the directory that holds it, or --params."
        raise CurateError(f"cannot read the model config {path}: {error.strerror}", hint) from error
    except (ValueError, RecursionError) as error:
        raise CurateError(f"the model config {path} is not JSON: {error}", "Give --params instead.") from error
    if not isinstance(config, dict):
        raise CurateError(f"{path} holds a {type(config).__name__}, not the object of a model config")
    return _shape(config, str(path))


def _shape(config: Config, where: str) -> Shape:
    """Return the shape of a config read from `where`, checked."""
    kind = config.get("model_type")
    if kind is None:
        raise UsageError(f"{where} has no model_type", f"Known: {', '.join(sorted(READERS))}")
    if not isinstance(kind, str) or kind not in READERS:
        error = unknown_name(f"model_type in {where}:", str(kind), READERS)
        raise UsageError(error.what, f"{error.hint}. Or give --params.")
    try:
        shape = READERS[kind](config)
    except KeyError as error:
        raise CurateError(f"{where} ({kind}) has no {error}", "Give --params instead.") from error
    except (TypeError, ValueError, ArithmeticError) as error:
        raise CurateError(f"{where} ({kind}) holds a size that is no number: {error}") from error
    _check_sizes(shape, f"{where} ({kind})")
    if shape.experts_active > shape.experts:
        raise CurateError(
            f"{where} ({kind}): experts_active = {shape.experts_active} should be <= experts = {shape.experts}"
        )
    return shape


def _check_sizes(shape: Shape, where: str) -> None:
    """Raise CurateError for a size that is no whole number, or that no model has."""
    sizes = {name: (getattr(shape, name), 1) for name in ("layers", "width", "heads", "ff", "vocab")}
    for name in ("kv_heads", "head_dim", "experts", "experts_active", "expert_ff", "shared_ff", "positions"):
        sizes[name] = (getattr(shape, name), 0)
    sizes["dense_layers"] = (shape.dense_layers, 0)
    sizes |= {f"latent.{name}": (size, 0) for name, size in (vars(shape.latent) if shape.latent else {}).items()}
    for name, (size, least) in sizes.items():
        if not isinstance(size, int) or not least <= size <= _LARGEST:
            raise CurateError(f"{where}: {name} = {size!r} should be a whole number from {least} to {_LARGEST:,}")
