"""The kernels of the duplicate levels: they read Arrow bytes and make no Python object for a word.

`sign_rows` goes over each text in short loops, eight bytes at a time where it is ASCII:

1. `_exact` hashes the text with its white space collapsed to 128 bits;
2. `_fold` (only where the text is not ASCII) writes it out folded by the table of `corpus/text.py`: words as UTF-8,
   a blank for whatever separates them, each character of an unspaced script as a word of its own;
3. `_words` hashes the words, rolls them into shingles, and takes the minimum of each permutation over each block of
   shingles. The loop over permutations stands outside and the loop over shingles inside, all in uint32: that is the
   form the compiler turns into vector instructions.

Decided here. A shingle is 32 bits: two documents of 10,000 shingles share 0.02 of them by accident, and half the disk
is saved. A permutation of the 32-bit numbers is x -> (x ^ s) * a with odd a; x itself is thoroughly mixed, and the
agreements of 112 permutations have the variance of 112 independent coins (tests). Shingles are stored as they come,
with repeats, since sorting all of them costs more than signing, and only candidates need it. A document of more than
LARGEST distinct shingles keeps the LARGEST smallest (a bottom-k sketch): what is stored stays bounded for a document
of a gigabyte, and the Jaccard similarity of two such is known to 0.0005.

Kernels get typed arrays, have no options and never raise; broken UTF-8 reads as U+FFFD. Threads run them side by side,
and each row depends on its own text alone: any split of the rows gives the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curate.corpus.byte_kernels import (  # isort: skip
    BLANK, EACH_01, EACH_80, M2, SEED, U0, U1, U2, U7, U23, U32, U41, U56, U63, absorb, decode, digits, encode, finish,
    gather, is_ascii, kernel, letters, lowest_bit, piece, white,
)  # fmt: skip
from curate.corpus.text import CLASS_SHIFT, COMBINING, DROP, FOLDED, SCRIPT_SHIFT, SCRIPTS, SINGLE, UNSTABLE, WORD

LARGEST = 1 << 20
BLOCK = 1024  # words hashed before they are rolled into shingles and permuted: 12 KB, within the first-level cache
_FEW = 96  # shingles, below which another order of the loops is faster (measured: even at about 120)
LANES = 32  # shingles are padded to a multiple of this, so that the vector loop has no remainder
_LATIN, _KANA, _HAN = (SCRIPTS.index(name) for name in ("Latin", "Kana", "Han"))


@kernel
def _has_letter(data: Any, at: Any, stop: Any) -> Any:
    for i in range(at, stop):  # noqa: SIM110  (a compiled loop)
        if 97 <= (data[i] | 32) <= 122:
            return True
    return False


@kernel
def suspects(data: Any, wide: Any, offsets: Any, table: Any) -> Any:
    """Return which rows may not be in normal form C: a code point that can compose, or two combining ones in a row."""
    found = np.zeros(len(offsets) - 1, dtype=np.bool_)
    top = len(wide) - 1
    for row in range(len(found)):
        at, stop = offsets[row], offsets[row + 1]
        if is_ascii(wide, at, stop):
            continue
        before = np.uint32(0)
        while at < stop:
            base = min(at, top)
            x = wide[base] >> np.uint64(8 * (at - base))
            if base == at and x & EACH_80 == U0:
                before = np.uint32(0)
                at += 8
                continue
            code, length = decode(x, stop - at)
            at += length
            entry = table[code]
            if entry & UNSTABLE or entry & before & COMBINING:
                found[row] = True
                break
            before = entry
    return found


@kernel
def _edges(wide: Any, at: Any, stop: Any, inside: Any, dark: Any, edges: Any) -> Any:
    """Write where runs begin and end: of bytes that are not white (`dark`), or of letters, digits and non-ASCII.

    Sixty-four bytes become one bit each; what differs from its neighbour is an edge. No branch depends on a byte.
    Return how many edges were written, how far it came, and whether a run is open there (as `inside`: at the start).
    """
    count, top, room = 0, len(wide) - 1, len(edges) - 65
    while at < stop and count < room:
        bits = U0
        if at + 56 <= top:
            for i in range(8):
                x = wide[at + 8 * i]
                marks = ~white(x) & EACH_80 if dark else letters(x) | digits(x) | (x & EACH_80)
                bits |= gather(marks) << np.uint64(8 * i)
        else:
            for i in range(min(64, stop - at)):
                x = wide[min(at + i, top)] >> np.uint64(8 * max(at + i - top, 0))
                marks = ~white(x) & EACH_80 if dark else letters(x) | digits(x) | (x & EACH_80)
                bits |= (gather(marks) & U1) << np.uint64(i)
        if stop - at < 64:
            bits &= (U1 << np.uint64(stop - at)) - U1
        turns = bits ^ (bits << U1 | inside)
        while turns != U0:
            edges[count] = at + np.int64(lowest_bit(turns))
            count += 1
            turns &= turns - U1
        inside = bits >> U63
        at += 64
    if at >= stop and inside != U0:
        edges[count] = stop
        count += 1
        inside = U0
    return count, at, inside


@kernel
def _exact(wide: Any, at: Any, stop: Any, edges: Any, exact: Any) -> None:
    """Write a 128-bit hash of the words between ASCII white space: chunks of eight bytes, the last one marked."""
    low, high, top, count, inside = SEED, M2, len(wide) - 1, 0, U0
    while at < stop:
        held = count & 1  # a run that is open
        if held:
            edges[0] = edges[count - 1]
        count, at, inside = _edges(wide, at, stop, inside, True, edges[held:])
        count += held
        for e in range(0, count - 1, 2):
            begin, end = edges[e], edges[e + 1]
            while end - begin >= 8:
                low = absorb(low, wide[begin])
                high = ((high << U23) | (high >> U41)) + low
                begin += 8
            x = wide[min(begin, top)] >> np.uint64(8 * max(begin - top, 0) & 63)
            low = absorb(low, piece(x, np.uint64(end - begin)))
            high = ((high << U23) | (high >> U41)) + low
    exact[0] = finish(low)
    exact[1] = finish(high ^ low)


@kernel
def _fold(wide: Any, at: Any, stop: Any, table: Any, out: Any, by_script: Any) -> Any:
    """Write the text folded, and return how many bytes that took and how many code points the text had."""
    size, characters, top, parted = 0, 0, len(wide) - 1, True
    while at < stop:
        base = min(at, top)
        x = wide[base] >> np.uint64(8 * (at - base))
        if base == at and at + 8 <= stop and x & EACH_80 == U0:
            parted = False
            by_script[_LATIN] += np.int64((letters(x) >> U7) * EACH_01 >> U56)
            out[size] = x
            size += 8
            at += 8
            characters += 8
            continue
        code, length = decode(x, stop - at)
        at += length
        characters += 1
        entry = np.int64(table[code])
        kind = (entry >> CLASS_SHIFT) & 7
        if kind == DROP:
            continue
        by_script[entry >> SCRIPT_SHIFT] += 1
        if kind == WORD:
            out[size], length = encode(entry & FOLDED)
            size += length
            parted = False
            continue
        if not parted:
            out[size] = BLANK
            size += 1
            parted = True
        if kind == SINGLE:
            encoded, length = encode(entry & FOLDED)
            out[size] = encoded | BLANK << np.uint64(8 * length)
            size += length + 1
    return size, characters


@kernel
def _permute(shingles: Any, permutations: Any, signature: Any) -> None:
    """Lower each value of `signature` to the minimum of its permutation over `shingles`, both uint32.

    Few shingles are met one by one by all permutations at once: the vector loop over shingles would not pay its start.
    """
    if len(shingles) < _FEW:
        for i in range(len(shingles)):
            for j in range(len(signature)):
                value = np.uint32(np.uint32(shingles[i] ^ permutations[0, j]) * permutations[1, j])
                signature[j] = min(signature[j], value)
        return
    for j in range(len(signature)):
        seed, multiplier, least = permutations[0, j], permutations[1, j], signature[j]
        for i in range(len(shingles)):
            least = min(least, np.uint32(np.uint32(shingles[i] ^ seed) * multiplier))
        signature[j] = least


@kernel
def _roll(words: Any, count: Any, ngram: Any, out: Any, at: Any) -> Any:
    """Write the hashes of all n-grams of words[:count] to out[at:] and return how many (fewer words are one n-gram)."""
    state, weight = U0, U1
    for _ in range(ngram):
        weight *= M2
    for i in range(min(count, ngram)):
        state = state * M2 + words[i]
    out[at] = np.uint32(finish(state) >> U32)
    for i in range(ngram, count):
        state = state * M2 + words[i] - words[i - ngram] * weight
        out[at + i - ngram + 1] = np.uint32(finish(state) >> U32)
    return max(count - ngram + 1, 1)


@kernel
def sort_unique(values: Any, spare: Any) -> Any:
    """Sort uint32 `values` in place, each once, and return how many are left; `spare` is as long (radix sort)."""
    n = len(values)
    source, target = values, spare
    count = np.empty(256, dtype=np.int64)
    for shift in (0, 8, 16, 24):
        count[:] = 0
        for i in range(n):
            count[(source[i] >> shift) & 255] += 1
        total = 0
        for b in range(256):
            total, count[b] = total + count[b], total
        for i in range(n):
            b = (source[i] >> shift) & 255
            target[count[b]] = source[i]
            count[b] += 1
        source, target = target, source
    left = 0
    for i in range(n):  # four passes: the sorted values are back in `values`
        if left == 0 or values[i] != values[left - 1]:
            values[left] = values[i]
            left += 1
    return left


@kernel
def _shingle(
    words: Any, count: Any, ngram: Any, permutations: Any, signature: Any, shingles: Any, first: Any, last: Any
) -> Any:
    """Roll words[:count] into shingles and permute these; return where the shingles of the row end now."""
    fresh = _roll(words, count, ngram, shingles, last)
    padded = (fresh + LANES - 1) // LANES * LANES if fresh >= _FEW else fresh
    for i in range(fresh, padded):
        shingles[last + i] = shingles[last]
    _permute(shingles[last : last + padded], permutations, signature)
    last += fresh
    if last - first < 2 * LARGEST:
        return last
    held = shingles[first:last]
    return first + min(sort_unique(held, np.empty_like(held)), LARGEST)


@kernel
def _words(
    wide: Any, at: Any, stop: Any, ngram: Any, permutations: Any, edges: Any, words: Any, signature: Any, shingles: Any,
    first: Any,
) -> Any:  # fmt: skip
    """Hash the words, shingle and permute them block by block; return where the shingles end and how many words."""
    top, last, inside = len(wide) - 1, first, U0
    total, held, count = np.int64(0), np.int64(0), np.int64(0)
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
        total += count // 2
        if held >= BLOCK:
            last = _shingle(words, held, ngram, permutations, signature, shingles, first, last)
            for i in range(ngram - 1):
                words[i] = words[held - ngram + 1 + i]
            held = ngram - 1
    if held >= ngram or held == total > 0:
        last = _shingle(words, held, ngram, permutations, signature, shingles, first, last)
    return last, total


@kernel
def _main_script(counts: Any) -> Any:
    """Return the script of most characters; text of Han with a tenth or more of kana is Japanese, so Kana."""
    best = 0
    for s in range(1, len(counts)):
        if counts[s] > 0 and (best == 0 or counts[s] > counts[best]):
            best = s
    if best == _HAN and counts[_KANA] * 10 >= counts[_HAN] + counts[_KANA]:
        return _KANA
    return best


@kernel
def _band_keys(signature: Any, rows: Any, keys: Any) -> None:
    """Write one 64-bit key for each band of `rows` values; the band's number is part of it."""
    for band in range(len(keys)):
        state = SEED + np.uint64(band)
        for r in range(rows):
            state = absorb(state, np.uint64(signature[band * rows + r]))
        keys[band] = finish(state)


