"""Bars in a table, and columns as inline SVG, in the colours of `page`: a pale whole, and the part that is left.

Numbers stand beside the bars, so that a chart can be read without a pointer. Every text is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil
from typing import NamedTuple

_WIDE, _TALL = 420, 110
_LETTER = 8.0  # about the width of a letter at the largest size of the text


class Bar(NamedTuple):
    """One bar: its label, the whole, the part of it that is left, and what is said beside it."""

    label: str
    whole: float
    part: float
    said: str


def columns(title: str, rows: Sequence[Bar]) -> str:
    """Return a `<figure>` of columns side by side, as of a histogram, labels below; "" without rows."""
    most = max((row.whole for row in rows), default=0) or 1
    step = min(50.0, _WIDE / max(len(rows), 1))
    longest = max((len(row.label) for row in rows), default=0)
    every = ceil((longest + 1) * _LETTER / step)  # labels that would run into each other are left out
    marks = []
    for place, row in enumerate(rows):
        left = place * step
        label = row.label if place % every == 0 else ""
        middle = min(left + step / 2, _WIDE - len(label) * _LETTER / 2)
        whole, part = (_TALL * value / most for value in (row.whole, row.part))
        marks.append(
            f"<title>{escape(row.label)}: {escape(row.said)}</title>"
            f"{_rect(left, _TALL - whole, step - 3, whole, strong=False)}"
            f"{_rect(left, _TALL - part, step - 3, part, strong=True)}"
            f'<text x="{middle:.1f}" y="{_TALL + 15}" text-anchor="middle">{escape(label)}</text>'
        )
    return _figure(title, marks)


def bar_table(header: Sequence[str], rows: Sequence[tuple[Sequence[str], float, float]]) -> str:
    """Return a table of plain texts, each row with a bar: the part that is left and the whole, as shares of the widest.

    It fits 390 px; "" without rows.
    """
    if not rows:
        return ""
    head = "".join(f"<th>{escape(one)}</th>" for one in (*header, ""))
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}"
        f'<td><span class="bar whole" style="width: {_percent(whole)}"></span>'
        f'<span class="bar" style="width: {_percent(part)}"></span></td></tr>'
        for cells, part, whole in rows
    )
    return f'<div class="table bars"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _percent(share: float) -> str:
    return f"{100 * min(max(share, 0), 1):.1f}%"


def _rect(x: float, y: float, width: float, height: float, *, strong: bool) -> str:
    fill = "--c0" if strong else "--grid"
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="var({fill})"/>'


def _figure(title: str, marks: Sequence[str]) -> str:
    if not marks:
        return ""
    drawn = "".join(f"<g>{mark}</g>" for mark in marks)
    return (
        f'<figure class="chart"><figcaption>{escape(title)}</figcaption>'
        f'<svg viewBox="0 0 {_WIDE} {_TALL + 22}" role="img" aria-label="{escape(title)}">{drawn}</svg></figure>'
    )
