"""Is the memory of `curate tokens` flat over a long run? Text made on the way goes in on stdin, none of it to disk.

    python benchmarks/long_run.py [--size 20e9] [--minutes 60] [-- --dedup near --memory 1.5GB --tmp DIR]

What follows `--` are options of `curate tokens`. Once a second the resident memory of its process tree is noted beside
the bytes that went in. Documents are those of `made_corpus.py`: a twentieth are exact copies, a tenth near ones. Prints
memory at each tenth of the input, how much it grows for each gigabyte after the first tenth (least squares), the most
that it was while reading and after, and, last, one line of JSON with all of it and the report's counts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time

import made_corpus
import numpy as np
import orjson
from tokens import tree_bytes


def feed(process: subprocess.Popen[bytes], size: int, limit: float) -> list[tuple[float, int, int]]:
    """Write documents of `size` bytes, for `limit` seconds at most; return seconds, bytes in, bytes held by then."""
    seen, start, sent, noted = [], time.perf_counter(), 0, 0.0
    assert process.stdin
    with process.stdin as pipe:
        for document in made_corpus.documents(size):
            line = orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
            pipe.write(line)
            sent += len(line)
            if time.perf_counter() - noted >= 1:
                noted = time.perf_counter()
                seen.append((noted - start, sent, tree_bytes(process.pid)))
                if noted - start > limit:
                    break
    return seen


def finish(process: subprocess.Popen[bytes]) -> int:
    """Wait for the process; return the most memory that it held from now on."""
    peak = 0
    while process.poll() is None:
        peak = max(peak, tree_bytes(process.pid))
        time.sleep(0.2)
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=float, default=20e9, help="bytes of text")
    parser.add_argument("--minutes", type=float, default=600, help="what is in by then is the corpus")
    parser.add_argument("options", nargs="*", help="options of `curate tokens`, after --")
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "curate.cli", "tokens", "-", "--json", "--quiet", *arguments.options]
    with tempfile.TemporaryFile() as report:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=report)
        seen = feed(process, int(arguments.size), arguments.minutes * 60)
        peak_after = finish(process)
        if process.returncode:
            raise SystemExit(f"curate ended with {process.returncode}")
        report.seek(0)
        found = orjson.loads(report.read())

    seconds, sent, memory = np.array(seen).T
    total = sent[-1]
    print(f"{' '.join(command[2:])}: {total / 1e9:.1f} GB in {seconds[-1]:.0f} s")
    for tenth in range(1, 11):
        at = np.searchsorted(sent, total * tenth / 10)
        print(f"{sent[at] / 1e9:>6.1f} GB read {memory[at] / 1e9:>6.2f} GB held")
    warm = sent > total / 10
    slope = float(np.polyfit(sent[warm] / 1e9, memory[warm], 1)[0])
    result = {
        "input_bytes": int(total), "seconds_read": float(seconds[-1]), "slope_bytes_per_gigabyte": slope,
        "peak_read": int(memory.max()), "peak_after": peak_after, "documents": found["documents"],
        "seconds": found["seconds"],
    }  # fmt: skip
    print(f"after the first tenth {slope / 1e6:+.1f} MB a gigabyte; at most {memory.max() / 1e9:.2f} GB while reading, "
          f"{peak_after / 1e9:.2f} GB after")  # fmt: skip
    print(orjson.dumps(result).decode())


if __name__ == "__main__":
    main()
