"""How far do our filters and picks agree with selections of Alpaca that others published? Reported, not tuned to.

    python benchmarks/published.py alpaca_data_52k.jsonl.gz car_alpaca_selected.json.gz cherry_alpaca_5_percent.json.gz

For each published set: how many of its rows each of our rules drops, beside the whole pool; and how many of its rows a
strategy of ours picks, beside what chance would (the size of both over that of the pool). Rows are matched by their
three fields.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

import numpy as np
import polars as pl

import curate

FILTERS = ("clean", "style", "lima", "quality")
STRATEGIES = ("k-center", "cluster-medoids", "repr-filter", "longest", "random")


def key(record: dict[str, str]) -> str:
    return "\0".join(record[name] for name in ("instruction", "input", "output"))


def read(path: str) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return json.load(file) if path.endswith(".json.gz") else [json.loads(line) for line in file]


def by_line(selection: curate.Selection) -> pl.DataFrame:
    return selection.ledger.sort("line")


def main() -> None:
    """Print both tables, and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("alpaca")
    parser.add_argument("published", nargs="+")
    options = parser.parse_args()
    pool = [key(record) for record in read(options.alpaca)]
    sets = {Path(path).name.split(".")[0]: {key(record) for record in read(path)} for path in options.published}
    inside = {name: np.array([row in keys for row in pool]) for name, keys in sets.items()}
    result: dict[str, dict[str, float]] = {}
    for name, rows in inside.items():
        print(f"{name}: {len(sets[name]):,} rows, {rows.sum():,} rows of the pool match")

    print(f"\n{'dropped by, alone':<28}{'pool':>8}", *(f"{name[:24]:>26}" for name in inside))
    for group in FILTERS:
        table = by_line(curate.select_rows(options.alpaca, count=100, filters=[group], dedup="none"))
        dropped = table["drop_reason"].is_not_null().to_numpy()
        shares = {"pool": dropped.mean(), **{name: dropped[rows].mean() for name, rows in inside.items()}}
        result[group] = shares
        print(f"{group:<28}{shares['pool']:>8.2%}", *(f"{shares[name]:>26.2%}" for name in inside))

    print(f"\n{'picked by, same size':<36}", *(f"{name[:24]:>26}" for name in inside))
    for strategy in STRATEGIES:
        shares = {}
        for name, rows in inside.items():
            table = by_line(curate.select_rows(options.alpaca, count=int(rows.sum()), strategy=strategy))
            picked = table["rank"].is_not_null().to_numpy()
            shares[name] = float(rows[picked].mean())
        result[strategy] = shares
        print(f"{strategy:<36}", *(f"{shares[name]:>26.2%}" for name in inside))
    print(f"{'chance':<36}", *(f"{rows.mean():>26.2%}" for rows in inside.values()))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
