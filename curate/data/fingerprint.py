"""What a result depends on: the options that change it, and size and time of every file that it is made from.

As with `make`, a file that has kept its size and its time has not changed. Options that name files count with these
files. Where two fingerprints differ, `difference` tells what a user would want to know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from curate.config import NO_CHANGE, as_text

READ = ("against", "have", "decontaminate")  # options that name data, as the inputs do
_WRITTEN = {"save_index"}  # options that name what is written: the files there are no input
_SHOWN = 3  # files in a message


def fingerprint(inputs: Sequence[str], config: Any, besides: Path | None = None) -> dict[str, Any]:
    """Return what the result of a command depends on, as JSON holds it; files below `besides` do not count."""
    settings = {f.name: as_text(getattr(config, f.name)) for f in fields(config) if f.name not in NO_CHANGE}
    named = (value for name, value in settings.items() if name not in _WRITTEN)
    read = [*inputs, *(part for value in named for part in _texts(value))]
    return {"inputs": [as_text(name) for name in inputs], "options": settings, "files": file_facts(read, besides)}


def file_facts(names: Iterable[str | Path], besides: Path | None = None) -> dict[str, list[int]]:
    """Return size and time of every file that `names` mean: files, directories with all below, and globs.

    Below a directory hidden files do not count, and nowhere those below `besides`.
    """
    found = {file for name in names for file in _below(str(name))}
    left_out = None if besides is None else besides.resolve()
    facts = {
        as_text(str(file)): file.stat()
        for file in found
        if left_out is None or not file.resolve().is_relative_to(left_out)
    }
    return {name: [facts[name].st_size, facts[name].st_mtime_ns] for name in sorted(facts)}


def difference(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say in a few words what has changed from one fingerprint to another."""
    for what, said in (("versions", "{} was {}, is {}"), ("options", "--{} was {}, is {}")):
        old, new = was.get(what, {}), now.get(what, {})
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name):
                told = ("absent" if value is None else value for value in (old.get(name), new.get(name)))
                return said.format(name.replace("_", "-"), *told)
    if was.get("inputs") != now.get("inputs"):
        return "other inputs were named"
    old, new = was.get("files", {}), now.get("files", {})
    changed = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    if not changed:
        return "another command was run"
    more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
    return f"the input has changed since: {', '.join(changed[:_SHOWN])}{more}"


def _texts(value: Any) -> list[str]:
    """Return the texts of an option, which may be names of files; of KEY=VALUE and FILE:NAME=NUMBERS the parts too."""
    parts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    found = {str(part) for part in parts}
    for part in sorted(found):
        for cut in re.finditer("[=:]", part):
            found |= {part[: cut.start()], part[cut.end() :]}
    return sorted(found - {""})


def _below(name: str) -> list[Path]:
    """Return the files that a name stands for; a text that names nothing stands for none."""
    from curate.data.files import matching

    try:
        found = [Path(match) for match in matching(name)] or [Path(name)]
        return [file for path in found for file in (_visible(path) if path.is_dir() else [path]) if file.is_file()]
    except (OSError, ValueError):  # too long for a name, or with a NUL
        return []


def _visible(directory: Path) -> list[Path]:
    files = directory.rglob("*")
    return [file for file in files if not any(part.startswith(".") for part in file.relative_to(directory).parts)]
