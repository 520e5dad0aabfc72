"""Short prompts: as sentences of a row's prompt they are found, but for a name; as parts of sentences they are not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curate.corpus.words import hash_words
from curate.sft.contamination import find_hits
from curate.sft.evaluation import Item, item
from curate.sft.sentences import find_sentences, index_sentences, is_sentence_reference, names

PRESIDENT = "What was the middle name of Richard Nixon?"
CHOICES = {"question": "A wave transfers", "A": "amplitude", "B": "wavelength", "C": "frequency", "D": "energy"}


def found(prompts: str | list[str], *items: Item) -> pl.DataFrame:
    """Return the hits of rows that answer nothing."""
    rows = pl.DataFrame({"prompt": prompts}).with_row_index("line")
    rows = rows.with_columns(pl.col("line").cast(pl.Int64), id=pl.format("{}", "line"), source=pl.lit("pool"))
    return find_hits(rows.with_columns(response=pl.lit("I see.")), items)


def asked(prompt: str, line: int = 1) -> Item:
    """Return an evaluation item without choices."""
    return item("eval", line, {"question": prompt})


@pytest.mark.parametrize(
    "prompt",
    [
        "Answer this: a wave transfers",
        "A WAVE\n TRANSFERS ______\nAnswer:",
        "1) A wave transfers. 2) A mirror reflects.",
        'How would you end "A wave transfers"?',
        "How would you end ‘a wave transfers’ and why?",
        "How would you end 'a wave transfers' and why?",
        "Physics (a wave transfers) for beginners",
    ],
)
def test_a_whole_sentence_is_found(prompt):
    """Ends of sentences and lines, colons, quotes and brackets bound a copy; the hit tells its words."""
    hit = found(prompt, asked("A wave transfers"))
    assert hit.select("where", "words", "share", "span").rows() == [("prompt", 3, 1.0, "A wave transfers")]


@pytest.mark.parametrize(
    "prompt",
    [
        "Tell me what a wave transfers",
        "A wave transfers energy.",
        "A wave transfers, as Fisher's wave does.",
        "A wave. Transfers of energy.",
        "Transfers a wave?",
    ],
)
def test_a_part_of_a_sentence_is_not(prompt):
    """Inside a sentence a few words may be a stock phrase."""
    assert found(prompt, asked("A wave transfers")).is_empty()


def test_a_row_never_looks_at_the_next():
    """What two rows have together is no copy."""
    assert found(["Look: a wave", "transfers"], asked("A wave transfers")).is_empty()


def test_two_words_are_no_sentence():
    """What is a topic rather than a question has to be the whole prompt of the row."""
    assert found("Describe this.\nMilton Friedman", asked("Milton Friedman")).is_empty()
    assert found("Milton Friedman!", asked("Milton Friedman")).height == 1


def test_a_question_and_its_choices_are_evidence_together():
    """Too little each, several sentences in a row are found, with letters and without, and with one name changed."""
    lines = "A wave transfers\n{}amplitude\n{}wavelength\n{}frequency\n{}energy"
    for marks in (("",) * 4, ("A. ", "B. ", "C. ", "D. "), ("(A) ", "(B) ", "(C) ", "(D) ")):
        assert found(f"My homework.\n\n{lines.format(*marks)}\n\nPlease help.", item("eval", 1, CHOICES)).height == 1
    forest = {"question": "In what forest did Robin Hood live?", "A": "Black Forest", "B": "Sherwood Forest"}
    copy = "In what wood did Robin Hood live?\nBlack Wood\nSherwood Wood"
    assert found(copy, item("eval", 1, forest)).height == 1


def test_a_changed_name():
    """Any word may stand for a name if six others are left; the span is the longest stretch without it."""
    hit = found("Trivia: what was the middle name of Richard Wagner?", asked(PRESIDENT))
    assert hit.select("words", "share", "span").rows() == [(7, 7 / 8, "What was the middle name of Richard")]
    assert found("Trivia: what was the last name of Richard Nixon?", asked(PRESIDENT)).is_empty()
    assert found("What was the middle name of Richard Milhous Nixon?", asked(PRESIDENT)).is_empty()
    assert found("What is the capital of Spain?", asked("What is the capital of France?")).is_empty()


def test_names():
    """A name has a capital where no sentence begins; all its places count, whatever their case."""
    assert names("What is the Web, and what is a web of Trust?") == [(10,), (3, 8)]
    assert names("First. Second: Third\nFourth “Fifth” or Élan, 你好") == [(4,), (6,)]
    assert names("the first of its kind") == []


def test_a_prompt_that_three_items_share_the_words_of():
    """What is asked with ever other choices says nothing without them; with them it is found."""
    question = "Which of the following is true?"
    many = [item("eval", i, {"question": question, "A": f"{word} is red", "B": "no"}) for i, word in enumerate("xyz")]
    assert found(f"Now. {question} Paris is large, or is it not?", *many).is_empty()
    assert found(f"Now. {question}\ny is red\nno", *many)["item"].to_list() == [1]
    assert found(f"Now. {question} Paris is large, or is it not?", *many[:2]).height == 2


def test_characters_say_less_than_words():
    """Where each character is a word, a sentence has five, and a name leaves ten."""
    assert found("请问：天空为什么是蓝色的？", asked("天空为什么是蓝色的？")).height == 1
    assert found("天空是蓝色的。为什么？", asked("为什么？")).is_empty()
    assert found("请问：如何用Java写程序？", asked("如何用Python写程序？")).is_empty()
    assert found("请问：如何用Java写一个排序的小程序？", asked("如何用Python写一个排序的小程序？")).height == 1


token = st.sampled_from(["a", "A", "b", "B", "é", ".", ",", "\n", '"', "’", "好"])


@settings(deadline=None, max_examples=300)
@given(before=st.lists(token, max_size=4), text=st.lists(token, max_size=12), after=st.lists(token, max_size=4),
       at=st.integers(0, 11), other=token)  # fmt: skip
@example(before=["b", "."], text=["b", "A", *"babba"], after=['"', "A"], at=1, other="é")
@example(before=["b", "."], text=["b", "A", *"babba"], after=["A"], at=1, other="é")
def test_the_slow_twin(before, text, after, at, other):
    """Hashes of forms find what comparing word by word finds, for a copy with a token changed and others around it."""
    row = " ".join([*before, *text[:at], other, *text[at + 1 :], *after])
    texts = pl.Series([" ".join(text)])
    words = hash_words(texts, 1)
    forms = index_sentences(texts, np.ones(1, bool), np.zeros(1, bool), np.zeros(len(words.ngrams), bool))
    assert bool(find_sentences(forms, pl.Series(["", row, "a"]))) == is_sentence_reference(texts[0], row)
