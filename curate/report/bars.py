"""Bars and columns as inline SVG or in a table, in the colours of `page`: a pale whole, and the part that is left.

Numbers stand beside the bars, so that a chart can be read without a pointer. Every text is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil
from typing import NamedTuple

WIDE, NARROW = 640, 420
_BAR, _STEP, _LABEL, _TEXT = 14, 21, 190, 130
_TALL = 110
_LETTER = 7.0  # about the width of a letter at the size of the text


class Bar(NamedTuple):
    """One bar: its label, the whole, the part of it that is left, and what is said beside it."""

    label: str
    whole: float
    part: float
    said: str


def bars(title: str, rows: Sequence[Bar]) -> str:
    """Return a `<figure>` of horizontal bars, labels on the left; "" without rows."""
    most = max((row.whole for row in rows), default=0) or 1
    marks = []
    for place, row in enumerate(rows):
        top = place * _STEP
        whole, part = ((WIDE - _LABEL - _TEXT) * value / most for value in (row.whole, row.part))
        marks.append(
            f"<title>{escape(row.label)}: {escape(row.said)}</title>"
            f'<text class="label" x="{_LABEL - 8}" y="{top + 11}" text-anchor="end">{escape(_end(row.label))}</text>'
            f"{_rect(_LABEL, top, whole, _BAR, strong=False)}{_rect(_LABEL, top, part, _BAR, strong=True)}"
            f'<text class="label" x="{_LABEL + whole + 6:.1f}" y="{top + 11}">{escape(row.said)}</text>'
        )
    return _figure(title, marks, WIDE, len(rows) * _STEP)


def columns(title: str, rows: Sequence[Bar]) -> str:
    """Return a `<figure>` of columns side by side, as of a histogram, labels below; "" without rows."""
    most = max((row.whole for row in rows), default=0) or 1
    step = min(50.0, NARROW / max(len(rows), 1))
    longest = max((len(row.label) for row in rows), default=0)
    every = ceil((longest + 1) * _LETTER / step)  # labels that would run into each other are left out
    marks = []
    for place, row in enumerate(rows):
        left = place * step
        label = row.label if place % every == 0 else ""
        whole, part = (_TALL * value / most for value in (row.whole, row.part))
        marks.append(
            f"<title>{escape(row.label)}: {escape(row.said)}</title>"
            f"{_rect(left, _TALL - whole, step - 3, whole, strong=False)}"
            f"{_rect(left, _TALL - part, step - 3, part, strong=True)}"
            f'<text x="{left + step / 2:.1f}" y="{_TALL + 15}" text-anchor="middle">{escape(label)}</text>'
        )
    return _figure(title, marks, NARROW, _TALL + 22)


def bar_table(header: Sequence[str], rows: Sequence[tuple[Sequence[str], float]]) -> str:
    """Return a table of plain texts, each row with a bar for its share of 1; "" without rows. It fits 390 px."""
    if not rows:
        return ""
    head = "".join(f"<th>{escape(one)}</th>" for one in (*header, ""))
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}"
        f'<td><i class="bar" style="width: {100 * min(max(part, 0), 1):.1f}%"></i></td></tr>'
        for cells, part in rows
    )
    return f'<div class="table bars"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _rect(x: float, y: float, width: float, height: float, *, strong: bool) -> str:
    fill = "--c0" if strong else "--grid"
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="var({fill})"/>'


def _figure(title: str, marks: Sequence[str], width: int, height: int) -> str:
    if not marks:
        return ""
    drawn = "".join(f"<g>{mark}</g>" for mark in marks)
    return (
        f'<figure class="chart"><figcaption>{escape(title)}</figcaption>'
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">{drawn}</svg></figure>'
    )


def _end(label: str, width: int = int(_LABEL / _LETTER)) -> str:
    """Return the end of a long label: it tells files apart."""
    return label if len(label) <= width else "…" + label[1 - width :]
