"""Contamination: planted copies that are found, per benchmark and disguise; rows of a pool that are flagged; seconds.

    python benchmarks/contamination.py EVAL_DIRECTORY POOL.jsonl.gz [OUT.json]

EVAL_DIRECTORY holds gsm8k_test, humaneval, mmlu_test_2020 and mt_bench_questions (.jsonl.gz). A copy is a row whose
prompt is the item's question (MMLU: with lettered choices, with bare choices, and alone) and whose answer says nothing.
The name that is changed is the most frequent capitalised word inside a sentence, HumanEval's the function's.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from curate.data.read import read_records, read_rows
from curate.sft.contamination import find_hits, mark_contaminated
from curate.sft.evaluation import item, read_items

Record = dict[str, Any]


def copies(source: str, record: Record) -> Iterator[tuple[str, str, str | None]]:
    """Yield the kind, the prompt and the name to change of each form in which a record is planted."""
    if "gsm8k" in source:
        yield "GSM8K", record["question"], None
    elif "humaneval" in source:
        yield "HumanEval", record["prompt"], record["entry_point"]
    elif "mmlu" in source:
        choices = [record[letter] for letter in "ABCD"]
        lettered = [f"{letter}. {text}" for letter, text in zip("ABCD", choices, strict=True)]
        yield "MMLU, lettered choices", "\n".join([record["question"], *lettered]), None
        yield "MMLU, bare choices", "\n".join([record["question"], *choices]), None
        yield "MMLU, question alone", record["question"], None
    elif "mt_bench" in source:
        yield "MT-bench, both turns", "\n\n".join(record["turns"]), None
        yield "MT-bench, first turn", record["turns"][0], None


def disguises(text: str, name: str | None) -> Iterator[tuple[str, str]]:
    """Yield a text as it is, re-cased, re-spaced, with a name changed (where it has one), and inside a longer one."""
    yield "verbatim", text
    yield "re-cased", text.upper()
    yield "re-spaced", re.sub(r"\s+", " \n ", text)
    names = Counter(re.findall(r"(?<=[a-z,;] )[A-Z][a-z]{2,}", text))
    name = name or max(sorted(names), key=names.__getitem__, default=None)
    if name:
        yield "changed name", re.sub(rf"\b{re.escape(name)}\b", "Xanthippe", text)
    yield "embedded", f"A student of mine was given this task last week.\n\n{text}\n\nThink step by step, then answer."
    yield "quoted", f'Please answer the question "{text}" and explain how you got there.'


def recall(records: list[tuple[str, int, Record]]) -> tuple[dict[str, dict[str, list[int]]], list[str]]:
    """Return copies found and planted by kind and disguise, and the texts that were missed."""
    items = [item(*record) for record in records]
    planted = [
        (kind, disguise, i, text)
        for i, (source, _, record) in enumerate(records)
        for kind, prompt, name in copies(source, record)
        for disguise, text in disguises(prompt, name)
    ]
    rows = pl.DataFrame({"id": [f"{n:07}" for n in range(len(planted))], "prompt": [text for *_, text in planted]})
    rows = rows.with_columns(source=pl.lit(""), line=pl.lit(0, pl.Int64), response=pl.lit("I do not know."))
    found = find_hits(rows, items, workers=2).select(pl.col("id").cast(int), "evaluation", "item")
    pairs = set(found.iter_rows())
    table: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    missed = []
    for n, (kind, disguise, i, text) in enumerate(planted):
        hit = (n, *records[i][:2]) in pairs
        table[kind][disguise][0] += hit
        table[kind][disguise][1] += 1
        if not hit:
            missed.append(f"{kind}, {disguise}: {text}")
    return table, missed


def main(evaluations: str, pool: str, out: str | None = None) -> None:
    """Print the tables, and write them as JSON."""
    table, missed = recall(read_records(evaluations)[0])
    names = ("verbatim", "re-cased", "re-spaced", "changed name", "embedded", "quoted")
    print("found of planted".ljust(26), *(name.rjust(13) for name in names))
    for kind, cells in table.items():
        print(kind.ljust(26), *(f"{cells[name][0]:,}/{cells[name][1]:,}".rjust(13) for name in names))
    frame = read_rows(pool).frame.with_columns(
        id=pl.format("{}", pl.int_range(pl.len())), drop_reason=pl.lit(None, pl.String),
        rules=pl.lit([], pl.List(pl.String)), evidence=pl.lit(None, pl.String),
    )  # fmt: skip
    seconds, processor = [], []
    for _ in range(5):  # the first one loads what was compiled
        start, used = time.perf_counter(), time.process_time()
        _, found = mark_contaminated(frame, read_items([evaluations])[0], workers=2)
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
    about = found.about()
    print(f"\n{about['rows']} of {frame.height:,} rows flagged")
    print("seconds:", *(f"{s:.2f}" for s in seconds), "of the processor:", *(f"{s:.2f}" for s in processor))
    for file in about["files"]:
        print(f"  {Path(file['path']).name}: {file['items_found']} items in {file['rows']} rows")
    if out:
        result = {"recall": table, "missed": missed, "pool": about, "seconds": seconds, "processor": processor}
        Path(out).write_text(json.dumps(result, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
