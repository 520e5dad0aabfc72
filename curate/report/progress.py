"""Progress and stage times: bars on stderr for anything that takes over a second, seconds per stage for the report.

A story wraps each step in `with stages("embed") as advance:` and may call `advance(done, total)`; the bar of a step
that does not tell how far it is only moves. A quiet run, a pipe and a terminal that cannot draw see no bars.

All of it goes into the log of a run that has one too, a line of JSON for each event; how far a stage is, once a minute.
What a stage gave may be kept for `--resume`: `stages.kept.once(name, compute)`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer

from curate.data.checkpoint import Checkpoint
from curate.report.names import harmless

Advance = Callable[[int, int | None], None]

_SHOW_AFTER_SECONDS = 1.0
_LOG_EVERY_SECONDS = 60.0


class Stages:
    """The stages of one run: `seconds` holds what each took, in order; `say` prints a line for people on stderr.

    `kept` is what the run keeps for `--resume`: nothing, until `begin`.
    """

    def __init__(self, *, bars: bool = False, messages: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self.kept = Checkpoint()
        self._log: Path | None = None
        self._stage: str | None = None
        self._logged = 0.0
        self._bars = bars and sys.stderr.isatty()
        self._messages = messages
        self._advance: Advance | None = None

    @contextmanager
    def __call__(self, name: str) -> Iterator[Advance]:
        """Time the stage `name`; the value is a function that takes (done, total or None)."""
        start = self._logged = time.perf_counter()
        outer, self._stage = self._stage, name
        bar = _Bar(name) if self._bars else None
        self._advance = bar.update if bar else None
        try:
            yield self.advance
            self.log("info", "done", time.perf_counter() - start)
        finally:
            self._stage, self._advance = outer, None
            if bar:
                bar.stop()
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def advance(self, done: int, total: int | None) -> None:
        """Tell how far the stage is that runs now."""
        if self._advance:
            self._advance(done, total)
        if self._log and time.perf_counter() - self._logged > _LOG_EVERY_SECONDS:
            self._logged = time.perf_counter()
            self.log("debug", f"{done:,}" if total is None else f"{done:,} of {total:,}")

    def say(self, message: str) -> None:
        """Print one message for people on stderr, unless the run is quiet."""
        self.log("info", message)
        if self._messages:
            sys.stderr.write(f"curate: {harmless(message)}\n")

    def begin(self, kept: Checkpoint) -> None:
        """Keep what stages give, and write the log, in the directory of a checkpoint."""
        self.kept, self._log = kept, kept.log

    def end(self) -> None:
        """Keep and log nothing any more."""
        self.kept, self._log = Checkpoint(), None

    def log(self, level: str, message: str, seconds: float | None = None) -> None:
        """Write a line into the log, if there is one. `level` is debug, info, warning or error."""
        if self._log is None:
            return
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "stage": self._stage,
                "message": message, "seconds": None if seconds is None else round(seconds, 3)}  # fmt: skip
        with suppress(OSError), self._log.open("ab") as file:  # a full disk is told by what matters more
            file.write(json.dumps(line).encode() + b"\n")


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
