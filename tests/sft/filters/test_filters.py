"""Filters in general: discovery by name, the marks, and that neither order nor neighbours matter."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import CurateError, UsageError
from curate.sft import filters
from curate.sft.filters import Rule

GROUPS = ["clean", "style", "lima", "lima-zh", "quality", "language"]
RULES = '''
import polars as pl
from curate.sft.filters import Rule

def no_urls() -> Rule:
    """Kept when: the answer has no URL."""
    url = pl.col("response").str.extract("(http[^ ]*)")
    return Rule(url.is_null(), url)

def not_long() -> Rule:
    """Kept when: the answer has under ten characters."""
    return Rule(pl.col("response").str.len_chars() < 10, pl.col("response").str.len_chars())

FILTERS = (no_urls, not_long)
'''


@pytest.fixture
def rules(tmp_path) -> Path:
    """Return a file of filters outside the package."""
    path = tmp_path / "rules.py"
    path.write_text(RULES)
    return path


def names(asked: list[str]) -> list[str]:
    """Return the dotted names that the names asked for mean."""
    return [name for name, _ in filters.resolve(asked)]


def test_groups_are_the_modules():
    """A group holds the filters that its module lists, in its order."""
    from curate.sft.filters import clean, style

    assert names(["clean"]) == [f"clean.{rule.__name__}" for rule in clean.FILTERS]
    assert names(["style", "clean"])[: len(style.FILTERS)] == [f"style.{rule.__name__}" for rule in style.FILTERS]


def test_names_are_taken_once_and_in_order():
    """A filter that is asked for twice stands where it was asked for first."""
    asked = ["clean.empty_answer", "clean", "clean.empty_answer"]
    assert names(asked)[0] == "clean.empty_answer"
    assert sorted(names(asked)) == sorted(names(["clean"]))


def test_none_means_no_filter(ledger):
    """`none` leaves all rows alive, and contradicts any other name."""
    assert names(["none"]) == names([]) == []
    assert filters.apply(ledger(("", "")), filters.resolve(["none"]))["drop_reason"].to_list() == [None]
    with pytest.raises(UsageError, match="none contradicts clean"):
        filters.resolve(["none", "clean"])


@pytest.mark.parametrize(
    ("name", "near"), [("claen", "clean"), ("clean.empty_anser", "clean.empty_answer"), ("text", "none")]
)
def test_an_unknown_name_is_answered_with_the_nearest(name, near):
    """The error names what is known; a module without filters is none."""
    with pytest.raises(UsageError, match="unknown filter") as caught:
        filters.resolve([name])
    assert near in caught.value.hint
    assert "text," not in caught.value.hint


def test_every_filter_says_what_is_kept():
    """A docstring begins with `Kept when:`, and names are unique."""
    found = filters.resolve(GROUPS)
    assert len({name for name, _ in found}) == len(found)
    assert all((rule.__doc__ or "").startswith("Kept when: ") for _, rule in found)


def test_a_file_is_a_group(rules, ledger):
    """A file by its path gives all its filters, or the one named after the colon, under the file's name."""
    assert names([str(rules)]) == ["rules.no_urls", "rules.not_long"]
    assert names([f"{rules}:not_long", str(rules)]) == ["rules.not_long", "rules.no_urls"]
    marked = filters.apply(ledger(("p", "http://a.b and more"), ("p", "x")), filters.resolve([str(rules)]))
    assert marked["rules"].to_list() == [["rules.no_urls", "rules.not_long"], []]
    assert marked["evidence"].to_list() == ["http://a.b", None]


def test_a_relative_path_works(rules, monkeypatch):
    """`./rules.py` is looked for where the command runs."""
    monkeypatch.chdir(rules.parent)
    assert names(["./rules.py", "rules.py:no_urls"]) == ["rules.no_urls", "rules.not_long"]


def test_a_new_group_is_one_new_file(rules, tmp_path):
    """A module put beside clean.py is a group of its own, with no edit elsewhere."""
    package = tmp_path / "copy" / "curate"
    shutil.copytree(Path(filters.__file__).parents[2], package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "sft" / "filters" / "mine.py").write_text(RULES)
    code = "from curate.sft import filters; print([name for name, _ in filters.resolve(['mine'])])"
    done = subprocess.run([sys.executable, "-c", code], cwd=package.parent, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['mine.no_urls', 'mine.not_long']"


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("gone.py", None, "no such file of filters"),
        ("clean.py", RULES, "name of a built-in"),
        ("bad.py", "import nowhere", "cannot be imported"),
        ("bare.py", "x = 1", "lists no functions in FILTERS"),
        ("names.py", "FILTERS = ('no_urls',)", "lists no functions in FILTERS"),
        ("comma.py", "FILTERS = (print)", "lists no functions in FILTERS"),
    ],
)
def test_a_file_that_is_no_group_is_refused(file, text, message, tmp_path):
    """A missing file, a built-in name, a broken import and an empty list each get their message."""
    if text is not None:
        (tmp_path / file).write_text(text)
    with pytest.raises(UsageError, match=message):
        filters.resolve([str(tmp_path / file)])


