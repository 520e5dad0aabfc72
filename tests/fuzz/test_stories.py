"""Whole commands on rows of strangers: what is read is selected, left, dropped for a reason or unreadable."""

from __future__ import annotations

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.corpus.count import count_tokens
from curate.sft.select import select_rows
from tests.fuzz.hostile import TOKENS, as_json, changed, fuzz, lines, put, survives

few = settings(fuzz, max_examples=max(3, fuzz.max_examples // 30))  # a case takes half a second, not milliseconds
GOOD = [{"instruction": f"How do you count to {n}?", "output": f"Begin at one and end at {n}."} for n in range(4)]
ANY_LENGTH = "lima.length=1:100000,lima_zh.length=1:100000"  # the good rows are short, and one has to be left
_TEXTS = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from(TOKENS), max_size=8).map(lambda parts: b"".join(parts).decode("utf-8", "surrogateescape")),
    st.sampled_from(("\ufffd" * 200, "a " * 5_000, "\u202e\u2066x", "```\n" * 50, "<" * 500, "As an AI, I", "1" * 400)),
)
_ROWS = st.lists(
    st.fixed_dictionaries({"instruction": _TEXTS, "output": _TEXTS}) | changed(GOOD, "messages", "role", "content"),
    max_size=8,
)


@few
@given(
    _ROWS,
    st.sampled_from(("clean,style", f"clean,style,lima,lima-zh,quality,{ANY_LENGTH}", "none")),
    st.sampled_from(("exact", "near")),
)
def test_selections(rows, filters, dedup):
    """Rows read = selected + left + one count per reason + unreadable, and every one stands in the ledger."""
    path = put("pool.jsonl", b"\n".join(map(as_json, GOOD + rows)))
    found = survives(lambda: select_rows(path, count=1, filters=filters, dedup=dedup, metrics="none", workers=1))
    assert found is not None
    counts = found.report["rows"]
    assert counts["read"] == counts["live"] + counts["unreadable"] + sum(counts["dropped"].values())
    assert found.ledger.height == counts["read"]
    assert counts["selected"] == 1
    orjson.dumps(found.report)


@few
@given(_ROWS)
def test_counts(rows):
    """Documents read = unique + duplicates + empty + unreadable."""
    path = put("corpus.jsonl", lines(*({"text": row.get("output")} for row in GOOD + rows)))
    found = survives(lambda: count_tokens(path, tokenizer="none", workers=1))
    assert found is not None
    counts = found.report["documents"]
    kinds = ("unreadable", "empty", "duplicate_exact", "duplicate_near", "unique")
    assert counts["read"] == sum(counts[kind] for kind in kinds) == len(GOOD) + len(rows)


def test_texts_of_each_kind():
    """Texts that fuzzing is to find, each once."""
    texts = ("\ud800", "\x00", "\x1b[2J\u202e", "a" * 200_000)
    path = put("kinds.jsonl", lines(*GOOD, *({"instruction": text, "output": text} for text in texts)))
    rows = select_rows(path, count=1, metrics="none", workers=1).report["rows"]
    assert rows["read"] == rows["live"] + sum(rows["dropped"].values()) == 8
