"""A directory that appears only when it is complete, and the manifest that says how it came to be.

`OutputDirectory` writes beside the target and renames at the end, so that a run that is killed leaves nothing under
the final name, and a checkpoint beside it. A lock beside the target keeps two runs out of one directory.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from curate.data.checkpoint import KEY, LOG, Checkpoint, installed
from curate.data.lock import beside, drop_lock, take_lock
from curate.errors import CurateError, UsageError

_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}
MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
_KEY = f".{KEY}"  # in a finished directory: a hidden file is nobody's output


class OutputDirectory:
    """A context manager: `path` is a scratch directory beside `target` that replaces it when the block ends well.

    `kept` is the checkpoint of a run with this `key`; with `resume` it goes on from what an interrupted one left.
    `option` is the one that names `target`.

    Raises UsageError when `target` holds files and `force` is false, when it holds files that no run of curate wrote,
    when another run writes it now, or when it is the working directory; CurateError when it cannot be written; with
    `resume` what `Checkpoint.continues` raises.
    """

    def __init__(
        self,
        target: str | Path,
        *,
        force: bool = False,
        resume: bool = False,
        key: Mapping[str, Any] | None = None,
        option: str = "--out",
    ) -> None:
        self.option = option
        self.target = Path(target)  # as the user wrote it, for messages
        self.force = force
        self.resume = resume
        self._place = Path(os.path.realpath(target))
        self.path = beside(self._place, f"partial-{os.getpid()}")
        self._aside = beside(self._place, f"partial-{os.getpid()}-old")
        self.kept = Checkpoint(beside(self._place, "checkpoint"), key)
        self._lock: Any = None
        self._made: list[Path] = []

    def __enter__(self) -> OutputDirectory:
        try:
            if Path.cwd().is_relative_to(self._place):
                raise UsageError(f"{self.target} is the directory you are in", "Give the name of a new directory.")
            self._made = [parent for parent in self._place.parents if not parent.exists()]
            self._place.parent.mkdir(parents=True, exist_ok=True)
            self._lock = take_lock(beside(self._place, "lock"), self.target)
            self._tidy_after_killed_runs()
            continues = self.resume and self.kept.continues(
                self.target,
                self._place / _KEY,
                self.target / "report.json",
                whole=_is_whole(self._place),
                force=self.force,
            )
            self._refuse_files(replace=self.force or continues)
            self.path.mkdir()
            self.kept.begin(resume=continues)
        except BaseException as error:
            self.kept.end(keep=True)
            self._leave()
            if isinstance(error, OSError):
                raise self._cannot_write(error.errno) from error
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        finished = False
        try:
            if kind is None:
                self._finish()
                finished = True
        except OSError as failure:
            raise self._cannot_write(failure.errno) from failure
        finally:
            self.kept.end(keep=not finished)
            self._leave()
        ours = isinstance(error, OSError) and str(self.path) in str(error.filename)
        if error is not None and (ours or _os_error(error) in _DISK_ERRORS):
            raise self._cannot_write(_os_error(error)) from error

    def _leave(self) -> None:
        """Remove what is not the result: scratch directories, the lock, and parents that were made for nothing."""
        if self._lock is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            if self._place.exists():
                shutil.rmtree(self._aside, ignore_errors=True)
            drop_lock(self._lock)
        with suppress(OSError):  # not empty, or never made
            for parent in self._made:
                parent.rmdir()

    def _tidy_after_killed_runs(self) -> None:
        """Put back what a run killed between two renames had set aside, and remove half-written directories."""
        partial = glob.escape(beside(self._place, "partial-").name)
        for aside in self._place.parent.glob(f"{partial}*-old"):
            if not self._place.exists():
                aside.rename(self._place)
        for left in self._place.parent.glob(f"{partial}*"):
            shutil.rmtree(left, ignore_errors=True)

    def _refuse_files(self, *, replace: bool) -> None:
        if not self._place.exists():
            return
        if not self._place.is_dir():
            raise UsageError(f"{self.target} is a file, not a directory", f"Give another {self.option}.")
        files = [p for p in self._place.rglob("*") if p.is_symlink() or not p.is_dir()]
        present = {str(p.relative_to(self._place)) for p in files}
        if present and not replace:
            raise UsageError(
                f"{self.target} is not empty", f"Give another {self.option}, or --force to replace its contents."
            )
        foreign = sorted(present - written_files(self._place))
        if foreign:
            raise UsageError(
                f"{self.target} holds files that no run of curate wrote: {', '.join(foreign[:3])}",
                f"Move them away, or give another {self.option}.",
            )

    def _finish(self) -> None:
        if self.kept.log.exists():
            self.kept.log.rename(self.path / LOG)
        if self.kept.key is not None:
            self.kept.write_key(self.path / _KEY)
        self._replace_target()

    def _replace_target(self) -> None:
        try:
            if self._place.exists():
                self._place.rename(self._aside)
            self.path.rename(self._place)
        except BaseException:
            if self._aside.exists() and not self._place.exists():
                self._aside.rename(self._place)
            raise

    def _cannot_write(self, number: int | None) -> CurateError:
        reason = os.strerror(number) if number else "the system does not say why"
        return CurateError(
            f"cannot write {self.target}: {reason}", f"Nothing was changed there. Give another {self.option}."
        )


def _os_error(error: BaseException) -> int | None:
    """Return the number of the system's error; polars tells it in the text of errors of its own."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    found = re.search(r"\(os error (\d+)\)", str(error))
    return int(found[1]) if found else None


