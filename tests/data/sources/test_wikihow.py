"""wikiHow exports: what is read, how articles are drawn, what goes from them."""

from __future__ import annotations

import csv
import gzip
import json

import pytest

from curate.data.sources.wikihow import clean
from curate.errors import UsageError


def articles(path, rows):
    """Write rows as JSON lines, or as CSV where the name says so."""
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    return path


def many(category, n):
    return [{"title": f"How to Do {category} {i}", "text": f"Do it {i} times.", "category": category} for i in range(n)]


def test_every_category_gives_as_many(extract, tmp_path):
    """A category of 3 and one of 30 give three each of six; a larger budget is filled from the larger one."""
    path = articles(tmp_path / "a.jsonl", many("Pets", 30) + many("Arts", 3))
    rows = extract("wikihow", path, count=6).rows
    assert [row["category"] for row in rows] == ["Arts"] * 3 + ["Pets"] * 3
    assert [row["category"] for row in extract("wikihow", path, count=10).rows].count("Pets") == 7
    assert len(extract("wikihow", path).rows) == 33


def test_the_draw_depends_on_the_seed_alone(extract, tmp_path):
    """The order of articles changes nothing, another seed draws others."""
    rows = many("Pets", 30)
    one = extract("wikihow", articles(tmp_path / "a.jsonl", rows), count=5).rows
    assert extract("wikihow", articles(tmp_path / "b.jsonl", rows[::-1]), count=5).rows == one
    assert extract("wikihow", articles(tmp_path / "a.jsonl", rows), count=5, seed=1).rows != one


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_csv_and_json_give_the_same_rows(extract, tmp_path, name):
    """Line breaks inside a field are part of it; packed files are read too."""
    rows = [{"title": "How to Rest", "headline": "Sit.", "text": 'First,\n"sit".\n\nThis article ends.'}]
    path = articles(tmp_path / name, rows)
    result = extract("wikihow", path)
    assert result.rows == [
        {
            "messages": [
                {"role": "user", "content": "How to Rest"},
                {"role": "assistant", "content": 'First,\n"sit".\n\nThe following answer ends.'},
            ],
            "id": "wikihow:How to Rest",
            "source": "wikihow",
            "category": None,
            "licence": "CC BY-NC-SA 3.0",
        }
    ]
    assert result.report["notes"] == ["no article has a category: all are drawn from one pool"]
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert extract("wikihow", packed).rows == result.rows


def test_every_record_is_accounted_for(extract, tmp_path):
    """Broken lines, articles without title or text, titles that repeat, and what the quota leaves."""
    good = many("Pets", 4)
    lines = [*map(json.dumps, [*good, good[0], {"title": "How to", "text": " "}, {"text": "x"}]), "{", "[1]"]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(lines))
    report = extract("wikihow", path, count=3).report
    assert (report["read"], report["used"]) == (9, 3)
    assert report["dropped"] == {
        "article.empty": 1, "article.no_title": 1, "article.over_quota": 1, "article.repeated": 1, "unreadable": 2,
    }  # fmt: skip


def test_broken_csv_is_counted(extract, tmp_path):
    """A row with too many fields, and a quote that never closes, are one unreadable record each."""
    path = tmp_path / "a.csv"
    path.write_text('title,text\nHow to A,x\nHow to B,x,y\nHow to C,x\nHow to D,"' + f"{'z' * 1000}\n" * 5000)
    report = extract("wikihow", path).report
    assert report["rows"] == 2
    assert report["dropped"]["unreadable"] >= 2


def test_columns_of_ones_own(extract, tmp_path):
    """--map names them; a name that is none of ours, and an export of headlines alone, are refused."""
    path = articles(tmp_path / "a.jsonl", [{"title": "How to Rest", "headline": "Sit down."}])
    assert len(extract("wikihow", path, map="text=headline").rows) == 1
    with pytest.raises(UsageError, match="no column text"):
        extract("wikihow", path)
    with pytest.raises(UsageError, match="unknown --map name"):
        extract("wikihow", path, map="body=headline")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("In this article, you rest.", "In the following answer, you rest."),
        ("See [here](https://x.org/a) or https://x.org.", "See here or ."),
        ("![a cat](cat.png)\nPet it. [[Image:Cat.jpg|center]]", "Pet it."),
        ("Use [[Main-Page|the main page]].", "Use the main page."),
        ("<p>Sit.</p><ol><li>Rest</li><li><b>Sleep</b></li></ol>", "Sit.\n\n1. Rest\n2. Sleep"),
        ("A <b>bold</b> step\nand another", "A bold step\nand another"),
        ("Sit.\n\n\n\n== Sources and Citations ==\nhttp://x.org\nmore", "Sit."),
        ("Name your sources: they matter.", "Name your sources: they matter."),
    ],
)
def test_what_goes_from_an_article(text, left):
    """Links, images, HTML and the last sections go; the article calls itself the following answer."""
    assert clean(text) == left


@pytest.mark.parametrize("unit", ["![", "![](", "[[", "[[a|", "[a](", "\n", "# \n", "<a ", "http://", "www.,"])
def test_long_broken_markup_is_survived(unit):
    """One opening after another ends soon: the time is linear."""
    assert len(clean(f"x{unit * 100_000}x")) < 1_000_000


def test_a_file_of_another_kind_is_said(extract, tmp_path):
    """Records without titles and texts give no rows, and the run names the columns that it looked for."""
    report = extract("wikihow", articles(tmp_path / "a.jsonl", [{"prompt": "a", "answer": "b"}])).report
    assert (report["read"], report["rows"]) == (1, 0)
    assert report["notes"] == [
        "no record gives an article: each needs title, and text or article or content (--map title=COLUMN,text=COLUMN)"
    ]
