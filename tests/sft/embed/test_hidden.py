"""The hidden embedder, on tiny language models made on the spot: pooling, layers, padding, truncation, refusals."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from curate.errors import CurateError, UsageError
from curate.sft import embed

TEXTS = ["a b c", "d", "c b a d e f g h", "", "a " * 600, "a b c", "e f"]


def save_tokenizer(folder: Path) -> None:
    """Save a word-level tokenizer of the letters a to j; it has neither a padding nor a beginning token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(["<unk>", *"abcdefghij"])}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>").save_pretrained(folder)


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a random causal language model of two layers."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("models") / request.param
    torch.manual_seed(0)
    if request.param == "llama":
        sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2}
        model = LlamaForCausalLM(LlamaConfig(vocab_size=16, hidden_size=32, intermediate_size=64, **sizes))
    else:
        model = GPT2LMHeadModel(GPT2Config(vocab_size=16, n_embd=32, n_layer=2, n_head=2, n_positions=512))
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return folder


@pytest.mark.parametrize("layer", [None, 0, 1, 2, -1])
def test_a_vector_is_the_masked_mean_of_a_layer(tiny, layer) -> None:
    """Vectors equal the masked mean that transformers gives for one padded batch, to float error, at every layer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    texts = [text for text in TEXTS if text and len(text) < 100]
    embedder = embed.load(f"hidden:{tiny}" if layer is None else f"hidden:{tiny}:{layer}", device="cpu", workers=1)
    vectors = embedder.embed(texts)

    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny).eval(), AutoTokenizer.from_pretrained(tiny)
    ids = tokenizer(texts)["input_ids"]
    width = max(map(len, ids)) + 3
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
    padded = torch.tensor([row + [0] * (width - len(row)) for row in ids])
    with torch.inference_mode():
        states = model(padded, attention_mask=mask, output_hidden_states=True).hidden_states
    kept = states[-1 if layer is None else layer] * mask[:, :, None]
    mean = (kept.sum(dim=1) / mask.sum(dim=1, keepdim=True)).numpy()
    np.testing.assert_allclose(vectors, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-5)


def test_the_last_layer_is_the_last_hidden_state(tiny) -> None:
    """Without a layer the last one is taken, and `about` says so; no layer and the last layer share the cache."""
    last, first = (embed.load(f"hidden:{tiny}{layer}", device="cpu") for layer in ("", ":0"))
    assert (last.about["layer"], first.about["layer"]) == (2, 0)
    assert last.embed(["a b"]).tobytes() != first.embed(["a b"]).tobytes()
    again = embed.load(f"hidden:{tiny}:2", device="cpu")
    again.embed(["a b"])
    assert again.about["cached_texts"] == 1


def test_rows_are_unit_vectors_and_cut_rows_are_counted(tiny) -> None:
    """Rows have unit norm, a text without tokens is a zero row and said, and a long text is cut at 512 tokens."""
    embedder = embed.load(f"hidden:{tiny}", device="cpu", workers=1)
    vectors = embedder.embed(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 1, 1, 0, 1, 1, 1], atol=1e-6)
    np.testing.assert_array_equal(vectors[0], vectors[5])
    np.testing.assert_array_equal(vectors[4], embedder.embed(["a " * 512])[0])
    embedder.embed(TEXTS)
    assert (embedder.about["max_tokens"], embedder.about["truncated_rows"], embedder.about["zero_rows"]) == (512, 1, 1)
    assert "1 text holds nothing" in embedder.about["notes"][0]


def test_bf16_stays_near_float32(tiny) -> None:
    """Asked for bf16, `about` says how far the vectors are from float32."""
    embedder = embed.load(f"hidden:{tiny}", device="cpu", dtype="bf16", workers=1)
    embedder.embed(["a b c", "d e"])
    assert 0.99 < embedder.about["cosine_to_fp32"]["min"] <= 1


@pytest.mark.parametrize("layer", [3, -4])
def test_a_layer_that_is_not_there_is_refused(tiny, layer) -> None:
    """The number of layers is told."""
    with pytest.raises(UsageError, match=f"2 layers, and layer {layer}"):
        embed.load(f"hidden:{tiny}:{layer}", device="cpu")


def test_no_model_is_wrong_usage() -> None:
    """`hidden` alone asks which model."""
    with pytest.raises(UsageError, match="whose hidden states"):
        embed.load("hidden", device="cpu")


def test_weights_other_than_safetensors_are_refused(tiny, tmp_path) -> None:
    """A folder whose weights are a pickle is not loaded."""
    import torch
    from safetensors.torch import load_file

    folder = shutil.copytree(tiny, tmp_path / "pickled")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CurateError, match="is a pickle"):
        embed.load(f"hidden:{folder}", device="cpu")


def test_code_that_comes_with_a_model_is_never_run(tiny, tmp_path) -> None:
    """A config that names a class in a file of its own ends in an error; the file is not run."""
    import json

    folder = shutil.copytree(tiny, tmp_path / "evil")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(CurateError, match="cannot be loaded"):
        embed.load(f"hidden:{folder}", device="cpu")
