"""What a document takes of memory in `curate tokens`: the resident memory of each stage, for very many short documents.

    python benchmarks/documents.py --documents 6e6 14e6 [--copies 0.05] [--memory 1GB]

Texts of 13 made-up words, 120 bytes a record, of which a share are copies of earlier ones, stand in a temporary file.
Each count is a process of its own, in which a thread looks every 5 ms. Prints the most that each stage held.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import orjson

STAGES = ("read", "duplicates", "lines", "report")
_RUN = """
import json, sys, threading, time
import curate.corpus.count as story
from curate.engine.memory import resident_bytes
from curate.report.progress import Stages
most, stage, enter = {}, ["start"], Stages.__call__
def watch():
    while True:
        most[stage[0]] = max(most.get(stage[0], 0), resident_bytes())
        time.sleep(0.005)
def named(self, name):
    stage[0] = name
    return enter(self, name)
Stages.__call__ = named
build = story.build_report
def last(**given):
    stage[0] = "report"
    return build(**given)
story.build_report = last
threading.Thread(target=watch, daemon=True).start()
story.count_tokens(sys.argv[1], memory=sys.argv[2], workers=2)
print(json.dumps(most))
"""


def write(path: Path, documents: int, copies: float) -> None:
    """Write a made corpus; the same for the same numbers."""
    rng = random.Random(1)
    words = [f"w{rng.randrange(10**6)}" for _ in range(20_000)]
    seen = [" ".join(rng.choices(words, k=13))]
    with path.open("wb") as file:
        for number in range(documents):
            copy = rng.random() < copies
            text = rng.choice(seen) if copy else " ".join(rng.choices(words, k=13))
            if not copy and len(seen) < 200_000:
                seen.append(text)
            file.write(orjson.dumps({"id": number, "text": text}, option=orjson.OPT_APPEND_NEWLINE))


def main() -> None:
    """Print a row for each number of documents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=float, nargs="+", default=[6e6, 14e6])
    parser.add_argument("--copies", type=float, default=0.05, help="share of copies of earlier documents")
    parser.add_argument("--memory", default="1GB")
    given = parser.parse_args()
    print(f"{'documents':>12}" + "".join(f"{stage:>14}" for stage in STAGES))
    for documents in map(int, given.documents):
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "corpus.jsonl"
            write(path, documents, given.copies)
            command = [sys.executable, "-c", _RUN, str(path), given.memory]
            most = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        print(f"{documents:>12,}" + "".join(f"{most[stage] / 1e9:>11.2f} GB" for stage in STAGES), flush=True)


if __name__ == "__main__":
    main()