def written_files(directory: Path) -> set[str]:
    """Return the names of the files that the manifest in `directory` lists, its own, and of those beside it."""
    try:
        manifest = orjson.loads((directory / MANIFEST).read_bytes())
        return {MANIFEST, LOG, _KEY, *manifest["outputs"]}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _is_whole(directory: Path) -> bool:
    """Return whether every output of the manifest in `directory` is there, with its size."""
    try:
        outputs = read_manifest(directory)["outputs"]
        return all((directory / name).stat().st_size == facts["bytes"] for name, facts in outputs.items())
    except (CurateError, OSError):
        return False


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return the manifest of a finished directory, its parts of the types that `write_manifest` gives them.

    Raises UsageError where there is none, CurateError for one that this version cannot read.
    """
    path = directory / MANIFEST
    try:
        manifest = orjson.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}", "Give a directory that curate select or curate tokens wrote with --out."
        ) from None
    except ValueError as error:
        raise CurateError(f"{path} is not valid JSON: {error}", "Run the command once more, with --force.") from None
    if not _is_manifest(manifest):
        raise CurateError(
            f"{path} is no manifest of schema version {SCHEMA_VERSION}", "Use the version of curate that wrote it."
        )
    return dict(manifest)


def _is_manifest(manifest: Any) -> bool:
    try:
        return (
            manifest["schema_version"] == SCHEMA_VERSION
            and isinstance(manifest["command"], str)
            and all(isinstance(manifest[part], dict) for part in ("config", "outputs", "versions"))
            and all(
                isinstance(source["path"], str) and {"sha256", "bytes"} <= set(source) for source in manifest["inputs"]
            )
            and all(
                isinstance(output["sha256"], str) and {"bytes"} <= set(output)
                for output in manifest["outputs"].values()
            )
        )
    except (KeyError, TypeError):
        return False


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON object with sorted keys, indented for people."""
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2) + b"\n")


def write_manifest(
    directory: Path, *, command: str, config: Mapping[str, Any], sources: Sequence[Mapping[str, Any]]
) -> None:
    """Write manifest.json: inputs and outputs with their sha256, the configuration, and the versions that ran.

    The log is named without a hash: it tells times, which no two runs have in common.
    """
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
        "log": LOG,
        "outputs": outputs,
        "versions": versions(),
    }
    write_json(directory / MANIFEST, document)


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of curate, Python and the libraries that this process has loaded.

    As their metadata say, for `verify` reads these without an import; torch's own may say what it was built for, too.
    """
    return {name: held for name, held in installed().items() if name in {"curate", "python"} or name in sys.modules}
