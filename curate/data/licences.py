"""Licences of the rows of a source, as far as the rows, or the data set as a whole, name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FLAG = "licence:"  # they are counted among the flags of rows
_LONGEST, _MOST = 60, 20  # characters of one; licences of a source


def licence_flags(record: Mapping[str, Any], whole: str | None) -> list[str]:
    """Return the flag for what stands in the column `licence` or `license`, or else for that of the whole data set."""
    named = record.get("licence") or record.get("license") or whole
    if isinstance(named, list) and len(named) == 1:
        named = named[0]
    if not isinstance(named, str) or not named.strip():
        return []
    return [_FLAG + " ".join(named.encode("utf-8", "backslashreplace").decode().split())[:_LONGEST]]


def count_licences(flags: Mapping[str, int]) -> dict[str, int]:
    """Return rows by licence, the 20 most frequent; ties by name."""
    found = [(flag.removeprefix(_FLAG), count) for flag, count in flags.items() if flag.startswith(_FLAG)]
    return dict(sorted(found, key=lambda pair: (-pair[1], pair[0]))[:_MOST])
