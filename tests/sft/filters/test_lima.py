"""LIMA's rules: what the screens spare the lexicons, and counts on real pools."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curate.data.lexicon import EN_FIRST, EN_REF, ZH_FIRST, ZH_REF, prose, simplified
from curate.sft import filters
from curate.sft.filters import lima, lima_zh
from curate.sft.filters.text import in_prose

RULES = [
    (lima.first_person, EN_FIRST), (lima.references, EN_REF),
    (lima_zh.first_person, ZH_FIRST), (lima_zh.references, ZH_REF),
]  # fmt: skip
WORDS = [
    "I", "I'm", "my", "My", "myself", "IMO", "think", "as", "like", "already", "mentioned", "pointed", "out", "other",
    "answers", "above", "see", "the", "comments", "Joe's", "reply", "@user", "OP", "original", "poster", "asker",
    "stack", "exchange", "upvoted", "down-votes", "edit:", "update 2:", "this", "site", "duplicate", "of",
    "`x`", '"y"', "~", "/",
    "http://a.b", "$z$", "\n", "> q", "é", "我", "自", "們", "国", "本人", "日", "筆者",
    "個人認為", "亲测", "樓上", "阁", "正如", "@小明", "說的", "最高讚的", "回答", "答案", "評論區", "利益相关", "者",
    "知乎", "粘", "貼吧", "採納", "更新：", "根", "本站", "「", "」",
]  # fmt: skip


@settings(deadline=None, max_examples=200)
@given(words=st.lists(st.sampled_from(WORDS), max_size=12), glue=st.sampled_from(["", " "]))
@example(words=["stack", "`x`", "exchange"], glue="")
@example(words=["I", '"y"', "think"], glue=" ")
def test_screens_spare_nothing(words, glue):
    """Each rule fires exactly where its lexicon is found in the prose, whatever the screen before it saw."""
    answer = glue.join(words)
    frame = pl.DataFrame({"response": [answer]})
    for rule, lexicon in RULES:
        found = lexicon.search(simplified(prose(answer))) is not None
        assert frame.select(rule().keep).item() is not found, (rule, answer)


@given(text=st.text(st.sampled_from("我們樓主說的 ab`“”\n"), max_size=40))
def test_evidence_is_a_span_of_the_answer(text):
    """Traditional characters are read as simplified ones and shown as they are."""
    seen = in_prose(re.compile("楼主|说"))(text)
    assert seen is None or (seen in prose(text) and re.search("楼主|说", simplified(seen)))


def test_a_null_answer_is_not_kept():
    """A rule that cannot be checked has not been passed."""
    frame = pl.DataFrame({"response": [None]}, schema={"response": pl.String})
    for rule in (*lima.FILTERS, *lima_zh.FILTERS):
        assert filters.apply(frame, [("a.rule", rule)])["rules"].to_list() == [["a.rule"]]


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("alpaca_data_52k", [51484, 3263, 29, 4, 0, 0]),
        ("alpaca_zh", [4974, 206, 6, 15241, 1095, 4]),
    ],
)
def test_counts_on_real_pools(shared_data: Path, name, counts):
    """The rows that each rule takes of Alpaca and its Chinese translation, as docs/benchmarks.md has them."""
    with gzip.open(shared_data / "instruct" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        frame = pl.DataFrame({"response": [json.loads(line)["output"] for line in lines]})
    rules = filters.resolve(["lima", "lima-zh"])
    dropped = dict(filters.apply(frame, rules)["rules"].explode().drop_nulls().value_counts().iter_rows())
    assert [dropped.get(name, 0) for name, _ in rules] == counts
