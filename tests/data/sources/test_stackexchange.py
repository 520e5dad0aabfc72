"""LIMA's recipe on Stack Exchange dumps: each rule, the counts, and what strangers may put into a dump."""

from __future__ import annotations

import gzip
import itertools
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import orjson
import pytest
import zstandard

from curate.cli import app
from curate.data.lexicon import EN_FIRST, EN_REF, prose
from curate.data.read import read_rows
from curate.data.sources._html import own_words
from curate.data.sources.stackexchange import stands_alone
from curate.errors import CurateError, UsageError
from curate.face import run

WORDS = "The spin of an electron is measured along an axis, and the result is one of two values. "


def post(id: int, kind: int = 1, **attributes: Any) -> str:
    """Return a row of Posts.xml."""
    values = {"Id": id, "PostTypeId": kind, "Score": 20, **attributes}
    entities = {"\n": "&#xA;", '"': "&quot;"}
    return "  <row " + "".join(f'{name}="{escape(str(value), entities)}" ' for name, value in values.items()) + "/>"


def question(id: int, title: str = "What is the spin of an electron?", **attributes: Any) -> str:
    """Return a question."""
    return post(id, 1, Title=title, **{"Body": f"<p>Body of question {id}, please.</p>"} | attributes)


def answer(id: int, parent: int, body: str = f"<p>{WORDS * 20}</p>", **attributes: Any) -> str:
    """Return an answer, of 1,767 characters and score 20 unless told otherwise."""
    return post(id, 2, ParentId=parent, Body=body, **attributes)


