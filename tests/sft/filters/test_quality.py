"""The quality rules: compression against zlib, scripts, tokens."""

from __future__ import annotations

import zlib
from functools import partial

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.sft import filters
from curate.sft.filters import quality


@given(unit=st.text(min_size=1, max_size=30), times=st.integers(1, 60), most=st.sampled_from([1.5, 4.0]))
def test_compression_is_zlib(unit, times, most):
    """A row is kept where its bytes are few, or at most so many times those of its zlib stream."""
    answer = unit * times
    raw = len(answer.encode())
    kept = raw < 200 or raw <= most * len(zlib.compress(answer.encode(), 6))
    marked = filters.apply(pl.DataFrame({"response": [answer]}), [("a.rule", partial(quality.compression, most))])
    assert marked["drop_reason"].is_null().item() is kept


@pytest.mark.parametrize(
    ("prompt", "answer", "keep"),
    [
        ("Name the book's themes.", "这本书的主题包括失去天真和对他人的恐惧。", False),
        ("解释这本书的主题。", "The main themes of the book are the loss of innocence and fear.", False),
        ("Explain the theme.", "Темы этой книги это потеря невинности и страх перед другими людьми.", False),
        ("Объясни тему книги.", "이 책의 주제는 순수함의 상실과 다른 사람들에 대한 두려움 이다.", False),
        ("Explain the theme.", "موضوع هذا الكتاب هو فقدان البراءة و الخوف من الناس", False),
        ("Give a greeting in Chinese.", "你好，很高兴认识你，祝你今天过得愉快。", True),
        ("把它译成英文。", "The main themes of the book are the loss of innocence and fear.", True),
        ("编写一个函数。", "# This is the function that adds all of the numbers in a list\ndef f(x): ...", True),
        ("这是谁写的？", "William Shakespeare and Christopher Marlowe", True),
        (
            "这本书 (Lord of the Flies) 讲什么？",
            "The main themes of the book are the loss of innocence and fear.",
            True,
        ),
        (
            "Name the book's themes.",
            "The title is 这本书的主题包括失去天真和对他人的恐惧 and it is a long one, in so many words.",
            True,
        ),
        ("Compute 2+2.", "4", True),
        ("计算。", "", True),
    ],
)
def test_language_mismatch(prompt, answer, keep, verdict):
    """Only a run of text in a script that the prompt has not, where it is most of the answer, and nobody asked."""
    assert verdict(quality.language_mismatch, prompt, answer)[0] is keep


def test_tokens_need_a_count(ledger):
    """The window counts `n_tokens`; where there is no such column the filter says so."""
    frame = ledger(("p", "r"), ("p", "r"), ("p", "r")).with_columns(n_tokens=pl.Series([0, 2048, 2049]))
    marked = filters.apply(frame, filters.resolve(["quality.tokens"]))
    assert marked["drop_reason"].to_list() == ["quality.tokens", None, "quality.tokens"]
    assert marked["evidence"].to_list() == ["0 tokens", None, "2049 tokens"]
