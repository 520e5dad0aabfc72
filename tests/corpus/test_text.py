"""What the table of code points says, and texts as buffers in normal form C."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.corpus import text as text_module
from curate.corpus.text import (
    CLASS_SHIFT,
    DROP,
    FOLDED,
    MARK_OFF,
    SCRIPT_SHIFT,
    SCRIPTS,
    SINGLE,
    SPACE,
    WORD,
    buffers,
    code_points,
    normal_form_c,
)


@pytest.mark.parametrize(
    ("char", "folded", "kind", "script"),
    [
        ("A", "a", WORD, "Latin"),
        ("É", "e", WORD, "Latin"),
        ("ß", "ß", WORD, "Latin"),
        ("Ё", "е", WORD, "Cyrillic"),
        ("ς", "σ", WORD, "Greek"),
        ("Ａ", "a", WORD, "Latin"),
        ("७", "7", WORD, "none"),
        ("²", "2", WORD, "none"),
        ("की"[1], "ी", WORD, "Devanagari"),
        ("한", "한", WORD, "Hangul"),
        ("中", "中", SINGLE, "Han"),
        ("\U00020000", "\U00020000", SINGLE, "Han"),
        ("ガ", "ガ", SINGLE, "Kana"),
        ("ก", "ก", SINGLE, "Thai"),
        ("ខ", "ខ", SINGLE, "Khmer"),
        ("，", "，", MARK_OFF, "none"),
        ("€", "€", MARK_OFF, "none"),
        ("_", "_", MARK_OFF, "none"),
        ("\u3000", "\u3000", SPACE, "none"),
        ("\x1c", "\x1c", MARK_OFF, "none"),
        ("\u00ad", "\u00ad", DROP, "none"),
        ("\u0301", "\u0301", DROP, "none"),
    ],
)
def test_code_point(char, folded, kind, script):
    """Case, diacritics, width and digit forms fall; a character of an unspaced script is a word of its own."""
    entry = int(code_points()[ord(char)])
    assert (chr(entry & FOLDED), entry >> CLASS_SHIFT & 7, SCRIPTS[entry >> SCRIPT_SHIFT]) == (folded, kind, script)


def test_folding_is_final():
    """A folded letter folds to itself and stays a letter, so folding twice changes nothing."""
    table = code_points()
    letters = table[(table >> CLASS_SHIFT & 7 == WORD) | (table >> CLASS_SHIFT & 7 == SINGLE)]
    folded = np.unique(letters & FOLDED)
    again = table[folded]
    assert (again & FOLDED == folded).all()
    assert np.isin(again >> CLASS_SHIFT & 7, [WORD, SINGLE]).all()


def test_folded_text_fits_its_scratch():
    """Folded, a code point takes at most twice its bytes, the blanks around a single one included."""
    table = code_points()
    codes = np.arange(len(table))

    def size(code):
        return 1 + (code >= 0x80) + (code >= 0x800).astype(int) + (code >= 0x10000)

    single = table >> CLASS_SHIFT & 7 == SINGLE
    assert (size(table & FOLDED) + 2 * single <= 2 * size(codes)).all()


def test_buffers_of_slices_nulls_and_nothing():
    """Buffers hold the texts of a slice and of several chunks; null is an empty text."""
    series = pl.concat([pl.Series(["left out", "é"]), pl.Series([None, "", "中文"], dtype=pl.String)], rechunk=False)[
        1:
    ]
    data, offsets = buffers(series)
    assert [data[a:b].tobytes().decode() for a, b in pairwise(offsets)] == ["é", "", "", "中文"]
    data, offsets = buffers(pl.Series([], dtype=pl.String))
    assert (len(data), offsets.tolist()) == (0, [0])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.text(st.sampled_from("aé\u0301\u0316か\u3099ᄀ\u1161\u11a8한क\u093c\u094d.\u212b")), max_size=6),
    st.sampled_from([1, 3, 8, 1 << 20]),
)
def test_normal_form_c(texts, piece):
    """Every text comes out as `unicodedata` puts it, in pieces of any size; those in that form already untouched."""
    before, text_module._PIECE = text_module._PIECE, piece
    try:
        data, offsets = normal_form_c(*buffers(pl.Series(texts, dtype=pl.String)))
    finally:
        text_module._PIECE = before
    got = [data[a:b].tobytes().decode() for a, b in pairwise(offsets)]
    assert got == [unicodedata.normalize("NFC", text) for text in texts]


@pytest.mark.parametrize("piece", [1, 2, 3, 4])
@pytest.mark.parametrize("text", ["xa\u0301", "a\u0301a\u0301", "中a\u0301\u0316b", "e\u0301" * 5])
def test_a_piece_ends_before_an_ascii_character(text, piece, monkeypatch):
    """A mark stays with the letter before it."""
    monkeypatch.setattr(text_module, "_PIECE", piece)
    data, _ = normal_form_c(*buffers(pl.Series([text])))
    assert data.tobytes().decode() == unicodedata.normalize("NFC", text)


def test_normal_form_c_misses_no_code_point():
    """Each assigned code point, alone and after each kind of base, comes out in normal form C."""
    marks = [c for c in map(chr, range(0x110000)) if not 0xD800 <= ord(c) < 0xE000 and unicodedata.category(c) != "Cn"]
    odd = [c for c in marks if not unicodedata.is_normalized("NFC", c) or unicodedata.combining(c)]
    composing = {unicodedata.normalize("NFD", c)[-1] for c in marks if unicodedata.normalize("NFD", c) != c}
    texts = [base + c for c in sorted({*odd, *composing}) for base in ("", "a", "\u0301", "가", "か")]
    texts += [unicodedata.normalize("NFD", c) for c in marks if unicodedata.normalize("NFD", c) != c]
    data, offsets = normal_form_c(*buffers(pl.Series(texts)))
    got = data.tobytes().decode()
    assert got == unicodedata.normalize("NFC", "\n".join(texts)).replace("\n", "")
    assert offsets[-1] == len(data)
