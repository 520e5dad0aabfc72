"""A report as one HTML file: no network, light and dark as the reader's system is, 390 px to 1200 px wide.

The content policy in its head forbids every request, so that a page opened from an untrusted place stays as quiet as
ours, and every script but the one that `page` is given, by its hash: one that got in by way of the data would not run.
Whoever builds a section passes its texts through the functions here, which escape them. HTML is made here, by `svg` and
`bars`, which draw, and by `select_page` and `select_data` for what its script works on; each escapes what it is given.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from pathlib import Path

from curate.errors import CurateError
from curate.report.names import harmless_markup

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --paper: #fff; --grid: #e3e6ea; --edge: #c9ced4;
  --c0: #0969c3; --c1: #bc4c00; --c2: #11795c; --c3: #7c3fbf; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --soft: #9aa4ae; --paper: #14171b; --grid: #2a2f36;
  --edge: #454c55; --c0: #6cb1ff; --c1: #ff9d5c; --c2: #54cfa5; --c3: #c49bff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem 1rem 3rem; max-width: 1120px; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .6rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; padding-top: .5rem; border-top: 1px solid var(--edge); }
p, ul, ol { max-width: 75ch; }
p { margin: .4rem 0; }
ol, ul { padding-left: 1.4rem; margin: .4rem 0; }
li { margin: .3rem 0; }
small, .soft { color: var(--soft); font-size: .875rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 1.4rem 2rem; }
.chart { margin: .6rem 0 0; max-width: 640px; }
.chart figcaption { font-weight: 600; margin-bottom: .2rem; }
.chart svg { display: block; width: 100%; height: auto; }
.chart svg svg { overflow: hidden; }
.chart text { font-size: 12.5px; fill: var(--soft); font-variant-numeric: tabular-nums; }
.chart .label { fill: var(--ink); font-size: 13px; }
.chart .said { fill: var(--ink); paint-order: stroke; stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; }
.chart .grid { stroke: var(--grid); stroke-width: 1; }
.chart .axis { stroke: var(--edge); stroke-width: 1; }
.chart .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.chart .band { fill-opacity: .18; stroke: none; }
.chart .dot { fill-opacity: .75; }
.chart .ring { fill: none; stroke-width: 2.5; }
.chart .mark { stroke-width: 1.5; stroke-dasharray: 3 3; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .1rem 1rem; padding: 0 0 0 .5rem; margin: .1rem 0 0;
  font-size: .875rem; color: var(--soft); }
.legend li { display: flex; align-items: center; gap: .4rem; margin: 0; }
.swatch { flex: none; width: 18px; height: 0; border-top: 2.5px solid var(--c); }
.swatch.dashed { border-top-style: dashed; }
.swatch.dots { width: 8px; height: 8px; border: 0; border-radius: 50%; background: var(--c); }
.swatch.band { height: 10px; border: 0; background: var(--c); opacity: .3; }
summary { cursor: pointer; }
.table { overflow-x: auto; margin: .4rem 0 .8rem; }
table { border-collapse: collapse; font-size: .9375rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .25rem 1rem .25rem 0; text-align: right; vertical-align: top; border-bottom: 1px solid var(--grid);
  overflow-wrap: normal; }
th { font-weight: 600; color: var(--soft); }
.bars table { width: 100%; max-width: 46rem; }
.bars td:last-child { position: relative; width: 34%; min-width: 5rem; }
.bar { position: absolute; top: .6em; left: 0; height: .8em; min-width: 1px; background: var(--c0);
  print-color-adjust: exact; }
.bar.whole { background: var(--grid); }
.pairs td { text-align: left; overflow-wrap: anywhere; }
.pairs td:first-child { color: var(--soft); }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; min-width: 7rem; }
:focus-visible { outline: 2px solid var(--c0); outline-offset: 1px; }
@media (max-width: 640px) {
  table { font-size: .8125rem; }
  th, td { padding-right: .5rem; }
  th:first-child, td:first-child { min-width: 5.5rem; }
  .bars td:last-child { width: 18%; min-width: 3rem; }
  .chart text, .chart .label { font-size: 14px; }
}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(
    title: str,
    sections: Sequence[tuple[str, str]],
    lead: str = "",
    foot: str = "",
    *,
    style: str = "",
    script: str = "",
) -> str:
    """Return a whole HTML page: a title, a paragraph under it, and sections of (heading, HTML); no heading, no line.

    `title`, `lead`, `foot` and headings are plain text and are escaped here; the bodies are HTML as the functions of
    this module make it. `style` is added to the style of all pages; `script` runs when the page is read.
    """
    policy = _POLICY
    if script:
        policy += f"; script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"
        script = f"<script>{script}</script>\n"
    body = "".join(f"<section>{_heading(heading)}{html}</section>\n" for heading, html in sections if html)
    html = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{text(lead) if lead else ''}\n{body}"
        f"{text(foot, soft=True) if foot else ''}\n{script}</body>\n</html>\n"
    )
    return harmless_markup(html)


def text(*paragraphs: str, soft: bool = False) -> str:
    """Return paragraphs of plain text; `soft` ones are smaller and paler."""
    kind = ' class="soft"' if soft else ""
    return "".join(f"<p{kind}>{escape(one)}</p>" for one in paragraphs)


def items(rows: Sequence[tuple[str, str, str]], *, ordered: bool = False) -> str:
    """Return a list of (bold title, text, smaller text); each part may be empty."""
    parts = []
    for title, said, more in rows:
        bold = f"<strong>{escape(title)}</strong> " if title else ""
        small = f"<br><small>{escape(more)}</small>" if more else ""
        parts.append(f"<li>{bold}{escape(said)}{small}</li>")
    kind = "ol" if ordered else "ul"
    return f"<{kind}>{''.join(parts)}</{kind}>" if parts else ""


def table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """Return a table of plain texts, the first column to the left and the others to the right; "" without rows.

    With an empty header it is a list of names and values, all to the left.
    """
    if not rows:
        return ""
    head = "".join(f"<th>{escape(one)}</th>" for one in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    named = f"<caption>{escape(caption)}</caption>" if caption else ""
    top = f"<thead><tr>{head}</tr></thead>" if any(header) else ""
    kind = "" if top else ' class="pairs"'
    return f'<div class="table"><table{kind}>{named}{top}<tbody>{body}</tbody></table></div>'


def figures(*charts: str) -> str:
    """Return charts side by side where there is room, one above the other where there is not."""
    drawn = [one for one in charts if one]
    return f'<div class="figures">{"".join(drawn)}</div>' if drawn else ""


def folded(summary: str, html: str) -> str:
    """Return HTML that shows when its summary is clicked; "" where there is none."""
    return f"<details><summary>{escape(summary)}</summary>{html}</details>" if html else ""


def write_page(path: Path, html: str) -> None:
    """Write a page so that it is there whole or not at all; CurateError where it cannot be written."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        try:
            scratch.write_text(html, encoding="utf-8")
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        raise CurateError(
            f"cannot write {path}: {error.strerror}", "Name a file in a directory that exists and may be written to."
        ) from error


def _heading(heading: str) -> str:
    return f"<h2>{escape(heading)}</h2>" if heading else ""
