"""Contamination: what is found, what is not, and that the kernels count as their slow twin does."""

from __future__ import annotations

import gzip
import json
import random
import re

import numpy as np
import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import curate
from curate.corpus.reference import words_reference
from curate.corpus.words import hash_words, word_spans
from curate.errors import CurateError, UsageError
from curate.sft import select
from curate.sft.contamination import (
    BOILERPLATE,
    NGRAM,
    RUN,
    SHARE,
    SHORT,
    build_index,
    find_hits,
    shared_words_reference,
)  # fmt: skip
from curate.sft.evaluation import Item, item, read_items

QUESTION = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many clips did "
    "Natalia sell altogether in April and May?"
)
ANSWER = "She sold 48 / 2 = 24 clips in May, which makes 48 + 24 = 72 clips altogether in the two months of spring."


def asked(*prompts: str, others: tuple[str, ...] = (), line: int = 1, source: str = "eval.jsonl") -> Item:
    """Return an evaluation item."""
    return Item(source, line, list(prompts), list(others), True)


def pool(*rows: tuple[str, str]) -> pl.DataFrame:
    """Return rows of a prompt and a response, their number as the id."""
    prompts, responses = zip(*rows, strict=True)
    return pl.DataFrame(
        {"id": [f"{i:04}" for i in range(len(rows))], "prompt": prompts, "response": responses}
    ).with_columns(source=pl.lit("pool.jsonl"), line=pl.int_range(1, pl.len() + 1))


def found(row: tuple[str, str], *items: Item) -> pl.DataFrame:
    """Return the hits of one row."""
    return find_hits(pool(row), items or [asked(QUESTION, others=(ANSWER,))])


# -- Words -------------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.text(alphabet=st.sampled_from("ab9 _-,.\n\u00e9E\u0301你好か\u200bß\U0001f600"), max_size=40), max_size=4
    )
)
def test_words_are_those_of_near_duplicate_search(texts):
    """There are as many words as the twin finds, equal runs and no others have equal hashes, spans hold them."""
    from unicodedata import normalize

    got = hash_words(pl.Series(texts, dtype=pl.String), 2)
    words = [words_reference(normalize("NFC", text)) for text in texts]
    assert np.diff(got.offsets).tolist() == [len(w) for w in words]
    runs = [tuple(w[i : i + 2]) if i + 2 <= len(w) else None for w in words for i in range(len(w))]
    assert len(set(zip(runs, got.ngrams.tolist(), strict=True))) == len(set(runs)) == len(set(got.ngrams.tolist()))
    assert len(set(got.whole.tolist())) == len({tuple(w) for w in words})
    for text, expected in zip(texts, words, strict=True):
        plain = normalize("NFC", text)
        spans = [words_reference(plain[start:stop]) for start, stop in word_spans(plain)]
        assert [word for span in spans for word in span] == expected


# -- Which texts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "prompts", "others"),
    [
        ({"question": "Q?", "answer": "A."}, ["Q?"], ["A."]),
        ({"task_id": "x/1", "prompt": "P", "canonical_solution": "S", "test": "T"}, ["P"], ["x/1", "S", "T"]),
        ({"turns": ["one", "two"], "reference": ["r", ""]}, ["one", "two"], ["r"]),
        ({"Instruction": "Do", "input": "this"}, ["Do\nthis"], []),
        ({"instruction": "Do", "input": ""}, ["Do"], []),
        (
            {"instruction": "Do", "instances": [{"input": "a", "output": "b"}, {"input": "c"}]},
            ["Do\na", "Do\nc"],
            ["b"],
        ),
        ({"input": "only this", "target": "t"}, ["only this"], ["t"]),
        ({"question": "Q?", "A": "a", "B": "b", "answer": "B"}, ["Q?", "Q?\na\nb", "Q?\nA. a\nB. b"], ["B"]),
        (
            {"question": "Q?", "choices": {"text": ["a", "b"], "label": ["A", "B"]}},
            ["Q?", "Q?\na\nb", "Q?\nA. a\nB. b"],
            ["A", "B"],
        ),
        (
            {"messages": [{"role": "user", "content": "U"}, {"role": "assistant", "content": "R"}]},
            ["U"],
            ["user", "assistant", "R"],
        ),
        (
            {"conversations": [{"from": "human", "value": "U"}, {"from": "gpt", "value": "R"}]},
            ["U"],
            ["human", "gpt", "R"],
        ),
        ({"n": 3, "flag": True, "nothing": None}, [], []),
    ],
)
def test_texts_of_an_item(record, prompts, others):
    """Columns are sorted into prompts and other texts by their names."""
    got = item("f", 1, record)
    assert (got.prompts, got.others) == (prompts, others)


