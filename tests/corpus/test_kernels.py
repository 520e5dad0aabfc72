"""The signing kernels against their slow twins."""

from __future__ import annotations

import unicodedata
from itertools import chain

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.corpus.kernels import LARGEST, sign_rows, sort_unique, suspects
from curate.corpus.minhash import MinHashParameters, permutations, sign
from curate.corpus.reference import exact_reference, keys_reference, shingles_reference, words_reference
from curate.corpus.text import SCRIPTS, buffers

ALPHABETS = ["ab ", "abcXYZ019,. \n\t", "中文字，。a ", "かカ漢ー ", "ЙёЖéß \u0301\u00ad", "กขาำ ", "देवि०१ ", "한국어 ",
             "\U0001f600\U00020000a b", "\x00\x0b\x1c\xa0\u3000 a", "abcdefgh"]  # fmt: skip
PIECES = st.sampled_from(ALPHABETS).flatmap(lambda alphabet: st.text(st.sampled_from(alphabet), max_size=90))
ANYTHING = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)  # all planes
TEXTS = st.lists(st.one_of(PIECES, ANYTHING), max_size=5).map("".join)


@settings(deadline=None, max_examples=150)
@given(st.lists(TEXTS, max_size=8), st.integers(1, 7))
def test_sign_equals_reference(texts, ngram):
    """Exact hash, words, shingles, band keys and code points are those of the slow twins, for any Unicode text."""
    parameters = MinHashParameters(ngram=ngram, bands=3, rows=2)
    signed = sign(*buffers(pl.Series(texts, dtype=pl.String)), parameters)
    for i, text in enumerate(texts):
        text = unicodedata.normalize("NFC", text)
        words = words_reference(text)
        shingles = shingles_reference(words, ngram)
        assert tuple(signed.exact[i].tolist()) == exact_reference(text)
        assert signed.words[i] == len(words)
        assert signed.shingles[signed.shingle_offsets[i] : signed.shingle_offsets[i + 1]].tolist() == shingles
        assert signed.keys[i].tolist() == keys_reference(shingles, permutations(parameters).tolist(), 3)
        assert signed.characters[i] == len(text)


@pytest.mark.parametrize("words", [1023, 1024, 1025, 2047, 2048, 5000])
@pytest.mark.parametrize("ngram", [1, 5, 100])
def test_blocks_join(words, ngram):
    """A text longer than a block of words has the same shingles as if there were no blocks."""
    text = " ".join(f"w{i * i}" if i % 3 else "中" for i in range(words))
    signed = sign(*buffers(pl.Series([text])), MinHashParameters(ngram=ngram))
    assert signed.shingles.tolist() == shingles_reference(words_reference(text), ngram)


def test_any_split_of_rows_gives_the_same():
    """A row signed alone, or at the end of a buffer, has the signature that it has among others."""
    texts = ["one two three four five six", "", "x", "一二三四五六", "abcdefgh", "abcdefghi" * 5, "  ", "ends é"]
    together = sign(*buffers(pl.Series(texts)), MinHashParameters())
    for i, text in enumerate(texts):
        alone = sign(*buffers(pl.Series([text])), MinHashParameters())
        assert (alone.exact[0] == together.exact[i]).all()
        assert (alone.keys[0] == together.keys[i]).all()
        rows = slice(together.shingle_offsets[i], together.shingle_offsets[i + 1])
        assert (alone.shingles == together.shingles[rows]).all()


def test_compiled_once():
    """Whatever the size of the buffer, and whoever made it, the kernels are compiled for one kind of arguments."""
    for text in ["", "a", "8 bytes.", "9 bytes..", "é", "longer than that"]:
        data, offsets = buffers(pl.Series([text]))
        sign(data, offsets, MinHashParameters())
        sign(data.copy(), offsets.copy(), MinHashParameters())
    assert [len(kernel.signatures) for kernel in (sign_rows, suspects)] == [1, 1]


def test_broken_utf8_is_read_as_replacement_characters():
    """Bytes that are no UTF-8, even cut at the very end, are signed like U+FFFD and read nothing beyond the row."""
    data = np.frombuffer(b"ab \xff\xfe cd \xe4\xb8", dtype=np.uint8)
    signed = sign(data, np.array([0, len(data)]), MinHashParameters())
    assert signed.words[0] == 2
    assert signed.characters[0] == 11


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("", "none"), ("12, 34", "none"), ("plain text", "Latin"), ("Съешь же ещё", "Cyrillic"), ("法律 law", "Latin"),
        ("行政法规 law", "Han"), ("日本の漢字と仮名", "Kana"), ("한국어 문서", "Hangul"), ("ภาษาไทย", "Thai"),
        ("مرحبا بالعالم", "Arabic"), ("हिन्दी पाठ", "Devanagari"),
    ],
)  # fmt: skip
def test_main_script(text, script):
    """The script of a text is that of most letters; Han with a tenth of kana is Japanese."""
    assert SCRIPTS[sign(*buffers(pl.Series([text])), MinHashParameters()).script[0]] == script


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 5), max_size=300))
def test_sort_unique(values):
    """The radix sort is numpy's unique."""
    array = np.array(values, dtype=np.uint32)
    left = sort_unique(array, np.empty_like(array))
    assert array[:left].tolist() == sorted(set(values))


def test_huge_text_keeps_the_smallest_shingles():
    """A text of twice LARGEST shingles or more keeps its smallest ones, and its keys are those of all of them."""
    text = " ".join(map(str, range(2 * LARGEST + 5000)))
    parameters = MinHashParameters(ngram=1, bands=1, rows=2)
    signed = sign(*buffers(pl.Series([text])), parameters)
    parts = [" ".join(map(str, range(start, start + LARGEST // 2))) for start in range(0, 2 * LARGEST, LARGEST // 2)]
    parts.append(" ".join(map(str, range(2 * LARGEST, 2 * LARGEST + 5000))))
    every = np.unique(sign(*buffers(pl.Series(parts)), parameters).shingles)
    kept = np.unique(signed.shingles)
    assert LARGEST <= len(kept) < 2 * LARGEST
    assert (kept[:LARGEST] == every[:LARGEST]).all()
    seeds, multipliers = permutations(parameters)
    least = [int(((every ^ s) * a).min()) for s, a in zip(seeds, multipliers, strict=True)]
    fixed_points = [
        [int(s) ^ int(value) * pow(int(a), -1, 2**32) % 2**32]
        for s, a, value in zip(seeds, multipliers, least, strict=True)
    ]
    assert signed.keys[0].tolist() == keys_reference(list(chain(*fixed_points)), permutations(parameters).tolist(), 1)
