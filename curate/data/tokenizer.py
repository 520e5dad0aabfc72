"""Count the tokens of texts with the tokenizer of the model that will be trained.

`load` finds the vocabulary (`vocabulary.py`) and two engines for it (`encoders.py`): gigatoken, which is fast, and the
library that defines the tokenizer, which is right by definition. A count is always the one of the defining library:

1. gigatoken is used only for the shapes of tokenizer that it is known to read rightly;
2. `load` compares both on a fixture of nasty strings, `check` on the first documents of a run;
3. `count` sends every text on which their Unicode tables could differ to the reference, and compares both on one text
   in 10,000, drawn by the hash of its content. On a mismatch the reference does everything from there on.

So each count depends on its text alone, as long as gigatoken is right. Were a mismatch ever found, texts counted before
it would have to be counted again to be sure: `Verified.mismatches` tells the caller.

Text that looks like a special token is text, truncation and padding are off, and no BOS or EOS is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from curate.data import encoders
from curate.data.chat_template import ChatTemplate, find_template, render
from curate.data.encoders import FAILED, Counts, NotApplicable, Reference
from curate.data.vocabulary import Vocabulary, find
from curate.errors import CurateError, UsageError

DEFAULT = "o200k_base"
FAST_BYTES = 8 << 20  # texts of one call of gigatoken: its ids take about as much again, and a call costs 2 ms
REFERENCE_BYTES = 1 << 20  # of one call of the reference, whose objects take 20 times as much as the text
SAMPLE_ONE_IN = 10_000  # the reference is 10 to 70 times slower: the sample costs under 1 %
SAMPLE_BYTES = 1 << 20  # a longer text is never drawn: the reference would take a second for each 5 MB
CHECK_DOCUMENTS, CHECK_CHARACTERS = 200, 2_000

NASTY = (
    "", " ", "\n", "  \n", "a\n  ", "a \r\n\r\n b", "\n\n  \n\n x", "x \n y  ", "   leading", "trailing   ", "\t\t\tx",
    "<|endoftext|> hi<s></s>[CLS] [INST]<unk><pad><|im_start|>", "I'LL we'Ll don't 'S 'tis ’s ‘t 'ſ 'K x'RE",
    "12345 1234567 १२३४ ²³¼ Ⅷ", "a//b!!//\n\n/x", "http://x.y/z?a=b&c=%20#d", "a_b-c__d --- ___ ...", "!\n\n!\r\n?/\n/",
    "    def f(x):\n\t\treturn x\n\n\n", "\u00a0\u3000 x\u3000y\u2003\u00a0", "e\u0301\u0323 a\u0308b o\u0302",
    "ǅǄǆ ʰʱ ªº İstanbul ß ſ ΑΣ ﬁ ½ ㍿ ℌ", "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f972 \U0001f3f3\ufe0f",
    "中文，标点。ひらがなカタカナ한국어", "ไทย ภาษา हिन्दी עברית العربية", "ａｂｃ １２３", "▁a ▁▁b▁",
    "\x00\x1c\x1d\x85\u2028\u2029\ufeff\u200b\u200d", "\x0b\x0c x", "<0x0A><0xFF>", "a" * 3000, " " * 3000, "\n" * 3000,
    "!" * 1000, "中" * 1000, "\u3000" * 1000, "ab " * 1000, "aB1 " * 500,
)  # fmt: skip


@dataclass(frozen=True)
class Verified:
    """How many documents were compared with the reference, how many differed, how many it counted alone."""

    documents: int = 0
    mismatches: int = 0
    sent_to_reference: int = 0

    def __add__(self, other: Verified) -> Verified:
        """Return the sums, as when two workers are done."""
        return Verified(
            self.documents + other.documents,
            self.mismatches + other.mismatches,
            self.sent_to_reference + other.sent_to_reference,
        )


def load(name: str = DEFAULT, *, special_tokens: bool = False, allow_download: bool = False) -> Tokenizer:
    """Return the tokenizer that `name` means: a tiktoken encoding, a file, a folder or a hub id.

    Files are tokenizer.json, .tiktoken, tekken.json or a SentencePiece .model. With `special_tokens` special tokens in
    a text are taken as such where the tokenizer does so. Rank files of tiktoken are downloaded only with
    `allow_download`; pass it when the user named the tokenizer. A hub id is taken from the local cache or the network.

    Raises UsageError when there is no such tokenizer, MissingExtra when its library is not installed, CurateError when
    its file is damaged or cannot be had.
    """
    return _made(find(name, allow_download=allow_download), special_tokens)


def _made(vocabulary: Vocabulary, special_tokens: bool) -> Tokenizer:
    tokenizer = Tokenizer(vocabulary, special_tokens)
    tokenizer.compare(pl.Series(NASTY), "the fixture of nasty strings")
    return tokenizer


class Tokenizer:
    """Counts tokens; made by `load`. Can be pickled: a copy in a worker trusts what was compared here.

    Threads may share one. gigatoken uses all cores in the main process and one in a worker process.
    """

    def __init__(self, vocabulary: Vocabulary, special_tokens: bool) -> None:
        self.vocabulary = vocabulary
        self.special_tokens = special_tokens
        self.verified = Verified()
        self.why = ""
        self._engine = ""
        self._reference: Reference | None = None
        self._fast: encoders.Fast | None = None
        try:
            self._fast = encoders.fast(vocabulary, special_tokens)
        except NotApplicable as reason:
            self.why = str(reason)
            self._library()

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (self.vocabulary, self.special_tokens, self.why)

    @property
    def about(self) -> dict[str, Any]:
        """What a report says of this tokenizer: name, engine, why it is not gigatoken, sha256, what was verified."""
        return {
            "name": self.vocabulary.name,
            "engine": "gigatoken" if self._fast else self._engine,
            "why": self.why or None,
            "sha256": self.vocabulary.sha256,
            "special_tokens": self.special_tokens,
            "verified": asdict(self.verified),
        }

    def count(self, texts: pl.Series) -> Counts:
        """Return the number of tokens of each text, 0 for null, and add to `verified`.

        Raises UsageError when `texts` is no column of text, CurateError when the reference cannot encode a text.
        """
        counts, verified = self.count_verified(texts)
        self.verified += verified
        return counts

    def count_verified(self, texts: pl.Series) -> tuple[Counts, Verified]:
        """Return the number of tokens of each text, and what was compared for it; for workers, that report both."""
        if texts.dtype != pl.String:
            raise UsageError(f"tokens are counted in text, {texts.name!r} is {texts.dtype}", "Give a column of text.")
        filled = texts.fill_null("")
        parts = [self._count_batch(batch) for batch in _batches(filled, FAST_BYTES)]
        verified = sum((verified for _, verified in parts), Verified())
        if verified.mismatches:  # gigatoken is out of use now: what it counted here is counted again
            parts = [self._count_batch(filled)]
        counts = np.concatenate([np.zeros(0, dtype=np.int64), *(counts for counts, _ in parts)])
        counts[texts.is_null().to_numpy()] = 0
        return counts, verified

    @cached_property
    def chat_template(self) -> ChatTemplate | None:
        """The chat template beside the vocabulary, None when there is none."""
        return find_template(self.vocabulary.folder)

    def count_chat(self, chats: pl.Series) -> Counts:
        """Return the tokens of each chat (JSON with `messages`) in the template of this tokenizer, 0 for null.

        The special tokens that the template writes count as one each. A chat that the template refuses counts -1.
        Raises UsageError when there is no chat template.
        """
        if self.chat_template is None:
            raise UsageError(
                f"{self.vocabulary.name} has no chat template",
                "Give the model's folder or hub id, where tokenizer_config.json or chat_template.jinja lies.",
            )
        rendered = render(self.chat_template, chats)
        counts = self._with_special_tokens.count(rendered)
        counts[(rendered.is_null() & chats.is_not_null()).to_numpy()] = -1
        return counts

    @cached_property
    def _with_special_tokens(self) -> Tokenizer:
        return self if self.special_tokens else _made(self.vocabulary, True)

    def check(self, texts: pl.Series) -> Verified:
        """Compare both engines on the first documents of a run; on a mismatch the reference takes over.

        Call it once, before workers get their copies. It looks at the first 2,000 characters of 200 documents, some
        0.1 s, so that a corpus of books is checked too.
        """
        first = texts.drop_nulls().head(CHECK_DOCUMENTS).str.head(CHECK_CHARACTERS)
        verified = self.compare(first, "the first documents")
        self.verified += verified
        return verified

    def compare(self, texts: pl.Series, what: str) -> Verified:
        """Compare both engines on all `texts`; `heed` what was found."""
        fast = self._fast
        if fast is None or texts.is_empty():
            return Verified()
        texts = texts.filter(~pl.Series(fast.unsure(texts)))
        expected = self._by_reference(texts)
        differ = (expected != FAILED) & (expected != fast.count(texts))
        verified = Verified(int((expected != FAILED).sum()), int(differ.sum()))
        self.heed(verified, what)
        return verified

    def heed(self, verified: Verified, what: str) -> None:
        """On a mismatch, here or in a worker's copy, say so in `why` and leave all to the reference."""
        if verified.mismatches:
            self.use_reference(f"gigatoken differed on {verified.mismatches} of {verified.documents} texts of {what}")

    def use_reference(self, why: str) -> None:
        """Leave all counting to the reference from now on, and say `why` in `about`."""
        self._library()
        self._fast, self.why = None, why

    def _count_batch(self, texts: pl.Series) -> tuple[Counts, Verified]:
        fast = self._fast
        if fast is None:
            return self._by_reference_alone(texts), Verified()
        counts = fast.count(texts)
        drawn = (texts.hash(0) % SAMPLE_ONE_IN == 0) & (texts.str.len_bytes() <= SAMPLE_BYTES)
        verified = self.compare(texts.filter(drawn), "the sample")
        unsure = np.flatnonzero(fast.unsure(texts))
        corrected = self._by_reference(texts.gather(unsure))
        counted = corrected != FAILED
        counts[unsure[counted]] = corrected[counted]
        return counts, verified + Verified(sent_to_reference=int(counted.sum()))

    def _by_reference_alone(self, texts: pl.Series) -> Counts:
        counts = self._by_reference(texts)
        if (counts == FAILED).any():
            size = len(texts[int(np.argmin(counts))].encode())
            raise CurateError(
                f"{self._engine} cannot encode a text of {size:,} bytes with {self.vocabulary.name}",
                "Runs of a million spaces are too much for it: take such a text out, or split it.",
            )
        return counts

    def _by_reference(self, texts: pl.Series) -> Counts:
        counts = [self._library()(batch.to_list()) for batch in _batches(texts, REFERENCE_BYTES)]
        return np.concatenate([np.zeros(0, dtype=np.int64), *counts])

    def _library(self) -> Reference:
        """Return the reference, built on first need: 0.1 to 1 s that most workers never spend."""
        if self._reference is None:
            self._engine, self._reference = encoders.reference(self.vocabulary, self.special_tokens)
        return self._reference


def _revive(vocabulary: Vocabulary, special_tokens: bool, why: str) -> Tokenizer:
    tokenizer = Tokenizer(vocabulary, special_tokens)
    if why:
        tokenizer.use_reference(why)
    return tokenizer


def _batches(texts: pl.Series, limit: int) -> Iterator[pl.Series]:
    """Cut `texts` (no nulls) into slices of at most `limit` bytes; a longer text is a slice of its own."""
    ends = texts.str.len_bytes().cast(pl.Int64).cum_sum().to_numpy()
    start = 0
    while start < len(ends):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + limit, side="right")))
        yield texts[start:stop]
        start = stop
