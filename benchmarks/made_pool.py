"""An instruction pool of any size for benchmarks: real sentences of Alpaca in new rows.

    python benchmarks/made_pool.py alpaca_data_52k.jsonl.gz POOL.jsonl --rows 1000000

A row asks two things: the instruction of one record, then that of another; its answer is that of the first. So the
words are real, topics lie in clusters as in the original, and no two rows are alike by accident.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
import orjson


def write(alpaca: str, path: Path, rows: int, seed: int = 0) -> None:
    """Write a pool of `rows` records."""
    with gzip.open(alpaca) as file:
        records = [orjson.loads(line) for line in file]
    rng = np.random.default_rng(seed)
    with path.open("wb") as out:
        for a, b in rng.integers(len(records), size=(rows, 2)).tolist():
            first, second = records[a], records[b]
            row = {
                "instruction": f"{first['instruction']} {second['instruction']}",
                "input": first["input"],
                "output": first["output"],
            }
            out.write(orjson.dumps(row) + b"\n")


def main() -> None:
    """Write the pool that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("alpaca")
    parser.add_argument("pool", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    write(options.alpaca, options.pool, options.rows)


if __name__ == "__main__":
    main()
