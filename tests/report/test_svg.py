"""Charts: what is drawn lies inside the axes, ticks are round, and no text of the data is taken for markup."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.report.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, Band, Dots, Line, Mark, chart, ticks

HOSTILE = '"><script>alert(1)</script><img src=x onerror="x">&'
WIDE, TALL = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
finite = st.floats(-1e12, 1e12, allow_nan=False).map(lambda value: round(value, 6))
positive = st.floats(1e-6, 1e15, allow_nan=False)


class Reader(HTMLParser):
    """Collect tags and texts; every tag must be closed in order."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def circles(html):
    return [one for one in Reader(html).named("circle") if one["class"] == "dot"]


@settings(deadline=None, max_examples=60)
@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e12))
def test_linear_ticks_are_round_and_inside(start, width):
    """Ticks of a linear axis lie inside it, are equally spaced by 1, 2 or 5 times a power of ten, and are few."""
    low = start * width
    high = low + width
    found = ticks(low, high, log=False)
    assert 1 <= len(found) <= 8
    assert all(low - 1e-6 * width <= value <= high + 1e-6 * width for value in found)
    if len(found) > 1:
        step = found[1] - found[0]
        lead = step / 10 ** math.floor(math.log10(step) + 1e-9)
        assert min(abs(lead - one) for one in (1, 2, 5, 10)) < 1e-3


@settings(deadline=None, max_examples=60)
@given(positive, st.floats(1.01, 1e12))
def test_logarithmic_ticks_are_inside_and_few(low, factor):
    """Ticks of a logarithmic axis lie inside it, rise, and are at most ten; a decade or more has some."""
    found = ticks(low, low * factor, log=True)
    assert found == sorted(found)
    assert len(found) <= 10
    assert all(low * 0.999 <= value <= low * factor * 1.001 for value in found)
    assert found or factor < 100


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(positive, finite), min_size=1, max_size=20))
def test_every_point_lies_inside_the_drawing(points):
    """Each dot is drawn once, inside the plot, at a place that rises with its value."""
    dots = circles(chart("t", [Dots(points)], Axis("x", log=True), Axis("y")))
    assert len(dots) == len(points)
    places = [(float(one["cx"]), float(one["cy"])) for one in dots]
    assert all(-0.2 <= x <= WIDE + 0.2 and -0.2 <= y <= TALL + 0.2 for x, y in places)
    by_x = sorted(zip((x for x, _ in points), (x for x, _ in places), strict=True))
    assert [place for _, place in by_x] == sorted(place for _, place in by_x)


def test_what_an_axis_cannot_show_is_left_out():
    """Values that are not finite, or not above zero on a logarithmic axis, are not drawn and break nothing."""
    points = [(1.0, 1.0), (0.0, 1.0), (-5.0, 1.0), (math.nan, 1.0), (10.0, math.inf), (100.0, 2.0)]
    titles = [str(place) for place in range(6)]
    html = chart("t", [Dots(points, "d", 0, titles), Mark("m", math.nan, 1.0)], Axis("x", log=True), Axis("y"))
    assert len(circles(html)) == 2
    assert "nan" not in html
    assert "inf" not in html
    assert re.findall(r"<title>(\d)</title>", html) == ["0", "5"]
    for shapes in ([], [Dots([])], [Line([(math.nan, 1.0)])], [Mark("only x", 1.0)]):
        assert "Nothing to draw" in chart("t", shapes, Axis("x"), Axis("y"))


def test_a_single_point_has_room():
    """One point, or points of one value, are drawn in the middle and not divided by a range of zero."""
    for log in (False, True):
        html = chart("t", [Dots([(5.0, 7.0), (5.0, 7.0)])], Axis("x", log=log), Axis("y", log=log))
        assert {(one["cx"], one["cy"]) for one in circles(html)} == {(f"{WIDE / 2:.1f}", f"{TALL / 2:.1f}")}


def test_every_text_is_escaped():
    """Titles, labels, legends, marks and ticks are texts, whatever they hold."""
    shapes = [
        Line([(1.0, 1.0), (2.0, 2.0)], HOSTILE),
        Band([(1.0, 1.0, 2.0), (2.0, 1.0, 2.0)], HOSTILE),
        Dots([(1.0, 1.0)], HOSTILE, 0, [HOSTILE]),
        Mark(HOSTILE, 1.5, 1.5),
        Mark(HOSTILE, x=1.5),
        Mark(HOSTILE, y=1.5),
    ]
    read = Reader(chart(HOSTILE, shapes, Axis(HOSTILE, show=lambda _: HOSTILE), Axis(HOSTILE, show=lambda _: HOSTILE)))
    assert not {"script", "img"} & {tag for tag, _ in read.tags}
    assert HOSTILE in read.texts
    assert not any(name.startswith("on") for _, attributes in read.tags for name in attributes)


def test_marks_do_not_cover_each_other():
    """A mark whose text has no room keeps its ring and says its text on pointing."""
    marks = [Mark(f"mark number {place}", 5.0, 5.0) for place in range(9)]
    html = chart("t", [Line([(0.0, 0.0), (10.0, 10.0)]), *marks], Axis("x"), Axis("y"))
    read = Reader(html)
    assert len([one for one in read.named("circle") if one["class"] == "ring"]) == 9
    written = [one for one in read.named("text") if one.get("class") == "said"]
    assert 1 <= len(written) <= 4
    assert all(f"<title>mark number {place}</title>" in html for place in range(9))


def test_legend_names_what_has_a_name():
    """Lines, bands and dots with a label stand in the legend with their kind; marks carry their own text."""
    html = chart(
        "t",
        [Line([(0.0, 0.0), (1.0, 1.0)], "one", dashed=True), Line([(0.0, 0.0)], ""), Mark("m", 0.5, 0.5)],
        Axis("x"),
        Axis("y"),
    )
    assert re.findall(r'<i class="swatch ([a-z ]+)"', html) == ["line dashed"]


@pytest.mark.parametrize("log", [False, True])
def test_given_ends_hold(log):
    """An axis ends where it was told to, and what lies outside is cut off by the plot."""
    html = chart("t", [Dots([(1.0, 1.0), (50.0, 1000.0)])], Axis("x", log=log), Axis("y", log=log, low=0.5, high=2.0))
    places = sorted(float(one["cy"]) for one in circles(html))
    assert places[0] < 0 < places[1] < TALL
    assert f'<svg x="{LEFT:g}" y="{TOP:g}" width="{WIDE:g}" height="{TALL:g}">' in html