def test_an_unknown_shape_has_its_longest_text_as_the_prompt():
    """Where no column has a known name the longest string is looked for, and the item says that it is a guess."""
    got = item("f", 1, {"code": "x", "passage_text": "a long text", "name": "n"})
    assert (got.prompts, got.known) == (["a long text"], False)


@pytest.mark.parametrize("name", ["e.jsonl", "e.json", "e.json.gz", "e.parquet"])
def test_evaluation_files(name, tmp_path):
    """JSON lines, arrays, packed files and tables give the same items, by file and line."""
    records = [{"question": f"Question {i}?", "answer": f"Answer {i}."} for i in range(3)]
    if name.endswith(".parquet"):
        pl.DataFrame(records).write_parquet(tmp_path / name)
    elif name.endswith("l"):
        (tmp_path / name).write_bytes(b"\n".join(map(orjson.dumps, records)))
    else:
        pack = gzip.compress if name.endswith(".gz") else bytes
        (tmp_path / name).write_bytes(pack(orjson.dumps(records, option=orjson.OPT_INDENT_2)))
    items, notes = read_items([str(tmp_path)])
    assert [(one.prompts, one.others) for one in items] == [([r["question"]], [r["answer"]]) for r in records]
    assert {one.source for one in items} == {str(tmp_path / name)}
    assert sorted({one.line for one in items}) == [one.line for one in items]
    assert notes == []


# -- What is found -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "copy",
    [
        QUESTION,
        QUESTION.upper(),
        re.sub(r"\s+", " \n\t ", QUESTION),
        QUESTION.replace(",", "").replace("?", " !"),
        QUESTION.replace("Natalia", "Xanthippe"),
        "My tutor gave me this yesterday.\n\n" + QUESTION + "\n\nThink step by step.",
        "caf\u00e9 " + QUESTION,
    ],
)
@pytest.mark.parametrize("side", ["prompt", "response"])
def test_copies_are_found(copy, side):
    """An item is found verbatim, re-cased, re-spaced, with a changed name and inside a longer text, on both sides."""
    hits = found((copy, "Sure.") if side == "prompt" else ("Ask me something.", copy))
    assert hits.height == 1
    assert hits["where"].item() == "prompt"
    assert hits["span"].item() in QUESTION
    assert hits["item_text"].item() == QUESTION


def test_a_copied_answer_is_found():
    """Thirteen words in a row and 60 % of an answer are enough; a shared quotation in a long one is not."""
    assert found(("What?", "Well. " + ANSWER))["where"].to_list() == ["other"]
    longer = ANSWER + " " + " ".join(f"word{i} and so on" for i in range(20))
    assert found(("What?", ANSWER), asked(QUESTION, others=(longer,))).is_empty()


def test_short_prompts():
    """Two words have to be the whole prompt, seven a sentence of it, eight may stand anywhere if all are there."""
    assert found(("inflation", "Prices rise."), asked("Inflation")).height == 1
    assert found(("Explain this.\nInflation", "Prices rise."), asked("Inflation")).is_empty()
    assert found(("what is the capital of france", "Paris."), asked("What is the capital of France?")).height == 1
    assert found(("Tell me: what is the capital of France?", ""), asked("What is the capital of France?")).height == 1
    assert found(("Tell me what is the capital of France?", ""), asked("What is the capital of France?")).is_empty()
    eight = asked("Name the three largest lakes of northern Italy.")
    assert found(("Please name the three largest lakes of northern Italy today.", ""), eight).height == 1
    assert found(("Name the three largest lakes of southern Italy.", ""), eight).is_empty()


def test_chinese():
    """Each character of a script without spaces is a word, and punctuation of any width is none."""
    text = "小明有三个苹果，他又买了五个苹果，请问小明现在一共有多少个苹果？"
    assert found(("请回答:" + text.replace("，", ", ").replace("小明", "小红"), "八个。"), asked(text)).height == 1
    assert found(("小明今天在学校里学习了很多有趣的新知识，回家后告诉了妈妈。", "好。"), asked(text)).is_empty()