def test_a_preset_is_its_groups():
    """`strict` is every rule that is bound to no source; a dash may stand for an underscore."""
    assert names(["strict"]) == names(["clean", "style", "quality"])
    assert names(["lima-zh"]) == names(["lima_zh"]) == ["lima_zh.length", "lima_zh.first_person", "lima_zh.references"]


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (["lima.length=2:3"], [False, True, True, False]),
        (["lima.length=1K:4K"], [False] * 4),
        (["lima.length=:3", "lima.length=:3"], None),
        (["lima.length=3"], [False, False, True, True]),
        (["lima", "lima.length=2:3"], [False, True, True, False]),
        (["lima.length=2:3", "lima"], [False, True, True, False]),
    ],
)
def test_numbers_follow_a_name(asked, kept, ledger):
    """They replace the defaults in order, wherever the filter is asked for; an empty one keeps its default."""
    if kept is None:
        with pytest.raises(UsageError, match="a window of 1,200 to 3 characters holds nothing"):
            filters.resolve(asked)
        return
    marked = filters.apply(ledger(*(("p", "x" * n) for n in (1, 2, 3, 4))), filters.resolve(asked))
    assert marked["drop_reason"].is_null().to_list() == kept
    assert set(marked["drop_reason"].drop_nulls()) == {"lima.length"}


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("lima.length=1:2:3", "takes least and most", "lima.length=1200:4096 is the default"),
        ("lima.first_person=3", "takes no numbers", "Write lima.first_person alone"),
        ("lima.length=x", "x is not a number", "is the default"),
        ("lima.length=1.5", "1.5 should be a whole number", "is the default"),
        ("lima.length=9:2", "a window of 9 to 2 characters", "smaller number first"),
        ("lima=3", "lima is a group", "one filter"),
        ("lima-zh=3", "lima-zh is a group", "one filter"),
        ("lima.lenght=3", "unknown filter 'lima.lenght'", "lima.length"),
        ("lima.length(1", r"unknown filter 'lima.length\(1'", "lima.length=500:2000"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(name, message, hint):
    """The error says what the filter takes, before anything is read."""
    with pytest.raises(UsageError, match=message) as caught:
        filters.resolve([name])
    assert hint in caught.value.hint


def test_two_settings_of_one_filter_are_refused():
    """Which one counts is not guessed."""
    with pytest.raises(UsageError, match="given twice: =1:2 and =1:3"):
        filters.resolve(["lima.length=1:2", "lima.length=1:3"])


def test_a_note_drops_nothing(ledger):
    """`would_drop` names the rules that fire, in their order; unreadable rows have none, and no mark is made."""
    blank = dict.fromkeys(("chat", "prompt", "response", "roles"))
    frame = ledger({**blank, "drop_reason": "unreadable", "rules": ["unreadable"], "evidence": "cut"}, ("p", "I say."))
    noted = filters.note(frame, filters.resolve(["lima"]))
    assert noted["would_drop"].to_list() == [None, ["lima.length", "lima.first_person"]]
    assert noted.drop("would_drop").equals(frame)
    assert filters.note(frame, [])["would_drop"].to_list() == [None, []]


def test_an_unknown_name_in_a_file_is_answered_with_its_names(rules):
    """The error names the filters of the file."""
    with pytest.raises(UsageError) as caught:
        filters.resolve([f"{rules}:no_url"])
    assert f"{rules}:no_urls" in caught.value.hint


def test_two_files_of_one_name_are_refused(rules, tmp_path):
    """Two filters cannot share a dotted name: the ledger could not tell them apart."""
    other = tmp_path / "other" / "rules.py"
    other.parent.mkdir()
    other.write_text(RULES)
    with pytest.raises(UsageError, match="two files define the filter"):
        filters.resolve([str(rules), str(other)])


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (lambda: pl.lit(True), "returned Expr, not a Rule"),
        (lambda: 1 / 0, "ZeroDivisionError"),
        (lambda: Rule(pl.col("nothing") > 1, pl.lit("")), "mine.bad failed: .*nothing"),
        (lambda: Rule(pl.col("response"), pl.lit("")), "mine.bad failed"),
        (lambda: Rule(pl.col("response").is_null(), pl.col("nothing")), "mine.bad failed: .*nothing"),
    ],
)
def test_a_faulty_filter_is_named(rule, message, ledger):
    """A filter that returns no Rule, raises, or needs what is not there ends in an error that names it."""
    with pytest.raises(CurateError, match=message):
        filters.apply(ledger(("p", "r")), [*filters.resolve(["clean"]), ("mine.bad", rule)])


