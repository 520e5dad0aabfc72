"""Names of sources, as short as they can be while they still tell sources apart."""

from __future__ import annotations

import os
from collections.abc import Sequence


def below_common_folder(names: Sequence[str]) -> list[str]:
    """Return the names without the folder that they all share; a single one without its folder."""
    shared = os.path.commonprefix(list(names)).rfind("/") + 1  # noqa: RUF071 (cut at a slash)
    return [name[shared:] for name in names]


def printable(text: str) -> str:
    """Return text of the data on one line that a terminal shows and does not obey."""
    return harmless(" ".join(text.split()))


def harmless(text: str) -> str:
    """Return text with control and format characters as U+FFFD; line ends and spaces stay."""
    kept = ("\n", "\u3000", "\xa0")
    return "".join(letter if letter.isprintable() or letter in kept else "\ufffd" for letter in text.expandtabs())
