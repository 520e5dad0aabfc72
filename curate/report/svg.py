"""Charts as inline SVG, without any library: lines, dots, bands and marks over linear or logarithmic axes.

A chart is a `<figure>` with a caption, the drawing and a legend. Colours are CSS variables (`--c0` to `--c3`, `--ink`,
`--grid`) that `page` sets for light and dark, and the legend is HTML, so that it wraps on a narrow screen. The drawing
is small (420 units wide) and scales with its column: its text stays readable on a telephone. What lies outside the axes
is clipped by a nested `<svg>`; what is not finite, or not above zero on a logarithmic axis, is left out. Every text is
escaped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import NamedTuple

WIDTH, HEIGHT = 420.0, 290.0
LEFT, RIGHT, TOP, BOTTOM = 72.0, 14.0, 10.0, 46.0
COLOURS = 4
_INNER = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
_LETTER = 8.0
"""About the width of a digit at the largest size of the text: what tells how many ticks fit."""


def plain(value: float) -> str:
    """Return a number as a tick shows it."""
    return f"{value:.4g}"


class Axis(NamedTuple):
    """One axis: its label, its scale, how a tick is written, and its ends where they should not follow the data."""

    label: str
    log: bool = False
    show: Callable[[float], str] = plain
    low: float | None = None
    high: float | None = None


class Line(NamedTuple):
    """A line through (x, y) points; `colour` is one of the page's four."""

    points: Sequence[tuple[float, float]]
    label: str = ""
    colour: int = 0
    dashed: bool = False


class Dots(NamedTuple):
    """Points (x, y), each with a text that shows when it is pointed at."""

    points: Sequence[tuple[float, float]]
    label: str = ""
    colour: int = 0
    titles: Sequence[str] = ()


class Band(NamedTuple):
    """A filled band through (x, low, high)."""

    points: Sequence[tuple[float, float, float]]
    label: str = ""
    colour: int = 0


class Mark(NamedTuple):
    """A reference with its text: a ring at (x, y), a vertical line where only x is given, a horizontal one for y."""

    label: str
    x: float | None = None
    y: float | None = None
    colour: int = 1


Shape = Line | Dots | Band | Mark
_Box = tuple[float, float, float, float]


class _Scale(NamedTuple):
    """From values to places along one axis."""

    low: float
    high: float
    log: bool
    length: float
    down: bool

    def __call__(self, value: float) -> float:
        """Return the place of a value, in units of the drawing."""
        at, low, high = (math.log10(v) if self.log else v for v in (value, self.low, self.high))
        share = (at - low) / (high - low)
        return self.length * (1 - share if self.down else share)


def chart(title: str, shapes: Sequence[Shape], x: Axis, y: Axis) -> str:
    """Return a `<figure>` with the shapes in their order, marks last; a sentence where none has a point to draw."""
    shapes = sorted((_drawable(shape, x.log, y.log) for shape in shapes), key=lambda shape: isinstance(shape, Mark))
    if not any(_values(shape, 0) and _values(shape, 1) for shape in shapes):
        return f'<figure class="chart"><figcaption>{escape(title)}</figcaption><p>Nothing to draw.</p></figure>'
    across = _scale(x, [v for shape in shapes for v in _values(shape, 0)], _INNER[0], down=False)
    up = _scale(y, [v for shape in shapes for v in _values(shape, 1)], _INNER[1], down=True)
    taken: list[_Box] = []
    body = "".join(part for shape in shapes for part in _draw(shape, across, up, taken))
    drawing = (
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{escape(title)}">'
        f"{_grid(x, y, across, up)}"
        f'<svg x="{LEFT:g}" y="{TOP:g}" width="{_INNER[0]:g}" height="{_INNER[1]:g}">{body}</svg></svg>'
    )
    return f'<figure class="chart"><figcaption>{escape(title)}</figcaption>{drawing}{_legend(shapes)}</figure>'


# -- Values ------------------------------------------------------------------------------------------------------------


