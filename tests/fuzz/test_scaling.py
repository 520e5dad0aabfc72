"""What `fit`, `noise` and `plan` read: runs.csv, log.csv, config.json and fitted laws, of any content."""

from __future__ import annotations

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st

from curate.budget.fit import fit_law
from curate.budget.lawset import load_laws
from curate.budget.noise import measure_noise
from curate.budget.plan import make_plan
from tests.fuzz.hostile import as_json, changed, damaged, fuzz, put, survives

_SIZES = [(n, d) for n in (1e7, 4e7, 2e8, 1e9) for d in (2e9, 1e10, 5e10)]
RUNS = "params,tokens,loss,epochs\n" + "".join(
    f"{n:g},{d:g},{1.7 + 400 / n**0.34 + 410 / d**0.28:.4f},{1 + k % 4 * 3}\n" for k, (n, d) in enumerate(_SIZES)
)
CURVE = "step,loss\n" + "".join(f"{s},{2 + 5 / s**0.4:.4f}\n" for s in range(1, 60))
_NOISE = np.random.default_rng(0).uniform(0.9, 1.1, (30, 2))
NOISE = "step,b_small,b_big,g2_small,g2_big,lr\n" + "".join(
    f"{n},64,1024,{1.5 * a:.4f},{0.7 * b:.4f},1e-3\n" for n, (a, b) in enumerate(_NOISE)
)
_NUMBERS = (
    "0",
    "-1",
    "nan",
    "inf",
    "1e308",
    "1e-308",
    "1e400",
    "",
    " ",
    "x",
    "1_0",
    "0x10",
    "1,2",
    '"1\n2"',
    "١",
    "1e9",
)


@st.composite
def tables(draw: st.DrawFn, text: str) -> bytes:
    """Return a csv in which some cells are others, and rows are gone or stand twice."""
    rows = [line.split(",") for line in text.splitlines()]
    for _ in range(draw(st.integers(0, 4))):
        row = draw(st.integers(0, len(rows) - 1))
        match draw(st.sampled_from(("cell", "cell", "column", "drop", "again", "most"))):
            case "cell" if rows[row]:
                rows[row][draw(st.integers(0, len(rows[row]) - 1))] = draw(st.sampled_from(_NUMBERS))
            case "column" if rows[row]:
                at, value = draw(st.integers(0, len(rows[0]) - 1)), draw(st.sampled_from(_NUMBERS))
                rows = [rows[0], *([*r[:at], value, *r[at + 1 :]] for r in rows[1:])]
            case "drop" if len(rows) > 1:
                del rows[row]
            case "again":
                rows.append(rows[row])
            case "most":
                del rows[row + 1 :]
    return "\n".join(",".join(row) for row in rows).encode()


def plain(value):
    """Hold that a result prints as JSON without NaN."""
    if value is not None:
        assert "NaN" not in orjson.dumps(value.to_json()).decode()


@fuzz
@given(tables(RUNS) | damaged([RUNS.encode()]), st.sampled_from(("chinchilla", "kaplan", "repetition")))
def test_runs(data, law):
    """Runs of any content are fitted or refused."""
    path = put("runs.csv", data)
    plain(survives(lambda: fit_law(path, law=law, bootstrap=0)))


@fuzz
@given(tables(CURVE) | damaged([CURVE.encode()]))
def test_curves(data):
    """A log of any content is fitted or refused."""
    path = put("curve.csv", data)
    plain(survives(lambda: fit_law(path, law="curve", bootstrap=0)))


@fuzz
@given(tables(NOISE) | damaged([NOISE.encode()]))
def test_gradient_norms(data):
    """Gradient norms of any content have a noise scale or are refused."""
    path = put("log.csv", data)
    plain(survives(lambda: measure_noise(path, bootstrap=20)))


MODELS = [
    {"model_type": "llama", "num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4,
     "intermediate_size": 512, "vocab_size": 1000, "num_key_value_heads": 2, "tie_word_embeddings": False},
    {"model_type": "gpt2", "n_layer": 12, "n_embd": 768, "n_head": 12, "vocab_size": 50257, "n_positions": 1024},
    {"model_type": "mixtral", "num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4, "vocab_size": 1000,
     "intermediate_size": 512, "num_key_value_heads": 2, "num_local_experts": 8, "num_experts_per_tok": 2},
    {"model_type": "deepseek_v3", "num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4,
     "intermediate_size": 512, "vocab_size": 1000, "kv_lora_rank": 64, "q_lora_rank": 64, "qk_nope_head_dim": 16,
     "qk_rope_head_dim": 8, "v_head_dim": 16, "n_routed_experts": 8, "num_experts_per_tok": 2, "n_shared_experts": 1,
     "moe_intermediate_size": 64, "first_k_dense_replace": 1},
    {"model_type": "qwen2_moe", "num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4,
     "vocab_size": 1000, "intermediate_size": 512, "num_key_value_heads": 2, "num_experts": 8, "num_experts_per_tok": 2,
     "moe_intermediate_size": 64, "shared_expert_intermediate_size": 128, "decoder_sparse_step": 1,
     "mlp_only_layers": []},
]  # fmt: skip


@fuzz
@given(changed(MODELS, "model_type", "hidden_size").map(as_json) | damaged([as_json(model) for model in MODELS]))
def test_models(data):
    """A config.json of any content has a plan or is refused."""
    path = put("config.json", data)
    plain(survives(lambda: make_plan(model=path, unique_tokens="5B")))


_CHINCHILLA = {"E": 1.8, "A": 480, "B": 2080, "alpha": 0.35, "beta": 0.37}
_KAPLAN = {"N_c": 6e13, "alpha_N": 0.076, "D_c": 2e13, "alpha_D": 0.103}
FITS = [
    {"law": "chinchilla", "range": {"params": [1e7, 1e10], "tokens": [1e9, 1e12]},
     "parameters": {name: {"value": v, "low": v * 0.9, "high": v * 1.1} for name, v in _CHINCHILLA.items()}},
    {"law": "kaplan", "parameters": {name: {"value": v} for name, v in _KAPLAN.items()}},
    {"law": "repetition", "surface": "muennighoff2023.c4",
     "parameters": {"R_D_star": {"value": 15, "low": 5, "high": None}, "R_N_star": {"value": 5}}},
]  # fmt: skip


@fuzz
@given(changed(FITS, "value", "low", "high", "params").map(as_json) | damaged([as_json(fit) for fit in FITS]))
def test_fitted_laws(data):
    """A fit of any content is a law or refused, and a plan by it is numbers or a refusal."""
    path = put("fit.json", data)
    if survives(lambda: load_laws(path)) is not None:
        plain(survives(lambda: make_plan(params="1.3B", unique_tokens="8B", epochs=4, law=path)))
