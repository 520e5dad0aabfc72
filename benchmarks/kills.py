"""Fifty kills a command: SIGKILL at random moments of the run, then --resume. Is anything lost, doubled or different?

    python -m benchmarks.kills ../shared/data --kills 50

Runs each command undisturbed four times (the first compiles kernels; the median of the others is its time), then again
and again: its whole process group is killed at a moment drawn evenly from that time, with a fixed seed; what stands
under the final names is looked at; --resume finishes the run. Prints a row a command: kills while pieces were kept, and
after the end; results of other bytes (seconds and memory apart), lines of JSON lost and doubled, names that held
something half-written, files left over, processes that outlived the group.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from itertools import islice
from pathlib import Path
from statistics import median

from benchmarks import made_corpus
from curate.data.sources._sites import load_groups
from tests.interrupted import files, half_written

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["curate.cli", "curate.corpus.count", "curate.sft.select", "numba"])
RECIPE = """
out = "out"
[[step]]
name = "rows"
run = "source stackexchange"
inputs = ["dumps"]
stem = 10000
min_chars = 0
min_score = 1
[[step]]
name = "count"
run = "tokens"
inputs = ["{rows}"]
chunk_size = "64KB"
[[step]]
run = "select"
inputs = ["{rows}"]
count = 20
"""
COMMANDS = {
    "tokens": ["tokens", "corpus.jsonl", "--chunk-size", "2MB", "--write", "jsonl", "--out", "out"],
    "select": ["select", "pool.jsonl", "--count", "1200", "--metrics", "all", "--out", "out"],
    "source": ["source", "stackexchange", "dumps", "--min-chars", "0", "--min-score", "1", "--out", "out.jsonl"],
    "run": ["run", "recipe.toml"],
}


def prepare(data: Path) -> set[str]:
    """Write the inputs into the working directory; return their names."""
    made_corpus.write(Path("corpus.jsonl"), 150_000_000)
    with gzip.open(data / "instruct/alpaca_data_52k.jsonl.gz") as rows:
        Path("pool.jsonl").write_bytes(b"".join(islice(rows, 12_000)))
    for site in islice(load_groups(None), 20):  # one dump as those of twenty sites
        Path("dumps", site).mkdir(parents=True)
        shutil.copy(data / "stackexchange/quantumcomputing_Posts.xml.gz", f"dumps/{site}/Posts.xml.gz")
    Path("recipe.toml").write_text(RECIPE)
    return set(os.listdir())


def run(arguments: list[str], limit: float | None = None) -> tuple[float, int]:
    """Run a command, kill its process group after `limit` seconds; return its seconds and the processes left over.

    The process is forked from one that has imported everything, so that kills meet the work and not the imports.
    """
    code = (
        f"import os, sys\nos.setsid()\nos.chdir({os.getcwd()!r})\nsys.stdout = open(os.devnull, 'w')\n"
        "from curate.cli import app\nfrom curate.face import run\n"
        f"sys.exit(run(app, {[*arguments, '--quiet']!r}))"
    )
    process = FORKS.Process(target=exec, args=(code,))
    start = time.monotonic()
    process.start()
    process.join(limit)
    if process.exitcode is None:
        with suppress(ProcessLookupError):  # it has no group of its own yet
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        raise SystemExit(f"{' '.join(arguments)} ended with {process.exitcode}")
    seconds = time.monotonic() - start
    time.sleep(0.05)
    alive = subprocess.run(["pgrep", "-g", str(process.pid)], stdout=subprocess.PIPE, check=False).stdout.split()
    return seconds, len(alive)


def lines(found: dict[str, bytes]) -> Counter[bytes]:
    return Counter(line for name, data in found.items() if name.endswith(".jsonl") for line in data.splitlines())


def clear(inputs: set[str]) -> None:
    for name in os.listdir():
        if name not in inputs:
            shutil.rmtree(name) if Path(name).is_dir() else Path(name).unlink()


def kills(command: str, count: int, inputs: set[str]) -> dict[str, object]:
    """Kill a command `count` times, resume it each time, and count what is wrong."""
    arguments, draw, undisturbed = COMMANDS[command], random.Random(command), []
    for _ in range(4):
        clear(inputs)
        undisturbed.append(run(arguments)[0])
    seconds, wanted, tally = median(undisturbed[1:]), files(inputs), Counter[str]()
    for number in range(count):
        clear(inputs)
        _, alive = run(arguments, draw.uniform(0, seconds))
        shown = files(inputs)
        ended = shown.keys() >= wanted.keys()
        tally["ended"] += ended
        tally["with pieces"] += any(name.endswith(".pieces") for name in shown) and not ended
        tally["half-written"] += len(half_written(command, shown, wanted))
        tally["outlived"] += alive
        run([*arguments, "--resume"])
        found = files(inputs)
        tally["left over"] += len(found.keys() - wanted.keys())
        tally["different"] += found != wanted
        tally["lost"] += (lines(wanted) - lines(found)).total()
        tally["doubled"] += (lines(found) - lines(wanted)).total()
        print(command, number + 1, dict(tally), file=sys.stderr, flush=True)
    row = {"command": command, "seconds": round(seconds, 1), "kills": count, **{name: tally[name] for name in COLUMNS}}
    print("  ".join(f"{value!s:>12}" for value in row.values()), flush=True)
    return row


COLUMNS = ("with pieces", "ended", "different", "lost", "doubled", "half-written", "left over", "outlived")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the directory with instruct/, corpus/ and stackexchange/")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--commands", nargs="*", default=list(COMMANDS), choices=list(COMMANDS))
    arguments = parser.parse_args()
    data = arguments.data.resolve()
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        inputs = prepare(data)
        print("  ".join(f"{name:>12}" for name in ("command", "seconds", "kills", *COLUMNS)))
        rows = [kills(command, arguments.kills, inputs) for command in arguments.commands]
        os.chdir(data)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
