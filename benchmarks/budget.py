"""Seconds of `curate fit` and of a plan, and what the fit of the published points ends at.

    python benchmarks/budget.py RUNS.csv [--repeat 3]

RUNS.csv: the 245 points of Besiroglu et al. 2024 (svg_extracted_data.csv of their repository). Prints a table and,
last, one line of JSON. Seconds are the smallest of the repeats; a plan is timed as a whole process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from curate.budget.fit import fit_law

PLAN = "from curate.budget.plan import make_plan; make_plan(params='1.3B', unique_tokens='5B', serve_tokens='1T')"


def smallest(call: Callable[[], Any], repeat: int) -> tuple[float, Any]:
    """Return the smallest seconds of `repeat` calls, and what the last one returned."""
    seconds, found = [], None
    for _ in range(repeat):
        start = time.perf_counter()
        found = call()
        seconds.append(time.perf_counter() - start)
    return min(seconds), found


def main() -> None:
    """Time the fits and the plan."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs")
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    cases = {
        "fit, 4,500 starts": lambda: fit_law(given.runs, drop_highest=5, bootstrap=0),
        "fit, 4,500 starts, 1,000 draws": lambda: fit_law(given.runs, drop_highest=5, bootstrap=1000),
        "plan, whole process": lambda: subprocess.run([sys.executable, "-c", PLAN], check=True),
    }
    seconds, objective = {}, 0.0
    for name, call in cases.items():
        seconds[name], found = smallest(call, given.repeat)
        objective = getattr(found, "objective", objective)
        print(f"{name:<32} {seconds[name]:8.2f} s")
    print(f"objective {objective:.10f}")
    print(json.dumps({"seconds": seconds, "objective": objective}, sort_keys=True))


if __name__ == "__main__":
    main()
