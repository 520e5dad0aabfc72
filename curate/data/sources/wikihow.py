"""wikiHow articles to instruction rows, as LIMA draws them: the category first, then the article.

LIMA takes 200 of over 240,000 articles: one of 19 categories is drawn, then an article in it, so that small categories
weigh as much as large ones (arXiv 2305.11206, section 2.1). Here every category gives the same number, none more than
it has, and within one the articles of lowest hash come first: the draw without its noise.

The title is the prompt, the text the answer; "This article" becomes "The following answer"; links, images and the
sections of references and related articles go. No other of LIMA's rules applies: 162 of its 200 answers are longer than
4,096 characters, 45 speak in the first person. Of a title that stands there twice the first is taken.

What is read are the usual exports, JSON or CSV (`wikihowAll.csv`: title, headline, text). Its headlines are the
bold lines of all steps in one piece, whose places in the text are lost, so they are left out.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from heapq import heappush, heappushpop
from typing import Any

from curate.config import map_option, option, parse_whole
from curate.data import quota
from curate.data.sources import Extract, Output, build_extract, draw, message_row
from curate.data.sources._files import Dump, find
from curate.data.sources._html import markdown
from curate.data.sources._records import Record, records
from curate.errors import UsageError, unknown_name
from curate.report.progress import Stages

_COLUMNS = {"title": ("title",), "text": ("text", "article", "content"), "category": ("category", "categories")}
_NO_CATEGORY = "(no category)"


@dataclass(frozen=True)
class Config(Output):
    """Titles and texts of wikiHow articles.

    DUMP is JSON lines, or .csv with a header (plain, .gz or .zst), or a directory with such files: columns title, text
    (or article, content) and, where there is one, category (or categories, the first of which counts).

    \b
    curate source wikihow wikihowAll.csv --out wikihow.jsonl
    curate source wikihow articles.jsonl --map text=body --count 100 --out wikihow.jsonl
    """

    count: int = option("rows wanted", default=200, parse=parse_whole, metavar="K")
    map: tuple[str, ...] = map_option()


def extract(inputs: list[str], config: Config, stages: Stages) -> Extract:
    """Choose articles. Raises UsageError for a column that is not there."""
    columns = _columns(config)
    dumps = [Dump(path, config.max_expand) for path in find(inputs, "*.csv", "*.csv.*", "*.jsonl", "*.jsonl.*")]
    counts: Counter[str] = Counter()
    heaps: dict[str, list[tuple[float, str, str]]] = {}
    available: Counter[str] = Counter()
    seen: set[str] = set()
    for dump in dumps:
        with stages("read"):
            for record in records(dump, stages.advance):
                counts["read"] += 1
                rule, title, text, category = _article(record, columns, seen)
                if rule:
                    counts[rule] += 1
                    continue
                available[category] += 1
                heap = heaps.setdefault(category, [])
                item = (-draw(config.seed, title), title, text)
                heappush(heap, item) if len(heap) < config.count else heappushpop(heap, item)
    names = sorted(available)
    quotas = quota.water_fill([available[name] for name in names], config.count, math.inf)
    rows, groups = [], []
    for name, given in zip(names, quotas, strict=True):
        rows += [_row(title, text, name) for _, title, text in sorted(heaps[name], reverse=True)[:given]]
        groups.append({"group": "categories", "name": name, "available": available[name], "given": given})
    counts["article.over_quota"] = available.total() - len(rows)
    total = {"group": "categories", "name": None, "asked": config.count, "available": available.total()}
    return build_extract(
        "wikihow", config, rows, unit="articles", read=counts.pop("read", 0), dropped=counts, used=len(rows),
        groups=[total | {"given": len(rows)}, *groups], sources=[dump.about for dump in dumps],
        notes=[note for dump in dumps for note in dump.notes()] + _notes(names, columns),
    )  # fmt: skip


def _columns(config: Config) -> dict[str, tuple[str, ...]]:
    named = dict(pair.split("=", 1) for pair in config.map)
    for name in named:
        if name not in _COLUMNS:
            raise unknown_name("--map name", name, _COLUMNS)
    return _COLUMNS | {name: (column,) for name, column in named.items()}


def _notes(names: list[str], columns: dict[str, tuple[str, ...]]) -> list[str]:
    if not names:
        title, text = (" or ".join(columns[name]) for name in ("title", "text"))
        return [f"no record gives an article: each needs {title}, and {text} (--map title=COLUMN,text=COLUMN)"]
    return ["no article has a category: all are drawn from one pool"] if names == [_NO_CATEGORY] else []


def _article(record: Record | None, columns: dict[str, tuple[str, ...]], seen: set[str]) -> tuple[str, str, str, str]:
    """Return the rule that drops a record, or "", and its title, text and category."""
    if record is None:
        return "unreadable", "", "", ""
    found = {name: next((record[key] for key in keys if key in record), None) for name, keys in columns.items()}
    if found["text"] is None and "headline" in record and "title" in record:
        raise UsageError("there are headlines, but no column text", "Name the column of the article: --map text=COLUMN")
    title, text = _text(found["title"]), clean(_text(found["text"]))
    if not title or not text:
        return ("article.no_title" if text else "article.empty"), "", "", ""
    if title in seen:
        return "article.repeated", "", "", ""
    seen.add(title)
    return "", title, text, _text(found["category"]) or _NO_CATEGORY


def _text(value: Any) -> str:
    """Return a value as text; of a list the first counts."""
    value = value[0] if isinstance(value, list) and value else value
    return value.strip() if isinstance(value, str) else ""


_BLOCK = re.compile(r"<(?:p|div|br|li|ul|ol|h[1-6])\b", re.I)
_INLINE = re.compile(r"</?(?:a|b|i|u|em|strong|span|img|sup|sub)\b[^<>]*>", re.I)
# Each form ends at the next opening of its kind, so that no text takes more than linear time.
_IMAGE = re.compile(r"!\[[^\[\]\n]*\]\([^()\n]*\)|\[\[(?:Image|File):[^\[\]\n]*\]\]", re.I)
_LINK = re.compile(r"\[([^\[\]\n]+)\]\([^()\n]*\)|\[\[(?:[^\[\]|\n]*\|)?([^\[\]|\n]+)\]\]")
_URL = re.compile(r"(?:https?://|www\.)[^\s<>\"')\]]*[^\s<>\"')\].,;:!?]")
_LAST_SECTIONS = re.compile(
    r"^[#= \t]*(?:related wikihows|sources and citations|references|sources|about this article)[ \t=:]*$.*",
    re.I | re.M | re.S,
)
_THIS_ARTICLE = re.compile(r"\b([Tt])his article\b")


def clean(text: str) -> str:
    """Return an article without links, images, HTML and its last sections, that calls itself the following answer."""
    if _BLOCK.search(text):
        text = markdown(text)
    text = _URL.sub("", _LINK.sub(r"\1\2", _IMAGE.sub("", _INLINE.sub("", text))))
    text = _THIS_ARTICLE.sub(r"\1he following answer", _LAST_SECTIONS.sub("", text))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _row(title: str, text: str, category: str) -> dict[str, Any]:
    about = {"source": "wikihow", "category": None if category == _NO_CATEGORY else category}
    return message_row(f"wikihow:{title}", title, text, **about, licence="CC BY-NC-SA 3.0")
