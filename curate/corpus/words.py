"""The words of texts as numbers, folded as near-duplicate search folds them, for whoever compares runs of words.

Case, diacritics, punctuation and white space do not count, digits do; in scripts without spaces each character is a
word (`corpus/text.py`). 64 bits a word: two different words of a million share a hash with odds of 3 in 10^8.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from curate.corpus.text import (
    CLASS_SHIFT,
    DROP,
    I64,
    SINGLE,
    U64,
    WORD,
    buffers,
    code_points,
    normal_form_c,
    read_only,
    wide,
)  # fmt: skip


@dataclass(frozen=True)
class Words:
    """The words of n texts.

    `ngrams` uint64: a hash of the n words from each word on, 0 where fewer are left; those of text i are
    ngrams[offsets[i]:offsets[i + 1]]. `whole` uint64 (n): a hash of all words of each text.
    """

    ngrams: U64
    whole: U64
    offsets: I64


def hash_words(texts: pl.Series, n: int) -> Words:
    """Return the runs of `n` words of each text; null is empty. One thread; the interpreter lock is released."""
    from curate.corpus import word_kernels

    data, offsets = normal_form_c(*buffers(texts))
    read = wide(data)[1]
    longest = int(np.diff(offsets).max(initial=0))
    folded = np.ndarray((2 * longest + 16,), np.uint64, np.empty(2 * longest + 24, np.uint8), strides=(1,))
    words = np.empty(int(offsets[-1] - offsets[0]) // 2 + len(offsets), np.uint64)
    ends = np.zeros(len(offsets), np.int64)
    word_kernels.hash_words(read, read_only(offsets), code_points(), folded, read_only(folded), words, ends[1:])
    ngrams, whole = np.empty(int(ends[-1]), np.uint64), np.empty(len(texts), np.uint64)
    word_kernels.hash_ngrams(words, ends, n, ngrams, whole)
    return Words(ngrams, whole, ends)


def word_spans(text: str) -> list[tuple[int, int]]:
    """Return where each word of `text` begins and ends, in characters."""
    table, spans, begin = code_points(), [], -1
    for at, char in enumerate(text):
        kind = int(table[ord(char)]) >> CLASS_SHIFT & 7
        if kind == WORD:
            begin = at if begin < 0 else begin
        elif kind != DROP:
            if begin >= 0:
                spans.append((begin, at))
            begin = -1
            if kind == SINGLE:
                spans.append((at, at + 1))
    return [*spans, (begin, len(text))] if begin >= 0 else spans