@pytest.fixture
def dump(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes rows as the dump of a `site`."""

    def write(*rows: str, site: str = "physics") -> Path:
        path = tmp_path / site / "Posts.xml"
        path.parent.mkdir(exist_ok=True)
        lines = ['\ufeff<?xml version="1.0" encoding="utf-8"?>', "<posts>", *rows, "</posts>"]
        path.write_bytes("\r\n".join(lines).encode())
        return path

    return write


def pair(id: int, body: str = f"<p>{WORDS * 20}</p>", **about: object) -> list[str]:
    """Return a question and its answer, with ids of their own."""
    return [question(id), answer(id + 1, id, body, **about)]


def dropped(report):
    """Return what became of the posts; that they add up is seen first."""
    assert report["read"] == report["used"] + sum(report["dropped"].values())
    assert report["used"] == 2 * report["rows"]
    return report["dropped"]


def test_a_row_holds_question_answer_and_where_they_came_from(extract, dump):
    """Prompt, answer, ids, scores, licence and address."""
    path = dump(question(7, Score=31), answer(9, 7, Score=12, ContentLicense="CC BY-SA 4.0"))
    (row,) = extract("stackexchange", path, title_share=1).rows
    assert row == {
        "messages": [
            {"role": "user", "content": "What is the spin of an electron?"},
            {"role": "assistant", "content": (WORDS * 20).strip()},
        ],
        "id": "stackexchange:physics:7",
        "source": "stackexchange",
        "site": "physics",
        "group": "stem",
        "question_id": 7,
        "answer_id": 9,
        "question_score": 31,
        "answer_score": 12,
        "prompt_from": "title",
        "licence": "CC BY-SA 4.0",
        "url": "https://physics.stackexchange.com/a/9",
    }


@pytest.mark.parametrize(
    ("body", "about", "rule"),
    [
        (f"<p>{WORDS * 20}</p>", {"Score": 9}, None),
        ("x" * 1199, {}, "answer.too_short"),
        ("x" * 1200, {}, ""),
        ("<b></b>" + "x" * 1193, {}, ""),  # the length is that of the HTML
        ("x" * 4096, {}, ""),
        ("x" * 4097, {}, "answer.too_long"),
        ("&quot;" + "é" * 1194, {}, ""),  # of characters, not bytes
        (f"<p>{WORDS * 20} I think so.</p>", {}, "answer.first_person"),
        (f"<p>{WORDS * 20} That is my opinion.</p>", {}, "answer.first_person"),
        (f"<p>{WORDS * 20} An I/O error of Type I follows.</p>", {}, ""),
        (f"<p>{WORDS * 20}</p><blockquote><p>I think so.</p></blockquote>", {}, ""),
        (f"<p>{WORDS * 20}</p><pre><code>my $x = I + 1 if I or my x</code></pre>", {}, ""),
        (f"<p>{WORDS * 20} They wrote “as I think” and left.</p>", {}, ""),
        (f"<p>{WORDS * 20} As mentioned by others.</p>", {}, "answer.references"),
        (f"<p>{WORDS * 20} Ask on Stack Exchange.</p>", {}, "answer.references"),
        (f"<p>{WORDS * 20} <a href='/a/5'>Joe's answer</a> is right.</p>", {}, "answer.references"),
        ("<img src='x'>" * 100, {}, "answer.empty"),
    ],
)
def test_each_rule_drops_an_answer_and_its_question(extract, dump, body, about, rule):
    """The answer is counted under the rule, the question under that of its answer; "" is a row."""
    report = extract("stackexchange", dump(*pair(1, body, **about))).report
    expected = {"answer.low_score": 1, "question.no_good_answer": 1} if rule is None else {}
    if rule:
        expected = {rule: 1, "question.answer_dropped": 1}
    assert dropped(report) == expected


@pytest.mark.parametrize(
    ("title", "alone"),
    [
        ("What is the spin of an electron?", True),
        ("How to measure the spin of an electron", True),
        ("The spin of an electron: a half or one?", True),
        ("Can I boil an egg in a kettle?", True),
        ("Proof that the square root of two is irrational", False),
        ("Why does this happen?", False),
        ("What do the following symbols mean?", False),
        ("Why is my code slow?", False),
        ("Is the code below right?", False),
        ("Why though?", False),
        ("", False),
    ],
)
def test_a_title_stands_alone_when_it_asks_and_points_at_nothing(title, alone):
    """Our reading of "self-contained in the title"."""
    assert stands_alone(title) is alone


def test_a_question_that_does_not_stand_alone_goes_with_its_answer(extract, dump):
    """The question is counted under the rule, its answer as the answer of a dropped question."""
    report = extract("stackexchange", dump(question(1, "Why does this happen?"), answer(2, 1))).report
    assert dropped(report) == {"title.not_self_contained": 1, "answer.question_dropped": 1}


def test_only_the_top_answer_counts(extract, dump):
    """The answer of highest score is taken, of equal ones the oldest, and no other when it is dropped."""
    rows = [question(1), answer(4, 1, Score=30), answer(3, 1, Score=30), answer(2, 1, Score=29)]
    first = extract("stackexchange", dump(*rows))
    assert first.rows[0]["answer_id"] == 3
    assert dropped(first.report) == {"answer.not_top": 2}
    report = extract("stackexchange", dump(question(1), answer(2, 1, "<p>My way.</p>", Score=40), answer(3, 1))).report
    assert dropped(report) == {"answer.not_top": 1, "answer.too_short": 1, "question.answer_dropped": 1}


def test_other_posts_and_orphans_are_counted(extract, dump):
    """Tag wikis, questions without answers, answers without a question."""
    path = dump(*pair(1), post(5, 4), question(6), answer(7, 99))
    assert dropped(extract("stackexchange", path).report) == {
        "post.other_kind": 1, "question.no_good_answer": 1, "answer.no_question": 1,
    }  # fmt: skip


def test_the_highest_scored_questions_come_first(extract, dump):
    """Within a site the quota takes questions by score, then by id."""
    rows = [[question(id, Score=score), answer(id + 1, id)] for id, score in ((10, 3), (20, 9), (30, 5), (40, 9))]
    result = extract("stackexchange", dump(*itertools.chain(*rows)), stem=3)
    assert [row["question_id"] for row in result.rows] == [20, 40, 30]
    assert dropped(result.report) == {"question.over_quota": 1, "answer.over_quota": 1}


def test_sites_share_their_group_by_the_root_of_their_rows(extract, dump):
    """STEM and other have budgets of their own; within one a site gives rows^(1/tau)."""
    big = dump(*itertools.chain(*(pair(2 * n + 1) for n in range(64))), site="physics")
    small = dump(*itertools.chain(*(pair(2 * n + 1) for n in range(8))), site="math.stackexchange.com")
    other = dump(*pair(1), site="cooking")
    flat = extract("stackexchange", [big, small, other], stem=9, tau=3).report["groups"]
    assert [(group["name"], group["given"]) for group in flat] == [
        (None, 9), ("math", 3), ("physics", 6), (None, 1), ("cooking", 1),
    ]  # fmt: skip
    steep = extract("stackexchange", [big, small, other], stem=9, tau=1).report["groups"]
    assert [group["given"] for group in steep] == [9, 1, 8, 1, 1]
    assert flat[3] == {"group": "other", "name": None, "asked": 200, "available": 1, "given": 1}


def test_titles_and_bodies_are_drawn_by_the_id_of_the_question(extract, dump):
    """Half of the prompts are titles; which ones depends on the seed and on nothing else in the dump."""
    rows = [pair(2 * n + 1) for n in range(60)]
    kinds = {row["id"]: row["prompt_from"] for row in extract("stackexchange", dump(*itertools.chain(*rows))).rows}
    assert 15 < list(kinds.values()).count("title") < 45
    part = extract("stackexchange", dump(*itertools.chain(*rows[30:]))).rows
    assert all(kinds[row["id"]] == row["prompt_from"] for row in part)
    assert all(
        row["messages"][0]["content"].startswith("Body" if row["prompt_from"] == "body" else "What") for row in part
    )
    other = extract("stackexchange", dump(*itertools.chain(*rows)), seed=1).rows
    assert kinds != {row["id"]: row["prompt_from"] for row in other}


def test_a_body_without_words_is_replaced_by_the_title(extract, dump):
    """A question of nothing but an image has its title for a prompt."""
    (row,) = extract("stackexchange", dump(question(1, Body="<img src='x'>"), answer(2, 1)), title_share=0).rows
    assert row["prompt_from"] == "title"


def test_the_order_of_posts_and_files_changes_nothing(extract, dump):
    """An answer may stand before its question; the rows are the same."""
    rows = list(itertools.chain(*(pair(2 * n + 1, Score=10 + n % 7) for n in range(30))))
    first, cooking = dump(*rows), dump(*pair(1), site="cooking")
    one = extract("stackexchange", [first, cooking], stem=11)
    random.Random(0).shuffle(rows)
    other = extract("stackexchange", [cooking, dump(*rows)], stem=11)
    assert one.rows == other.rows
    assert one.report["dropped"] == other.report["dropped"]


# -- Which site --------------------------------------------------------------------------------------------------------


def test_the_site_is_an_option_a_file_or_a_folder(extract, dump, tmp_path):
    """--site wins; then the name of the file; then that of its folder."""
    path = dump(*pair(1), site="stackoverflow.com")
    assert extract("stackexchange", path).rows[0]["url"] == "https://stackoverflow.com/a/2"
    assert extract("stackexchange", path, site="cooking").rows[0]["site"] == "cooking"
    named = path.rename(tmp_path / "cooking_meta_Posts.xml")
    result = extract("stackexchange", named)
    assert result.rows[0]["url"] == "https://cooking.meta.stackexchange.com/a/2"
    assert result.report["notes"] == ["in neither list of sites, counted as other: cooking.meta"]


def test_a_directory_stands_for_the_posts_below_it(extract, dump, tmp_path):
    """Posts.xml of each site are read, other files of a dump are not."""
    dump(*pair(1))
    dump(*pair(1), site="cooking").with_name("Comments.xml").write_text("<comments/>")
    assert [row["site"] for row in extract("stackexchange", tmp_path).rows] == ["physics", "cooking"]


def test_a_table_of_sites_of_ones_own(extract, dump, tmp_path):
    """--sites replaces ours."""
    table = tmp_path / "sites.toml"
    table.write_text('stem = ["cooking"]\nother = ["physics"]')
    assert extract("stackexchange", dump(*pair(1)), sites=str(table)).rows[0]["group"] == "other"
    for text, message in [
        ("stem = 1", "two lists"), ('rest = ["a"]', "two lists"), ("stem", "not valid TOML"),
        ('stem = ["a"]\nother = ["a"]', "twice"),
    ]:  # fmt: skip
        table.write_text(text)
        with pytest.raises(UsageError, match=message):
            extract("stackexchange", dump(*pair(1)), sites=str(table))


def test_what_cannot_be_a_dump_is_refused(extract, dump, tmp_path):
    """Two dumps of a site, --site for two dumps, an archive, a name that tells no site, a file that is no Posts.xml."""
    path, other = dump(*pair(1)), dump(*pair(1), site="physics.stackexchange.com")
    with pytest.raises(UsageError, match="both of the site physics"):
        extract("stackexchange", [path, other])
    with pytest.raises(UsageError, match="there are 2 dumps"):
        extract("stackexchange", [path, other], site="physics")
    archive = tmp_path / "physics.7z"
    archive.write_bytes(b"7z\xbc\xaf\x27\x1c")
    with pytest.raises(UsageError, match="7z x"):
        extract("stackexchange", archive)
    with pytest.raises(UsageError, match="--site"):
        extract("stackexchange", dump(*pair(1), site="my folder"))
    with pytest.raises(UsageError, match="no such file"):
        extract("stackexchange", tmp_path / "nothing.xml")
    with pytest.raises(CurateError, match="not one of the posts can be read"):
        extract("stackexchange", dump('  <row Id="1" PostId="2" Score="3" Text="a comment" />'))
    with pytest.raises(CurateError, match="there are no posts"):
        extract("stackexchange", dump())


# -- Strangers ---------------------------------------------------------------------------------------------------------


def test_packed_dumps_give_the_same_rows(extract, dump):
    """Gzip and zstd are seen from the first bytes."""
    path = dump(*pair(1))
    plain = extract("stackexchange", path).rows
    data = path.read_bytes()
    for packed in (gzip.compress(data), zstandard.compress(data)):
        path.write_bytes(packed)
        assert extract("stackexchange", path).rows == plain


def test_entities_are_not_declared_and_not_expanded(extract, dump):
    """A document type and its entities are unreadable lines, and a reference to one stays as it stands."""
    bomb = ['<!DOCTYPE posts [<!ENTITY a "aaaaaaaaaa">', '<!ENTITY b "&a;&a;&a;&a;">', "]>"]
    known = answer(2, 1, f"&lt;b&gt; &amp;a; {WORDS * 20}").replace("&amp;amp;a;", "&a;").replace("&amp;lt;", "&#60;")
    result = extract("stackexchange", dump(*bomb, question(1), known))
    assert dropped(result.report) == {"unreadable": 3}
    assert "&a;" in result.rows[0]["messages"][1]["content"]
    assert "aaaa" not in result.rows[0]["messages"][1]["content"]


@pytest.mark.parametrize(
    "row",
    [
        '  <row Id="3" PostTypeId="1" Score="1" Title="cut off',
        '  <row Id="3" PostTypeId="2" Score="1" Body="no parent" />',
        '  <row Id="x" PostTypeId="1" Score="1" />',
        '  <row Id="3" PostTypeId="1" />',
        "  <row Id='3' PostTypeId='1' Score='1' />",
        '  <row Id="99999999999999999999" PostTypeId="1" Score="1" />',
        "plain text",
        "  <row />",
        "\0\0\0",
    ],
)
def test_a_broken_row_is_counted_and_the_others_are_read(extract, dump, row):
    """Nothing that stands on one line spoils another."""
    result = extract("stackexchange", dump(row, *pair(1)))
    assert dropped(result.report) == {"unreadable": 1}
    assert len(result.rows) == 1


def test_text_that_is_no_utf8_is_unreadable(extract, dump):
    """Such a question or answer is counted; other posts are read."""
    for broken in (b"Body of question 1", b"The spin of an electron is measured"):
        path = dump(*pair(1), *pair(3))
        path.write_bytes(path.read_bytes().replace(broken, broken + b"\xff", 1))
        result = extract("stackexchange", path)
        assert dropped(result.report)["unreadable"] == 1
        assert len(result.rows) == 1


def test_a_huge_post_is_counted_and_not_held(extract, dump):
    """A line beyond 4 MiB is unreadable; what follows is read."""
    result = extract("stackexchange", dump(answer(5, 1, "x" * (5 << 20)), *pair(1)))
    assert dropped(result.report) == {"unreadable": 1}
    assert len(result.rows) == 1


def test_broken_markup_of_a_post_is_survived(extract, dump):
    """Tags that are never closed, or were never opened, leave their text."""
    mess = f"</p><ul><li>{WORDS * 20}<pre><code>x < y && z</pre></ol><table><<b <a href="
    (row,) = extract("stackexchange", dump(*pair(1, mess))).rows
    assert "x < y && z" in row["messages"][1]["content"]


def test_a_file_that_is_cut_off_gives_what_stands_before(extract, dump):
    """The damage is said, and the broken last row is counted."""
    path = dump(*pair(1), *pair(3))
    path.write_bytes(path.read_bytes()[:-100])
    result = extract("stackexchange", path)
    assert dropped(result.report) == {"unreadable": 1, "question.no_good_answer": 1}
    path = dump(*itertools.chain(*(pair(2 * n + 1, f"<p>{random.Random(n).random()} {WORDS * 20}") for n in range(50))))
    path.write_bytes(gzip.compress(path.read_bytes())[:-200])
    result = extract("stackexchange", path)
    assert result.rows
    assert "cut off here" in result.report["notes"][0]


# -- The command -------------------------------------------------------------------------------------------------------


def test_the_command_writes_rows_and_report_and_a_rerun_writes_the_same(dump, tmp_path, capsys):
    """Same bytes again; an old file is kept without --force; nothing else is left in the folder."""
    path, out = dump(*pair(1)), tmp_path / "out" / "se.jsonl"
    arguments = ["source", "stackexchange", str(path), "--out", str(out)]
    assert run(app, arguments) == 0
    printed = capsys.readouterr().out
    assert "1 row in" in printed
    assert all(len(line) <= 80 for line in printed.splitlines() if str(tmp_path) not in line)
    files = {file.name: file.read_bytes() for file in out.parent.iterdir()}
    assert set(files) == {"se.jsonl", "se.report.json", ".se.jsonl.key.json"}
    assert run(app, arguments) == 2
    assert "--force" in capsys.readouterr().err
    assert run(app, [*arguments, "--force", "--json"]) == 0
    assert capsys.readouterr().out.encode() == files["se.report.json"]
    assert {file.name: file.read_bytes() for file in out.parent.iterdir()} == files
    assert run(app, [*arguments[:-1], str(tmp_path / "se.csv")]) == 2
    (out.parent / "se.report.json").unlink()
    assert run(app, [*arguments, "--force"]) == 2
    assert "none of our files" in capsys.readouterr().err


def test_what_was_unreadable_is_said(dump, capsys):
    """A note on stderr, and exit 3 with --strict."""
    assert run(app, ["source", "stackexchange", str(dump("broken", *pair(1))), "--strict"]) == 3
    assert "1 of 3 posts cannot be read" in capsys.readouterr().err


def test_nought_rows_are_an_answer(dump, tmp_path, capsys):
    """A dump of which nothing is left gives an empty file, the counts, and exit 0."""
    out = tmp_path / "se.jsonl"
    assert run(app, ["source", "stackexchange", str(dump(question(1))), "--out", str(out), "--json"]) == 0
    report = orjson.loads(capsys.readouterr().out)
    assert dropped(report) == {"question.no_good_answer": 1}
    assert out.read_bytes() == b""


def test_the_rows_are_a_pool(dump, tmp_path):
    """What `curate source` writes is read as `messages`; the report beside it is no part of the pool."""
    path = dump(*itertools.chain(*(pair(2 * n + 1) for n in range(9))))
    out = tmp_path / "pool"
    assert run(app, ["source", "stackexchange", str(path), "--out", str(out / "se.jsonl"), "--quiet"]) == 0
    rows = read_rows([str(out)])
    assert rows.frame["shape"].to_list() == ["messages"] * 9
    assert rows.unreadable.is_empty()


def by_the_book(path: Path) -> dict[str, int]:
    """Return what becomes of the pairs of a dump, read whole by an XML parser."""
    posts = [element.attrib for element in ElementTree.fromstring(gzip.decompress(path.read_bytes()))]
    good = [post for post in posts if post["PostTypeId"] == "2" and int(post["Score"]) >= 10]
    titles = {post["Id"]: post["Title"] for post in posts if post["PostTypeId"] == "1"}
    top = {}
    for post in sorted(good, key=lambda post: (-int(post["Score"]), int(post["Id"]))):
        top.setdefault(post["ParentId"], post)
    counts = Counter[str]()
    for parent, post in top.items():
        said = prose(own_words(post["Body"]))
        rules = {
            "title.not_self_contained": not stands_alone(titles[parent]),
            "answer.too_short": len(post["Body"]) < 1200,
            "answer.too_long": len(post["Body"]) > 4096,
            "answer.first_person": EN_FIRST.search(said),
            "answer.references": EN_REF.search(said),
        }
        counts[next((rule for rule, fires in rules.items() if fires), "row")] += 1
    return counts


@pytest.mark.parametrize(("name", "rows"), [("quantumcomputing", 18), ("bicycles_meta", 0)])
def test_real_dumps(extract, shared_data, name, rows):
    """A real dump gives the counts that a plain reading with an XML parser gives."""
    path = shared_data / "stackexchange" / f"{name}_Posts.xml.gz"
    result = extract("stackexchange", path)
    counts = dropped(result.report) | {"row": len(result.rows)}
    assert {rule: counts.get(rule, 0) for rule in by_the_book(path)} == by_the_book(path)
    assert len(result.rows) == rows
