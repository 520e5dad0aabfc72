"""Scores by models: each equals the definition on a tiny model made on the spot; selection by them; refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import curate
from curate.errors import CurateError, UsageError
from curate.sft import score

LETTERS = "abcdefghij"


def save_tokenizer(folder: Path) -> None:
    """Save a word-level tokenizer of the letters a to j."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(["<unk>", *LETTERS])}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>").save_pretrained(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Make random models of two layers: causal, reward with one output, classifier with three."""
    import torch
    from transformers import GPT2Config, GPT2ForSequenceClassification, GPT2LMHeadModel

    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("models")
    sizes = {"vocab_size": 300, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}
    GPT2LMHeadModel(GPT2Config(**sizes, initializer_range=0.5)).save_pretrained(root / "causal")
    for name, labels in (("reward", 1), ("three", 3)):
        GPT2ForSequenceClassification(GPT2Config(**sizes, num_labels=labels)).save_pretrained(root / name)
    for name in ("causal", "reward", "three"):
        save_tokenizer(root / name)
    return root


def rows(n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(seed)
    drawn = [" ".join(rng.choice(list(LETTERS), rng.integers(2, 12))) for _ in range(2 * n)]
    return drawn[:n], drawn[n:]


def loaded(name: str, workers: int = 1):
    return score.load(name, device="cpu", workers=workers, on_progress=lambda done, total: None)


def test_ifd_is_the_ratio_of_perplexities(folders):
    """By transformers' own loss, a row at a time; an answer of one token has no score, a long one is cut."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folders / "causal").eval()
    tokenizer = AutoTokenizer.from_pretrained(folders / "causal")

    def perplexity(before: list[int], answer: list[int]) -> float:
        labels = torch.tensor([[-100] * len(before) + answer])
        with torch.inference_mode():
            return float(torch.exp(model(torch.tensor([before + answer]), labels=labels).loss))

    prompts, answers = rows(30)
    got = loaded(f"ifd:{folders / 'causal'}")([*prompts, "a b", "a " * 70, "a"], [*answers, "c", "b c", "b c " * 60])
    for prompt, answer, value in zip(
        [*prompts, "a"], [*answers, "b c " * 60], np.delete(got.values, [30, 31]), strict=True
    ):
        before, ids = tokenizer(prompt)["input_ids"], tokenizer(answer)["input_ids"]
        ids = ids[: 64 - len(before)]
        assert value == pytest.approx(perplexity(before, ids) / perplexity([], ids), rel=1e-4)
    assert np.isnan(got.values[[30, 31]]).all()
    assert got.about["truncated_rows"] == 1  # of those that have a score
    assert got.notes == []


def test_a_reward_is_the_output_of_the_model(folders):
    """One number a row, that of transformers for the two texts."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folders / "reward").eval()
    tokenizer = AutoTokenizer.from_pretrained(folders / "reward")
    prompts, answers = rows(20)
    got = loaded(f"reward:{folders / 'reward'}")(prompts, answers).values
    for prompt, answer, value in zip(prompts, answers, got, strict=True):
        with torch.inference_mode():
            want = model(**tokenizer(prompt, answer, return_tensors="pt")).logits
        assert value == pytest.approx(float(want[0, 0]), abs=1e-5)


@pytest.mark.parametrize("kind", ["ifd:causal", "reward:reward"])
def test_a_score_depends_on_its_row_alone(folders, kind):
    """Other rows beside it, their order and the number of threads change no bit."""
    name = kind.replace(":", f":{folders}/")
    prompts, answers = rows(40)
    want = loaded(name)(prompts, answers).values
    assert (loaded(name, workers=2)(prompts[::-1], answers[::-1]).values[::-1] == want).all()
    assert (loaded(name)(prompts[7:9], answers[7:9]).values == want[7:9]).all()


def test_a_language_that_the_tokenizer_was_not_made_for_is_said(folders):
    """More tokens than characters, as bytes are for Chinese."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    folder = folders / "bytes"
    folder.mkdir()
    for file in (folders / "causal").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    alphabet = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    by_bytes = Tokenizer(models.BPE(alphabet, []))
    by_bytes.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    PreTrainedTokenizerFast(tokenizer_object=by_bytes).save_pretrained(folder)
    got = loaded(f"ifd:{folder}")(["a b", "问"], ["c d", "答案"])
    assert got.about["unknown_language_rows"] == 1
    assert "takes more tokens than characters for 1 answers" in got.notes[0]


def test_rows_are_selected_by_ifd(folders):
    """The hardest rows come first; rows whose prompt does not help, and those without a score, are dropped."""
    prompts, answers = rows(60)
    pool = [{"instruction": q, "output": a} for q, a in zip([*prompts, "b"], [*answers, "c"], strict=True)]
    name = f"ifd:{folders / 'causal'}"
    got = curate.select_rows(pool, count=3, strategy="repr-filter", score=name, filters="none", workers=1)
    live = got.ledger.filter(got.ledger["drop_reason"].is_null())
    assert got.report["rows"]["dropped"]["score.missing"] == 1
    assert got.report["rows"]["dropped"]["score.ifd"] > 0
    assert live["score"].max() == got.rows["score"][0] < 1
    assert got.report["score"]["name"] == name


@pytest.mark.parametrize("kind", ["ifd:causal", "reward:reward"])
def test_a_pool_without_live_rows_is_told_as_ever(folders, kind):
    """A model has nothing to score where filters took every row."""
    name, pool = kind.replace(":", f":{folders}/"), [{"instruction": "a", "output": ""}]
    with pytest.raises(CurateError, match=r"no row is left alive of 1 read; clean\.empty_answer took most"):
        curate.select_rows(pool, count=1, strategy="repr-filter", score=name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ifd:nowhere", "no such folder: nowhere"),
        ("ifd", "no folder of a model is named"),
        ("zip:here", "no score of the kind 'zip'"),
    ],
)
def test_models_are_never_looked_for_elsewhere(name, said):
    """A folder is wanted; there is no download."""
    with pytest.raises(UsageError, match=said):
        curate.select_rows("none.jsonl", count=3, strategy="repr-filter", score=name)


def test_models_of_another_kind_are_refused(folders, tmp_path):
    """A classifier with three outputs, a model without a head and an empty folder are no reward models."""
    (tmp_path / "headless").mkdir()
    for file in (folders / "causal").iterdir():
        (tmp_path / "headless" / file.name).write_bytes(file.read_bytes())
    settings = json.loads((folders / "causal" / "config.json").read_text())
    (tmp_path / "headless" / "config.json").write_text(json.dumps(settings | {"id2label": {"0": "r"}}))
    with pytest.raises(CurateError, match=r"has no weights for score\.weight"):
        loaded(f"reward:{tmp_path / 'headless'}")
    with pytest.raises(CurateError, match="has 3 outputs, and a reward model has one"):
        loaded(f"reward:{folders / 'three'}")
    with pytest.raises(CurateError, match="cannot be loaded"):
        loaded(f"ifd:{tmp_path}")


def test_a_score_without_use_is_refused(folders):
    """Scores are for repr-filter and --quality-weight, and one of two is wanted."""
    with pytest.raises(UsageError, match=r"--score ifd:x alone changes nothing"):
        curate.select_rows("none.jsonl", count=3, score="ifd:x")
    with pytest.raises(UsageError, match=r"--score-column and --score ifd:x exclude each other"):
        curate.select_rows("none.jsonl", count=3, score="ifd:x", score_column="r", quality_weight=1)
