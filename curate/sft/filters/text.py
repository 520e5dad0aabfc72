"""What filters share: look closely at the few rows that a cheap screen hits.

Polars' regular expressions are fast and linear, but know no look-arounds and no back references. So a rule screens
every row with them or with a list of words, and a plain Python function decides on the rows hit. The function may be
slow: it sees a per cent of the rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import starmap
from typing import Any

import polars as pl

from curate.data.lexicon import prose, simplified
from curate.errors import UsageError
from curate.sft.filters import Rule


def mentions(text: pl.Expr, words: str) -> pl.Expr:
    """Return the expression of whether `text` contains any of the `words`, split at "|"; ASCII case does not count."""
    return text.str.contains_any(words.split("|"), ascii_case_insensitive=True)


def spans(screen: pl.Expr, look: Callable[..., Any], *columns: str, kind: type[pl.DataType] = pl.String) -> pl.Expr:
    """Return the expression of what `look(*texts)` finds on the rows that `screen` hits, null elsewhere."""

    def on_hits(series: Sequence[pl.Series]) -> pl.Series:
        hit, *texts = series
        rows = hit.fill_null(False).arg_true()
        found: list[Any] = [None] * len(hit)
        looked = starmap(look, zip(*(text.gather(rows) for text in texts), strict=True))
        for row, span in zip(rows, looked, strict=True):
            found[row] = span
        return pl.Series(found, dtype=kind)

    return pl.map_batches([screen, *columns], on_hits, return_dtype=kind, is_elementwise=True)


def free_of(found: pl.Expr, column: str) -> Rule:
    """Return the rule that keeps the rows whose `column` is there and where nothing was `found`."""
    return Rule(found.is_null() & pl.col(column).is_not_null(), found)


def first(pattern: re.Pattern[str], text: str) -> str | None:
    """Return the first match of `pattern` in `text` with some characters on either side, or None."""
    match = pattern.search(text)
    return None if match is None else around(match, text)


def around(match: re.Match[str], text: str) -> str:
    """Return the span of `match` in `text` with some characters on either side."""
    return text[max(0, match.start() - 30) : match.end() + 60].strip()


def is_chinese(text: pl.Expr) -> pl.Expr:
    """Return the expression of whether over a third of the characters of `text` are Chinese ones.

    Our choice: the rest may be spaces, digits, names and formulas.
    """
    return text.str.count_matches(r"\p{Han}") * 3 > text.str.len_chars()


def within(size: pl.Expr, least: int, most: int, unit: str) -> Rule:
    """Return the rule that keeps the rows whose `size` is `least` to `most`; raises UsageError where none can be."""
    if not 0 <= least <= most:
        raise UsageError(f"a window of {least:,} to {most:,} {unit} holds nothing", "Give the smaller number first.")
    return Rule(size.is_between(least, most), pl.format(f"{{}} {unit}", size))


def in_prose(lexicon: re.Pattern[str]) -> Callable[[str], str | None]:
    """Return the function that finds `lexicon` in the prose of an answer, traditional characters read as simplified."""

    def look(answer: str) -> str | None:
        text = prose(answer)
        match = lexicon.search(simplified(text))
        return None if match is None else around(match, text)

    return look