@kernel
def sign_rows(
    data: Any,  # uint8: all texts, one after the other; nine bytes or more
    wide: Any,  # uint64 (len(data) - 7): the eight bytes from each byte on
    offsets: Any,  # int64 (n + 1)
    table: Any,  # uint32 (0x110000), from text.code_points
    ngram: Any,  # int64: words in a shingle, at most 100
    rows: Any,  # int64: values in a band
    permutations: Any,  # uint32 (2, bands * rows): s and a
    folded: Any,  # uint64 scratch, byte by byte like `wide`: room for twice the longest text and 16 bytes more
    folded_read: Any,  # the same memory, read-only
    exact: Any,  # OUT uint64 (n, 2): hash of the text with white space collapsed
    keys: Any,  # OUT uint64 (n, bands): one and the same for all texts without words
    shingles: Any,  # OUT uint32: room for one a word and LANES more
    counts: Any,  # OUT int64 (n, 3): where the row's shingles end, words, code points
    scripts: Any,  # OUT int8 (n): index into SCRIPTS
) -> None:
    """Sign each row; see the module's docstring."""
    edges = np.empty(2 * BLOCK, dtype=np.int64)
    words = np.empty(2 * BLOCK + ngram, dtype=np.uint64)
    signature = np.empty(permutations.shape[1], dtype=np.uint32)
    by_script = np.empty(len(SCRIPTS), dtype=np.int64)
    last = np.int64(0)
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        signature[:] = np.uint32(0xFFFFFFFF)
        _exact(wide, at, stop, edges, exact[row])
        if is_ascii(wide, at, stop):
            last, counts[row, 1] = _words(wide, at, stop, ngram, permutations, edges, words, signature, shingles, last)
            counts[row, 2] = stop - at
            scripts[row] = _LATIN if _has_letter(data, at, stop) else 0
        else:
            by_script[:] = 0
            size, counts[row, 2] = _fold(wide, at, stop, table, folded, by_script)
            last, counts[row, 1] = _words(
                folded_read, np.int64(0), size, ngram, permutations, edges, words, signature, shingles, last
            )
            scripts[row] = _main_script(by_script)
        _band_keys(signature, rows, keys[row])
        counts[row, 0] = last
