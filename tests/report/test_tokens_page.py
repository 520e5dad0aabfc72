"""The page and the console of a token count: complete, self-contained, and safe on hostile data."""

from __future__ import annotations

import io
from html.parser import HTMLParser

import orjson
import pytest
from rich.console import Console

from curate.corpus.count import count_tokens
from curate.report.numbers import size
from curate.report.tokens import print_tokens
from curate.report.tokens_page import tokens_page

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)> & "quoted" \'text\' \x1b[31m'


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Return the report of a corpus whose texts, ids and file names are hostile."""
    directory = tmp_path_factory.mktemp("corpus")
    path = directory / "<b>bold & co.jsonl"
    records = [{"id": HOSTILE + str(i), "text": f"{HOSTILE} a text of some words number {i // 2}"} for i in range(8)]
    path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records) + b"<i>broken\n")
    return count_tokens(str(path), tokenizer="o200k_base,cl100k_base", max_epochs="4").report


class Tags(HTMLParser):
    """Collects the tags and attributes of a page, and whether they are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag not in ("meta", "br", "rect", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_self_contained_and_escaped(report):
    """No script, no image, no link, no event handler; every tag is closed; the hostile text is there as text."""
    page = tokens_page(report, plan="<p>the plan</p>")
    found = Tags()
    found.feed(page)
    assert not found.open
    assert not found.tags & {"script", "img", "link", "iframe", "a", "object", "b", "i"}
    assert not {name for name in found.attributes if name.startswith("on") or name in ("src", "href")}
    assert "&lt;script&gt;alert" in page
    assert "<p>the plan</p>" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_the_page_shows_every_section(report):
    """Levels, sources, scripts, tokenizers, mixture, lengths, clusters and the engine are on the page."""
    page = tokens_page(report)
    for heading in ("What each level leaves", "By source", "By script", "Bytes per token", "Mixture",
                    "Duplicates and lengths", "Largest clusters of duplicates", "How it was counted"):  # fmt: skip
        assert heading in page
    assert "Is it enough?" not in page


def test_one_document_is_one_document():
    """Counts of one stand in the singular."""
    page = tokens_page(count_tokens([{"text": "a text of some words"}]).report)
    assert "1 document, 20 bytes of text" in page
    assert "1 document compared with the reference" in page
    assert "1 documents" not in page


def test_the_console_fits_80_columns(report):
    """Nothing is wider than 80 columns, and control characters of the data do not reach the terminal."""
    out = io.StringIO()
    print_tokens(report, "out", Console(file=out, width=80, highlight=False), explain=True)
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    for said in ("read", "unique", "bytes per token", "1 cluster of duplicates", "chance to be compared", "mixture"):
        assert said in text


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, ""), (0, "0"), (9_999, "9,999"), (10_000, "10.0K"), (999_499, "999K"), (999_500, "1.00M"),
     (2_267_908, "2.27M"), (12_345_678_901, "12.3B"), (3 * 10**15, "3000T")],
)  # fmt: skip
def test_sizes_have_three_digits(value, said):
    """Large numbers are rounded to three digits, small ones are exact."""
    assert size(value) == said
