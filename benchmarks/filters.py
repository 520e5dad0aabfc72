"""Time the filters and count what each takes, alone, over whole pools.

    python benchmarks/filters.py alpaca_data_52k.jsonl.gz alpaca_zh.jsonl.gz [--runs 3] [--kept] [--show RULE]

Prints rows and seconds a rule, the fastest of the runs, and seconds of each group in one pass (as a selection computes
it, evidence included); --kept prints seconds of the default rules in a first run and in later ones, which read columns;
--show prints 30 hits of a rule, drawn with a seed, for reading. JSON at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from curate.data.read import read_rows
from curate.sft import filters, ledger
from curate.sft.measures import Measures
from curate.sft.tokens import count_tokens, load_tokenizer

GROUPS = ("clean", "style", "lima", "lima-zh", "quality", "strict")


def pool(path: str) -> pl.DataFrame:
    """Read a pool as a selection does, token counts included."""
    rows = read_rows([path])
    counter, _ = load_tokenizer("o200k_base", required=True)
    return count_tokens(ledger.open_ledger(rows.frame, rows.unreadable), counter)[0]


def taken(frame: pl.DataFrame, name: str, rule: filters.Filter) -> int:
    """Count the rows that a rule takes by itself."""
    return int(filters.note(frame, [(name, rule)])["would_drop"].list.len().sum())


def fastest(runs: int, work: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Return the least seconds of `runs` runs, and the result."""
    best, result = float("inf"), None
    for _ in range(runs):
        start = time.perf_counter()
        result = work(*arguments)
        best = min(best, time.perf_counter() - start)
    return best, result


def kept(frame: pl.DataFrame, runs: int) -> dict[str, tuple[float, float]]:
    """Time what a selection does with rules: in a first run, in a second, and in one with other rules and numbers.

    Returns seconds, and those of processor time, of the fastest run.
    """
    asked = {
        "first run": ["clean", "style"],
        "the same again": ["clean", "style"],
        "other rules and numbers": ["clean", "lima.references", "lima.length=500:2000"],
    }
    seconds = dict.fromkeys(asked, (float("inf"), float("inf")))
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["CURATE_CACHE"] = folder
            for name, names in asked.items():
                start, used = time.perf_counter(), time.process_time()
                measures = Measures(frame)
                marked = filters.apply(frame, filters.resolve(names), measures.look)
                filters.note(marked, filters.resolve(["lima", "lima-zh"]), measures.look)
                measures.save()
                seconds[name] = min(seconds[name], (time.perf_counter() - start, time.process_time() - used))
    for name, (passed, used) in seconds.items():
        print(f"  {name:<28} {passed:8.2f} s, {used:.2f} s of processor time")
    return seconds


def show(frame: pl.DataFrame, name: str) -> None:
    """Print 30 hits of a rule."""
    marked = filters.apply(frame, filters.resolve([name])).filter(drop_reason=name)
    hits = list(marked.select("prompt", "evidence").iter_rows())
    for prompt, evidence in random.Random(0).sample(hits, min(30, len(hits))):
        print(f"  {prompt[:50]!r} -> {evidence!r}")


def main() -> None:
    """Run, print tables, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pools", nargs="+")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--kept", action="store_true")
    parser.add_argument("--show", metavar="RULE")
    options = parser.parse_args()
    result: dict[str, Any] = {"cores": os.cpu_count()}
    for path in options.pools:
        frame = pool(path)
        print(f"{Path(path).name}: {frame.height:,} rows")
        if options.show:
            show(frame, options.show)
            continue
        if options.kept:
            result[Path(path).name] = {"rows": frame.height, "kept": kept(frame, options.runs)}
            continue
        found = result[Path(path).name] = {"rows": frame.height, "rules": {}, "groups": {}}
        for name, rule in filters.resolve(["strict", "lima", "lima-zh"]):
            seconds, rows = fastest(options.runs, taken, frame, name, rule)
            found["rules"][name] = {"rows": rows, "seconds": seconds}
            print(f"  {name:<28} {rows:>8,} {seconds:8.2f} s")
        for group in GROUPS:
            found["groups"][group], _ = fastest(options.runs, filters.apply, frame, filters.resolve([group]))
            print(f"  {group:<28} {'':8} {found['groups'][group]:8.2f} s")
        found["noted"], _ = fastest(options.runs, filters.note, frame, filters.resolve(["lima", "lima-zh"]))
        print(f"  {'lima, lima-zh as a note':<28} {'':8} {found['noted']:8.2f} s")
    print(json.dumps(result, sort_keys=True))


if __name__ == "__main__":
    main()
