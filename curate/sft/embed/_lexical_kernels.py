"""The kernels of the lexical embedder: UTF-8 bytes to hashed features, and sparse rows times a dense matrix.

What a feature is: `hash_row_reference` says it in Python, `hash_rows` does the same in one pass over the bytes.

- A word is a run of letters, marks and digits. A character of a script whose characters carry a syllable or more (Han,
  kana, hangul) is a word by itself, and so is a symbol.
- Features are words, pairs of neighbouring words, and character 2-grams and 3-grams of the whole text, with each run of
  white space as one blank and a blank at both ends. "cat" and "cats" share some; Thai, which writes no blanks between
  words, is seen through its 3-grams.

Characters are lower-cased and put into compatibility form (full-width to narrow) one to one, by a table. An n-gram is
packed without loss, 21 bits a character, and then hashed. Words go into the lower half of the columns and everything
else into the upper half, so that words can be given another weight.

The kernels release the interpreter lock, and a row depends on its own text alone: any split of the rows gives the same.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import cache
from itertools import pairwise
from typing import Any

import numba
import numpy as np

COLUMNS = 1 << 16
HALF = COLUMNS // 2
SPACE, LETTER, SINGLE = range(3)

_TABLED = 0x20000  # code points beyond are rare Han characters: SINGLE, and without case
_SINGLES = frozenset(  # of blocks whose letters are words: hangul, kana, bopomofo, Han
    code
    for first, last in (
        (0x1100, 0x11FF), (0x3005, 0x3007), (0x3040, 0x318F), (0x31A0, 0x31BF), (0x31F0, 0x31FF), (0x3400, 0x4DBF),
        (0x4E00, 0x9FFF), (0xA960, 0xA97F), (0xAC00, 0xD7FF), (0xF900, 0xFAFF),
    )
    for code in range(first, last + 1)
)  # fmt: skip

# numba turns a sum of int64 and uint64 into a float: whatever meets a hash is uint64.
_BLANK, _SEED, _FACTOR = np.uint64(0x20), np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_TWO, _THREE = np.uint64((1 << 42) - 1), np.uint64((1 << 63) - 1)  # the last two and the last three characters
_0, _21, _29, _32, _42, _49 = (np.uint64(n) for n in (0, 21, 29, 32, 42, 49))

_jit = numba.njit(nogil=True, cache=True)
_inline = numba.njit(inline="always")


def fold(code: int) -> int:
    """Return the code point that `code` is taken for: compatibility form and lower case, where that is one to one.

    Rare ideographs from 0x20000 on stand for themselves: the kernel has no table for them.
    """
    if code >= _TABLED:
        return code
    character = chr(code)
    form = unicodedata.normalize("NFKC", character)
    lower = (form if len(form) == 1 else character).lower()
    return ord(lower) if len(lower) == 1 else code


def kind(code: int) -> int:
    """Return SPACE, LETTER or SINGLE; controls, format characters and lone surrogates are space."""
    if code >= _TABLED or code in _SINGLES:
        return SINGLE
    category = unicodedata.category(chr(code))
    if category in {"Zs", "Zl", "Zp", "Cc", "Cf", "Cs"}:
        return SPACE
    return LETTER if category[0] in "LMN" else SINGLE


@cache
def character_table() -> np.ndarray:
    """Return, as uint32 for each code point below 0x20000, its folded form and the kind of that, shifted by 24."""
    folded = [fold(code) for code in range(_TABLED)]
    return np.array([(k := kind(code)) << 24 | (0x20 if k == SPACE else code) for code in folded], dtype=np.uint32)


@_inline
def _column(key: Any) -> Any:
    """Hash a 64-bit key to one of HALF columns."""
    key = (key ^ (key >> _32)) * _FACTOR
    key = (key ^ (key >> _32)) * _FACTOR
    return np.int64(key >> _49)


@_inline
def _character(data: Any, at: Any) -> Any:
    """Return the code point that begins at `data[at]` and its number of bytes."""
    lead = np.int64(data[at])
    if lead < 0x80:
        return lead, 1
    if lead < 0xE0:
        return (lead & 31) << 6 | data[at + 1] & 63, 2
    if lead < 0xF0:
        return (lead & 15) << 12 | (data[at + 1] & 63) << 6 | data[at + 2] & 63, 3
    return (lead & 7) << 18 | (data[at + 1] & 63) << 12 | (data[at + 2] & 63) << 6 | data[at + 3] & 63, 4


@_inline
def _count(column: Any, first: Any, n: Any, slot: Any, columns: Any, counts: Any) -> Any:
    """Count a feature of the row whose features begin at `first`; return the new end of the row."""
    at = slot[column]
    if at >= first:
        counts[at] += 1
    else:
        slot[column], columns[n], counts[n] = n, column, 1
        n += 1
    return n


@_jit
def hash_rows(data: Any, offsets: Any, table: Any, slot: Any, columns: Any, counts: Any, ends: Any) -> None:
    """Count the features of the texts `data[offsets[i]:offsets[i + 1]]`.

    IN  data uint8, valid UTF-8; offsets int64 (n + 1); table: `character_table()`; slot int32 (COLUMNS), all -1
    OUT columns int32, counts int32, ends int64 (n + 1): row i has the features ends[i] to ends[i + 1], each once, in
        order of first occurrence; a text of b bytes has at most min(4 b + 2, COLUMNS) of them
    """
    n = 0
    ends[0] = 0
    for row in range(len(offsets) - 1):
        first, at, stop = n, offsets[row], offsets[row + 1]
        grams, word, before, run = _BLANK, _0, _0, False
        while at <= stop:
            point, size = _character(data, at) if at < stop else (0x20, 1)  # a blank follows the last character
            at += size
            entry = np.int64(table[point]) if point < _TABLED else SINGLE << 24 | point
            what, code = entry >> 24, np.uint64(entry & 0x1FFFFF)
            if word != _0 and not (run and what == LETTER):  # the word before this character is complete
                n = _count(_column(word), first, n, slot, columns, counts)
                if before != _0:
                    n = _count(HALF + _column(before * _FACTOR + word), first, n, slot, columns, counts)
                before, word = word, _0
            if what != SPACE:
                word = ((word if word != _0 else _SEED) ^ code) * _FACTOR
                word ^= word >> _29
                run = what == LETTER
            if code != _BLANK or grams & np.uint64(0x1FFFFF) != _BLANK:
                grams = (grams << _21 | code) & _THREE
                n = _count(HALF + _column(grams & _TWO), first, n, slot, columns, counts)
                if grams > _TWO:
                    n = _count(HALF + _column(grams), first, n, slot, columns, counts)
        if n == first and stop > offsets[row]:  # white space only
            n = _count(HALF + _column(_BLANK), first, n, slot, columns, counts)
        ends[row + 1] = n


def hash_row_reference(text: str) -> Counter[int]:
    """Return how often each column occurs in `text`: `hash_rows` for one text, slowly."""

    def column(key: int) -> int:
        for _ in range(2):
            key = (key ^ key >> 32) * int(_FACTOR) % 2**64
        return key >> 49

    words: list[int] = []
    grams, run = [0x20], False
    for character in text:
        code = fold(ord(character))
        what = kind(code)
        if what != SPACE:
            word = words.pop() if run and what == LETTER else int(_SEED)
            word = (word ^ code) * int(_FACTOR) % 2**64
            words.append(word ^ word >> 29)
        if what != SPACE or grams[-1] != 0x20:
            grams.append(0x20 if what == SPACE else code)
        run = what == LETTER
    grams += [0x20] if grams[-1] != 0x20 else []
    pairs = [(before * int(_FACTOR) + word) % 2**64 for before, word in pairwise(words)]
    twos = [a << 21 | b for a, b in pairwise(grams)]
    threes = [a << 42 | b << 21 | c for a, b, c in zip(grams, grams[1:], grams[2:], strict=False)]
    others = pairs + twos + threes or [0x20] * bool(text)
    return Counter([column(word) for word in words] + [HALF + column(key) for key in others])


@_jit
def multiply_rows(ends: Any, columns: Any, values: Any, dense: Any, out: Any) -> None:
    """Add the product of sparse rows and a dense matrix to `out`, each row summed in the order of its entries.

    IN  ends int64 (n + 1), columns int32, values float32: row i has the entries ends[i] to ends[i + 1]
        dense float32 (columns, d)
    OUT out float32 (n, d)
    """
    for row in range(len(ends) - 1):
        for i in range(ends[row], ends[row + 1]):
            column, value = columns[i], values[i]
            for d in range(dense.shape[1]):
                out[row, d] += value * dense[column, d]


def multiply_rows_reference(ends: Any, columns: Any, values: Any, dense: Any) -> np.ndarray:
    """Return what `multiply_rows` adds to `out`, in float64."""
    rows = [slice(start, stop) for start, stop in pairwise(ends)]
    return np.stack([values[row].astype(np.float64) @ dense[columns[row]].astype(np.float64) for row in rows])
