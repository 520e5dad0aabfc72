"""Parameter and FLOP counts: against transformers, against published totals, and the shapes a plan proposes."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.budget import shapes
from curate.budget.architectures import READERS, read_shape
from curate.budget.plan import make_plan
from curate.errors import CurateError, UsageError

TINY = {
    "vocab_size": 101,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
LATENT = {
    "n_routed_experts": 6,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "n_shared_experts": 2,
    "first_k_dense_replace": 1,
    "q_lora_rank": 20,
    "kv_lora_rank": 12,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 6,
    "v_head_dim": 10,
    "n_group": 2,
    "topk_group": 1,
}
DIFFERS = {
    "gpt2": {"n_embd": 48, "n_layer": 3, "n_head": 4, "n_positions": 64},
    "qwen3": {"head_dim": 16},
    "gemma": {"head_dim": 16},
    "gemma2": {"head_dim": 16},
    "mixtral": {"num_local_experts": 5, "num_experts_per_tok": 2},
    "qwen2_moe": EXPERTS | {"shared_expert_intermediate_size": 40, "mlp_only_layers": [1]},
    "qwen3_moe": EXPERTS | {"head_dim": 16},
    "deepseek_v2": LATENT,
    "deepseek_v3": LATENT | {"q_lora_rank": None},
}
# Configs and totals of released models, as their model cards and checkpoints have them.
LLAMA_2_7B = {"num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 32000} | {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
}
LLAMA_3_8B = LLAMA_2_7B | {"num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256}
MIXTRAL = LLAMA_2_7B | {
    "model_type": "mixtral",
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
}
QWEN_30B_A3B = {
    "model_type": "qwen3_moe",
    "vocab_size": 151936,
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_hidden_layers": 48,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "num_experts": 128,
    "num_experts_per_tok": 8,
}


def write(path, config):
    path.write_text(json.dumps(config))
    return path


@pytest.mark.parametrize("kind", sorted(READERS))
def test_count_is_that_of_transformers(kind, tmp_path):
    """Every known architecture has exactly the parameters of the model that transformers builds from its config."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    options = TINY | DIFFERS.get(kind, {})
    if kind == "gpt2":
        options = {
            name: value for name, value in options.items() if name not in TINY or name.endswith(("_id", "_size"))
        }
        options = {name: value for name, value in options.items() if name not in ("hidden_size", "intermediate_size")}
    config = transformers.AutoConfig.for_model(kind, **options)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    expected = sum(parameter.numel() for parameter in model.parameters())
    path = write(tmp_path / "config.json", config.to_dict() | {"model_type": kind})
    assert shapes.count(read_shape(path)).total == expected


@pytest.mark.parametrize(
    ("config", "total", "active"),
    [
        (LLAMA_2_7B, 6_738_415_616, None),
        (LLAMA_3_8B, 8_030_261_248, None),
        (MIXTRAL, 46_702_792_704, 12_879_925_248),
        (QWEN_30B_A3B, 30_532_122_624, 3_353_032_704),
    ],
)
def test_released_models(config, total, active, tmp_path):
    """The totals of released models come out exactly, and a directory with a config.json will do."""
    write(tmp_path / "config.json", config)
    counts = shapes.count(read_shape(tmp_path))
    assert counts.total == total
    assert counts.active == (active or total)
    assert counts.non_embedding == total - 2 * config["vocab_size"] * config["hidden_size"]


def test_plan_reads_a_config(tmp_path):
    """A plan takes N, total and active, from a config.json; another N is a contradiction."""
    path = write(tmp_path / "config.json", MIXTRAL)
    plan = make_plan(model=path)
    assert (plan.params, plan.active_params) == (46_702_792_704, 12_879_925_248)
    assert plan.shape is not None
    assert plan.shape.read_from_config
    with pytest.raises(UsageError, match="contradicts"):
        make_plan(model=path, params=7e9)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"model_type": "lama", "hidden_size": 8}', "llama"),
        ('{"hidden_size": 8}', "no model_type"),
        ('{"model_type": "llama", "hidden_size": 8}', "num_hidden_layers"),
        (json.dumps(LLAMA_2_7B | {"hidden_size": -4096}), "width"),
        (json.dumps(LLAMA_2_7B | {"hidden_size": "big"}), "number"),
        (json.dumps(LLAMA_2_7B | {"num_attention_heads": 0}), "heads"),
        ("[]", "list"),
        ("{", "not JSON"),
        (json.dumps(LLAMA_2_7B | {"num_key_value_heads": -8}), "kv_heads"),
        (json.dumps(LLAMA_2_7B | {"num_key_value_heads": 8.5}), "kv_heads"),
        (json.dumps(MIXTRAL | {"num_experts_per_tok": 9}), "experts_active = 9 should be <= experts = 8"),
    ],
)
def test_bad_configs_are_refused(content, says, tmp_path):
    """An unknown architecture, a missing key and a size that is none are errors that name them."""
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(CurateError, match=says):
        read_shape(path)
    with pytest.raises(CurateError, match="cannot read"):
        read_shape(tmp_path / "none.json")


@settings(deadline=None, max_examples=40)
@given(st.floats(7.2, 12.0))  # below 16 million attention and head take more than 40 %: 1.412 times 6 N D at most
def test_proposed_shape_has_about_so_many_parameters(power):
    """The proposed shape is within 5 % of N, its heads divide its width, and 6 N D is right within 40 %."""
    shape = shapes.propose(10**power)
    assert shape is not None
    counts = shapes.count(shape)
    assert abs(math.log(counts.total / 10**power)) < 0.05
    assert shape.width % shape.heads == 0
    assert 1 <= shapes.six_nd_ratio(shape, 2048) < 1.4


def test_no_shape_where_the_vocabulary_is_the_model():
    """A million parameters do not hold a vocabulary of 128,000; the plan says so instead of proposing one."""
    assert shapes.propose(1e6, 128_000) is None
    plan = make_plan(params=1e6, vocab=128_000)
    assert plan.shape is None
    assert plan.non_embedding_params == plan.params
    assert "128,000" in " ".join(plan.assumptions)


def test_where_6nd_fails():
    """6 N D is within 5 % for a 7B at context 2,048, and under half of the FLOP at context 131,072."""
    shape = shapes.propose(7e9)
    assert shapes.six_nd_ratio(shape, 2048) < 1.05
    assert shapes.six_nd_ratio(shape, 131_072) > 2


def test_where_12ld2_fails():
    """12 l d^2 is a plain GPT's count, and a quarter too high for a model with few key heads and a narrow layer."""
    gpt = shapes.count(shapes.gpt2_shape(12, 768, 12, 50257, 1024))
    assert gpt.non_embedding == pytest.approx(shapes.gpt_params(12, 768), rel=2e-3)
    narrow = shapes.Shape(24, 2048, 16, 4096, 32_000, kv_heads=2)
    assert shapes.gpt_params(24, 2048) / shapes.count(narrow).non_embedding > 1.25
