"""The kernel behind `corpus/words.py`: each word of a text as one number, in the order in which the words stand.

A word is what near-duplicate search takes for one (`kernels._words`), and gets the same 64-bit state; there it goes
straight into a shingle. The loop stands here a second time because a function that takes arrays costs more than
hashing a word does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curate.corpus.byte_kernels import SEED, U0, U1, U2, absorb, is_ascii, kernel, letters
from curate.corpus.kernels import BLOCK, _edges, _fold
from curate.corpus.text import SCRIPTS


@kernel
def _hash(wide: Any, at: Any, stop: Any, edges: Any, words: Any, held: Any) -> Any:
    """Write the hashes of the words between `at` and `stop` to words[held:]; return where they end."""
    top, inside, count = len(wide) - 1, U0, np.int64(0)
    while at < stop:
        still = count & 1  # a word that is open
        if still:
            edges[0] = edges[count - 1]
        count, at, inside = _edges(wide, at, stop, inside, False, edges[still:])
        count += still
        for e in range(0, count - 1, 2):
            begin, end = edges[e], edges[e + 1]
            word = SEED
            while end - begin >= 8:
                x = wide[begin]
                word = absorb(word, x | letters(x) >> U2)
                begin += 8
            x = wide[min(begin, top)] >> np.uint64(8 * max(begin - top, 0) & 63)
            words[held] = absorb(word, (x | letters(x) >> U2) & ((U1 << np.uint64(8 * (end - begin))) - U1))
            held += 1
    return held


@kernel
def hash_words(
    wide: Any,  # uint64: the eight bytes from each byte on, of all texts
    offsets: Any,  # int64 (n + 1)
    table: Any,  # uint32 (0x110000), from text.code_points
    folded: Any,  # uint64 scratch, byte by byte like `wide`: room for twice the longest text and 16 bytes more
    folded_read: Any,  # the same memory, read-only
    words: Any,  # OUT uint64: room for a word in every two bytes, and one a text
    ends: Any,  # OUT int64 (n): where the words of each text end
) -> None:
    """Hash the words of each text; see the module's docstring."""
    edges = np.empty(2 * BLOCK, dtype=np.int64)
    by_script = np.empty(len(SCRIPTS), dtype=np.int64)
    held = np.int64(0)
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        if is_ascii(wide, at, stop):
            held = _hash(wide, at, stop, edges, words, held)
        else:
            size, _ = _fold(wide, at, stop, table, folded, by_script)
            held = _hash(folded_read, np.int64(0), size, edges, words, held)
        ends[row] = held


@kernel
def hash_ngrams(words: Any, offsets: Any, n: Any, ngrams: Any, whole: Any) -> None:
    """Hash `n` words from each word on (OUT ngrams, 0 where fewer are left in the text), and each text (OUT whole)."""
    for row in range(len(offsets) - 1):
        start, stop = offsets[row], offsets[row + 1]
        state = SEED
        for i in range(start, stop):
            state = absorb(state, words[i])
        whole[row] = state
        for i in range(start, stop):
            ngrams[i] = U0
            if i + n <= stop:
                state = SEED
                for j in range(n):
                    state = absorb(state, words[i + j])
                ngrams[i] = state