def test_choices_in_either_form():
    """A question too short for itself is found with its choices, lettered or not."""
    one = item(
        "f", 1, {"question": "Which one is right?", "A": "a red bus", "B": "the old mill", "C": "no", "D": "none"}
    )
    for prompt in ("Which one is right?\n(a) a red bus (b) the old mill (c) no (d) none\nAnswer:",
                   "Now. Which one is right?\na red bus\nthe old mill\nno\nnone"):  # fmt: skip
        assert found((prompt, "B"), one).height == 1


def test_what_many_items_share_is_boilerplate():
    """Runs of words in more than ten different items count nowhere; copies of one item in many files do count."""
    stem = "Read the following passage with care and choose the best of the answers that stand below it"
    many = [asked(f"{stem} {word}", line=i) for i, word in enumerate("abcdefghijklmnopqrst")]
    assert found((stem, ""), *many).is_empty()
    assert found((stem, ""), *many[:BOILERPLATE]).height == BOILERPLATE
    assert found((stem, ""), *[asked(stem, line=i) for i in range(20)]).height == 20


def test_names_of_functions_do_not_count():
    """A function renamed in its signature, doctest and recursion is found, and shown with the item's own names."""
    code = (
        'def fib(n: int):\n    """Return n-th Fibonacci number.\n    >>> fib(10)\n    55\n    >>> fib(1)\n1\n    """\n'
    )
    solution = (
        "    if n == 0:\n        return 0\n    if n == 1:\n        return 1\n    return fib(n - 1) + fib(n - 2)\n"
    )
    one = asked(code, others=(solution,))
    hits = found(("Complete this.\n" + code.replace("fib", "my_function").upper(), "..."), one)
    assert hits["item_text"].to_list() == [code]
    renamed = solution.replace("fib", "my_function")
    assert found(("?", "def my_function(n):\n" + renamed), one)["where"].to_list() == ["other"]
    assert found(("def gcd(a, b): what does it return?", "The greatest common divisor."), one).is_empty()


def test_repeats_are_harmless():
    """A text of one word a hundred thousand times makes no long lists, and does not flag rows that repeat it."""
    endless = asked("la " * 100_000, line=2)
    assert find_hits(pool(*[("la " * 1_000, "la " * 1_000)] * 50), [asked(QUESTION), endless]).is_empty()


def test_nothing_to_find():
    """No items, no rows, items without words, and rows without words are no error."""
    assert find_hits(pool(("a", "b")), []).is_empty()
    assert find_hits(pool(("a", "b")).clear(), [asked(QUESTION)]).is_empty()
    assert found(("", ""), asked("", "..."), asked()).is_empty()
    assert found(("...", "?"), asked(QUESTION)).is_empty()


word = st.sampled_from(["a", "b", "c"])


@settings(deadline=None, max_examples=100)
@given(
    items=st.lists(st.lists(word, min_size=SHORT, max_size=30), min_size=1, max_size=15),
    rows=st.lists(st.lists(word, max_size=40), min_size=1, max_size=5),
)
def test_the_rules_hold_against_the_slow_twin(items, rows):
    """Runs and shares are those that sets of word tuples give, for many items, repeats and boilerplate."""
    given_items = [asked(" ".join(words), line=i) for i, words in enumerate(items)]
    hits = find_hits(pool(*((" ".join(words), "") for words in rows)), given_items, workers=2)
    got = set(hits.select("id", "item").iter_rows())
    distinct = {tuple(words) for words in items}
    runs = [{words[i : i + NGRAM] for i in range(len(words) - NGRAM + 1)} for words in distinct]
    common = {run for one in runs for run in one if sum(run in other for other in runs) > BOILERPLATE}
    counting = build_index(given_items).counting
    expected = set()
    for r, row in enumerate(rows):
        for i, words in enumerate(items):
            covered, longest = shared_words_reference(words, row, common)
            assert counting[i] == shared_words_reference(words, words, common)[0]
            enough = covered >= SHORT and covered >= SHARE * counting[i]
            if longest >= RUN or enough or (counting[i] < SHORT and words == row):
                expected.add((f"{r:04}", i))
    assert got == expected


def test_neither_order_nor_workers_count():
    """The same hits for shuffled rows and items, and any number of workers."""
    rng = random.Random(2)
    rows = [(QUESTION, ANSWER), ("Name a lake.", "Garda."), (QUESTION.upper(), "?"), ("x", ANSWER)] * 3
    items = [asked(QUESTION, others=(ANSWER,)), asked("Name a lake.", line=2)]
    frame = pool(*rows)
    hits = find_hits(frame, items)
    assert hits.height == 12
    order = rng.sample(range(len(rows)), len(rows))
    assert find_hits(frame[order], items[::-1], workers=2).equals(hits)


