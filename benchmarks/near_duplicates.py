"""Near-duplicates in a jsonl file: how fast, how much memory, what is found; beside rensa and datasketch.

    python benchmarks/near_duplicates.py FILE.jsonl [--text-column text] [--workers 2] [--repeat 3] [--bands 16]

Reading the file is timed apart, for all tools together. Each tool then gets the texts as a polars Series and ends with
one mark a document. The peers (where they are installed) get shingles of five words of `text.lower().split()`, made in
Python as their documentation does, 16 bands of 8 rows; datasketch only the first documents, as it takes minutes. Ours
verifies every candidate by true Jaccard similarity on top. Seconds are the least of the repeats, each in a process of
its own, so that the largest memory of a process is its own too. Prints a table and, last, one line of JSON.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import platform
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import polars as pl

SHOWN_TO_DATASKETCH = 5_000
CHUNK = 4096


def read(path: str, column: str) -> pl.Series:
    return pl.read_ndjson(path, schema_overrides={column: pl.String}).get_column(column).fill_null("")


def ours(texts: pl.Series, bands: int, workers: int, seconds: dict[str, float]) -> dict[str, Any]:
    from curate.corpus.clusters import DuplicateIndex
    from curate.corpus.minhash import MinHashParameters, sign
    from curate.corpus.text import buffers

    parameters = MinHashParameters(bands=bands)
    start = time.perf_counter()
    sign(*buffers(texts[:100]), parameters)
    index = DuplicateIndex(parameters)
    index.add(
        sign(*buffers(pl.Series(["a b c d e f g"] * 3 + ["a b c d e f g h i", "a b c d e f g h i j"])), parameters)
    )
    index.clusters()
    seconds["load"] = time.perf_counter() - start

    start = time.perf_counter()
    index = DuplicateIndex(parameters)
    chunks = [texts[i : i + CHUNK] for i in range(0, len(texts), CHUNK)]
    with ThreadPoolExecutor(workers) as pool:
        for signed in pool.map(lambda chunk: sign(*buffers(chunk), parameters), chunks):
            index.add(signed)
    seconds["sign"] = time.perf_counter() - start
    start = time.perf_counter()
    found = index.clusters(workers=workers)
    seconds["cluster"] = time.perf_counter() - start
    return {
        "removed": int((~found.kept).sum()),
        "exact": int(found.exact.sum()),
        "candidates": found.candidates,
        "false": found.false,
        "unchecked": found.unchecked,
    }


def shingles(text: str) -> list[str]:
    words = text.lower().split()
    return [" ".join(words[i : i + 5]) for i in range(max(len(words) - 4, 1))]


def rensa(texts: pl.Series, bands: int, workers: int, seconds: dict[str, float]) -> dict[str, Any]:
    from rensa import RMinHash, RMinHashLSH

    start = time.perf_counter()
    sets = [shingles(text) for text in texts]
    seconds["shingle"] = time.perf_counter() - start
    start = time.perf_counter()
    matrix = RMinHash.digest_matrix_from_token_sets(sets, num_perm=8 * bands, seed=42)
    seconds["sign"] = time.perf_counter() - start
    start = time.perf_counter()
    lsh = RMinHashLSH(threshold=0.7, num_perm=8 * bands, num_bands=bands)
    lsh.insert_matrix(matrix)
    flags = lsh.query_duplicate_flags_matrix(matrix)
    seconds["cluster"] = time.perf_counter() - start
    return {"flagged": int(np.sum(flags))}


def datasketch(texts: pl.Series, bands: int, workers: int, seconds: dict[str, float]) -> dict[str, Any]:
    from datasketch import MinHash, MinHashLSH

    start = time.perf_counter()
    lsh, flagged = MinHashLSH(num_perm=8 * bands, params=(bands, 8)), 0
    sets = ([shingle.encode() for shingle in shingles(text)] for text in texts)
    for number, sketch in enumerate(MinHash.generator(sets, num_perm=8 * bands)):
        flagged += bool(lsh.query(sketch))
        lsh.insert(number, sketch)
    seconds["all"] = time.perf_counter() - start
    return {"flagged": flagged}


def measured(tool: Callable[..., dict[str, Any]], path: str, column: str, most: int, bands: int, workers: int) -> Any:
    """Run one tool in this process; return what it found, its seconds, and megabytes of text and of memory."""
    start = time.perf_counter()
    texts = read(path, column)[:most]
    seconds = {"read": time.perf_counter() - start}
    megabytes = int(texts.str.len_bytes().sum()) / 1e6
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = tool(texts, bands, workers, seconds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found, seconds, megabytes, (peak / 1e3, (peak - before) / 1e3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--text-column", default="text")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--bands", type=int, default=16)
    parser.add_argument("--tools", default="ours,rensa,datasketch")
    args = parser.parse_args()
    results: dict[str, Any] = {"machine": platform.machine(), "workers": args.workers, "bands": args.bands}
    print(f"{'tool':<12}{'MB':>7}{'MB/s':>8}{'peak MB':>9}{'of it':>7}  seconds; what was found")
    for name in args.tools.split(","):
        tool = {"ours": ours, "rensa": rensa, "datasketch": datasketch}[name]
        if tool is not ours and importlib.util.find_spec(name) is None:
            print(f"{name:<12} is not installed: pip install {name}")
            continue
        most = SHOWN_TO_DATASKETCH if tool is datasketch else 1 << 40
        job = (tool, args.file, args.text_column, most, args.bands, args.workers)
        runs = []
        for _ in range(args.repeat):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                runs.append(pool.apply(measured, job))
        found, _, megabytes, _ = runs[0]
        if any(run[0] != found for run in runs) and tool is ours:
            raise SystemExit("the repeats did not find the same")
        seconds = {step: min(run[1][step] for run in runs) for step in runs[0][1]}
        peak, own = (min(run[3][i] for run in runs) for i in (0, 1))
        total = sum(value for step, value in seconds.items() if step not in ("read", "load"))
        steps = " ".join(f"{step} {value:.2f}" for step, value in seconds.items())
        print(f"{name:<12}{megabytes:>7.0f}{megabytes / total:>8.1f}{peak:>9.0f}{own:>7.0f}  {steps}; {found}")
        results[name] = {"mb": megabytes, "mb_per_s": megabytes / total, "peak_mb": peak, "seconds": seconds, **found}
    print(json.dumps(results, sort_keys=True))


if __name__ == "__main__":
    main()
