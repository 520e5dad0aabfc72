"""Names of sources, as short as they can be while they still tell sources apart."""

from __future__ import annotations

import os
from collections.abc import Sequence


def below_common_folder(names: Sequence[str]) -> list[str]:
    """Return the names without the folder that they all share; a single one without its folder."""
    shared = os.path.commonprefix(list(names)).rfind("/") + 1  # noqa: RUF071 (cut at a slash)
    return [name[shared:] for name in names]


def printable(text: str) -> str:
    """Return text of the data that a terminal shows and does not obey: one line, control characters as U+FFFD."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split()))
