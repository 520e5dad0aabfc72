"""Progress and stage times: bars on stderr for anything that takes over a second, seconds per stage for the report.

A story wraps each step in `with stages("embed") as advance:` and may call `advance(done, total)`; the bar of a step
that does not tell how far it is only moves. A quiet run, a pipe and a terminal that cannot draw see no bars.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer

Advance = Callable[[int, int | None], None]

_SHOW_AFTER_SECONDS = 1.0


class Stages:
    """The stages of one run: `seconds` holds what each took, in order; `say` prints a line for people on stderr."""

    def __init__(self, *, bars: bool = False, messages: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self._bars = bars and sys.stderr.isatty()
        self._messages = messages
        self._advance: Advance | None = None

    @contextmanager
    def __call__(self, name: str) -> Iterator[Advance]:
        """Time the stage `name`; the value is a function that takes (done, total or None)."""
        start = time.perf_counter()
        bar = _Bar(name) if self._bars else None
        self._advance = bar.update if bar else None
        try:
            yield self.advance
        finally:
            self._advance = None
            if bar:
                bar.stop()
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def advance(self, done: int, total: int | None) -> None:
        """Tell how far the stage is that runs now."""
        if self._advance:
            self._advance(done, total)

    def say(self, message: str) -> None:
        """Print one message for people on stderr, unless the run is quiet."""
        if self._messages:
            sys.stderr.write(f"curate: {message}\n")


class _Bar:
    """A bar that comes up when its stage has run for a second, and goes with it."""

    def __init__(self, name: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description:<10}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
            console=console, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task(name, total=None)
        self._timer = Timer(_SHOW_AFTER_SECONDS, self._bar.start)
        self._timer.daemon = True
        if console.is_interactive:
            self._timer.start()

    def update(self, done: int, total: int | None) -> None:
        self._bar.update(self._task, completed=done, total=total)

    def stop(self) -> None:
        self._timer.cancel()
        if self._timer.is_alive():
            self._timer.join()
        if self._bar.live.is_started:
            self._bar.stop()


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
