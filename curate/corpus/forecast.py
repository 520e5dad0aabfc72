"""How memory is shared out, and what a run will take: time, disk and memory, told from its first hundredth.

Decided here: the first 1 % of the bytes of a large corpus is the probe, so that nothing is read twice. A disk that will
not hold the intermediate results ends the run there, not hours later.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import NamedTuple

from curate.corpus.measure import Measured
from curate.data.plain import MAX_DOCUMENT_BYTES
from curate.engine.memory import machine_bytes
from curate.errors import CurateError

# Measured (benchmarks/tokens.py, two workers): libraries and a tokenizer 410 MB, its cache up to 256 MB, chunks 100 MB.
FIXED_BYTES = 750 << 20
DOCUMENT_BYTES = 35  # of memory, while clusters are formed and lines are looked up (benchmarks/documents.py)
DOCUMENT_TIMES = 20  # its bytes: 9 to 12 while it is measured and the next are read (docs/benchmarks.md), and records
LARGE_BYTES = 1 << 30  # corpora from here on get a forecast
PROBE = 0.01


class Budget(NamedTuple):
    """Bytes of memory for each step; what is beyond goes to disk. `document`: what one document may have."""

    chunk: int
    document: int
    duplicates: int
    lines: int


def budget(memory: int | None, chunk: int | None, workers: int) -> Budget:
    """Share out `memory` (None: half of what the machine has)."""
    total = memory or machine_bytes() // 2
    left = max(total - FIXED_BYTES, 64 << 20)
    chunk = chunk or min(4 << 20, max(1 << 20, left // (16 * workers)))
    return Budget(chunk, min(left // DOCUMENT_TIMES, MAX_DOCUMENT_BYTES), left // 2, left // 4)


class Forecast(NamedTuple):
    """What a run is expected to take, seen at its first hundredth."""

    seconds: int
    disk_bytes: int
    memory_bytes: int
    documents: int

    def __str__(self) -> str:
        minutes, seconds = divmod(self.seconds, 60)
        return (
            f"expected: {minutes} min {seconds} s, {self.disk_bytes / 1e9:.1f} GB of disk for intermediate results, "
            f"{self.memory_bytes / 1e9:.1f} GB of memory, {self.documents:,} documents"
        )


class Probe:
    """Watches the beginning of a run; `see` returns the forecast once, when enough was seen."""

    def __init__(self, total: int | None, plan: Budget, directory: Path) -> None:
        self.forecast: Forecast | None = None
        self._total, self._plan, self._directory = total or 0, plan, directory
        self._start = time.perf_counter()
        self._index = self._lines = self._rest = self._documents = 0

    def see(self, measured: Measured) -> Forecast | None:
        """Take note of a bundle. Raises CurateError when the disk will not hold the intermediate results."""
        if self.forecast is not None or self._total < LARGE_BYTES:
            return None
        self._note(measured)
        share = measured.done / self._total
        if share < PROBE:
            return None
        documents = round(self._documents / share)
        disk = round(self._rest / share)
        memory = FIXED_BYTES + DOCUMENT_BYTES * documents
        for produced, room in ((self._index, self._plan.duplicates // 2), (self._lines, self._plan.lines)):
            disk += round(produced / share) if produced / share > room else 0
            memory += min(round(produced / share), room)
        self.forecast = Forecast(round((time.perf_counter() - self._start) / share) + 1, disk, memory, documents)
        free = shutil.disk_usage(self._directory).free
        if disk > free:
            raise CurateError(
                f"about {disk / 1e9:.1f} GB of disk are needed for intermediate results, but {self._directory.parent} "
                f"has {free / 1e9:.1f} GB free",
                "Give a directory with more room: --tmp DIR, or look for exact duplicates only: --dedup exact",
            )
        return self.forecast

    def _note(self, measured: Measured) -> None:
        self._documents += len(measured.numbers["source"])
        self._rest += sum(column.nbytes for column in measured.numbers.values())
        self._rest += len(measured.names or b"")
        if measured.signed is not None:
            self._rest += measured.signed.exact.nbytes + 12 * len(measured.signed)  # of sets and lines, how many
            self._index += measured.signed.keys.nbytes * 3 // 2 + measured.signed.shingles.nbytes
        for lines in (measured.lines, measured.paragraphs):
            self._lines += 16 * len(lines) if lines is not None else 0
