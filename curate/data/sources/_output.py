"""A file of rows and its report that appear only when they are complete."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from curate.errors import CurateError, UsageError


def report_path(rows: Path) -> Path:
    """Return where the report of a file of rows goes: beside `pool.jsonl` it is `pool.report.json`."""
    return rows.with_suffix(".report.json")


class OutputFile:
    """A context manager: `path` is a file in a scratch directory beside `target`, moved there when the block ends well.

    An old file goes first and the rows come last, so that a run killed at any moment leaves no rows without their own
    report. Raises UsageError when something is there and `force` is false, or has no report beside it; CurateError when
    it cannot be written.
    """

    def __init__(self, target: str | Path, *, force: bool = False) -> None:
        self.target = Path(target)
        self.force = force

    def __enter__(self) -> OutputFile:
        for path in (self.target, report_path(self.target)):
            if path.is_dir():
                raise UsageError(f"{path} is a directory", "Give the name of a file: --out rows.jsonl")
            if path.exists() and not self.force:
                raise UsageError(f"{path} is there already", "Give another --out, or --force to replace it.")
        if self.target.exists() and not report_path(self.target).exists():  # a dump, more likely
            raise UsageError(f"{self.target} is none of our files: it has no report", "Give another --out.")
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._scratch = TemporaryDirectory(prefix=f".{self.target.name}.", dir=self.target.parent)
        except OSError as error:
            raise self._cannot_write(error) from error
        self.path = Path(self._scratch.name) / self.target.name
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None:
                self.target.unlink(missing_ok=True)
                os.replace(report_path(self.path), report_path(self.target))
                os.replace(self.path, self.target)
        except OSError as failure:
            raise self._cannot_write(failure) from failure
        finally:
            self._scratch.cleanup()
        if isinstance(error, OSError) and str(error.filename).startswith(self._scratch.name):
            raise self._cannot_write(error) from error

    def _cannot_write(self, error: OSError) -> CurateError:
        return CurateError(f"cannot write {self.target}: {error.strerror}", "Give another --out.")
