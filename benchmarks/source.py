"""MB a second and memory of `curate source stackexchange` on a large dump, and what hostile dumps cost.

    python benchmarks/source.py ../shared/data/stackexchange/quantumcomputing_Posts.xml.gz

The large dump is the given one again and again under new ids, 500 MB of XML unless --megabytes says otherwise, so every
question with a good answer is there as often. Each run is a process of its own, from file to output file; seconds,
seconds of CPU (which do not count what other work on the machine takes) and peak memory are those of the process.
Expat and ElementTree's iterparse read the same file in the same run, and do nothing with what they read. Prints a table
and, last, one line of JSON.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

_FRAME = (b'<?xml version="1.0" encoding="utf-8"?>\n<posts>\n', b"</posts>\n")
_ID = re.compile(rb'( (?:Id|ParentId|AcceptedAnswerId)=")(\d+)"')


def write_dump(path: Path, rows: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        file.write(_FRAME[0])
        file.writelines(rows)
        file.write(_FRAME[1])


def copies(given: Path, megabytes: int) -> Iterable[bytes]:
    """Yield the rows of `given` again and again, each time under other ids."""
    plain = gzip.decompress(given.read_bytes()) if given.suffix == ".gz" else given.read_bytes()
    rows = [line + b"\n" for line in plain.splitlines() if line.lstrip().startswith(b"<row")]
    for copy in range(megabytes * 1_000_000 // len(plain) + 1):
        first = copy * 1_000_000
        for row in rows:
            yield _ID.sub(lambda found, first=first: found[1] + b'%d"' % (int(found[2]) + first), row)


def huge_post() -> Iterable[bytes]:
    yield b'<row Id="1" PostTypeId="1" Score="9" Title="A" Body="' + b"x" * 100_000_000 + b'" />\n'
    yield b'<row Id="2" PostTypeId="1" Score="9" Title="B" Body="x" />\n'


def bomb() -> Iterable[bytes]:
    yield b'<!DOCTYPE p [<!ENTITY a0 "aaaaaaaaaa">\n'
    for n in range(1, 20):
        yield b'<!ENTITY a%d "%b">\n' % (n, b"&a%d;" % (n - 1) * 10)
    yield b'<row Id="1" PostTypeId="1" Score="9" Title="&a19;" Body="&a19;" />\n'


def good_answers() -> Iterable[bytes]:
    """Yield a million questions with an answer of +10, too short to be a row: what is held for each is seen."""
    for n in range(1, 2_000_000, 2):
        yield b'<row Id="%d" PostTypeId="1" Score="9" Title="What is number %d?" Body="x" />\n' % (n, n)
        yield b'<row Id="%d" PostTypeId="2" ParentId="%d" Score="10" Body="x" />\n' % (n + 1, n)


def curate(path: str) -> dict[str, Any]:
    from curate.cli import app
    from curate.face import run

    code = run(app, ["source", "stackexchange", path, "--site", "physics", "--out", f"{path}.jsonl", "--quiet"])
    report = json.loads(Path(f"{path}.report.json").read_bytes()) if code == 0 else {}
    return {"exit": code, "posts": report.get("read"), "rows": report.get("rows"), "dropped": report.get("dropped")}


def one_pass(path: str) -> dict[str, Any]:
    from curate.data.sources._files import Dump
    from curate.data.sources._posts import read_posts

    return {"posts": sum(1 for _ in read_posts(Dump(Path(path)).lines(lambda done, total: None)))}


def expat(path: str) -> dict[str, Any]:
    from xml.parsers.expat import ParserCreate

    parser = ParserCreate()
    parser.StartElementHandler = lambda name, attributes: None
    with Path(path).open("rb") as file:
        parser.ParseFile(file)
    return {}


def iterparse(path: str) -> dict[str, Any]:
    from xml.etree.ElementTree import iterparse

    for _, element in iterparse(path):
        element.clear()
    return {}


def measured(contestant: Callable[[str], dict[str, Any]], path: str) -> dict[str, Any]:
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115  (what curate prints is no part of the table)
    start, start_cpu = time.perf_counter(), time.process_time()
    result = contestant(path)
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return result | {"seconds": round(seconds, 2), "cpu": round(cpu, 2), "peak_mb": int(peak.split()[1]) // 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dump", type=Path)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        plain, packed = Path(folder) / "large.xml", Path(folder) / "large.xml.gz"
        write_dump(plain, copies(arguments.dump, arguments.megabytes))
        packed.write_bytes(gzip.compress(plain.read_bytes(), 6))
        size = plain.stat().st_size / 1e6
        others = {"a post of 100 MB": huge_post, "entity bomb": bomb, "a million good answers": good_answers}
        paths = {name: Path(folder) / f"other{n}.xml" for n, name in enumerate(others)}
        for name, rows in others.items():
            write_dump(paths[name], rows())
        trials = [
            ("plain", curate, plain, size), ("gzip", curate, packed, size),
            ("its rows, one pass", one_pass, plain, size), ("expat", expat, plain, size),
            ("iterparse", iterparse, plain, size),
            *((name, curate, path, path.stat().st_size / 1e6) for name, path in paths.items()),
        ]  # fmt: skip
        for name, contestant, path, megabytes in trials:
            best: dict[str, Any] = {}
            for _ in range(arguments.runs):
                with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                    result = pool.submit(measured, contestant, str(path)).result()
                Path(f"{path}.jsonl").unlink(missing_ok=True)
                Path(f"{path}.report.json").unlink(missing_ok=True)
                best = min(best or result, result, key=lambda result: result["cpu"])
            results.append({"name": name, "megabytes": round(megabytes, 1)} | best)
            print(
                f"{name:<24}{megabytes:>8.1f} MB{best['seconds']:>8.2f} s{best['cpu']:>8.2f} s CPU"
                f"{megabytes / best['cpu']:>8.1f} MB/s CPU{best['peak_mb']:>6} MB  exit {best.get('exit', '')}"
                f" posts {best.get('posts', '')} rows {best.get('rows', '')}"
            )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
