"""The slow twins of the duplicate kernels: Python numbers, strings and sets, nothing clever.

The tests hold every kernel against its twin here. The constants stand here a second time on purpose: this page is the
definition of the hashes, and a saved index depends on them.
"""

from __future__ import annotations

from curate.corpus.text import CLASS_SHIFT, DROP, FOLDED, SINGLE, WORD, code_points

_MASK = 2**64 - 1
_SEED = 0x27D4EB2F165667C5
_M1 = 0x9E3779B185EBCA87
_M2 = 0xC2B2AE3D27D4EB4F


def rotate(state: int, by: int) -> int:
    """Return 64 bits rotated to the left."""
    return (state << by | state >> 64 - by) & _MASK


def absorb(state: int, value: int) -> int:
    """Return `state` after one more `value`."""
    return rotate((state ^ value) * _M1 & _MASK, 31)


def finish(state: int) -> int:
    """Return MurmurHash3's fmix64 of the state."""
    for multiplier in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        state = (state ^ state >> 33) * multiplier & _MASK
    return state ^ state >> 33


def exact_reference(text: str) -> tuple[int, int]:
    """Return the exact hash of a text in normal form C: words between ASCII white space, in chunks of eight bytes."""
    low, high = _SEED, _M2
    for word in text.encode().split():  # bytes: ASCII white space only
        whole = len(word) // 8 * 8
        chunks = [int.from_bytes(word[i : i + 8], "little") for i in range(0, whole, 8)]
        for chunk in (*chunks, int.from_bytes(word[whole:], "little") | (0xF8 | len(word) - whole) << 56):
            low = absorb(low, chunk)
            high = (rotate(high, 23) + low) & _MASK
    return finish(low), finish(high ^ low)


def words_reference(text: str) -> list[str]:
    """Return the folded words of a text."""
    table, pieces = code_points(), []
    for char in text:
        entry = int(table[ord(char)])
        folded = chr(entry & FOLDED)
        pieces.append({WORD: folded, SINGLE: f" {folded} ", DROP: ""}.get(entry >> CLASS_SHIFT & 7, " "))
    return [word for word in "".join(pieces).split(" ") if word]


def shingles_reference(words: list[str], ngram: int) -> list[int]:
    """Return the shingles in their order: hashes of n words in a row, or of all words where there are fewer."""
    hashes = []
    for word in words:
        state, data = _SEED, word.encode()
        for i in range(0, len(data) + 1, 8):  # a last chunk always, empty where the word fills the one before
            state = absorb(state, int.from_bytes(data[i : i + 8], "little"))
        hashes.append(state)
    shingles = []
    for i in range(max(len(words) - ngram + 1, min(len(words), 1))):
        state = 0
        for value in hashes[i : i + ngram]:
            state = (state * _M2 + value) & _MASK
        shingles.append(finish(state) >> 32)
    return shingles


def keys_reference(shingles: list[int], permutations: list[list[int]], bands: int) -> list[int]:
    """Return the band keys of a text from its shingles and the constants of the permutations (all s, all a)."""
    least = [
        min((((x ^ s) * a) % 2**32 for x in shingles), default=2**32 - 1) for s, a in zip(*permutations, strict=True)
    ]
    rows, keys = len(least) // bands, []
    for band in range(bands):
        state = _SEED + band
        for value in least[band * rows : (band + 1) * rows]:
            state = absorb(state, value)
        keys.append(finish(state))
    return keys


def jaccard_reference(a: list[int], b: list[int]) -> float:
    """Return the Jaccard similarity of two sets of shingles."""
    return len(set(a) & set(b)) / len(set(a) | set(b))
