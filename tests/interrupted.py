"""What stands in the working directory after a kill, and what may: for tests/test_resume.py and benchmarks/kills.py."""

from __future__ import annotations

import json
from collections.abc import Mapping, Set
from itertools import pairwise
from pathlib import Path

from curate.verify import TIMED

STATE = "out/run.json"  # of a recipe
# The names that a command gives to what is whole, in the order in which they appear: of a source the report, then the
# rows; of a recipe (its steps: rows, a source; count; select) one step after the other.
FINAL = {
    "tokens": ("out",),
    "select": ("out",),
    "source": ("out.report.json", "out.jsonl"),
    "run": ("out/rows.report.json", "out/rows.jsonl", "out/count", "out/select"),
}


def files(inputs: Set[str]) -> dict[str, bytes]:
    """Return the bytes of every file but the inputs, without what tells of time and memory."""
    found = (path for path in Path().rglob("*") if path.parts[0] not in inputs and path.is_file())
    return {str(path): _untimed(path) for path in found}


def half_written(command: str, shown: Mapping[str, bytes], wanted: Mapping[str, bytes]) -> list[str]:
    """Return the names under which stands neither nothing nor what the undisturbed run has there.

    shown, wanted: the `files` after a kill, and of that run. Hidden names are nobody's result. Beside its steps a
    recipe has a file of state, which may tell of steps that are whole.
    """
    there = {name: _below(name, shown) for name in FINAL[command]}
    wrong = {name for name, found in there.items() if found and found != _below(name, wanted)}
    wrong |= {name for before, name in pairwise(there) if there[name] and not there[before]}
    told = json.loads(shown.get(STATE, b"{}"))
    wrong |= {name for name, found in there.items() if Path(name).name.partition(".")[0] in told and not found}
    besides = {name for name in shown if not any(part.startswith(".") for part in Path(name).parts)}
    return sorted(wrong | besides - {STATE, *(path for found in there.values() for path in found)})


def _below(name: str, found: Mapping[str, bytes]) -> dict[str, bytes]:
    return {path: data for path, data in found.items() if Path(path).is_relative_to(name)}


def _untimed(path: Path) -> bytes:
    if path.name.endswith(("report.html", "log.jsonl", "key.json")):
        return b""
    if path.name not in ("report.json", "manifest.json", "run.json"):
        return path.read_bytes()
    document = json.loads(path.read_bytes())
    if path.name == "run.json":
        return json.dumps({step: kept["said"] for step, kept in document["steps"].items()}).encode()
    for name in TIMED:
        document.pop(name, None)
    for name in ("report.json", "report.html"):
        document.get("outputs", {}).pop(name, None)
    return json.dumps(document, sort_keys=True).encode()
