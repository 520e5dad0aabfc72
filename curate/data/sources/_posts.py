"""The rows of a Stack Exchange `Posts.xml`.

The dumps hold one `<row Id="1" PostTypeId="1" Score="5" Body="&lt;p&gt;..." />` a line, and this is what is read: lines
and regular expressions go several times faster than expat (`benchmarks/source.py`), and what XML can be abused for is
not there at all. No entity is ever declared or expanded but the five of XML and numbers; a document type, a broken row
or a row over several lines is counted as unreadable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

QUESTION, ANSWER = 1, 2

_NUMBER = re.compile(rb' (Id|PostTypeId|ParentId|Score)="(-?\d{1,18})"')
_FRAME = (b"<?xml", b"<posts", b"</posts")
_ENTITY = re.compile(r"&(?:#x([0-9A-Fa-f]{1,6})|#([0-9]{1,7})|(lt|gt|amp|quot|apos));")
_NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}


class Post(NamedTuple):
    """A row. kind: `QUESTION`, `ANSWER` or another of Stack Exchange's numbers. parent: question of an answer, or 0."""

    id: int
    kind: int
    parent: int
    score: int
    row: bytes

    def text(self, name: str) -> str:
        """Return an attribute; empty where it is absent. Raises UnicodeDecodeError when it is no UTF-8."""
        found = re.search(rb' %b="([^"]*)"' % name.encode(), self.row)
        return _ENTITY.sub(_character, found[1].decode()) if found else ""


def read_posts(lines: Iterable[bytes | None]) -> Iterator[Post | None]:
    """Yield each post; None for a line that is none, and no frame of the document."""
    for line in lines:
        if line is None:
            yield None
            continue
        row = line.strip().removeprefix(b"\xef\xbb\xbf")
        if row and not row.startswith(_FRAME):
            yield _post(row)


def _post(row: bytes) -> Post | None:
    if not (row.startswith(b"<row ") and row.endswith(b"/>")):
        return None
    for end in (row.find(b' Body="'), len(row)):  # in every dump the numbers stand before the body
        found = dict(_NUMBER.findall(row, 0, end))
        kind = int(found.get(b"PostTypeId", 0))
        parent = int(found.get(b"ParentId", 0))
        if b"Id" in found and b"Score" in found and kind and (parent or kind != ANSWER):
            return Post(int(found[b"Id"]), kind, parent, int(found[b"Score"]), row)
    return None


def _character(entity: re.Match[str]) -> str:
    hexadecimal, decimal, name = entity.groups()
    if name:
        return _NAMED[name]
    code = int(hexadecimal, 16) if hexadecimal else int(decimal)
    fine = code in (9, 10, 13) or 0x20 <= code < 0xD800 or 0xE000 <= code < 0x110000
    return chr(code) if fine else "\ufffd"
