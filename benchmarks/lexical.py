"""Rows a second and memory of the lexical embedder, beside scikit-learn on the same rows in the same run.

    python benchmarks/lexical.py ../shared/data/instruct/alpaca_data_52k.jsonl.gz

The text of a row is instruction and input, joined by a line break (or the columns named with --columns). Each
contestant runs in a process of its own, and its memory is what that process grew by after the texts were loaded; for
`lexical` that includes numba, for scikit-learn it leaves out scikit-learn itself. The first run of `lexical` also loads
the compiled kernels, and compiles them where there is no cache; warm is the best of the other runs. scikit-learn has
less to do: words and word pairs, no character n-grams. Columns and dimensions are the same. Prints a table and, last,
one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import polars as pl


def read_texts(path: str, columns: list[str]) -> pl.Series:
    frame = pl.scan_ndjson(path, infer_schema_length=None).select(columns).collect()
    parts = [pl.col(name).cast(pl.String).fill_null("") for name in columns]
    return frame.select(pl.concat_str(parts, separator="\n")).to_series()


def run(contestant: str, path: str, columns: list[str], workers: int, runs: int) -> dict[str, Any]:
    texts = read_texts(path, columns)
    embed = {"lexical": lexical, "scikit-learn": scikit_learn}[contestant](workers)
    before = resident_bytes("VmRSS")
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        shape = embed(texts).shape
        seconds.append(time.perf_counter() - start)
    best = min(seconds[1:] or seconds)
    return {
        "rows": shape[0],
        "dimensions": shape[1],
        "seconds": seconds,
        "rows_per_second_first": round(shape[0] / seconds[0]),
        "rows_per_second": round(shape[0] / best),
        "peak_extra_mb": round((resident_bytes("VmHWM") - before) / 2**20),
    }


def lexical(workers: int) -> Callable[[pl.Series], Any]:
    from curate.sft import embed

    return lambda texts: embed.load("lexical", workers=workers).embed(texts)


def scikit_learn(workers: int) -> Callable[[pl.Series], Any]:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer

    def embed(texts: pl.Series) -> Any:
        return make_pipeline(
            HashingVectorizer(n_features=2**16, ngram_range=(1, 2), alternate_sign=False, norm=None),
            TfidfTransformer(sublinear_tf=True),
            TruncatedSVD(256, random_state=0),
            Normalizer(),
        ).fit_transform(texts.to_list())

    return embed


def resident_bytes(field: str) -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path")
    parser.add_argument("--columns", default="instruction,input")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()

    results = {}
    for contestant, runs in (("lexical", arguments.runs), ("scikit-learn", 1)):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            columns = arguments.columns.split(",")
            done = process.submit(run, contestant, arguments.path, columns, arguments.workers, runs)
            results[contestant] = done.result()

    print(f"{'':<14}{'rows/s first':>14}{'rows/s warm':>14}{'seconds':>10}{'extra MB':>10}")
    for contestant, result in results.items():
        best = result["rows"] / result["rows_per_second"]
        print(
            f"{contestant:<14}{result['rows_per_second_first']:>14,}{result['rows_per_second']:>14,}"
            f"{best:>10.2f}{result['peak_extra_mb']:>10}"
        )
    ratio = results["lexical"]["rows_per_second"] / results["scikit-learn"]["rows_per_second"]
    print(
        f"lexical is {ratio:.1f} times as fast on {results['lexical']['rows']:,} rows with {arguments.workers} workers"
    )
    machine = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    print(json.dumps({**machine, "workers": arguments.workers, "ratio": round(ratio, 2), **results}, sort_keys=True))


if __name__ == "__main__":
    main()
