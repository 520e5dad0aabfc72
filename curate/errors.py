"""Errors that a user may see, and the exit codes they end in.

CurateError               exit 1   runtime failure: I/O, bad data, a budget that cannot be met
├── UsageError            exit 2   wrong usage: an unknown option, name or value
│   └── MissingExtra      exit 2   an optional dependency is not installed; the hint is the install line
├── ConditionNotMet       exit 3   finished, but a condition asked for with --strict was not met
└── AlreadyFinished       exit 0   --resume: the result is there already

Exit 0 is success and 130 an interruption. Each error says what is wrong and where (`what`), and what to type next
(`hint`).
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class CurateError(Exception):
    """Something went wrong that the user can understand: `what` and where, and the `hint` what to type next."""

    exit_code = 1

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}\n{self.hint}" if self.hint else self.what


class UsageError(CurateError):
    """The command or call was wrong: an unknown name, a value out of range, options that contradict each other."""

    exit_code = 2


class MissingExtra(UsageError):
    """An optional dependency is missing."""

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(f"{feature} needs {package}", f'Install: pip install "curate[{extra}]"')
        self.args = (feature, package, extra)  # so that it pickles its way out of a worker


class ConditionNotMet(CurateError):
    """The run finished, but a condition asked for with --strict was not met."""

    exit_code = 3


class AlreadyFinished(CurateError):
    """There was nothing to resume: the result is there, and its report at `report`."""

    exit_code = 0

    def __init__(self, what: str, report: Path) -> None:
        super().__init__(what)
        self.report = report


def changed(name: str) -> CurateError:
    """Build the error for an input that is no longer what was read first."""
    return CurateError(f"{name} was changed while it was read", "Run again once it is complete.")


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Build the error for an unknown `name`: the nearest known names first, then all of them."""
    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    return UsageError(f"unknown {kind} {name!r}", f"{hint}Known: {', '.join(names)}")
