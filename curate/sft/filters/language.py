"""The language of answers, where the identifier is sure of it: an extra, `pip install "curate[language]"`.

Languages are the columns `language` and `prompt_language` (codes of ISO 639), which `curate.sft.language` adds. A text
that is short, mixed, code or a list of names has no language there, and no rule here drops it.

All hits in Alpaca and its Chinese translation were read. Of Alpaca's answers 25 are not in English, 23 of them rightly:
a list of Italian dishes and one of French films are the others. Mismatch: none in Alpaca; in the translation one right
of two, the other a list of English titles.
"""

from __future__ import annotations

import polars as pl

from curate.errors import unknown_name
from curate.sft.filters import Rule
from curate.sft.filters.quality import RUNS, SETS_ASIDE

_PROMPT, _RESPONSE = pl.col("prompt"), pl.col("response")
_LANGUAGE, _ASKED_IN = pl.col("language"), pl.col("prompt_language")


def answer(codes: str = "en") -> Rule:
    """Kept when: the answer is in English, or in one of the languages given (`language.answer=de:fr`), or in none.

    Our choice. None is what is too short or too mixed to be sure.
    """
    from curate.sft.language import codes as known

    wanted = codes.split(":")
    for code in wanted:
        if code not in known():
            raise unknown_name("language", code, known())
    evidence = pl.format("{}: {}", _LANGUAGE, _RESPONSE.str.slice(0, 150))
    return Rule(_LANGUAGE.is_in(wanted).fill_null(True) & _RESPONSE.is_not_null(), evidence)


SPEAKS_OF_LANGUAGES = (
    rf"(?i){SETS_ASIDE.pattern}"
    r"|french|german|spanish|italian|portuguese|dutch|swedish|danish|norwegian|finnish|polish|czech|hungarian|romanian"
    r"|turkish|ukrainian|persian|bengali|tamil|urdu|indonesian|malay|tagalog|vietnamese|swahili"
    r"|tradu|langue|anglais|français|allemand|espagnol|italien"
    r"|übersetz|sprache|englisch|französisch|deutsch|spanisch|italienisch"
    r"|idioma|lengua|inglés|francés|alemán|español|inglês|francês|alemão|espanhol|lingua|inglese|francese|tedesco|italiano"
    r"|перев|язык"
)


def mismatch() -> Rule:
    """Kept when: answer and prompt are in one language, or one of them is in none, or the prompt speaks of languages.

    Our choice. Tells English from French, where `quality.language_mismatch` tells scripts. Prompts that speak of code,
    and those in two scripts, are set aside too: what is asked about may be what the answer is in.
    """
    scripts = pl.sum_horizontal(_PROMPT.str.contains(f"[{letters}]") for letters in RUNS)
    aside = (scripts > 1) | _PROMPT.str.contains(SPEAKS_OF_LANGUAGES)
    evidence = pl.format("{}, asked in {}: {}", _LANGUAGE, _ASKED_IN, _RESPONSE.str.slice(0, 150))
    return Rule((_LANGUAGE.eq(_ASKED_IN).fill_null(True) | aside) & _RESPONSE.is_not_null(), evidence)


FILTERS = (answer, mismatch)
