"""Duplicates, level by level: what counts as the same, and who survives."""

from __future__ import annotations

import gzip
import json
import random

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import curate
from curate.corpus.minhash import MinHashParameters
from curate.corpus.reference import jaccard_reference, shingles_reference, words_reference
from curate.errors import UsageError
from curate.sft.duplicates import (
    CELL,
    content_key,
    mark_exact,
    mark_near,
    mark_semantic,
    semantic_duplicates,
    semantic_duplicates_reference,
)  # fmt: skip


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


def prompts(texts: list[str]) -> pl.DataFrame:
    """Return a ledger with alive rows for the prompts."""
    return ledger([chat(("user", text)) for text in texts]).with_columns(prompt=pl.Series(texts, dtype=pl.String))


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


# -- Near --------------------------------------------------------------------------------------------------------------

LONG = "Write a letter to the mayor of a small town and thank her for the new library that was opened there last spring"


def test_near_duplicates_of_a_prompt():
    """A changed word, case and punctuation make a near-duplicate; another task on other words does not."""
    frame = prompts([LONG, LONG.upper() + "!", LONG.replace("spring", "summer"), "Name a lake.", "name a lake", ""])
    marked = mark_near(frame)
    assert marked["drop_reason"].to_list() == [None, "duplicate.near", "duplicate.near", None, "duplicate.near", None]
    assert marked["evidence"].to_list() == [None, "0000", "0000", None, "0003", None]
    assert marked["rules"].to_list()[1] == ["duplicate.near"]


def test_near_duplicates_only_among_alive_rows():
    """A row dropped earlier is no survivor, and keeps its marks."""
    frame = prompts([LONG, LONG]).with_columns(drop_reason=pl.Series(["clean.cut_off", None]))
    assert mark_near(frame).equals(frame)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 999))
def test_near_survivors_do_not_depend_on_the_order(seed):
    """Whatever the order of rows and the workers, the lowest id of a cluster stays; what goes is like one of it."""
    rng = random.Random(seed)
    words = LONG.split()
    texts = [" ".join(rng.choice(words) if rng.random() < 0.06 else w for w in words) for _ in range(12)]
    frame = prompts(texts)
    marked = mark_near(frame)
    order = rng.sample(range(len(texts)), len(texts))
    assert mark_near(frame[order], workers=2).equals(marked[order])
    parameters = MinHashParameters()
    sets = [shingles_reference(words_reference(text), parameters.ngram) for text in texts]
    for i, survivor in enumerate(marked["evidence"]):
        if survivor is not None:
            assert int(survivor) < i
            likeness = [jaccard_reference(sets[i], sets[j]) for j in range(len(texts)) if j != i]
            assert max(likeness) >= parameters.threshold


# -- Semantic ----------------------------------------------------------------------------------------------------------


