"""Quality measures for any pool: compression, the language of the answer by its script, the tokens of a row.

They are on request, `--filters strict` or one by one: what they find is worth a look more often than it is broken.
The script tells Chinese from English and Russian from Arabic, and not English from French: for that there is the group
`language`, an extra.

All hits in Alpaca and its Chinese translation were read. Compression: 6 right of 12 (marks in a loop, empty tables),
the others tables and schedules that repeat as such things do. Language mismatch: 10 right of 13, all in the
translation, where English was left over; the others are a web page and lists of English titles.
"""

from __future__ import annotations

import re
import zlib

import polars as pl

from curate.sft.filters import MEASURE, Rule
from curate.sft.filters.text import free_of, spans, within

_PROMPT, _RESPONSE = pl.col("prompt"), pl.col("response")
_ENOUGH = 200  # bytes of UTF-8; shorter answers compress by little, whatever they say. Our choice


def compression(most: float = 4.0) -> Rule:
    """Kept when: the answer has under 200 bytes, or at most 4 times the bytes of its zlib stream.

    Our choice. Speech recognisers take 2.4 for a sign of a loop (Whisper, arXiv 2212.04356, section 4.5), but written
    answers hold tables and forms: over 2.4 are 247 answers of Alpaca, most of them sound, over 4 there are 12.
    """
    ratio = spans(_RESPONSE.str.len_bytes() >= _ENOUGH, _compressed, "response", kind=pl.Float64)
    evidence = pl.format("{} times: {}", MEASURE.round(1), _RESPONSE.str.slice(0, 150))
    return Rule(MEASURE.le(most).fill_null(True) & _RESPONSE.is_not_null(), evidence, ratio)


def _compressed(answer: str) -> float:
    text = answer.encode()
    return len(text) / len(zlib.compress(text, 6))


_SPACED = {
    "Latin": "A-Za-z\u00c0-\u024f", "Greek": "\u0370-\u03ff", "Cyrillic": "\u0400-\u04ff", "Hebrew": "\u0590-\u05ff",
    "Arabic": "\u0600-\u06ff", "Devanagari": "\u0900-\u097f", "Hangul": "\uac00-\ud7af",
}  # fmt: skip
_UNSPACED = {"Chinese": "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff", "Thai": "\u0e00-\u0e7f"}
# A run of text, as names, labels and code have none: eight words, or twelve characters where words are not spaced.
RUNS = {
    letters: re.compile(rf"(?:[{letters}]{{2,}}[ ,;:.]+(?:[{letters}] )?){{7}}[{letters}]")
    for letters in _SPACED.values()
} | {letters: re.compile(rf"(?:[{letters}][ ，、。]?){{12}}") for letters in _UNSPACED.values()}
SETS_ASIDE = re.compile(
    r"translat|language|latin|english|chinese|japanese|korean|russian|arabic|hebrew|greek|hindi|thai|mandarin|code|program"
    r"|翻[译譯]|[译譯]成|[语語]言|[英汉漢中日韩韓俄法德][语語文]|代[码碼]|函[数數]|程序|程式|算法|演算法|[编編][写寫]",
    re.I,
)


def language_mismatch() -> Rule:
    """Kept when: the main script of the answer occurs in the prompt, or the prompt speaks of a language or of code.

    Main is a script that over half of the answer's letters have, with a run of text in it: names and labels are not
    enough. Our choice.
    """
    new = pl.any_horizontal(
        _RESPONSE.str.contains(f"[{letters}]") & ~_PROMPT.str.contains(f"[{letters}]") for letters in RUNS
    )
    return free_of(spans(new, _in_another_script, "prompt", "response"), "response")


def _in_another_script(prompt: str, answer: str) -> str | None:
    half = sum(map(str.isalpha, answer)) / 2
    for letters, run in RUNS.items():
        main = len(re.findall(f"[{letters}]", answer)) > half and not re.search(f"[{letters}]", prompt)
        if main and run.search(answer) and not SETS_ASIDE.search(prompt):
            return answer.strip()
    return None


def tokens(least: int = 1, most: int = 2048) -> Rule:
    """Kept when: the row has 1 to 2,048 tokens of `--tokenizer`, prompt included.

    LIMA, section 3, trims at 2,048 tokens in training: what is longer is cut.
    """
    return within(pl.col("n_tokens"), least, most, "tokens")


FILTERS = (compression, language_mismatch, tokens)