def test_marks(ledger):
    """The first rule that fires is the reason, all that fire are listed, null counts as fired, rows stay in place."""
    frame = ledger(("p", "ab"), ("p", "b"), ("p", "c"))
    short = lambda: Rule(pl.col("response").str.len_chars() == 1, pl.lit("x" * 300))  # noqa: E731
    no_b = lambda: Rule(~pl.col("response").str.contains("b"), pl.lit("b"))  # noqa: E731
    unknown = lambda: Rule(pl.when(pl.col("response") == "c").then(None).otherwise(True), pl.col("response"))  # noqa: E731
    marked = filters.apply(frame, [("a.short", short), ("a.no_b", no_b), ("a.unknown", unknown)])
    assert marked.drop("drop_reason", "rules", "evidence").equals(frame.drop("drop_reason", "rules", "evidence"))
    assert marked["drop_reason"].to_list() == ["a.short", "a.no_b", "a.unknown"]
    assert marked["rules"].to_list() == [["a.short", "a.no_b"], ["a.no_b"], ["a.unknown"]]
    assert marked["evidence"].to_list() == ["x" * 200, "b", "c"]


def test_unreadable_rows_are_left_alone(ledger):
    """A row that was never read keeps its reason and its evidence, and no rule is put to it."""
    blank = dict.fromkeys(("chat", "prompt", "response", "roles"))
    frame = ledger({**blank, "drop_reason": "unreadable", "rules": ["unreadable"], "evidence": "truncated"}, ("", ""))
    marked = filters.apply(frame, filters.resolve(["clean", "style"]))
    assert marked.row(0) == frame.row(0)
    assert marked["drop_reason"][1] == "clean.empty_prompt"


def test_a_row_dropped_earlier_keeps_its_reason(ledger):
    """Later rules are added to `rules` only."""
    frame = ledger({"response": "", "prompt": "", "chat": "", "roles": "ua", "drop_reason": "duplicate.exact",
                    "rules": ["duplicate.exact"], "evidence": "0000"})  # fmt: skip
    marked = filters.apply(frame, filters.resolve(["clean.empty_answer"]))
    assert marked.select("drop_reason", "evidence").row(0) == ("duplicate.exact", "0000")
    assert marked["rules"].to_list() == [["duplicate.exact", "clean.empty_answer"]]


def test_marks_are_added_where_there_are_none(ledger):
    """A frame without the three columns gets them, with and without filters."""
    bare = ledger(("p", ""), ("p", "r")).drop("drop_reason", "rules", "evidence")
    assert filters.apply(bare, []).columns[-3:] == ["drop_reason", "rules", "evidence"]
    assert filters.apply(bare, filters.resolve(["clean"]))["drop_reason"].to_list() == ["clean.empty_answer", None]


def test_no_rows(ledger):
    """An empty ledger stays empty."""
    assert filters.apply(ledger(), filters.resolve(["clean", "style"])).height == 0


PIECES = [
    "", "x", "<nooutput>", "https://a.b/c", "As an AI, I cannot.", "\x00", "Â°", "a" * 150, "<image>", "<br>", "&amp;",
    "As others have said, I think.", "`I` am", "@user's answer", "我", "樓主說的", "字" * 30, "lima " * 900,
    "Слова и речи " * 9,
    "I'm sorry, but I cannot provide it.", "Rivers run to the sea. " * 25 + "And then we",
    "```\ncode", "[image of a cat]", "谢邀。", "作为一个人工智能助手，我不能。", "Fine words.", "\n",
]  # fmt: skip
POOLS = st.lists(
    st.tuples(st.sampled_from(PIECES), st.lists(st.sampled_from(PIECES), max_size=2).map(" ".join)), max_size=8
)
EVERY = [rule for rule in filters.resolve(GROUPS[:-1]) if rule[0] != "quality.tokens"]  # these read texts alone


@settings(deadline=None, max_examples=20)
@given(pool=POOLS, seed=st.integers(0, 99))
def test_filters_commute(pool, seed, ledger):
    """Whatever the order of the filters, the same rows are kept and the same rules fire; so too one by one."""
    frame = ledger(*pool)
    other = random.Random(seed).sample(EVERY, len(EVERY))
    one, two = filters.apply(frame, EVERY), filters.apply(frame, other)
    three = frame
    for rule in other:
        three = filters.apply(three, [rule])
    assert two.equals(three)
    assert one["drop_reason"].is_null().to_list() == two["drop_reason"].is_null().to_list()
    assert [set(fired) for fired in one["rules"]] == [set(fired) for fired in two["rules"]]


@settings(deadline=None, max_examples=20)
@given(pool=POOLS, seed=st.integers(0, 99))
def test_a_filter_sees_one_row(pool, seed, ledger):
    """A subset in another order gets the same marks."""
    frame = ledger(*pool)
    rows = random.Random(seed).sample(range(frame.height), k=(frame.height + 1) // 2)
    assert filters.apply(frame[rows], EVERY).equals(filters.apply(frame, EVERY)[rows])


@settings(deadline=None, max_examples=10)
@given(pool=POOLS)
def test_filters_are_idempotent(pool, ledger):
    """A second time changes nothing."""
    once = filters.apply(ledger(*pool), EVERY)
    assert filters.apply(once, EVERY).equals(once)