def _drawable(shape: Shape, log_x: bool, log_y: bool) -> Shape:
    """Return a shape without the points that its axes cannot show."""

    def fits(value: float, log: bool) -> bool:
        return math.isfinite(value) and (value > 0 or not log)

    if isinstance(shape, Mark):
        inside = all(v is None or fits(v, log) for v, log in ((shape.x, log_x), (shape.y, log_y)))
        return shape if inside else shape._replace(x=None, y=None)
    keep = [fits(point[0], log_x) and all(fits(v, log_y) for v in point[1:]) for point in shape.points]
    kept = [point for point, one in zip(shape.points, keep, strict=True) if one]
    if isinstance(shape, Dots) and shape.titles:
        titles = [text for text, one in zip(shape.titles, keep, strict=True) if one]
        return shape._replace(points=kept, titles=titles)  # type: ignore[arg-type]
    return shape._replace(points=kept)  # type: ignore[arg-type]


def _values(shape: Shape, axis: int) -> list[float]:
    """Return the values of a shape along one axis."""
    if isinstance(shape, Mark):
        value = (shape.x, shape.y)[axis]
        return [] if value is None else [value]
    return [v for point in shape.points for v in (point[:1] if axis == 0 else point[1:])]


def _scale(axis: Axis, values: Sequence[float], length: float, *, down: bool) -> _Scale:
    """Return the scale of an axis: its given ends, or those of the values with a little room."""
    low, high = min(values), max(values)
    if axis.log:
        room = 0.03 * math.log10(high / low) or 0.15
        low, high = low * 10**-room, high * 10**room
    else:
        room = 0.04 * (high - low) or 0.05 * abs(high) or 1.0
        low, high = low - room, high + room
    low = axis.low if axis.low is not None else low
    high = axis.high if axis.high is not None else high
    return _Scale(low, high if high > low else low + 1.0, axis.log, length, down)


