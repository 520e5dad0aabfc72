"""HTML to Markdown: what stays, what goes, and that no text takes more than linear time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.data.sources._html import markdown, own_words


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One</p><p>two &amp; &lt;three&gt;</p>", "One\n\ntwo & <three>"),
        ("<p>a\nb   c<br>d</p>", "a b c\nd"),
        ("<h2>Title</h2><p><b>bold</b>, <em>so</em></p><hr>", "Title\n\nbold, so"),
        ('<p>See <a href="http://x.org">the docs</a>.</p>', "See the docs."),
        ('<p>See <a href="http://x.org">http://x.org/a</a> there</p>', "See there"),
        ("<p>See https://x.org/a?b=c, please</p>", "See , please"),
        ('<p>x <img src="a.png" alt="a picture"> y</p><p><img src="b">.</p>', "x y"),
        ("<p>Use <code>a &lt;  b</code> and <code>`c`</code></p>", "Use `a < b` and `` `c` ``"),
        ("<p>Get <code>http://x.org</code></p>", "Get `http://x.org`"),
        ('<pre class="lang-py"><code>def f():\n    return "&lt;"\n</code></pre>', '```\ndef f():\n    return "<"\n```'),
        ("<pre>a\n```\nb</pre>", "````\na\n```\nb\n````"),
        ("<ul><li>a</li><li>b</li></ul><p>c</p>", "- a\n- b\n\nc"),
        ("<p>x</p><ol><li><p>a</p></li><li>b<ul><li>c</li></ul></li></ol>", "x\n\n1. a\n2. b\n   - c"),
        ("<ul><li>a<pre><code>x\n\n y</code></pre></li></ul>", "- a\n\n  ```\n  x\n\n   y\n  ```"),
        ("<li>alone", "- alone"),
        ("<blockquote><p>quoted</p></blockquote><p>said</p>", "quoted\n\nsaid"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\n\nc"),
        ("<script>alert(1)</script>x<style>p {}</style><!-- gone --><!doctype html>", "x"),
        ("a < b <3 x</p", "a < b <3 x</p"),
        ("<pre>never closed", "```\nnever closed\n```"),
        ("", ""),
    ],
)
def test_only_code_and_lists_stay(html, text):
    """Links keep their words; URLs, images and every other tag go."""
    assert markdown(html) == text


def test_own_words_are_those_outside_of_code_and_quotations():
    """Nested quotations and code of every kind are left out, and their neighbours do not grow together."""
    html = "<p>a<code>x</code>b</p><blockquote>q<blockquote>r</blockquote>s</blockquote><pre>z</pre><p>c</p>"
    assert own_words(html) == "a b\n\nc"


@given(st.text(alphabet="<>/abpreulicode &;\"'\n-!`", max_size=200))
def test_whatever_stands_there_is_survived(html):
    """Any mess gives a text, the same each time."""
    assert markdown(html) == markdown(html)
    own_words(html)


@pytest.mark.parametrize("unit", ["<", "<!--", "<a ", "<ul><li>x", "<pre>", "</", "&#", "<code>", "http://", "<p>x"])
def test_long_broken_markup_is_survived(unit):
    """One opening after another ends soon: the time is linear, and lists nest to a bound."""
    assert len(markdown(unit * (200_000 // len(unit)))) < 10_000_000
