"""Which language a text is in, where that is sure: for `--filters language`, `--balance language` and the ledger.

The identifier is py3langid, a naive Bayes classifier over byte n-grams (Lui and Baldwin, ACL 2012): BSD, 139 languages,
needs numpy alone. It is an extra, since most pools are in one language; by script, rows are told apart without it.

A text has a language only where that is sure, else none (null):

- Code is taken out, and what is left needs letters for 40 bytes of UTF-8: "Question" is Italian to an identifier.
- Its confidence must be 0.7. From 120 bytes of letters on, both halves are asked and must agree, so that a text which
  goes over into another language has none.
- Latin never counts. What it is found in are species, chemical elements, emperors, and "Lorem ipsum".
- Wu, Cantonese and Nigerian Pidgin are left out of the choice: what was taken for them were Chinese and English with
  many names.

A prompt may ask in one language about a text in another. So its first and its last sentence must not be in another
language than the whole, however unsure that is.

The numbers are ours, chosen on Alpaca and on prose of manual pages; docs/benchmarks.md has the shares that are told
and the mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import version
from itertools import chain
from typing import TYPE_CHECKING, Any

import polars as pl

from curate.data.lexicon import without_code
from curate.engine.blocks import one_blas_thread
from curate.engine.local import map_chunks
from curate.errors import MissingExtra

if TYPE_CHECKING:
    from curate.sft.measures import Measures

CONFIDENCE = 0.7
LEAST, HALVED = 40, 120  # bytes of UTF-8 in letters
_CONTRARY, _SENTENCE = 0.2, 12  # the confidence and the bytes of letters that a first or last sentence needs
_LOOKED_AT = 2_000  # characters
_CHUNK = 16_384  # texts
_NOT_LETTERS = re.compile(r"[\W\d_]+")
_NONE = {"la", "zxx"}  # zxx: no language
_NOT_ASKED = {"wuu", "yue", "pcm"}
_SENTENCE_END = re.compile(r"[\n.:;?!。：；？！]+\s*")


def codes() -> set[str]:
    """Return the ISO 639 codes that a text may get; raises MissingExtra."""
    return set(_identifier().labels) - _NONE


def add_languages(table: pl.DataFrame, measures: Measures, workers: int) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Add `language`, that of the answer, and `prompt_language`; return the table and what the report says of it."""
    identifier = f"py3langid {version('py3langid')}"
    answers = measures.column(f"answer {identifier}", lambda: identify(table["response"], language_of, workers))
    prompts = measures.column(f"prompt {identifier}", lambda: identify(table["prompt"], asked_in, workers))
    counts = answers.drop_nulls().value_counts().sort("count", answers.name, descending=[True, False])
    about = {"identifier": identifier, "answers": dict(counts.iter_rows())}
    return table.with_columns(language=answers, prompt_language=prompts), about


def identify(texts: pl.Series, look: Callable[[str, Any], str | None], workers: int) -> pl.Series:
    """Return `look(text, identifier)` for each text, a language code or null; raises MissingExtra."""
    chunks = (texts[start : start + _CHUNK].to_list() for start in range(0, len(texts), _CHUNK))
    found = map_chunks(partial(_identify, look=look), chunks, workers, _identifier)
    return pl.Series(chain.from_iterable(found), dtype=pl.String)


def _identify(texts: list[str | None], identifier: Any, look: Callable[[str, Any], str | None]) -> list[str | None]:
    with one_blas_thread():
        return [None if text is None else look(text, identifier) for text in texts]


def language_of(text: str, identifier: Any) -> str | None:
    """Return the language code of `text` where it is sure."""
    text = without_code(text[:_LOOKED_AT])
    letters = _letters(text)
    if letters < LEAST:
        return None
    parts = [text] if letters < HALVED else _halves(text)
    (code, *others), confidences = zip(*map(identifier.classify, parts), strict=True)
    sure = min(confidences) >= CONFIDENCE and others in ([], [code]) and code not in _NONE
    return code if sure else None


def asked_in(prompt: str, identifier: Any) -> str | None:
    """Return the language code of `prompt` where it is sure, and neither its first nor its last sentence is another."""
    code = language_of(prompt, identifier)
    sentences = [part for part in _SENTENCE_END.split(prompt) if _letters(part) >= _SENTENCE] if code else []
    for sentence in {*sentences[:1], *sentences[-1:]}:
        other, confidence = identifier.classify(sentence)
        if other != code and confidence >= _CONTRARY:
            return None
    return code


def _letters(text: str) -> int:
    return len(_NOT_LETTERS.sub("", text).encode())


def _halves(text: str) -> list[str]:
    """Cut `text` in the middle, at a space if one is near."""
    middle = len(text) // 2
    space = text.find(" ", middle, middle + 50)
    cut = middle if space < 0 else space
    return [text[:cut], text[cut:]]


@cache
def _identifier() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise MissingExtra("the language of a text", "py3langid", "language") from None
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(set(identifier.labels) - _NOT_ASKED)
    return identifier