def ticks(low: float, high: float, log: bool, most: int = 6) -> list[float]:
    """Return round values between `low` and `high`, at most about `most` of them."""
    if not log:
        raw = (high - low) / most
        power = 10 ** math.floor(math.log10(raw))
        step = next(power * one for one in (1, 2, 5, 10) if power * one >= raw * (1 - 1e-9))
        return [round(n * step, 12) for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = math.log10(high / low)
    if decades < 0.5:
        return ticks(low, high, False, most)
    every = max(1, math.ceil(decades / most))
    steps = (1, 2, 5) if decades * 3 <= most + 1 else (1, 3) if decades * 2 <= most + 1 else (1,)
    found = [one * 10.0**n for n in range(first, last + 1, every) for one in (steps if every == 1 else (1,))]
    return [value for value in found if low <= value <= high]


# -- Drawing -----------------------------------------------------------------------------------------------------------


def _grid(x: Axis, y: Axis, across: _Scale, up: _Scale) -> str:
    """Return the grid, the ticks and the labels of both axes."""
    parts = []
    bottom = TOP + _INNER[1]
    right = -math.inf
    for value in ticks(across.low, across.high, x.log):
        at, text = LEFT + across(value), x.show(value)
        parts.append(f'<line class="grid" x1="{at:.1f}" y1="{TOP:g}" x2="{at:.1f}" y2="{bottom:g}"/>')
        half = len(text) * _LETTER / 2
        if at - half > right:
            right = at + half + 4
            parts.append(f'<text x="{at:.1f}" y="{bottom + 16:g}" text-anchor="middle">{escape(text)}</text>')
    for value in ticks(up.low, up.high, y.log, 5):
        at = TOP + up(value)
        parts.append(f'<line class="grid" x1="{LEFT:g}" y1="{at:.1f}" x2="{LEFT + _INNER[0]:g}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6:g}" y="{at + 4:.1f}" text-anchor="end">{escape(y.show(value))}</text>')
    middle = TOP + _INNER[1] / 2
    parts.append(f'<line class="axis" x1="{LEFT:g}" y1="{bottom:g}" x2="{LEFT + _INNER[0]:g}" y2="{bottom:g}"/>')
    parts.append(
        f'<text class="label" x="{LEFT + _INNER[0] / 2:g}" y="{HEIGHT - 8:g}" text-anchor="middle">{escape(x.label)}'
        f'</text><text class="label" transform="translate(13 {middle:g}) rotate(-90)" text-anchor="middle">'
        f"{escape(y.label)}</text>"
    )
    return "".join(parts)


def _draw(shape: Shape, across: _Scale, up: _Scale, taken: list[_Box]) -> Iterator[str]:
    """Yield the elements of one shape; `taken` is where texts stand already."""
    if isinstance(shape, Mark):
        yield from _draw_mark(shape, across, up, taken)
        return
    colour = f"var(--c{shape.colour % COLOURS})"
    if isinstance(shape, Band):
        if shape.points:
            there = [(across(x), up(high)) for x, _, high in shape.points]
            back = [(across(x), up(low)) for x, low, _ in reversed(shape.points)]
            yield f'<polygon class="band" fill="{colour}" points="{_path([*there, *back])}"/>'
    elif isinstance(shape, Line):
        dash = ' stroke-dasharray="5 4"' if shape.dashed else ""
        path = _path([(across(x), up(y)) for x, y in shape.points])
        yield f'<polyline class="line" stroke="{colour}"{dash} points="{path}"/>'
    else:
        for place, (x, y) in enumerate(shape.points):
            title = f"<title>{escape(shape.titles[place])}</title>" if shape.titles else ""
            yield f'<circle class="dot" fill="{colour}" cx="{across(x):.1f}" cy="{up(y):.1f}" r="2.6">{title}</circle>'


def _draw_mark(mark: Mark, across: _Scale, up: _Scale, taken: list[_Box]) -> Iterator[str]:
    """Yield a ring or a reference line, with its text where there is room; where there is none, only on pointing."""
    colour = f"var(--c{mark.colour % COLOURS})"
    if mark.x is None and mark.y is None:
        return
    at_x = across(mark.x) if mark.x is not None else _INNER[0]
    at_y = up(mark.y) if mark.y is not None else 0.0
    title = f"<title>{escape(mark.label)}</title>"
    if mark.x is not None and mark.y is not None:
        yield f'<circle class="ring" stroke="{colour}" cx="{at_x:.1f}" cy="{at_y:.1f}" r="6">{title}</circle>'
    else:
        ends = (at_x, 0.0, at_x, _INNER[1]) if mark.x is not None else (0.0, at_y, _INNER[0], at_y)
        x1, y1, x2, y2 = (f"{value:.1f}" for value in ends)
        yield f'<line class="mark" stroke="{colour}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}">{title}</line>'
    width = len(mark.label) * _LETTER
    left = mark.x is None or at_x > _INNER[0] / 2
    for to_left in (left, not left):
        for below in (-6, 17):
            base = min(max(at_y + below, 12), _INNER[1] - 6) if mark.y is not None else 12.0 + 14 * (below > 0)
            start = at_x - 9 - width if to_left else at_x + 9
            box = (start, base - 11, start + width, base + 3)
            if start < 0 or box[2] > _INNER[0] or any(_overlap(box, other) for other in taken):
                continue
            taken.append(box)
            anchor, x = ("end", at_x - 9) if to_left else ("start", at_x + 9)
            yield f'<text class="said" x="{x:.1f}" y="{base:.1f}" text-anchor="{anchor}">{escape(mark.label)}</text>'
            return


def _overlap(one: _Box, other: _Box) -> bool:
    """Return whether two boxes (left, top, right, bottom) share an area."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _path(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _legend(shapes: Sequence[Shape]) -> str:
    """Return the names of the shapes that have one; marks carry theirs in the drawing."""
    items = []
    for shape in shapes:
        if isinstance(shape, Mark) or not shape.label or not shape.points:
            continue
        kind = type(shape).__name__.lower()
        kind += " dashed" if isinstance(shape, Line) and shape.dashed else ""
        swatch = f'<i class="swatch {kind}" style="--c: var(--c{shape.colour % COLOURS})"></i>'
        items.append(f"<li>{swatch}{escape(shape.label)}</li>")
    return f'<ul class="legend">{"".join(items)}</ul>' if items else ""
