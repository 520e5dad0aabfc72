"""Embedders on one pool, in one run: rows a second, the cache, and how far each ranks as people do.

    python benchmarks/embed.py speed ../shared/data/instruct/alpaca_data_52k.jsonl.gz --rows 1000
    python benchmarks/embed.py rank ../shared/data --embedders lexical,all-MiniLM-L6-v2,static:./folder
    python benchmarks/embed.py memory ../shared/data/instruct/alpaca_data_52k.jsonl.gz --rows 500000

`speed`: the plain loop is SentenceTransformer.encode in float32, batches of 32, sorted by length. Texts are instruction
and input. Each contestant starts without a cache, takes turns with the others, and its median counts; `cached` is a
second run over the same texts. `rank`: Spearman of the cosine with the STS-b test scores, and how often the nearest
other row of a sample of Super-NI inputs is of the same category. `memory`: texts are combinations of Alpaca
instructions; what `lexical` takes beyond texts and vectors. Prints one line of JSON last.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from curate.sft import embed

MINILM = "sentence-transformers/all-MiniLM-L6-v2"


def read(path: str | Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def alpaca(path: str) -> list[str]:
    return [f"{row['instruction']}\n{row['input']}".strip() for row in read(path)]


def timed(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def speed(options: argparse.Namespace) -> dict[str, Any]:
    import torch
    from sentence_transformers import SentenceTransformer

    from curate.sft.embed._loading import locate

    torch.set_num_threads(options.workers)
    texts = alpaca(options.path)
    texts = texts[:: max(1, len(texts) // options.rows)][: options.rows]
    plain = SentenceTransformer(str(locate(MINILM).folder), device="cpu")
    ours = {dtype: embed.load(MINILM, device="cpu", dtype=dtype, workers=options.workers) for dtype in ("fp32", "bf16")}
    plain.encode(texts[:64], show_progress_bar=False)
    seconds: dict[str, list[float]] = {}
    for _ in range(options.runs):
        seconds.setdefault("encode", []).append(timed(lambda: plain.encode(texts, show_progress_bar=False)))
        for dtype, embedder in ours.items():
            with tempfile.TemporaryDirectory() as cache:
                os.environ["CURATE_CACHE"] = cache
                for name in (dtype, f"{dtype}, cached"):
                    seconds.setdefault(name, []).append(timed(lambda embedder=embedder: embedder.embed(texts)))
    result = {name: round(len(texts) / statistics.median(values), 1) for name, values in seconds.items()}
    for name, rate in result.items():
        print(f"{name:<16}{rate:>12,.1f} rows/s{rate / result['encode']:>10.2f} x encode")
    return {"rows": len(texts), "rows_per_second": result, "cosine_to_fp32": ours["bf16"].about.get("cosine_to_fp32")}


def rank(options: argparse.Namespace) -> dict[str, Any]:
    from scipy.stats import spearmanr

    data = Path(options.path)
    pairs = [row for row in read(data / "pairs/stsb_en_zh.jsonl.gz") if row["_split"] == "test"]
    category = {row["_task"]: row["Categories"][0] for row in read(data / "instruct/superni_en_tasks.jsonl.gz")}
    rows = list(read(data / "instruct/superni_en_instances.jsonl.gz"))
    rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[: options.rows]]
    labels = np.array([category[row["_task"]] for row in rows])
    result = {}
    for name in options.embedders.split(","):
        score: dict[str, float] = {}
        for language in sorted({pair["_lang"] for pair in pairs}):
            chosen = [pair for pair in pairs if pair["_lang"] == language]
            texts = [pair[side] for side in ("sentence1", "sentence2") for pair in chosen]
            vectors = embed.load(name, seed=0, workers=options.workers).embed(texts)
            cosine = np.sum(vectors[: len(chosen)] * vectors[len(chosen) :], axis=1)
            score[f"sts_{language}"] = float(
                spearmanr(cosine, [float(pair["similarity_score"]) for pair in chosen]).statistic
            )
        start = time.perf_counter()
        vectors = embed.load(name, seed=0, workers=options.workers).embed([row["input"] for row in rows])
        score["rows_per_second"] = len(rows) / (time.perf_counter() - start)
        similarity = vectors @ vectors.T
        np.fill_diagonal(similarity, -2)
        score["category"] = float((labels[similarity.argmax(axis=1)] == labels).mean())
        result[name] = score
        print(f"{name:<40}", *(f"{key} {value:.3f}" for key, value in score.items()))
    return result


def memory(options: argparse.Namespace) -> dict[str, Any]:
    import polars as pl

    from curate.report.progress import peak_memory_bytes

    parts = np.array(alpaca(options.path), dtype=object)
    drawn = np.random.default_rng(0).integers(len(parts), size=(2, options.rows))
    texts = pl.Series(a + "\n" + b for a, b in zip(parts[drawn[0]], parts[drawn[1]], strict=True))
    status = Path("/proc/self/status").read_text()
    before = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024
    start = time.perf_counter()
    vectors = embed.load("lexical", seed=0, workers=options.workers).embed(texts)
    result = {
        "rows": len(texts),
        "seconds": round(time.perf_counter() - start, 1),
        "text_bytes": int(texts.str.len_bytes().sum()),
        "vector_bytes": vectors.nbytes,
        "beyond_vectors_bytes": peak_memory_bytes() - before - vectors.nbytes,
    }
    print({name: f"{value:,}" for name, value in result.items()})
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "rank", "memory"])
    parser.add_argument("path")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--embedders", default=f"lexical,{MINILM}")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    print(json.dumps({"speed": speed, "rank": rank, "memory": memory}[options.what](options), sort_keys=True))


if __name__ == "__main__":
    main()
