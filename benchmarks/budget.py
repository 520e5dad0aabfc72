"""Seconds of `curate fit`, `noise` and `plan`, and what the fit of the published points ends at.

    python benchmarks/budget.py RUNS.csv [--repeat 3]

RUNS.csv: the 245 points of Besiroglu et al. 2024 (svg_extracted_data.csv of their repository); logs of 300,000 steps
are made up here. Prints a table and, last, one line of JSON. Seconds are the smallest of the repeats; plans are timed
as whole processes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from curate.budget.fit import fit_law
from curate.budget.noise import measure_noise

PLAN = [sys.executable, "-m", "curate.cli", "plan", "--params", "1.3B", "--unique-tokens", "5B", "--serve-tokens", "1T"]
STEPS = 300_000


def smallest(call: Callable[[], Any], repeat: int) -> tuple[float, Any]:
    """Return the smallest seconds of `repeat` calls, and what the last one returned."""
    seconds, found = [], None
    for _ in range(repeat):
        start = time.perf_counter()
        found = call()
        seconds.append(time.perf_counter() - start)
    return min(seconds), found


def logs(folder: Path) -> tuple[Path, Path]:
    """Write a training curve and a log of gradient norms; return their paths."""
    generator = np.random.default_rng(0)
    steps = np.arange(1, STEPS + 1)
    curve, norms = folder / "curve.csv", folder / "norms.csv"
    loss = 2 + (900 / steps) ** 0.5 + generator.normal(0, 0.05, STEPS)
    pairs = generator.normal([40.0, 3.0], [1.0, 0.1], (STEPS, 2))
    curve.write_text("step,loss\n" + "".join(f"{s},{y:.5f}\n" for s, y in zip(steps, loss, strict=True)))
    norms.write_text("g2_small,g2_big\n" + "".join(f"{a:.5f},{b:.5f}\n" for a, b in pairs))
    return curve, norms


def main() -> None:
    """Time the fits, the measurement and the plans."""
    with tempfile.TemporaryDirectory() as folder:
        run(*logs(Path(folder)))


def run(curve: Path, norms: Path) -> None:
    """Time all cases and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs")
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    cases = {
        "fit, 4,500 starts": lambda: fit_law(given.runs, drop_highest=5, bootstrap=0),
        "fit, 4,500 starts, 1,000 draws": lambda: fit_law(given.runs, drop_highest=5, bootstrap=1000),
        "curve of 300,000 steps": lambda: fit_law(curve, law="curve", until=0.3),
        "noise of 300,000 steps": lambda: measure_noise(norms, b_small=8, b_big=256),
        "plan, whole process": lambda: subprocess.run(PLAN, check=True, stdout=subprocess.DEVNULL),
        "plan --explain --html": lambda: subprocess.run(
            [*PLAN, "--explain", "--quiet", "--html", str(curve.with_name("plan.html"))],
            check=True,
            stdout=subprocess.DEVNULL,
        ),
    }
    seconds, objective = {}, 0.0
    for name, call in cases.items():
        seconds[name], found = smallest(call, given.repeat)
        objective = found.objective if name.startswith("fit") else objective
        print(f"{name:<32} {seconds[name]:8.2f} s")
    print(f"objective {objective:.10f}")
    print(json.dumps({"seconds": seconds, "objective": objective}, sort_keys=True))


if __name__ == "__main__":
    main()
