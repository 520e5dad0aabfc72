"""What does it cost to be resumable? A command again and again, in turn with pieces kept and without.

    python benchmarks/keeping.py --rounds 7 select alpaca_data_52k.jsonl.gz --fraction 0.005
    python benchmarks/keeping.py --rounds 7 tokens corpus.jsonl

Each run is a process of its own and writes a directory that is thrown away. Prints seconds by the clock and of the
processor for each pair, the median of their ratios with the quartiles, how much was written for how long, as the run
itself counted it, and how many pieces were kept, apart from those that can be had again quickly. Rounds change places,
so that a machine that grows slower favours neither.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile

_RUN = """
import json, resource, sys, time
from curate.cli import app
from curate.data import checkpoint
from curate.face import run
keep, arguments = sys.argv[1] == "keep", sys.argv[2:]
if not keep:
    checkpoint._SHARE = -1.0  # nothing is ever cheap enough to be kept
counted, keep_piece = [0.0, 0, [0, 0], [0, 0]], checkpoint.Checkpoint._keep
def count(self, name, value, seconds, share):
    keep_piece(self, name, value, seconds, share)
    counted[:2] = self._writing, self._written
    pieces = counted[2 if share == checkpoint._SHARE else 3]
    pieces[0] += name in self._places
    pieces[1] += 1
checkpoint.Checkpoint._keep = count
start = time.perf_counter()
code = run(app, arguments)
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
processor = sum(one.ru_utime + one.ru_stime for one in used)
print(json.dumps([code, time.perf_counter() - start, processor, *counted]))
"""


def run(arguments: list[str], *, keep: bool) -> tuple[float, float, float, int, list[int], list[int]]:
    """Return seconds by the clock and of the processor, seconds spent on writing, the bytes written, and the pieces.

    Of pieces two lists: those that take time to be had again, and the others; of each how many were kept, and all.
    """
    with tempfile.TemporaryDirectory() as place:
        command = [
            sys.executable,
            "-c",
            _RUN,
            "keep" if keep else "leave",
            *arguments,
            "--out",
            f"{place}/out",
            "--quiet",
        ]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    code, *found = json.loads(done.stdout.splitlines()[-1])
    if code:
        raise SystemExit(f"{' '.join(arguments)} ended with {code}")
    return tuple(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what stands after `curate`, without --out")
    given = parser.parse_args()
    run(given.command, keep=True)  # compiles kernels
    ratios, shares, pieces = [], [], []
    print(f"{'':>5}{'kept, clock':>14}{'processor':>12}{'not kept':>14}{'processor':>12}")
    for number in range(given.rounds):
        order = (True, False) if number % 2 else (False, True)
        pair = {keep: run(given.command, keep=keep) for keep in order}
        (clock, processor, writing, size, dear, rest), (bare_clock, bare, *_) = pair[True], pair[False]
        ratios.append((clock / bare_clock, processor / bare))
        shares.append(writing / clock)
        pieces.append((*dear, *rest))
        print(f"{number + 1:>5}{clock:>14.2f}{processor:>12.2f}{bare_clock:>14.2f}{bare:>12.2f}", flush=True)
    for name, found in zip(("clock", "processor"), zip(*ratios, strict=True), strict=True):
        low, middle, high = statistics.quantiles(found, n=4)
        print(f"kept / not kept, {name}: {middle:.3f} (quartiles {low:.3f} to {high:.3f})")
    print(f"counted by the run: {size / 1e6:.1f} MB, {statistics.median(shares):.2%} of its time")
    dear, all_dear, rest, all_rest = map(sum, zip(*pieces, strict=True))
    print(f"pieces kept: {dear:,} of {all_dear:,}; of those that are had again quickly {rest:,} of {all_rest:,}")


if __name__ == "__main__":
    main()
