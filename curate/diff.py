"""The story of `curate diff`: what changed from one finished directory to another, and what was asked differently.

Two selections are compared row by row (`curate/sft/diff.py`), two counts source by source and level by level
(`curate/corpus/diff.py`). Options, inputs and versions come from the two manifests, and are where a change comes from.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.config import NO_CHANGE, as_text, option
from curate.errors import UsageError
from curate.report.names import printable


@dataclass(frozen=True)
class DiffConfig:
    """What `curate diff` can be told."""

    html: str | None = option("write the comparison as a page, too", metavar="FILE.html")


def compare(a: str, b: str) -> dict[str, Any]:
    """Return what changed from directory `a` to directory `b`, as docs/verify_diff.md has it.

    Raises UsageError for a directory without a manifest and for two kinds of directories, CurateError for files that
    cannot be read.
    """
    from curate.data.manifest import SCHEMA_VERSION, read_manifest

    then, now = read_manifest(Path(a)), read_manifest(Path(b))
    kinds = [printable(then["command"]), printable(now["command"])]
    if kinds[0] != kinds[1] or kinds[0] not in {"select", "tokens"}:
        raise UsageError(
            f"{a} is of curate {kinds[0]}, and {b} of curate {kinds[1]}",
            "Give two directories of curate select, or two of curate tokens.",
        )
    if kinds[0] == "select":
        from curate.sft.diff import compare_selections as compare_results
    else:
        from curate.corpus.diff import compare_counts as compare_results
    return {
        "schema_version": SCHEMA_VERSION,
        "command": kinds[0],
        "a": as_text(a),
        "b": as_text(b),
        "options": _different(then["config"], now["config"], NO_CHANGE),
        "versions": _different(then["versions"], now["versions"]),
        "inputs": _inputs(then, now),
        **compare_results(Path(a), Path(b)),
    }


def _different(a: Mapping[str, Any], b: Mapping[str, Any], but: Set[str] = frozenset()) -> dict[str, dict[str, Any]]:
    """Return the names whose values differ, with both; null where there is none."""
    names = sorted((a.keys() | b.keys()) - but)
    return {name: {"a": a.get(name), "b": b.get(name)} for name in names if a.get(name) != b.get(name)}


def _inputs(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the names of inputs that both have with other bytes, and that one of them has."""
    a, b = ({source["path"]: source["sha256"] for source in manifest["inputs"]} for manifest in (then, now))
    return {
        "changed": sorted(path for path in a.keys() & b.keys() if a[path] != b[path]),
        "only_a": sorted(a.keys() - b.keys()),
        "only_b": sorted(b.keys() - a.keys()),
    }
