"""What a code point means to the duplicate kernels: one table, and texts as Arrow buffers in normal form C.

One uint32 for each code point says what a kernel must know, so that a character costs one load:

    bits 0-20   the code point it is folded to: lower case, no diacritics, ASCII digits, full-width to narrow
    bits 21-23  its class: WORD, SPACE, MARK_OFF (punctuation, symbols), DROP, SINGLE
    bit  24     UNSTABLE: it may stand otherwise in normal form C (quick check "no" or "maybe")
    bit  25     COMBINING: two of these in a row may stand in the wrong order
    bits 26-31  its script, an index into SCRIPTS

Decided here. Folding is one to one, as a table can do it: the ligature of f and i, sharp s and the like stay what they
are. Diacritics of Latin, Greek, Cyrillic, Hebrew and Arabic fall; the vowel signs of Indic scripts stay, because they
are letters. Numbers stay: pages that differ in their numbers alone are no duplicates. In scripts that write no spaces
(Han, kana, Thai, Lao, Khmer, Myanmar, Tai) each character is a word, so that nobody has to name a language and a mixed
text is cut rightly piece by piece. Unassigned and private code points are letters: nothing readable vanishes. The rest
comes from Python's `unicodedata`, whose version (`UNICODE_VERSION`) belongs into every report: between versions only
newly assigned characters differ.

Normal form C cannot be reached one to one, so documents that may not be in it go through Python before the kernels.
Measured on the shared corpora: none to 1 % of the documents.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I8 = npt.NDArray[np.int8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
T = TypeVar("T", bound=np.generic)
Bool = npt.NDArray[np.bool_]

_PIECE = 1 << 20  # bytes put into normal form C at a time
UNICODE_VERSION = unicodedata.unidata_version

WORD, SPACE, MARK_OFF, DROP, SINGLE = range(5)
FOLDED = (1 << 21) - 1
CLASS_SHIFT, SCRIPT_SHIFT = 21, 26
UNSTABLE, COMBINING = 1 << 24, 1 << 25

SCRIPTS = (
    "none", "Latin", "Greek", "Cyrillic", "Armenian", "Hebrew", "Arabic", "Devanagari", "Bengali", "Gurmukhi",
    "Gujarati", "Oriya", "Tamil", "Telugu", "Kannada", "Malayalam", "Sinhala", "Thai", "Lao", "Tibetan", "Myanmar",
    "Georgian", "Hangul", "Ethiopic", "Khmer", "Mongolian", "Kana", "Han", "other",
)  # fmt: skip
"""Names of the `script` codes. Digits, punctuation and symbols have none; Japanese is Kana, though often more Han."""

# First and last code point; Unicode Standard, Blocks.txt.
_BLOCKS: tuple[tuple[int, int, str], ...] = (
    (0x0041, 0x024F, "Latin"), (0x0250, 0x02AF, "Latin"), (0x1D00, 0x1DBF, "Latin"), (0x1E00, 0x1EFF, "Latin"),
    (0x2C60, 0x2C7F, "Latin"), (0xA720, 0xA7FF, "Latin"), (0xAB30, 0xAB6F, "Latin"), (0xFB00, 0xFB06, "Latin"),
    (0xFF21, 0xFF5A, "Latin"), (0x0370, 0x03FF, "Greek"), (0x1F00, 0x1FFF, "Greek"), (0x0400, 0x052F, "Cyrillic"),
    (0x1C80, 0x1C8F, "Cyrillic"), (0x2DE0, 0x2DFF, "Cyrillic"), (0xA640, 0xA69F, "Cyrillic"),
    (0x0530, 0x058F, "Armenian"), (0x0590, 0x05FF, "Hebrew"), (0xFB1D, 0xFB4F, "Hebrew"), (0x0600, 0x06FF, "Arabic"),
    (0x0750, 0x077F, "Arabic"), (0x0870, 0x08FF, "Arabic"), (0xFB50, 0xFDFF, "Arabic"), (0xFE70, 0xFEFE, "Arabic"),
    (0x0900, 0x097F, "Devanagari"), (0xA8E0, 0xA8FF, "Devanagari"), (0x0980, 0x09FF, "Bengali"),
    (0x0A00, 0x0A7F, "Gurmukhi"), (0x0A80, 0x0AFF, "Gujarati"), (0x0B00, 0x0B7F, "Oriya"), (0x0B80, 0x0BFF, "Tamil"),
    (0x0C00, 0x0C7F, "Telugu"), (0x0C80, 0x0CFF, "Kannada"), (0x0D00, 0x0D7F, "Malayalam"),
    (0x0D80, 0x0DFF, "Sinhala"), (0x0E00, 0x0E7F, "Thai"), (0x0E80, 0x0EFF, "Lao"), (0x0F00, 0x0FFF, "Tibetan"),
    (0x1000, 0x109F, "Myanmar"), (0xA9E0, 0xA9FF, "Myanmar"), (0xAA60, 0xAA7F, "Myanmar"),
    (0x10A0, 0x10FF, "Georgian"), (0x1C90, 0x1CBF, "Georgian"), (0x2D00, 0x2D2F, "Georgian"),
    (0x1100, 0x11FF, "Hangul"), (0x3130, 0x318F, "Hangul"), (0xA960, 0xA97F, "Hangul"), (0xAC00, 0xD7FF, "Hangul"),
    (0xFFA0, 0xFFDC, "Hangul"), (0x1200, 0x139F, "Ethiopic"), (0x2D80, 0x2DDF, "Ethiopic"),
    (0xAB00, 0xAB2F, "Ethiopic"), (0x1780, 0x17FF, "Khmer"), (0x1800, 0x18AF, "Mongolian"),
    (0x3031, 0x3035, "Kana"), (0x3041, 0x30FF, "Kana"), (0x31F0, 0x31FF, "Kana"), (0xFF66, 0xFF9F, "Kana"),
    (0x1AFF0, 0x1B16F, "Kana"), (0x2E80, 0x2FDF, "Han"), (0x3005, 0x3007, "Han"), (0x3021, 0x3029, "Han"),
    (0x3038, 0x303B, "Han"), (0x3100, 0x312F, "Han"), (0x31A0, 0x31BF, "Han"), (0x3400, 0x4DBF, "Han"),
    (0x4E00, 0x9FFF, "Han"), (0xF900, 0xFAFF, "Han"), (0x20000, 0x3FFFF, "Han"),
)  # fmt: skip
_UNSPACED = ("Thai", "Lao", "Myanmar", "Khmer", "Kana", "Han")
_UNSPACED_OTHER = ((0x1950, 0x19DF), (0x1A20, 0x1AAF), (0xA980, 0xA9DF), (0xAA80, 0xAADF))  # Tai scripts, Javanese

# White_Space of the Unicode Character Database; str.isspace() adds U+001C to U+001F.
_WHITE = (*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)
_DIACRITICS = (
    (0x0300, 0x036F), (0x0483, 0x0487), (0x0591, 0x05C7), (0x0610, 0x061A), (0x064B, 0x065F), (0x0670, 0x0670),
    (0x06D6, 0x06ED), (0x08D3, 0x08FF), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE00, 0xFE0F),
    (0xFE20, 0xFE2F), (0xE0100, 0xE01EF),
)  # fmt: skip
# Long ranges of letters that fold to themselves (and code points of no meaning): nothing to ask `unicodedata` for.
_PLAIN = (
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xD800, 0xF8FF), (0x13000, 0x1AFFF), (0x20000, 0x2F7FF),
    (0x2FA20, 0xE0000), (0xE0200, 0x10FFFF),
)  # fmt: skip


@cache
def code_points() -> U32:
    """Return the table of all 0x110000 code points (4.4 MB; built once, in a few hundredths of a second)."""
    table: U32 = np.arange(0x110000, dtype=np.uint32)
    plain = np.zeros(len(table), dtype=bool)
    for first, last in _PLAIN:
        plain[first : last + 1] = True
    for code in np.flatnonzero(~plain).tolist():
        table[code] = _entry(code)
    _mark_scripts(table)
    for code in _unstable():
        table[code] |= UNSTABLE
    table.setflags(write=False)
    return table


def _entry(code: int) -> int:
    """Return folding and class of one code point."""
    char = chr(code)
    category = unicodedata.category(char)
    if code in _WHITE:
        return code | SPACE << CLASS_SHIFT
    if category == "Cf" or (category[0] == "M" and _is_diacritic(code)):
        return code | DROP << CLASS_SHIFT | (COMBINING if unicodedata.combining(char) else 0)
    if category[0] in "PS" or category == "Cc":
        return code | MARK_OFF << CLASS_SHIFT
    if category == "Nd":
        return ord("0") + unicodedata.digit(char)
    if category[0] == "M":
        return code | (COMBINING if unicodedata.combining(char) else 0)
    return _folded(char)


def _folded(char: str) -> int:
    """Return the code point that stands for `char` once case, diacritics and compatibility forms are gone."""
    if unicodedata.decomposition(char):
        parts = [c for c in unicodedata.normalize("NFKD", char) if not _is_diacritic(ord(c))]
        if len(parts) == 1 and unicodedata.category(parts[0])[0] in "LN":
            char = parts[0]
    for variant in (char.casefold(), char.lower()):
        if len(variant) == 1:
            return ord(variant)
    return ord(char)


def _is_diacritic(code: int) -> bool:
    return code >= 0x300 and any(first <= code <= last for first, last in _DIACRITICS)


def _mark_scripts(table: U32) -> None:
    """Give each letter its script, and make the letters of unspaced scripts words of one character."""
    scripts = np.zeros(len(table), dtype=np.uint32)
    single = np.zeros(len(table), dtype=bool)
    scripts[0x80:] = SCRIPTS.index("other")
    for first, last, name in _BLOCKS:
        scripts[first : last + 1] = SCRIPTS.index(name)
        single[first : last + 1] = name in _UNSPACED
    for first, last in _UNSPACED_OTHER:
        single[first : last + 1] = True
    folded = table & FOLDED
    letter = ((table >> CLASS_SHIFT & 7) == WORD) & ((folded < ord("0")) | (folded > ord("9")))
    table[letter] |= scripts[letter] << SCRIPT_SHIFT
    table[letter & single] |= SINGLE << CLASS_SHIFT


def _unstable() -> set[int]:
    """Return the code points whose NFC quick check is not "yes"."""
    found = set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))  # Hangul vowels and final consonants compose
    for code in (*range(0xA0, 0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0x20000), *range(0x2F800, 0x2FA20)):
        decomposed = unicodedata.decomposition(chr(code))
        if not decomposed or decomposed[0] == "<":
            continue
        if unicodedata.is_normalized("NFC", chr(code)):
            found.add(int(decomposed.split()[-1], 16))
        else:
            found.add(code)
    return found


def buffers(texts: pl.Series) -> tuple[U8, I64]:
    """Return the UTF-8 bytes of a String series and where each text starts and ends in them; null is empty.

    Text `i` is `data[offsets[i]:offsets[i + 1]]`. Without nulls nothing is copied beyond what polars itself needs.
    """
    array = (texts.fill_null("") if texts.null_count() else texts).rechunk().to_arrow()
    _, where, what = array.buffers()
    offsets = np.frombuffer(where, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(what, dtype=np.uint8) if what is not None else np.empty(0, dtype=np.uint8)
    return data, offsets


def wide(data: U8) -> tuple[U8, U64]:
    """Return the bytes read-only, nine or more, and a view of them: the eight bytes from each byte on as a number."""
    if len(data) < 9:  # a view of one number would be contiguous: another type, compiled another time
        data = np.concatenate((data, np.zeros(9 - len(data), np.uint8)))
    read: U64 = np.ndarray((len(data) - 7,), np.uint64, data, strides=(1,))
    return read_only(data), read_only(read)


def read_only(array: npt.NDArray[T]) -> npt.NDArray[T]:
    """Return a read-only view: kernels are compiled once for each kind of array, so there is one kind only."""
    view = array.view()
    view.flags.writeable = False
    return view


def normal_form_c(data: U8, offsets: I64) -> tuple[U8, I64]:
    """Return the texts with those that were not in normal form C put into it; the same arrays where none was."""
    from curate.corpus.kernels import suspects

    changed: dict[int, bytes] = {}
    for row in np.flatnonzero(suspects(*wide(data), read_only(offsets), code_points())).tolist():
        text = _normalized(data[offsets[row] : offsets[row + 1]])
        if text is not None:
            changed[row] = text
    if not changed:
        return data, offsets
    lengths = np.diff(offsets)
    pieces: list[bytes] = []
    done = 0
    for row, text_bytes in changed.items():
        pieces += [data[offsets[done] : offsets[row]].tobytes(), text_bytes]
        lengths[row] = len(text_bytes)
        done = row + 1
    pieces.append(data[offsets[done] : offsets[-1]].tobytes())
    return np.frombuffer(b"".join(pieces), dtype=np.uint8), np.concatenate(([0], np.cumsum(lengths)))


def _normalized(text: U8) -> bytes | None:
    """Return a text in normal form C, None where it was; piece by piece, for a string takes up to four times the bytes.

    Before an ASCII character a text may be cut: none combines with what stands before it (UAX #15, stable boundaries).
    """
    pieces, changed, start = [], False, 0
    while start < len(text):
        stop = start + _PIECE
        while stop < len(text):
            ascii_ = np.flatnonzero(text[stop : stop + _PIECE] < 0x80)
            stop += int(ascii_[0]) if len(ascii_) else _PIECE
            if len(ascii_):
                break
        raw = text[start:stop].tobytes()
        piece = raw.decode("utf-8", "replace")
        if not unicodedata.is_normalized("NFC", piece):
            raw, changed = unicodedata.normalize("NFC", piece).encode(), True
        pieces.append(raw)
        start = stop
    return b"".join(pieces) if changed else None
