"""Progress and stage times: bars on stderr for anything that takes over a second, seconds per stage for the report.

A story wraps each step in `with stages("embed") as advance:` and may call `advance(done, total)`. Bars come from rich,
which knows about terminals that cannot draw them; a quiet run or a pipe sees none.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Advance = Callable[[int, int | None], None]

_SHOW_AFTER_SECONDS = 1.0


class Stages:
    """The stages of one run: `seconds` holds what each took, in order; `say` prints a line for people on stderr."""

    def __init__(self, *, bars: bool = False, messages: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self._bars = bars and sys.stderr.isatty()
        self._messages = messages

    @contextmanager
    def __call__(self, name: str) -> Iterator[Advance]:
        """Time the stage `name`; the value is a function that takes (done, total or None)."""
        start = time.perf_counter()
        bar: Any = None
        task: Any = None

        def advance(done: int, total: int | None) -> None:
            nonlocal bar, task
            if not self._bars or (bar is None and time.perf_counter() - start < _SHOW_AFTER_SECONDS):
                return
            if bar is None:
                bar, task = _start_bar(name, total)
            bar.update(task, completed=done, total=total)

        try:
            yield advance
        finally:
            if bar is not None:
                bar.stop()
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def say(self, message: str) -> None:
        """Print one message for people on stderr, unless the run is quiet."""
        if self._messages:
            sys.stderr.write(f"curate: {message}\n")


def _start_bar(name: str, total: int | None) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description:<10}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(), console=Console(stderr=True), transient=True,
    )  # fmt: skip
    bar.start()
    return bar, bar.add_task(name, total=total)


def peak_memory_bytes() -> int:
    """Return the peak resident memory of this process or of its largest finished child, whichever is more.

    Where the kernel tells the high-water mark of this program (Linux) it is taken, because `ru_maxrss` also holds that
    of the process that started it.
    """
    import re
    import resource
    from pathlib import Path

    scale = 1 if sys.platform == "darwin" else 1024
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * scale
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    own = int(found[1]) * 1024 if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    return max(own, children)
