"""The fuzz tests on many more cases: what readers make of hostile input, counted.

    python benchmarks/fuzz.py --cases 100000
    python benchmarks/fuzz.py --cases 5000 --seed 7 rows tokenizers

Each test of `tests/fuzz` (all, or those whose name holds one of the words) runs in parts, each in a process of its own
and with a seed of its own, so that a crash of native code or a hang is one failed part and ends nothing else. A case
passes when it ends in a result that adds up or in an error with a message. Prints a line for each test, and how to run
a failed part again; `--minutes` ends the run early, and what was run by then is what is told.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PART = 2_500  # cases in a process
SECONDS = 1_800  # for a part, which takes under a minute
_PASSED = re.compile(r"(\d+) passing, (\d+) failing")


def pytest(*arguments: str, cases: int) -> subprocess.CompletedProcess[str]:
    """Run pytest on the fuzz tests; a part that takes too long ends with returncode 124."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | {"FUZZ_CASES": str(cases)}
    try:
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, errors="replace", timeout=SECONDS
        )
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(command, 124, str(error.stdout), "")


def tests(words: list[str]) -> list[str]:
    """Return the tests that draw cases."""
    listed = pytest("--collect-only", "tests/fuzz", cases=1).stdout.splitlines()
    return [name for name in listed if "::" in name and (not words or any(word in name for word in words))]


def run(test: str, cases: int, seed: int, until: float) -> dict[str, object]:
    """Run one test until it has had its cases, or the time is up."""
    start, passed, failed, parts = time.perf_counter(), 0, 0, []
    while passed < cases and time.perf_counter() < until:
        part = str(seed + len(parts))
        done = pytest(test, "--hypothesis-seed", part, "--hypothesis-show-statistics", cases=PART)
        counted = [list(map(int, found)) for found in _PASSED.findall(done.stdout)]
        if not counted and done.returncode == 0:
            return {"test": test, "cases": None}  # draws none
        passed += sum(good for good, _ in counted)
        failed += done.returncode != 0
        parts.append(part)
        if done.returncode:
            print(f"  failed: FUZZ_CASES={PART} python -m pytest '{test}' -p no:randomly --hypothesis-seed {part}")
    seconds = round(time.perf_counter() - start)
    return {"test": test, "cases": passed, "parts": len(parts), "failed_parts": failed, "seconds": seconds}


def main() -> None:
    """Run all tests, print a table and, last, one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="run only tests whose name holds one of these")
    parser.add_argument("--cases", type=int, default=100_000, help="cases of each test")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first part")
    parser.add_argument("--minutes", type=float, default=600.0, help="for all tests together")
    given = parser.parse_args()
    names, start, found = tests(given.words), time.perf_counter(), []
    for place, name in enumerate(names):  # the time that is left is shared by the tests that are left
        now = time.perf_counter()
        until = now + (start + 60 * given.minutes - now) / (len(names) - place)
        result = run(name, given.cases, given.seed, until)
        if result["cases"] is not None:
            found.append(result)
            print(f"{result['cases']:>9,} cases  {result['failed_parts']} of {result['parts']} parts failed  "
                  f"{result['seconds']:>6,} s  {name.removeprefix('tests/fuzz/')}", flush=True)  # fmt: skip
    print(json.dumps({"seed": given.seed, "part": PART, "tests": found}))
    sys.exit(any(result["failed_parts"] for result in found))


if __name__ == "__main__":
    main()
