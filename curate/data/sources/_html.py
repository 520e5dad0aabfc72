"""HTML of strangers to Markdown, of which only code and lists are left, as LIMA cleans answers (section 2.1).

Links keep their words and lose their target, images go, every other tag goes and leaves its text; a URL in the text
goes too. The tokenizer is one regular expression that is linear in whatever it reads;
`html.parser` of the Pythons we run on takes quadratic time on broken markup (CVE-2025-6069).
"""

from __future__ import annotations

import re
from html import unescape

_TOKEN = re.compile(
    r"<!--(?:(?!<!--|-->).)*-->|<[!?][^<>]*>|<(?P<end>/?)(?P<tag>[A-Za-z][A-Za-z0-9]*)[^<>]*>|(?P<text>[^<]+|<)", re.S
)
_URL = re.compile(r"(?:https?://|www\.)[^\s<>\"')\]]*[^\s<>\"')\].,;:!?]")
_BLOCKS = frozenset((
    "p", "div", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "table", "tr", "hr", "ul", "ol", "li", "dl", "dt",
    "dd", "section", "article", "details", "summary", "figure", "header", "footer", "center",
))  # fmt: skip
_UNSEEN = frozenset(("script", "style", "iframe", "object", "video", "audio", "svg"))
_NOT_OWN_WORDS = frozenset(("blockquote", "pre", "code"))
_DEEPEST_LIST = 8


def markdown(html: str) -> str:
    """Return the text of `html` with its code blocks, inline code and lists as Markdown, and nothing else of it."""
    return _Writer(_UNSEEN).write(html)


def own_words(html: str) -> str:
    """Return the text of `html` without code and block quotes: what its author says in his own words."""
    return _Writer(_UNSEEN | _NOT_OWN_WORDS).write(html)


class _Level:
    """A list that is open: its marker, and whether that is still to be written."""

    def __init__(self, ordered: bool) -> None:
        self.ordered = ordered
        self.number = 0
        self.marker = ""
        self.fresh = False

    def next_item(self) -> None:
        self.number += 1
        self.marker = f"{self.number}. " if self.ordered else "- "
        self.fresh = True


class _Writer:
    """Writes one document; `unseen` are the tags whose content is left out."""

    def __init__(self, unseen: frozenset[str]) -> None:
        self._unseen = unseen
        self._out: list[str] = []
        self._words: list[str] = []  # of the block that is being written
        self._lists: list[_Level] = []
        self._inside: str | None = None  # the unseen tag that we are in, and how often
        self._depth = 0
        self._pre: list[str] | None = None
        self._code: int | None = None  # where in `_words` inline code began
        self._in_list = False  # whether the block before stood in a list

    def write(self, html: str) -> str:
        for token in _TOKEN.finditer(html):
            tag = (token["tag"] or "").lower()
            if self._inside is not None:
                if tag == self._inside:
                    self._depth += -1 if token["end"] else 1
                    self._inside = tag if self._depth else None
            elif token["text"]:
                self._add(unescape(token["text"]))
            elif tag and not token["end"]:
                self._open(tag)
            elif tag:
                self._close(tag)
        self._close("pre")
        self._close_block()
        return "".join(self._out)

    def _add(self, text: str) -> None:
        if self._pre is not None:
            self._pre.append(text)
        elif self._code is not None:
            self._words.append(text.replace("\n", " "))
        else:
            self._words.append(_URL.sub("", text.replace("\n", " ")))

    def _open(self, tag: str) -> None:
        if tag in _BLOCKS or tag == "pre":
            self._close_block()
        if tag in self._unseen:
            self._inside, self._depth = tag, 1
            self._words.append(" ")
        elif tag in ("ul", "ol"):
            if len(self._lists) < _DEEPEST_LIST:
                self._lists.append(_Level(tag == "ol"))
        elif tag == "li":
            if not self._lists:
                self._lists.append(_Level(False))
            self._lists[-1].next_item()
        elif self._pre is None:
            self._open_inline(tag)

    def _open_inline(self, tag: str) -> None:
        if tag == "pre":
            self._pre = []
        elif tag == "br":
            self._words.append("\n")
        elif tag in ("td", "th"):
            self._words.append(" ")
        elif tag == "code" and self._code is None:
            self._code = len(self._words)

    def _close(self, tag: str) -> None:
        if tag == "pre" and self._pre is not None:
            code, self._pre = "".join(self._pre).strip("\n").rstrip(), None
            if code:
                fence = "`" * max(3, 1 + max(map(len, re.findall("`+", code)), default=0))
                self._emit([fence, *code.split("\n"), fence])
        elif tag == "code":
            self._close_code()
        elif tag in _BLOCKS:
            self._close_block()
            if tag in ("ul", "ol") and self._lists:
                self._lists.pop()

    def _close_code(self) -> None:
        if self._code is None:
            return
        code = " ".join("".join(self._words[self._code :]).split())
        quote = "`` " if "`" in code else "`"
        self._words[self._code :] = [quote + code + quote[::-1]] if code else []
        self._code = None

    def _close_block(self) -> None:
        if self._pre is not None:
            return
        self._close_code()
        lines = [" ".join(line.split()) for line in "".join(self._words).split("\n")]
        self._words = []
        while lines and not lines[-1]:
            lines.pop()
        while lines and not lines[0]:
            del lines[0]
        if any(character.isalnum() for line in lines for character in line):  # not the full stop behind an image
            self._emit(lines)

    def _emit(self, lines: list[str]) -> None:
        """Write a block; the first of an item has its marker, and every line is indented below it."""
        first = "".join(level.marker if level.fresh else " " * len(level.marker) for level in self._lists)
        indent = " " * len(first)
        if self._out:
            begins_item = any(level.fresh for level in self._lists)
            tight = begins_item and (self._in_list or len(self._lists) > 1)
            self._out.append("\n" if tight else "\n\n")
        self._in_list = bool(self._lists)
        for level in self._lists:
            level.fresh = False
        self._out.append("\n".join((indent if n else first) + line if line else "" for n, line in enumerate(lines)))
