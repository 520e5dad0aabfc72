"""What changed from one token count to another, by level and by source: the two report.json side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from curate.errors import CurateError, UsageError

DOCUMENTS = ("read", "unreadable", "empty", "duplicate_exact", "duplicate_near", "unique")
TOKENS = ("total", "after_exact", "after_lines", "after_near", "unique")
_LOOKED = {"lines": ("duplicate_exact", "after_exact", "after_lines"), "near": ("duplicate_near", "after_near")}
_OF_A_SOURCE = ("documents", *DOCUMENTS[1:], "bytes", "tokens", "unique_tokens")


def compare_counts(a: Path, b: Path) -> dict[str, Any]:
    """Return documents and tokens level by level in both counts, and the same of each source (null: not there).

    A level that a count did not look at is null, and not what the level before it left.

    Raises UsageError where there is no report, CurateError for one that `curate tokens` did not write.
    """
    then, now = _read(a), _read(b)
    sources = sorted(then["by_source"].keys() | now["by_source"].keys())
    return {
        level: {name: {"a": then[level][name], "b": now[level][name]} for name in then[level]}
        for level in ("documents", "tokens")
    } | {
        "by_source": [
            {"source": name, "a": then["by_source"].get(name), "b": now["by_source"].get(name)} for name in sources
        ]
    }


def _read(directory: Path) -> dict[str, dict[str, Any]]:
    path = directory / "report.json"
    try:
        report = orjson.loads(path.read_bytes())
        unseen = dict.fromkeys(name for level, names in _LOOKED.items() if not report[level] for name in names)
        return {
            "documents": _counts(report["documents"] | unseen, DOCUMENTS),
            "tokens": _counts(report["tokens"] | unseen, TOKENS),
            "by_source": {str(group["source"]): _counts(group, _OF_A_SOURCE) for group in report["by_source"]},
        }
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "Give a directory that curate tokens --out wrote.") from None
    except (ValueError, KeyError, TypeError):
        raise CurateError(f"{path} is no report of curate tokens", "Count once more, with --force.") from None


def _counts(group: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, int | None]:
    counts = {name: group[name] for name in names}
    if not all(count is None or isinstance(count, int) for count in counts.values()):
        raise TypeError
    return counts
