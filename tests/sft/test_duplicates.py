"""Exact duplicates: what counts as the same conversation, and who survives."""

from __future__ import annotations

import gzip
import json
import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.sft.duplicates import content_key, mark_exact


def chat(*turns: tuple[str, str], **more: object) -> str:
    """Return a canonical chat of (role, content) turns."""
    messages = [{"content": content, "role": role} for role, content in turns]
    return json.dumps({"messages": messages, **more}, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def ledger(chats: list[str | None], ids: list[str] | None = None) -> pl.DataFrame:
    """Return a ledger with alive rows for the chats and unreadable ones for nulls."""
    blank = {"drop_reason": pl.String, "rules": pl.List(pl.String), "evidence": pl.String}
    rows = [
        {
            "id": ids[i] if ids else f"{i:04d}",
            "chat": text,
            "drop_reason": None if text is not None else "unreadable",
            "rules": [] if text is not None else ["unreadable"],
            "evidence": None,
        }
        for i, text in enumerate(chats)
    ]
    return pl.DataFrame(rows, schema={"id": pl.String, "chat": pl.String, **blank})


A = chat(("user", "Hello there"), ("assistant", "Hi.\n\nHow are you?"))


@pytest.mark.parametrize(
    "same",
    [
        chat(("user", " Hello  there\n"), ("assistant", "Hi. How are\tyou?")),
        chat(("user", "Hello\u3000there"), ("assistant", "Hi.\r\nHow\u00a0are you?")),
    ],
)
def test_white_space_does_not_count(same):
    """Runs of white space are one space, and none at the ends."""
    assert content_key(A) == content_key(same)


def test_normal_form_does_not_count():
    """Composed and decomposed letters are the same; compatibility forms are not."""
    assert content_key(chat(("user", "caf\u00e9"))) == content_key(chat(("user", "cafe\u0301")))
    assert content_key(chat(("user", "①"))) != content_key(chat(("user", "1")))


@pytest.mark.parametrize(
    "other",
    [
        chat(("user", "hello there"), ("assistant", "Hi. How are you?")),
        chat(("user", "Hello there."), ("assistant", "Hi. How are you?")),
        chat(("user", "Hello"), ("assistant", "there Hi. How are you?")),
        chat(("assistant", "Hello there"), ("user", "Hi. How are you?")),
        chat(("system", ""), ("user", "Hello there"), ("assistant", "Hi. How are you?")),
        chat(("user", "Hello there"), ("user", "Hi. How are you?")),
        chat(("user", "Hello there"), ("assistant", "Hi. How are you?"), tools=[{"name": "f"}]),
        chat(("user", "Hello\\nthere"), ("assistant", "Hi. How are you?")),
    ],
)
def test_everything_else_counts(other):
    """Case, punctuation, who says what in which turn, tools, and a written-out \\n make another conversation."""
    assert content_key(A) != content_key(other)


def test_the_lowest_id_survives():
    """All copies but the lowest id are marked, with the survivor's id as evidence; other columns and the order stay."""
    frame = ledger([A, chat(("user", "other")), A.replace("there", "there "), A], ["d", "b", "a", "c"])
    marked = mark_exact(frame)
    assert marked["drop_reason"].to_list() == ["duplicate.exact", None, None, "duplicate.exact"]
    assert marked["evidence"].to_list() == ["a", None, None, "a"]
    assert marked["rules"].to_list() == [["duplicate.exact"], [], [], ["duplicate.exact"]]
    assert marked.select("id", "chat").equals(frame.select("id", "chat"))


def test_only_alive_rows_count():
    """A row dropped earlier is no survivor, and keeps its marks; unreadable rows are no duplicates of each other."""
    frame = ledger([A, A, None, None]).with_columns(
        drop_reason=pl.Series(["clean.cut_off", None, "unreadable", "unreadable"]),
        rules=pl.Series([["clean.cut_off"], [], ["unreadable"], ["unreadable"]]),
    )
    assert mark_exact(frame).equals(frame)


def test_no_rows():
    """An empty ledger stays empty."""
    assert mark_exact(ledger([])).height == 0


@settings(deadline=None, max_examples=25)
@given(
    texts=st.lists(st.sampled_from(["a", "a ", "b", "\tb", "c", "e\u0301", "\u00e9"]), max_size=12),
    seed=st.integers(0, 99),
)
def test_order_does_not_matter(texts, seed):
    """One row of each content survives, the same for any order, and a second time changes nothing."""
    frame = ledger([chat(("user", text)) for text in texts])
    marked = mark_exact(frame)
    alive = marked.filter(pl.col("drop_reason").is_null())
    assert len({content_key(text) for text in frame["chat"]}) == alive.height
    order = random.Random(seed).sample(range(frame.height), frame.height)
    assert mark_exact(frame[order]).equals(marked[order])
    assert mark_exact(marked).equals(marked)


def test_real_pools(shared_data):
    """Alpaca has no exact duplicate; its Chinese translation has 17."""
    for name, copies in (("alpaca_data_52k", 0), ("alpaca_zh", 17)):
        with gzip.open(shared_data / "instruct" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        texts = [chat(("user", f"{r['instruction']}\n{r.get('input', '')}"), ("assistant", r["output"])) for r in rows]
        assert mark_exact(ledger(texts))["drop_reason"].is_not_null().sum() == copies
