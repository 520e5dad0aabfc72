"""Time `curate select` as a user meets it: whole processes, from file to output directory, and the start-up.

    python benchmarks/selection.py POOL.jsonl.gz [--runs 3] [--fraction 0.005]

Prints seconds a stage (of the fastest run), wall seconds and peak memory of the process; JSON at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CURATE = [sys.executable, "-m", "curate.cli"]


def process(arguments: list[str]) -> tuple[float, int]:
    """Run a process; return its wall seconds and peak resident bytes (of the process and its children)."""
    start = time.perf_counter()
    pid = os.posix_spawn(arguments[0], arguments, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, 1, 0)])
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(arguments)}")
    return time.perf_counter() - start, usage.ru_maxrss * 1024


def selection(pool: str, fraction: str, runs: int) -> dict[str, Any]:
    """Time the main job; return the fastest run."""
    best: dict[str, Any] = {}
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch, "out")
            seconds, peak = process(
                [*CURATE, "select", pool, "--fraction", fraction, "--out", str(out), "--quiet", "--json"]
            )
            report = json.loads((out / "report.json").read_text())
        if not best or seconds < best["seconds"]:
            best = {
                "seconds": seconds,
                "peak_bytes": peak,
                "read": report["rows"]["read"],
                "selected": report["rows"]["selected"],
                "stages": report["seconds"],
            }
    return best


def startup(runs: int) -> dict[str, float]:
    """Time `curate --help` and `import curate`, fastest of `runs`; an empty interpreter stands beside."""
    commands = {
        "curate --help": [*CURATE, "--help"],
        "import curate": [sys.executable, "-c", "import curate"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    return {name: min(process(command)[0] for _ in range(runs)) for name, command in commands.items()}


def main() -> None:
    """Run, print a table, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pools", nargs="+")
    parser.add_argument("--fraction", default="0.005")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    result: dict[str, Any] = {"machine": platform.machine(), "cores": os.cpu_count(), "startup": startup(5)}
    for name, seconds in result["startup"].items():
        print(f"{name:<16} {seconds:6.2f} s")
    for pool in options.pools:
        found = result[Path(pool).name] = selection(pool, options.fraction, options.runs)
        stages = ", ".join(f"{name} {seconds:.2f}" for name, seconds in found["stages"].items())
        print(f"{Path(pool).name}: {found['read']:,} rows to {found['selected']:,}")
        print(f"  {found['seconds']:.2f} s in all ({stages}), {found['peak_bytes'] / 1e9:.2f} GB at the peak")
    print(json.dumps(result, sort_keys=True))


if __name__ == "__main__":
    main()