def directions(n: int, groups: int, spread: float, seed: int) -> np.ndarray:
    """Return unit rows around a few directions, and a row of zeros at the end."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(groups, 8))[rng.integers(groups, size=n)] + spread * rng.normal(size=(n, 8))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return np.vstack([X, np.zeros((1, 8))]).astype(np.float32)


@pytest.mark.parametrize(("n", "threshold"), [(40, 0.95), (700, 0.9), (1300, 0.99), (61, 1.0)])
def test_semantic_duplicates_as_the_slow_twin_has_them(n, threshold):
    """The same rows go, for the same neighbour, over several blocks and cells; rows of zeros are like nothing."""
    X = directions(n, groups=12, spread=0.1, seed=n)
    X = np.vstack([X, X[:9], X[-1:]])
    labels = np.arange(len(X)) % 2
    like, cosine = semantic_duplicates(X, labels, threshold, workers=2)
    assert like.tolist() == semantic_duplicates_reference(X, labels, threshold)
    gone = like >= 0
    assert (cosine[gone] >= threshold).all()
    assert (like[like[gone]] == -1).all()
    assert 0 < gone.sum() < len(X)


def test_pairs_at_the_threshold_are_decided_exactly():
    """Equal vectors are duplicates at 1; of three at just the threshold the decision is that of float64."""
    X = np.zeros((4, 2), np.float32)
    X[:, 0] = [1, 1, np.cos(np.float32(0.3)), np.cos(np.float32(0.3)) - np.float32(1e-7)]
    X[:, 1] = [0, 0, np.sin(np.float32(0.3)), np.sin(np.float32(0.3))]
    threshold = float(1 - ((X[2].astype(np.float64) - X[0]) ** 2).sum() / 2)
    for t in (threshold, np.nextafter(threshold, 2), 1.0):
        assert semantic_duplicates(X, np.zeros(4, int), t)[0].tolist() == semantic_duplicates_reference(X, [0] * 4, t)


def test_semantic_bad_input():
    """NaN and a threshold outside of (0, 1] are refused."""
    X = directions(5, 2, 0.1, 0)
    with pytest.raises(UsageError, match=r"cosine 1\.5"):
        semantic_duplicates(X, np.zeros(6, int), 1.5)
    X[2, 2] = np.nan
    with pytest.raises(UsageError, match="NaN"):
        semantic_duplicates(X, np.zeros(6, int), 0.9)


def test_semantic_marks_and_notes():
    """Evidence is the row that stays and the cosine; several cells are said."""
    n = CELL + 10
    X = directions(n - 1, groups=n, spread=0.0, seed=1)
    live = prompts([f"prompt {i}" for i in range(n)])
    marked, stay, notes = mark_semantic(live, live, X, 0.999, seed=0)
    assert marked["drop_reason"].is_null().to_list() == stay.tolist()
    assert notes == ["semantic duplicates are looked for inside 2 K-means cells; pairs across them are not seen"]
    said = marked.filter(~pl.Series(stay))["evidence"]
    assert len(said)
    assert said.str.contains(r"^cosine (1\.0000|0\.999\d) with \d+$").all()


def test_a_row_that_a_rule_drops_takes_no_near_duplicate_with_it():
    """Of two rows with nearly one prompt the good answer stays, whichever has the lower id."""
    asked = "Describe how the library of a small town was planned and built, and who paid for it in which year"
    rows = [{"instruction": f"Name {i} animals of place {i % 7}.", "output": f"Animal {i}."} for i in range(20)]
    bad = {"instruction": asked, "output": "I'm sorry, but I cannot fulfil that request."}
    for i in range(8):  # the bad id is the lower one in half of these
        made = curate.select_rows(
            [*rows, bad, {"instruction": f"{asked} {i}", "output": "Fine."}], count=3, dedup="near"
        )
        assert made.report["rows"]["dropped"] == {"style.refusal": 1}


def test_levels_in_a_selection():
    """--dedup says which levels run, and semantic duplicates go before anything is clustered."""
    rows = [{"instruction": f"Name {i} animals of place {i % 7}.", "output": f"Animal {i}."} for i in range(40)]
    rows += [{"instruction": LONG, "output": output} for output in ("a", "a ", "b")]
    exact, near = {"duplicate.exact"}, {"duplicate.exact", "duplicate.near"}
    for level, reasons in (("none", set()), ("exact", exact), ("near", near)):
        made = curate.select_rows(rows, count=3, dedup=level, filters="none")
        assert set(made.report["rows"]["dropped"]) == reasons
    made = curate.select_rows(rows, count=3, semantic_dedup=0.999, filters="none")
    assert made.report["rows"]["dropped"]["duplicate.semantic"] >= 1
    first = made.ledger.filter(pl.col("drop_reason") == "duplicate.semantic").row(0, named=True)
    assert first["evidence"].startswith("cosine ")
    assert first["evidence"].split()[-1] in set(made.ledger.filter(pl.col("drop_reason").is_null())["id"])
