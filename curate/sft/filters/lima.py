"""LIMA's rules for forum answers in English (arXiv 2305.11206, section 2.1): length, first person, references.

They are bound to their source: of Alpaca's 52,002 answers, whose median length is 185 characters, the window leaves
1 %. So they drop rows only when asked to, `--filters lima` or one by one; otherwise each run reports how many they
would drop. Even of LIMA's own 400 rows from Stack Exchange the literal rules reject 24 %, and of its wikiHow rows 82 %
are longer than the window: ask for these rules on forum dumps, and set another window where answers are of another
kind.

Thirty hits of each were read. First person: 30 right of the 547 among 1,060 answers of a Stack Exchange dump; in Alpaca
(3,263 rows) all 30 were first person too, but 20 of them letters, songs, speeches and dialogues, which ask for it.
References: 25 right of 147 in the dump, the others "as explained in" a book, "Bob's answer" in a protocol, "as said" in
the part before; in Alpaca one of all 29: tweets, decorators, advice to read Stack Overflow. Known misses: "I (like
most)", and an "I" before a number, a capital or a full stop.
"""

from __future__ import annotations

import polars as pl

from curate.data.lexicon import EN_FIRST, EN_REF
from curate.sft.filters import MEASURE, Rule
from curate.sft.filters.text import free_of, in_prose, is_chinese, spans, within

_RESPONSE = pl.col("response")


def length(least: int = 1200, most: int = 4096) -> Rule:
    """Kept when: the answer has 1,200 to 4,096 characters, or is in Chinese, which is `lima_zh.length`'s.

    LIMA, section 2.1; characters, not tokens, of the answer as it stands, markup included.
    """
    rule = within(MEASURE, least, most, "characters")
    size = pl.when(~is_chinese(_RESPONSE)).then(_RESPONSE.str.len_chars())
    return Rule(rule.keep | (MEASURE.is_null() & _RESPONSE.is_not_null()), rule.evidence, size)


# Words without which a rule cannot fire; the boundaries are ASCII's, which are faster and hit a little more.
_FIRST_WORDS = r"(?-u)\b(?:I|[Mm]y|myself|IMO|IMHO|AFAIK|IIRC)\b"


def first_person() -> Rule:
    """Kept when: the answer's prose does not speak in the first person ("I", "I'm", "my", "myself", "IMHO").

    LIMA, section 2.1. Code, quotations, URLs and LaTeX do not count, nor "I/O", "Type I" and "My Documents".
    """
    return free_of(spans(_RESPONSE.str.contains(_FIRST_WORDS), in_prose(EN_FIRST), "response"), "response")


_REFERENCE_WORDS = (
    r"(?im-u)\b(?:mentioned|noted|said|pointed|suggested|stated|explained|answers?|comments?|solution|suggestion|reply"
    r"|poster|asker|site|forum|thread|duplicate|stack\w*)\b|\b(?:up|down)-?vot|@|(?-i:\bOP\b)|^(?:edit|update)"
)


def references() -> Rule:
    """Kept when: the answer's prose refers to no other answer, user, comment or site ("as mentioned", "@user", "OP").

    LIMA, section 2.1: "as mentioned", "stack exchange", etc. The list is meant for forum dumps: elsewhere it hits
    tweets and recommendations, and `style.refers_elsewhere` is the narrower rule.
    """
    return free_of(spans(_RESPONSE.str.contains(_REFERENCE_WORDS), in_prose(EN_REF), "response"), "response")


FILTERS = (length, first_person, references)