# -- In a selection ----------------------------------------------------------------------------------------------------


def test_a_selection_drops_and_lists_them(tmp_path):
    """Reason, evidence, report and contamination.jsonl tell of the row and the item; the order of drops is kept."""
    rows = [
        {"instruction": f"Name {i} animals that live in place {i % 7}.", "output": f"Animal {i}."} for i in range(40)
    ]
    rows += [{"instruction": QUESTION, "output": "72."}, {"instruction": QUESTION, "output": ""}]
    (tmp_path / "evals").mkdir()
    with gzip.open(tmp_path / "evals/math.jsonl.gz", "wb") as file:
        file.write(orjson.dumps({"question": "What is one and one?", "answer": "2"}) + b"\n")
        file.write(b"no json\n" + orjson.dumps({"question": QUESTION, "answer": ANSWER}))
    made = curate.select_rows(rows, count=5, decontaminate=str(tmp_path / "evals"), out=tmp_path / "out")
    assert made.report["rows"]["dropped"] == {"clean.empty_answer": 1, "contamination": 1}
    dropped = made.ledger.filter(pl.col("drop_reason") == "contamination")
    assert dropped["rules"].to_list() == [["contamination"]]
    path = str(tmp_path / "evals/math.jsonl.gz")
    assert dropped["evidence"].item() == f"{path}, line 3: {QUESTION[:-1]}"
    assert made.report["contamination"] == {
        "rows": 1, "hits": 1, "files": [{"path": path, "items": 2, "items_found": 1, "rows": 1}],
    }  # fmt: skip
    assert any("1 row cannot be read" in note for note in made.report["notes"])
    (hit,) = map(json.loads, (tmp_path / "out/contamination.jsonl").read_text().splitlines())
    assert (hit["prompt"], hit["item_text"], hit["item"]) == (QUESTION, QUESTION, 3)


def test_a_missing_evaluation_costs_no_reading(monkeypatch):
    """What --decontaminate names is looked for before the pool is read."""
    monkeypatch.setattr(select, "read_rows", lambda *_, **__: pytest.fail("something was read"))
    with pytest.raises(UsageError, match="no such file"):
        curate.select_rows("pool.jsonl", count=1, decontaminate="gsm8k.jsonl")


def test_bad_input(tmp_path):
    """A file that is not there, or holds nothing, is told; so is a pool that is all evaluation."""
    rows = [{"instruction": QUESTION, "output": ANSWER}]
    with pytest.raises(UsageError, match="no such file"):
        curate.select_rows(rows, count=1, decontaminate=str(tmp_path / "gsm8k.jsonl"))
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(CurateError, match="no record in it"):
        curate.select_rows(rows, count=1, decontaminate=str(tmp_path / "empty.jsonl"))
    (tmp_path / "pool.jsonl").write_bytes(orjson.dumps(rows[0]))
    with pytest.raises(CurateError, match="contamination took most") as refused:
        curate.select_rows(rows, count=1, decontaminate=str(tmp_path / "pool.jsonl"))
    assert "--decontaminate" in refused.value.hint


def test_planted_copies_of_real_items(shared_data):
    """Every tenth GSM8K and MMLU question, with its choices, and all of MT-bench are found in every disguise."""
    items = []
    for name, step in (("gsm8k_test", 10), ("mmlu_test_2020", 10), ("mt_bench_questions", 1)):
        with gzip.open(shared_data / f"eval/{name}.jsonl.gz") as lines:
            items += [item(name, i, orjson.loads(line)) for i, line in enumerate(lines) if i % step == 0]
    prompts = [one.prompts[1] if "mmlu" in one.source else "\n\n".join(one.prompts) for one in items]
    disguises = [prompts, [p.upper() for p in prompts], [p.replace(" ", "  \n") for p in prompts],
                 [f"Please help me with this.\n{p}\nExplain." for p in prompts]]  # fmt: skip
    hits = find_hits(pool(*((p, "I do not know.") for group in disguises for p in group)), items)
    pairs = set(hits.select(pl.col("id").cast(int), "evaluation", "item").iter_rows())
    for i in range(4 * len(items)):
        one = items[i % len(items)]
        assert (i, one.source, one.line) in pairs
