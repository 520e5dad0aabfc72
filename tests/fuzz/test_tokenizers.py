"""Tokenizer files of strangers: a tokenizer that counts, or a refusal with a message."""

from __future__ import annotations

import base64
import io
import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.data.chat_template import find_template
from curate.data.tokenizer import load
from tests.fuzz.hostile import HERE, as_json, changed, damaged, fuzz, put, survives

sentencepiece = pytest.importorskip("sentencepiece")
pytest.importorskip("tiktoken")

TEXTS = pl.Series(["", "ab ba", "<|x|> a\u0301 中", None])
_LETTERS = {letter: n for n, letter in enumerate([*"abcdefgh ", "Ġ", "ab", "<unk>"])}
BYTE_LEVEL = {
    "version": "1.0", "truncation": None, "padding": None,
    "added_tokens": [{"id": 12, "content": "<|x|>", "single_word": False, "lstrip": False, "rstrip": False,
                      "normalized": False, "special": True}],
    "normalizer": None, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
    "post_processor": None, "decoder": None,
    "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
              "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": _LETTERS,
              "merges": [["a", "b"]]},
}  # fmt: skip
SPLIT = {**BYTE_LEVEL, "normalizer": {"type": "NFC"}, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
    {"type": "Split", "pattern": {"Regex": r"\p{L}+|\s+"}, "behavior": "Isolated", "invert": False},
    {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}}  # fmt: skip
PIECES = {
    **BYTE_LEVEL,
    "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False},
    "model": {**BYTE_LEVEL["model"], "byte_fallback": True, "unk_token": "<unk>"},  # type: ignore[dict-item]
}
WORDS = {**BYTE_LEVEL, "pre_tokenizer": {"type": "Whitespace"},
         "model": {"type": "WordLevel", "vocab": _LETTERS, "unk_token": "<unk>"}}  # fmt: skip
UNIGRAM = {
    **BYTE_LEVEL,
    "model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.0], ["ab", -2.0]]},
}
JSONS = [BYTE_LEVEL, SPLIT, PIECES, WORDS, UNIGRAM]
KEYS = (
    "type",
    "model",
    "vocab",
    "merges",
    "added_tokens",
    "content",
    "special",
    "pattern",
    "Regex",
    "pretokenizers",
    "BPE",
)
RANKS = b"".join(base64.b64encode(bytes([n])) + b" %d\n" % n for n in range(256))
TEKKEN = {
    "config": {"pattern": r"\p{L}+|\s+|.", "default_vocab_size": 260, "default_num_special_tokens": 4},
    "vocab": [{"rank": n, "token_bytes": base64.b64encode(bytes([n])).decode()} for n in range(256)],
}


def model(kind: str) -> bytes:
    """Return a small SentencePiece model."""
    file = io.BytesIO()
    words = ["ab ba abba", "the cat sat", "on the mat", "c a b d e f g h"] * 20
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(words), model_writer=file, vocab_size=40, model_type=kind, hard_vocab_limit=False,
        byte_fallback=False, minloglevel=2, user_defined_symbols=["<u>"],
    )  # fmt: skip
    return file.getvalue()


def count(path: str) -> None:
    found = survives(lambda: load(path))
    if found is not None:
        counts = survives(lambda: found.count(TEXTS))
        assert counts is None or (len(counts) == len(TEXTS) and counts.min() >= 0 and counts[-1] == 0)


@fuzz
@given(changed(JSONS, *KEYS).map(as_json) | damaged([json.dumps(one).encode() for one in JSONS]))
def test_tokenizer_json(data):
    """A tokenizer.json of any content is a tokenizer or refused."""
    count(put("tokenizer.json", data))


@fuzz
@given(damaged([RANKS, RANKS.replace(b"\n", b"\r\n")]) | changed([TEKKEN], "config", "vocab", "rank").map(as_json))
def test_rank_files(data):
    """Rank lines and a tekken.json of any content are a tokenizer or refused."""
    count(put("o200k_base.tiktoken", data))


@fuzz
@given(damaged([model("bpe"), model("unigram")]))
def test_sentencepiece_models(data):
    """A SentencePiece model of any content is a tokenizer or refused."""
    count(put("tokenizer.model", data))


@fuzz
@given(
    changed([{"chat_template": "{{ messages[0].content }}", "bos_token": {"content": "<s>"}},
             {"chat_template": [{"name": "default", "template": "x"}]}], "name", "template", "content").map(as_json),
    st.none() | damaged([b"{% for m in messages %}{{ m.role }}{% endfor %}"]),
)  # fmt: skip
def test_chat_templates(config, template):
    """A folder's settings of any content hold a template, none, or are refused."""
    put("folder/tokenizer_config.json", config)
    (HERE / "folder/chat_template.jinja").unlink(missing_ok=True)
    if template is not None:
        put("folder/chat_template.jinja", template)
    survives(lambda: find_template(HERE / "folder"))
