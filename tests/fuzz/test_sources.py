"""Dumps of strangers: every post, article, record and instance is used or dropped under a rule, and none is lost."""

from __future__ import annotations

from html import escape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.config import resolve
from curate.data import sources
from curate.data.sources._html import markdown, own_words
from curate.report.progress import Stages
from tests.fuzz.hostile import changed, damaged, fuzz, lines, packed, put, survives

BODY = (
    "<p>Take &amp; <b>bold</b>.</p><ul><li>one<li>two<pre><code>x &lt; y</code></pre></ul><!-- c --><script>s</script>"
)


def posts(*texts: str) -> bytes:
    rows = [b'<?xml version="1.0" encoding="utf-8"?>', b"<posts>"]
    for n, text in enumerate(texts):
        question, answer = 2 * n + 1, 2 * n + 2
        asked = f'Id="{question}" PostTypeId="1" Score="{n}" Title="How do you do it?"'
        answered = f'Id="{answer}" PostTypeId="2" ParentId="{question}" Score="12"'
        rows += [f'  <row {row} Body="{escape(text)}" />'.encode() for row in (asked, answered)]
    return b"\n".join([*rows, b'  <row Id="90" PostTypeId="5" Score="0" />', b"</posts>"])


SUBMISSION = {"id": "a1", "score": 50, "subreddit": "WritingPrompts", "title": "[WP] A dragon bakes.", "selftext": ""}
COMMENT = {"id": "c1", "score": 30, "subreddit": "WritingPrompts", "body": "Once [upon](http://x.y) a time.",
           "link_id": "t3_a1", "parent_id": "t3_a1", "author": "someone"}  # fmt: skip
ASKED = {**SUBMISSION, "id": "a2", "subreddit": "AskReddit", "title": "What is your quiet joy?"}
ARTICLE = {
    "title": "How to Boil Water",
    "text": "This article is short. ![x](y) [[Image:a]]\nReferences\nx",
    "category": "Food",
}
TASK = {
    "_task": "task1",
    "Definition": ["Say it better."],
    "Categories": ["Paraphrasing"],
    "Input_language": ["English"],
}
INSTANCE = {"_task": "task1", "id": "task1-1", "input": "It is good.", "output": ["It is fine."]}
UPSTREAM = {**TASK, "Instances": [INSTANCE, {"input": 5, "output": []}]}
CSV = b'title,text,category\r\nHow to Run,"Put one foot, ""then"" the other.\nGo on.",Sport\r\nHow to Sit,Sit.,Home\r\n'

FILES = {  # of each source: the ending, files that it reads, and records to change
    "stackexchange": (".xml", [posts(BODY, BODY * 30), b"\xef\xbb\xbf" + posts("x" * 1300)], []),
    "reddit": (".jsonl", [lines(SUBMISSION, COMMENT, ASKED)], [[SUBMISSION, COMMENT, COMMENT, ASKED]]),
    "superni": (".json", [lines(UPSTREAM), lines(TASK, INSTANCE)], [[TASK, INSTANCE], [UPSTREAM]]),
    "wikihow": (".jsonl", [lines(ARTICLE, ARTICLE)], [[ARTICLE, {**ARTICLE, "title": "How to Fry"}]]),
    "wikihow csv": (".csv", [CSV, CSV.replace(b"\r", b"")], []),
}
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "stackexchange": [{"site": "physics"}, {"site": "physics", "min_chars": 0, "min_score": 0, "title_share": "0"}],
    "reddit": [{}, {"subreddit": "AskReddit"}, {"min_score": 0, "count": 1}],
    "superni": [{}, {"count": 1}],
    "wikihow": [{}, {"count": 1}],
}


@pytest.mark.parametrize("kind", FILES)
@fuzz
@given(st.data())
def test_dumps(kind, data):
    """What a source reads is used or dropped under a rule; its report adds up, and its rows are chats."""
    ending, files, records = FILES[kind]
    name = kind.split()[0]
    contents = damaged(files)
    if records:
        keys = tuple({key for part in records for record in part for key in record})
        contents |= changed(records, *keys).map(
            lambda found: lines(*found) if isinstance(found, list) else lines(found)
        )
    packing, content = data.draw(packed(contents))
    path = put(f"{name}_Posts{ending}{packing}", content)
    source = sources.load(name)
    config = resolve(source.Config, [("argument", data.draw(st.sampled_from(OPTIONS[name])))])[0]
    found = survives(lambda: source.extract([path], config, Stages()))
    if found is not None:
        assert found.report["read"] == found.report["used"] + sum(found.report["dropped"].values())
        assert all(count >= 0 for count in found.report["dropped"].values())
        for row in found.rows:
            assert all(isinstance(turn["content"], str) and turn["content"] for turn in row["messages"])


@fuzz
@given(
    damaged([BODY.encode(), b"<ol><li><p>a</p><blockquote>q</blockquote>" * 5]).map(
        lambda raw: raw.decode("utf-8", "replace")
    )
)
def test_html(text):
    """HTML of any kind becomes text without a tag that a browser would run."""
    for write in (markdown, own_words):
        written = survives(lambda write=write: write(text))
        assert written is not None
