"""Sign texts for near-duplicate search: MinHash band keys, shingles for true Jaccard, an exact hash, and counts.

A text becomes a set of shingles (n words in a row, hashed); bands * rows permutations of all hashes each name one
shingle of the set, their least. Two texts agree on one permutation with probability J, the Jaccard similarity of their
sets (Broder 1997), hence on all `rows` of a band with J^rows, and on at least one of `bands` bands with
1 - (1 - J^rows)^bands. Texts that share a band are candidates; `corpus/clusters.py` verifies them.

Decided here: 5 words and 14 bands of 8 rows, the setting of FineWeb (datatrove), so that results compare; verified at
J >= 0.7. Text is folded as `corpus/text.py` says, and a text of fewer than n words has one shingle of all its words, so
that short texts are found too. The constants of the permutations come from splitmix64 and never change: keys that are
saved today are comparable with those of later versions (`KEYS_VERSION`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from curate.corpus.text import I8, I64, U8, U32, U64, code_points, normal_form_c, read_only, wide
from curate.errors import UsageError

KEYS_VERSION = 1
"""Changes when the same text would get other keys, shingles or exact hashes; saved indexes carry it."""

_LONGEST_NGRAM = 100
_MOST_PERMUTATIONS = 4096


@dataclass(frozen=True)
class MinHashParameters:
    """How near-duplicates are looked for; UsageError where a value is out of range."""

    ngram: int = 5
    bands: int = 14
    rows: int = 8
    threshold: float = 0.7

    def __post_init__(self) -> None:
        if not 1 <= self.ngram <= _LONGEST_NGRAM:
            raise UsageError(f"--ngram {self.ngram} is not between 1 and {_LONGEST_NGRAM} words", "Usual: --ngram 5")
        if self.bands < 1 or self.rows < 1 or self.bands * self.rows > _MOST_PERMUTATIONS:
            raise UsageError(
                f"--bands {self.bands} times --rows {self.rows} is not between 1 and {_MOST_PERMUTATIONS} permutations",
                "Usual: --bands 14 --rows 8",
            )
        if not 0 < self.threshold <= 1:
            raise UsageError(
                f"--threshold {self.threshold} is not a Jaccard similarity above 0 and at most 1",
                "Usual: --threshold 0.7",
            )

    def collision_probability(self, similarity: float) -> float:
        """Return the chance that two texts of this Jaccard similarity share a band: 1 - (1 - s^rows)^bands."""
        return float(1 - (1 - similarity**self.rows) ** self.bands)


@dataclass(frozen=True)
class Signed:
    """What is known of n texts: all that the duplicate levels need, so that the texts can be let go.

    `exact` uint64 (n, 2): hash of the text in normal form C with ASCII white space collapsed. `keys` uint64 (n, bands).
    `shingles` uint32, unsorted and with repeats: those of text i are shingles[shingle_offsets[i]:shingle_offsets[i+1]].
    `words` and `characters` (code points) int64 (n). `script` int8 (n): index into `text.SCRIPTS`.
    """

    exact: U64
    keys: U64
    shingles: U32
    shingle_offsets: I64
    words: I64
    characters: I64
    script: I8

    def __len__(self) -> int:
        return len(self.exact)


def sign(data: U8, offsets: I64, parameters: MinHashParameters) -> Signed:
    """Return the signatures of the texts data[offsets[i]:offsets[i + 1]] (UTF-8, as `text.buffers` gives them).

    One thread; the interpreter lock is released, so call it from several threads on blocks of rows. The result for a
    text does not depend on the other texts.
    """
    return _sign(*normal_form_c(data, offsets), parameters)


def _sign(data: U8, offsets: I64, parameters: MinHashParameters) -> Signed:
    """Sign texts in normal form C. Prior validation of data is assumed."""
    from curate.corpus.kernels import LANES, sign_rows

    n = len(offsets) - 1
    data, read = wide(data)
    longest = int(np.diff(offsets).max(initial=0))
    folded = np.ndarray((2 * longest + 16,), np.uint64, np.empty(2 * longest + 24, np.uint8), strides=(1,))
    folded_read = read_only(folded)
    exact = np.empty((n, 2), np.uint64)
    keys = np.empty((n, parameters.bands), np.uint64)
    # Words are a byte and a separator at least, or three bytes; what is never written takes no memory.
    shingles = np.empty(int(offsets[-1] - offsets[0]) // 2 + n + LANES, np.uint32)
    counts = np.empty((n, 3), np.int64)
    script = np.empty(n, np.int8)
    sign_rows(
        data, read, read_only(offsets), code_points(), parameters.ngram, parameters.rows, permutations(parameters),
        folded, folded_read, exact, keys, shingles, counts, script,
    )  # fmt: skip
    shingle_offsets = np.concatenate((np.zeros(1, np.int64), counts[:, 0]))
    words, characters = np.ascontiguousarray(counts[:, 1:].T)
    return Signed(exact, keys, shingles[: shingle_offsets[-1]], shingle_offsets, words, characters, script)


@cache
def permutations(parameters: MinHashParameters) -> U32:
    """Return the constants of x -> (x ^ s) * a: uint32 (2, bands * rows), all s, then all a (odd)."""
    count = parameters.bands * parameters.rows
    constants = np.array([number >> 32 for number in _splitmix64(2 * count)], dtype=np.uint32).reshape(2, count)
    constants[1] |= 1
    return read_only(constants)


def _splitmix64(count: int) -> list[int]:
    """Return the first numbers of splitmix64 (Steele, Lea, Flood 2014) from state 0."""
    numbers, state, mask = [], 0, 2**64 - 1
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ state >> 30) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & mask
        numbers.append(z ^ z >> 31)
    return numbers
