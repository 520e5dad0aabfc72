"""The page of a selection: complete, small, safe on hostile data, and in a browser alive for mouse and keyboard."""

from __future__ import annotations

import re

import orjson
import polars as pl
import pytest

import curate
from curate.report.select_page import select_page
from curate.sft.map import map_rows

HOSTILE = '</script><script>window.ran=1</script><img src=x onerror="window.ran=1"> & "q" \'q\' <!-- {{}} \x07 \u2028'
WORDS = ("baking bread", "solving equations", "sailing a boat", "pruning roses", "tuning a piano")


def _records(n: int) -> list[dict[str, str]]:
    return [
        {
            "instruction": f"Part {i} of {WORDS[i % 5]}? {HOSTILE} What should I know?",
            "output": f"{HOSTILE} The part {i} of {WORDS[i % 5]} is that it takes patience.",
            "topic": f"{HOSTILE} {WORDS[i % 5]}",
        }
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def selection(tmp_path_factory):
    """Return a selection from a file whose name, texts, tasks and evidence are hostile; rows are dropped, held out."""
    path = tmp_path_factory.mktemp("pool") / "<b>pool & co.jsonl"
    rows = _records(120) + _records(12) + [{"instruction": f"{HOSTILE} {i}", "output": ""} for i in range(5)]
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows) + b"<script>window.ran=1</script>\n")
    return curate.select_rows(
        path, count=20, task_column="topic", scope="cluster", filters="clean.empty_answer", holdout=0.05,
        balance="task", trim_outliers=0.02, workers=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def written(selection, tmp_path_factory):
    """Return the directory of that selection."""
    return selection.write(tmp_path_factory.mktemp("out") / "sft")


@pytest.fixture
def page(browser, written):
    """Return the window with the page open at 1000 px in light colours."""
    browser.screen(1000)
    browser.complaints()  # those of the page before, and of the test that read its pixels
    browser.open(written / "report.html")
    assert browser.complaints() == []
    return browser


def _data(html: str) -> dict:
    return orjson.loads(html.split('<script type="application/json" id="data">')[1].split("</script>")[0])


# -- The file ----------------------------------------------------------------------------------------------------------


def test_the_page_holds_what_the_report_and_the_ledger_say(selection, written):
    """Every section; picks in their order; every dropped row with its reason; the points of the rows with vectors."""
    html = (written / "report.html").read_text()
    for heading in (
        "From read to selected", "The map, and the picks", "Rows", "Clusters: kept", "Quotas by task",
        "Lengths before and after", "Beside chance", "What should be known", "How it was done",
    ):  # fmt: skip
        assert f"<h2>{heading}" in html
    for reason, count in selection.report["rows"]["dropped"].items():
        assert f"<td>{reason}</td><td>-{count}</td>" in html
    data = _data(html)
    fates = [row["fate"] for row in data["rows"]]
    assert fates[:20] == [f"pick {i}" for i in range(1, 21)]
    assert [row["id"] for row in data["rows"][:20]] == selection.rows["id"].to_list()
    assert [row["point"] for row in data["rows"][:20]] == list(range(20))
    assert fates.count("duplicate.exact") == 12
    assert "held out" in fates
    assert len(data["rows"]) == selection.ledger.height


def test_only_our_script_can_run(written):
    """Two scripts, one of them data; the policy allows ours by its hash; no text of the data is markup; no address."""
    html = (written / "report.html").read_text()
    assert re.findall("<script.*?>", html) == ['<script type="application/json" id="data">', "<script>"]
    assert "script-src &#x27;sha256-" in html
    assert "<img" not in html
    assert "<b>pool" not in html
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", html)


def test_the_map_is_a_file_for_viewers_too(selection, written):
    """map.parquet: one row for each row with a vector, its place, its cluster with words, and what became of it."""
    points = pl.read_parquet(written / "map.parquet")
    assert points.height == selection.report["map"]["rows"]
    assert points.select("x", "y").null_count().row(0) == (0, 0)
    assert set(points["drop_reason"].drop_nulls()) == {"outlier"}
    assert points.filter("selected").sort("rank")["id"].to_list() == selection.rows["id"].to_list()
    assert "embedding-atlas map.parquet --x x --y y --text text" in (written / "report.html").read_text()
    assert {"text", "response", "cluster_title", "source", "task", "distance", "n_tokens"} <= set(points.columns)


def test_a_large_pool_is_cut_down_and_the_page_says_so(selection):
    """60,000 Chinese rows, 20,000 of them selected: below 5 MB, with what is left out in words."""
    n, k = 60_000, 20_000
    text = "请用中文写一首关于春天和故乡的长诗并且解释它的意思" * 12
    rank = pl.Series("rank", [i if i < k else None for i in range(n)], dtype=pl.Int64)
    ledger = pl.select(id=pl.format("{}", pl.int_range(n))).with_columns(
        rank, prompt=pl.lit(text), response=pl.lit(text), cluster=pl.int_range(n) % 10_000, task=pl.lit("写作"),
        drop_reason=pl.lit(None, pl.String), split=pl.lit(None, pl.String), evidence=pl.lit(None, pl.String),
        source=pl.lit("a.jsonl"), distance=pl.lit(0.5), n_tokens=pl.int_range(n) % 500,
        x=pl.int_range(n).sin(), y=pl.int_range(n).cos(),
    )  # fmt: skip
    rows = selection.report["rows"] | {"read": n, "unreadable": 0, "dropped": {}, "live": n, "selected": k}
    html = select_page({**selection.report, "rows": rows}, ledger, map_rows(ledger))
    assert len(html.encode()) < 5_000_000
    data = _data(html)
    assert "50,000 of 60,000 rows are drawn" in html
    kept = sum(row["kind"] == "selected" for row in data["rows"])
    assert 3_000 < kept < k
    assert f"{kept:,} of 20,000 selected rows are in this file" in html
    assert data["picks"] == k


@pytest.mark.parametrize(
    "options", [{"count": 1}, {"count": 3, "scope": "global"}, {"count": 3, "strategy": "longest"}]
)
def test_small_and_plain_selections_have_a_page(options, tmp_path):
    """One pick; one pool without clusters; picks by another rule."""
    rows = [{"instruction": f"Name {i} of {WORDS[i % 5]}.", "output": f"It is {i}."} for i in range(6)]
    curate.select_rows(rows, out=tmp_path / "out", workers=1, **options)
    data = _data((tmp_path / "out/report.html").read_text())
    assert data["picks"] == options["count"]


# -- In a browser ------------------------------------------------------------------------------------------------------


def _shown(browser) -> list[str]:
    return browser.run("return [...rows.children].map(line => line.textContent)")


def test_hostile_texts_do_not_run(page):
    """Texts stand on the page as they are, in the list and beside the map, and nothing in them ran."""
    page.run("kind.value = ''; kind.onchange(); picks.value = 3; picks.oninput();")
    assert HOSTILE[:40] in page.run("return told.textContent")
    assert any("<img src=x onerror=" in text for text in _shown(page))
    assert page.run("return [window.ran, document.images.length, document.scripts.length]") == [None, 0, 2]
    assert page.complaints() == []


def test_search_finds_a_row_and_reasons_narrow_the_list(page):
    """A word of one row leaves that row; a reason leaves its rows, each with what it was dropped for."""
    page.run("kind.value = ''; search.value = 'PART 77 of'; search.oninput();")
    assert len(_shown(page)) == 1
    page.run("search.value = ''; kind.value = 'duplicate.exact'; kind.onchange();")
    assert len(_shown(page)) == 12
    assert all("because of" in text for text in _shown(page))
    page.run("kind.value = ''; kind.onchange();")
    assert len(_shown(page)) == 50
    page.run("more.click()")
    assert len(_shown(page)) == 100


def test_the_slider_replays_the_picks(page):
    """Fewer picks draw fewer dots, move the line in both curves, and tell of the last pick; arrow keys move it."""
    accent = """
      const [r, g, b] = [188, 76, 0], dots = map.getContext('2d').getImageData(0, 0, map.width, map.height).data;
      let found = 0;
      for (let i = 0; i < dots.length; i += 4) found += dots[i] === r && dots[i + 1] === g && dots[i + 2] === b;
      return found;"""
    many = page.run(accent)
    line = "return [...document.querySelectorAll('.curve .now')].map(line => +line.getAttribute('x1'))"
    before = page.run(line)
    page.run("picks.focus()")
    page.press("Home")
    assert page.run("return [picks.value, k.textContent]") == ["1", "first 1 of 20"]
    assert 0 < page.run(accent) < many / 4
    assert page.run(line) == [0, 0] != before
    page.press("Right")
    assert page.run("return picks.value") == "2"
    assert "pick 2" in page.run("return told.textContent")


def test_pointing_at_a_dot_tells_its_row(page):
    """The pointer on a pick shows its fate and its text; off all dots it shows nothing."""
    page.run("map.scrollIntoView({block: 'start'})")
    left, top, x, y = page.run("const r = map.getBoundingClientRect(); return [r.x, r.y, across(0), down(0)]")
    page.drag(round(left + x), round(top + y), round(left + x), round(top + y))
    told = page.run("return told.textContent")
    row = _data(page.run("return document.documentElement.outerHTML"))["rows"][page.run("return pointed")]
    assert told.startswith(row["fate"])
    assert row["prompt"] in told
    page.drag(round(left + 3), round(top + 3), round(left + 3), round(top + 3))
    assert page.run("return told.textContent") == ""


def test_a_box_on_the_map_lists_the_rows_inside(page):
    """A box drawn with the mouse zooms in, and the list has the rows inside it; Escape shows the whole map again."""
    page.run("kind.value = ''; kind.onchange(); map.scrollIntoView({block: 'start'});")
    left, top, width, height = page.run("const r = map.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]")
    everything = page.run("return found.textContent")
    page.drag(int(left + 0.3 * width), int(top + 5), int(left + 0.5 * width), int(top + height - 5))
    some = page.run("return found.textContent")
    assert some.endswith("in this part of the map")
    assert 0 < int(some.split()[0]) < int(everything.split()[0])
    page.run("map.focus()")
    page.press("Escape")
    assert page.run("return found.textContent") == everything


def test_the_keyboard_reaches_all_controls(page):
    """Tab goes from the slider over the map, the colours, the zoom to the list; + and arrows move the map."""
    page.run("picks.focus()")
    reached = []
    for _ in range(6):
        page.press("Tab")
        reached.append(page.run("return document.activeElement.id"))
        assert page.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert reached == ["map", "colour", "in", "out", "kind", "search"]  # "whole map" is off while it is shown
    page.run("map.focus()")
    page.press("+")
    assert page.run("return whole.disabled") is False
    before = page.run("return view.x")
    page.press("Right")
    assert page.run("return view.x") > before


@pytest.mark.parametrize("dark", [False, True])
def test_texts_are_legible_in_light_and_dark(browser, written, dark):
    """Plain and soft text keep a contrast of 4.5 to the ground (WCAG 2.2, AA); the map is drawn in both."""
    browser.screen(1000, dark=dark)
    browser.open(written / "report.html")
    colours = browser.run("""
      const style = (one) => getComputedStyle(document.querySelector(one));
      const soft = style('.soft').color, plain = style('body').color, ground = style('body').backgroundColor;
      return [plain, soft, ground].map(text => text.match(/\\d+/g).map(Number));""")
    plain, soft, ground = (_luminance(colour) for colour in colours)
    assert (ground < 0.1) is dark
    for ink in (plain, soft):
        assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) >= 4.5
    drawn = browser.run("""
      const dots = map.getContext('2d').getImageData(0, 0, map.width, map.height).data;
      return new Set(new Uint32Array(dots.buffer)).size;""")
    assert drawn > 5


def _luminance(colour: list[int]) -> float:
    """Return the relative luminance of an sRGB colour (WCAG 2.2)."""
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_telephone_shows_all_of_it(browser, written):
    """At 390 px nothing but wide tables scrolls sideways, and the map and the list are there."""
    browser.screen(390, 800)
    browser.complaints()
    browser.open(written / "report.html")
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    assert browser.run("return map.clientWidth") > 300
    assert _shown(browser)
    assert browser.complaints() == []
