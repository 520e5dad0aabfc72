"""How all pages look in a browser: on a telephone and on a desk, light and dark, by keyboard."""

from __future__ import annotations

import pytest

import curate
from curate.cli import app
from curate.corpus.count import count_tokens
from curate.face import run

ROWS = [
    {
        "instruction": f"What is {i} times {i % 7}, and why is that so?",
        "output": f"It is {i * (i % 7)}. " * (1 + i % 40),
    }
    for i in range(120)
]
_SMALLEST = """
  const scale = (text) => {
    const drawing = text.closest('figure').querySelector('svg');
    return drawing.getBoundingClientRect().width / drawing.viewBox.baseVal.width;
  };
  const size = (one) => parseFloat(getComputedStyle(one).fontSize);
  const said = [...document.querySelectorAll('p, li, td, th, summary, label, small')].filter(one => one.textContent);
  return Math.min(...said.map(size), ...[...document.querySelectorAll('svg text')].map(one => size(one) * scale(one)));
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Return the pages of two selections, a count, a plan and two comparisons, by name."""
    place = tmp_path_factory.mktemp("pages")
    texts = place / "a_corpus_whose_name_is_quite_long"
    texts.mkdir()
    for name in ("first_source_of_many_words", "second_source"):
        (texts / f"{name}.txt").write_text("\n".join(row["output"] for row in ROWS))
    for name, count in (("a", 20), ("b", 30)):
        curate.select_rows(ROWS, out=place / name, count=count, filters="none", workers=1)
        count_tokens(str(texts), out=place / f"count_{name}", params="1M", max_epochs="4", workers=1)
    for left, right, name in (("a", "b", "diff"), ("count_a", "count_b", "diff of counts")):
        html = str(place / f"{name}.html")
        assert run(app, ["diff", str(place / left), str(place / right), "--html", html, "--quiet"]) == 0
    assert run(app, ["plan", "--params", "1.3B", "--unique-tokens", "8B", "--html", str(place / "plan.html")]) == 0
    named = {"select": "a/report.html", "tokens": "count_a/report.html", "plan": "plan.html", "diff": "diff.html"}
    return {name: place / path for name, path in {**named, "diff of counts": "diff of counts.html"}.items()}


@pytest.mark.parametrize("name", ["select", "tokens", "plan", "diff", "diff of counts"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_all_pages_are_legible_and_fit(browser, pages, name, width, dark):
    """No text is smaller than 11 px, in drawings too; nothing but a wide table scrolls sideways; no complaints."""
    browser.screen(width, dark=dark)
    browser.complaints()
    browser.open(pages[name])
    assert browser.run(_SMALLEST) >= 11
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    assert browser.complaints() == []


def test_numbers_below_columns_are_not_cut(browser, pages):
    """Every text of a drawing lies inside of it."""
    browser.screen(390)
    browser.open(pages["tokens"])
    outside = """
      return [...document.querySelectorAll('svg text')].filter(text => {
        const svg = text.closest('figure').getBoundingClientRect(), box = text.getBoundingClientRect();
        return box.left < svg.left - 1 || box.right > svg.right + 1;
      }).map(text => text.textContent);"""
    assert browser.run(outside) == []


def test_a_wide_table_is_scrolled_by_keyboard(browser, pages):
    """Tab reaches a table that is wider than the screen and shows where it is; the arrow moves it."""
    browser.screen(390)
    browser.open(pages["tokens"])
    for _ in range(20):
        browser.press("Tab")
        if browser.run("return document.activeElement.scrollWidth > document.activeElement.clientWidth + 50"):
            break
    assert browser.run("return document.activeElement.className") == "table"
    assert browser.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("Right")
    browser.press("Right")
    assert browser.run("return new Promise(done => setTimeout(() => done(document.activeElement.scrollLeft), 500))") > 0
