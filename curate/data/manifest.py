"""A directory that appears only when it is complete, and the manifest that says how it came to be.

`OutputDirectory` writes beside the target and renames at the end, so that a run that is killed leaves nothing under
the final name. A lock beside the target keeps two runs out of one directory; the kernel drops it with the process.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from curate.errors import CurateError, UsageError

_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}
MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
_LIBRARIES = ("numpy", "polars", "orjson", "numba", "torch", "sentence_transformers", "tokenizers", "gigatoken")


class OutputDirectory:
    """A context manager: `path` is a scratch directory beside `target` that replaces it when the block ends well.

    Raises UsageError when `target` holds files and `force` is false, when it holds files that no run of curate wrote,
    or when another run writes it now; CurateError when it cannot be written.
    """

    def __init__(self, target: str | Path, *, force: bool = False) -> None:
        self.target = Path(target)
        self.force = force
        self.path = self.target.parent / f".{self.target.name}.partial-{os.getpid()}"
        self._lock_path = self.target.parent / f".{self.target.name}.lock"
        self._lock: Any = None

    def __enter__(self) -> OutputDirectory:
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            try:
                self._tidy_after_killed_runs()
                self._refuse_foreign_files()
                self.path.mkdir()
            except BaseException:
                self._drop_lock()
                raise
        except OSError as error:
            raise _cannot_write(self.target, error) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self._replace_target()
        except OSError as failure:
            raise _cannot_write(self.target, failure) from failure
        finally:
            shutil.rmtree(self.path, ignore_errors=True)
            self._drop_lock()
        if isinstance(error, OSError) and (error.errno in _DISK_ERRORS or str(self.path) in str(error.filename)):
            raise _cannot_write(self.target, error) from error

    def _take_lock(self) -> None:
        self._lock = self._lock_path.open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise UsageError(
                f"{self.target}: another run is writing this directory", "Wait for it, or give another --out."
            ) from None

    def _drop_lock(self) -> None:
        self._lock_path.unlink(missing_ok=True)
        self._lock.close()

    def _tidy_after_killed_runs(self) -> None:
        """Put back what a run killed between two renames had set aside, and remove half-written directories."""
        for aside in self.target.parent.glob(f".{self.target.name}.partial-*-old"):
            if not self.target.exists():
                aside.rename(self.target)
        for partial in self.target.parent.glob(f".{self.target.name}.partial-*"):
            shutil.rmtree(partial, ignore_errors=True)

    def _refuse_foreign_files(self) -> None:
        if not self.target.exists():
            return
        if not self.target.is_dir():
            raise UsageError(f"{self.target} is a file, not a directory", "Give another --out.")
        present = {str(p.relative_to(self.target)) for p in self.target.rglob("*") if p.is_file()}
        if present and not self.force:
            raise UsageError(f"{self.target} is not empty", "Give another --out, or --force to replace its contents.")
        foreign = sorted(present - written_files(self.target))
        if foreign:
            raise UsageError(
                f"{self.target} holds files that no run of curate wrote: {', '.join(foreign[:3])}",
                "Move them away, or give another --out.",
            )

    def _replace_target(self) -> None:
        aside = self.path.with_name(f"{self.path.name}-old")
        if self.target.exists():
            self.target.rename(aside)
        try:
            self.path.rename(self.target)
        except OSError:
            if aside.exists():
                aside.rename(self.target)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def _cannot_write(target: Path, error: OSError) -> CurateError:
    reason = error.strerror or str(error)
    return CurateError(f"cannot write {target}: {reason}", "Nothing is left under that name. Give another --out.")


def written_files(directory: Path) -> set[str]:
    """Return the names of the files that the manifest in `directory` lists, and the manifest's own."""
    try:
        manifest = orjson.loads((directory / MANIFEST).read_bytes())
        return {MANIFEST, *manifest["outputs"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON object with sorted keys, indented for people."""
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2) + b"\n")


def write_manifest(
    directory: Path, *, command: str, config: Mapping[str, Any], sources: Sequence[Mapping[str, Any]]
) -> None:
    """Write manifest.json: inputs and outputs with their sha256, the configuration, and the versions that ran."""
    outputs = {
        str(path.relative_to(directory)): {"sha256": file_sha256(path), "bytes": path.stat().st_size}
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    document = {
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "config": dict(config),
        "inputs": [dict(source) for source in sources],
        "outputs": outputs,
        "versions": versions(),
    }
    write_json(directory / MANIFEST, document)


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of curate, Python and the libraries that this process has loaded."""
    from curate import __version__

    found = {"curate": __version__, "python": sys.version.split()[0]}
    for name in _LIBRARIES:
        version = getattr(sys.modules.get(name), "__version__", None)
        if version is not None:
            found[name] = str(version)
    return found
