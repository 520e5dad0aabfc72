"""Raw dumps to instruction rows by the recipe of LIMA (arXiv 2305.11206): what every source has in common.

A source is a module here with a frozen dataclass `Config`, whose docstring is the help of its command, and a function
`extract(inputs, config, stages)` that returns an `Extract`. A module is found by its name; one whose name begins with
`_` is no source.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from curate.config import (
    NO_CHANGE,
    as_text,
    force_option,
    max_expand_option,
    option,
    resume_option,
    seed_option,
    strict_option,
)
from curate.errors import CurateError

SCHEMA_VERSION = 1


def names() -> list[str]:
    """Return the names of all sources."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load(name: str) -> ModuleType:
    """Return the module of a source."""
    return import_module(f"{__name__}.{name}")


def _rows_file(text: str) -> str:
    """Read the name of the file to write; another ending is more likely a slip that would overwrite a dump."""
    if not text.endswith(".jsonl"):
        raise ValueError("should end in .jsonl")
    return text


@dataclass(frozen=True)
class Output:
    """The options of every source."""

    out: str | None = option("rows to write as JSON lines; the report goes beside it", parse=_rows_file,
                             metavar="FILE.jsonl")  # fmt: skip
    max_expand: int = max_expand_option()
    seed: int = seed_option()
    force: bool = force_option()
    resume: bool = resume_option()
    strict: bool = strict_option()


@dataclass(frozen=True)
class Extract:
    """What a source gave: `rows` as they are written, and the `report`."""

    rows: list[dict[str, Any]]
    report: dict[str, Any]

    def write_into(self, path: Path) -> None:
        """Write the rows to `path` and the report beside it."""
        import orjson

        from curate.data.manifest import write_json
        from curate.data.sources._output import report_path

        path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in self.rows))
        write_json(report_path(path), self.report)


def draw(seed: int, *of: object) -> float:
    """Return a number in [0, 1) that depends on nothing but `seed` and `of`."""
    key = ":".join(map(str, (seed, *of)))
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=6).digest()) / 2**48


def message_row(id: str, prompt: str, answer: str | None, **about: Any) -> dict[str, Any]:
    """Return a row of `messages` with where it came from; a test prompt has no answer."""
    messages = [{"role": "user", "content": prompt}]
    if answer is not None:
        messages.append({"role": "assistant", "content": answer})
    return {"messages": messages, "id": id, **about}


def build_extract(
    command: str,
    config: Any,
    rows: list[dict[str, Any]],
    *,
    unit: str,
    dropped: Mapping[str, int],
    read: int,
    used: int,
    groups: Sequence[Mapping[str, Any]],
    sources: Sequence[Mapping[str, Any]],
    notes: Sequence[str],
) -> Extract:
    """Put rows and counts together. Raises CurateError when the counts do not add up, or when nothing could be read.

    unit: what is counted (posts, articles, ...). used: units that stand in `rows`. groups: asked, available and given
    of each group that the rows were shared out over.
    """
    dropped = {rule: dropped[rule] for rule in sorted(dropped) if dropped[rule]}
    if sum(dropped.values()) + used != read:
        raise CurateError(f"{read:,} {unit} were read, but {sum(dropped.values()) + used:,} are accounted for",
                          "This is a fault of curate: please report it.")  # fmt: skip
    unreadable = dropped.get("unreadable", 0)
    if read == unreadable:
        raise CurateError(f"not one of the {unit} can be read ({read:,} lines)" if read else f"there are no {unit}",
                          f"See curate source {command} --help for what is read.")  # fmt: skip
    if unreadable:
        notes = [*notes, f"{unreadable:,} of {read:,} {unit} cannot be read"]
    shown = {field.name: as_text(getattr(config, field.name)) for field in fields(config)}
    report = {
        "schema_version": SCHEMA_VERSION,
        "command": f"source {command}",
        "config": {name: value for name, value in shown.items() if name not in NO_CHANGE},
        "sources": [dict(source) for source in sources],
        "unit": unit,
        "read": read,
        "dropped": dropped,
        "used": used,
        "rows": len(rows),
        "groups": [dict(group) for group in groups],
        "notes": list(notes),
    }
    return Extract(rows, report)
