"""A file of rows and its report that appear only when they are complete."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from glob import escape
from pathlib import Path
from types import TracebackType
from typing import Any

from curate.data.checkpoint import KEY, Checkpoint
from curate.data.lock import beside, drop_lock, take_lock
from curate.errors import CurateError, UsageError


def report_path(rows: Path) -> Path:
    """Return where the report of a file of rows goes: beside `pool.jsonl` it is `pool.report.json`."""
    return rows.with_suffix(".report.json")


class OutputFile:
    """A context manager: `path` is a file in a scratch directory beside `target`, moved there when the block ends well.

    An old file goes first and the rows come last, so that a run killed at any moment leaves no rows without their own
    report. `kept` is the checkpoint of a run with this `key`, as of an `OutputDirectory`. Raises UsageError when
    something is there and `force` is false, has no report beside it, or is being written by another run; CurateError
    when it cannot be written; with `resume` what `Checkpoint.continues` raises.
    """

    def __init__(
        self, target: str | Path, *, force: bool = False, resume: bool = False, key: Mapping[str, Any] | None = None
    ) -> None:
        self.target = Path(target)
        self.force = force
        self.resume = resume
        self.kept = Checkpoint(beside(self.target, "checkpoint"), key)
        self._scratch = beside(self.target, f"partial-{os.getpid()}")
        self.path = self._scratch / self.target.name

    def __enter__(self) -> OutputFile:
        for path in (self.target, report_path(self.target)):
            if path.is_dir():
                raise UsageError(f"{path} is a directory", "Give the name of a file: --out rows.jsonl")
        try:
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self._lock = take_lock(beside(self.target, "lock"), self.target)
        except OSError as error:
            raise self._cannot_write(error) from error
        try:
            for left in self.target.parent.glob(f"{escape(beside(self.target, 'partial-').name)}*"):
                shutil.rmtree(left, ignore_errors=True)  # of a run that was killed
            report = report_path(self.target)
            continues = self.resume and self.kept.continues(
                self.target, self._finished_key, report, whole=report.exists(), force=self.force
            )
            self._refuse_files(replace=self.force or continues)
            self._scratch.mkdir()
            self.kept.begin(resume=continues)
        except BaseException as error:
            self.kept.end(keep=True)
            self._leave()
            if isinstance(error, OSError):
                raise self._cannot_write(error) from error
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        finished = False
        try:
            if kind is None:
                self._finish()
                finished = True
        except OSError as failure:
            raise self._cannot_write(failure) from failure
        finally:
            self.kept.end(keep=not finished)
            self._leave()
        # A write to an open file that fails has no name.
        if isinstance(error, OSError) and str(error.filename or self._scratch).startswith(str(self._scratch)):
            raise self._cannot_write(error) from error

    @property
    def _finished_key(self) -> Path:
        """Where the key of the rows stands; nowhere while there are no rows."""
        return beside(self.target, KEY) if self.target.exists() else self._scratch / KEY

    def _refuse_files(self, *, replace: bool) -> None:
        for path in (self.target, report_path(self.target)):
            if path.exists() and not replace:
                raise UsageError(f"{path} is there already", "Give another --out, or --force to replace it.")
        if self.target.exists() and not report_path(self.target).exists():  # a dump, more likely
            raise UsageError(f"{self.target} is none of our files: it has no report", "Give another --out.")

    def _finish(self) -> None:
        self.target.unlink(missing_ok=True)
        beside(self.target, KEY).unlink(missing_ok=True)
        os.replace(report_path(self.path), report_path(self.target))
        if self.kept.key is not None:
            self.kept.write_key(beside(self.target, KEY))
        os.replace(self.path, self.target)

    def _leave(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)
        drop_lock(self._lock)

    def _cannot_write(self, error: OSError) -> CurateError:
        return CurateError(f"cannot write {self.target}: {error.strerror}", "Give another --out.")
