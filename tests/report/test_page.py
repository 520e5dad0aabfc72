"""Pages: self-contained, escaped, whole or not there at all."""

from __future__ import annotations

import re

import pytest

from curate.errors import CurateError
from curate.report.page import figures, folded, items, page, table, text, write_page

HOSTILE = "</style></script><script>alert(1)</script>"


def test_a_page_fetches_and_runs_nothing():
    """No script, no address, and a policy that would forbid both."""
    html = page("Title", [("Heading", text("body"))], "lead", "foot")
    assert html.startswith("<!doctype html>")
    assert "default-src &#x27;none&#x27;" in html
    assert not re.search(r"<(script|link|img|iframe|object)|https?://|@import|url\(", html)
    assert 'name="viewport" content="width=device-width' in html
    assert "prefers-color-scheme: dark" in html


def test_texts_are_escaped():
    """Whatever a text holds, it does not become markup."""
    html = page(
        HOSTILE,
        [
            (HOSTILE, text(HOSTILE, soft=True) + items([(HOSTILE, HOSTILE, HOSTILE)], ordered=True)),
            ("t", table((HOSTILE, ""), [(HOSTILE, HOSTILE)], HOSTILE) + folded(HOSTILE, text("b"))),
        ],
        HOSTILE,
        HOSTILE,
    )
    assert "<script>" not in html
    assert html.count("</style>") == 1
    assert html.count("&lt;script&gt;alert(1)") == 14


def test_empty_parts_leave_no_trace():
    """A section, table, list, fold or row of figures without content is not there."""
    assert "<section>" not in page("t", [("heading", "")])
    assert [table(("a",), []), items([]), folded("s", ""), figures("", "")] == ["", "", "", ""]
    assert "<thead>" not in table(("", ""), [("name", "value")])


def test_a_page_is_written_whole_or_not_at_all(tmp_path):
    """Writing replaces an earlier page, leaves no scratch file, and says where it cannot write."""
    path = tmp_path / "report.html"
    write_page(path, "one")
    write_page(path, "two")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("report.html", "two")]
    (tmp_path / "taken.html").mkdir()
    for wrong in (tmp_path / "none" / "report.html", tmp_path / "taken.html"):
        with pytest.raises(CurateError, match="cannot write"):
            write_page(wrong, "three")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["report.html", "taken.html"]
