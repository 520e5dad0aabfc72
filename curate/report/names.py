"""Names of sources, as short as they can be while they still tell sources apart."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

# What is obeyed and not seen: control characters (tab and line ends aside), marks that change the direction of writing.
_UNSEEN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def below_common_folder(names: Sequence[str]) -> list[str]:
    """Return the names without the folder that they all share; a single one without its folder."""
    shared = os.path.commonprefix(list(names)).rfind("/") + 1  # noqa: RUF071 (cut at a slash)
    return [name[shared:] for name in names]


def printable(text: str) -> str:
    """Return text of the data on one line that a terminal shows and does not obey."""
    return harmless(" ".join(text.split()))


def name_end(name: str, width: int = 26) -> str:
    """Return a printable name, cut to its end if it is long: that tells files apart."""
    name = printable(name)
    return name if len(name) <= width else "…" + name[1 - width :]


def harmless_values(value: Any) -> Any:
    """Return a report, or any value of JSON, with the texts in it harmless."""
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, dict):
        return {harmless_values(key): harmless_values(inner) for key, inner in value.items()}
    return [harmless_values(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def harmless_markup(page: str) -> str:
    """Return HTML or Markdown with what is obeyed and not seen as U+FFFD; joiners of letters and emoji stay."""
    return _UNSEEN.sub("\ufffd", page)


def harmless(text: str) -> str:
    """Return text with control and format characters as U+FFFD; line ends and spaces stay."""
    kept = ("\n", "\u3000", "\xa0")
    return "".join(letter if letter.isprintable() or letter in kept else "\ufffd" for letter in text.expandtabs())
