"""Names for groups of sources, as --prefer and --weights take them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from curate.errors import UsageError, unknown_name


def groups(names: Sequence[str], sources: Sequence[str], option: str) -> list[int | None]:
    """Return for each source which of `names` it belongs to: by its path, a directory on it, or its file's stem.

    Where several names fit, the first counts. Raises UsageError for a name that fits no source.
    """
    known = [_names_of(source) for source in sources]
    for name in names:
        if not any(name in fitting for fitting in known):
            error = unknown_name(f"source in {option}", name, sorted(set().union(*known))[:50])
            raise UsageError(error.what, error.hint)
    return [next((i for i, name in enumerate(names) if name in fitting), None) for fitting in known]


def _names_of(source: str) -> set[str]:
    path = PurePath(source)
    stem = path.name
    while (shorter := PurePath(stem).stem) != stem:
        stem = shorter
    return {source, path.name, stem, *(part for part in path.parts[:-1] if part != path.anchor)}
