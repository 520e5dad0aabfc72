"""`curate tokens --engine ray` beside the local engine on the same cores, start-up apart; the answers must be the same.

    python benchmarks/cluster.py [--dir /tmp/curate-bench] [--size 1e9] [--workers 2] [--repeat 3] [--engines local ray]

The corpus is made of real words (`made_corpus.py`), one file of JSON lines. Engines take turns. Start-up is told by
itself: the cluster, and a count of a small corpus, after which processes, libraries and kernels are there. `held` is a
run whose records stay with the workers, as those of a corpus beyond the memory of one machine do. Seconds are medians.
Prints a table and, last, one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import made_corpus

from curate.corpus import scan
from curate.corpus.config import TokensConfig
from curate.corpus.count import count
from curate.data.spans import size_of
from curate.engine import ray
from curate.verify import TIMED

VOLATILE = (*TIMED, "config")


def run(path: Path, engine: str, workers: int, write: str | None) -> tuple[dict[str, Any], dict[str, float]]:
    """Count a corpus; return the report without what may differ, and the seconds of each part."""
    config = TokensConfig(
        engine="local" if engine == "local" else "ray", workers=workers, write=write, out="here" if write else None
    )
    start = time.perf_counter()
    scan.size_of = (lambda _: 1 << 60) if engine == "held" else size_of  # type: ignore[assignment]
    result = count([str(path)], config)
    counted = time.perf_counter()
    if write:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            result.write(Path(folder) / "out")
    parts = {**result.report["seconds"], "count": counted - start, "write": time.perf_counter() - counted}
    return {name: value for name, value in result.report.items() if name not in VOLATILE}, parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, default=Path("/tmp/curate-bench"))
    parser.add_argument("--size", type=float, default=1e9)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--engines", nargs="+", default=["local", "ray", "held"])
    given = parser.parse_args()
    given.dir.mkdir(parents=True, exist_ok=True)
    size = int(given.size)
    small = made_corpus.write(given.dir / "english-2000000.jsonl", 2_000_000)
    path = made_corpus.write(given.dir / f"english-{size}.jsonl", size)

    start = time.perf_counter()
    ray.connect(None, given.workers)
    startup = {"cluster": time.perf_counter() - start}
    for engine in given.engines:
        start = time.perf_counter()
        run(small, engine, given.workers, "jsonl")
        startup[f"first {engine}"] = time.perf_counter() - start
    seconds: dict[str, list[dict[str, float]]] = {engine: [] for engine in given.engines}
    answers = []
    for _ in range(given.repeat):
        for engine, taken in seconds.items():
            answer, parts = run(path, engine, given.workers, "jsonl")
            taken.append(parts)
            answers.append(answer)
            print(f"{engine:<8} {', '.join(f'{name} {value:.1f}' for name, value in parts.items())}", flush=True)
    assert all(answer == answers[0] for answer in answers)
    medians = {
        engine: {name: round(statistics.median(parts[name] for parts in taken), 2) for name in taken[0]}
        for engine, taken in seconds.items()
    }
    print("start-up", {name: round(value, 1) for name, value in startup.items()})
    for engine, parts in medians.items():
        ratios = " ".join(f"{name} {parts[name] / medians['local'][name]:.2f} x" for name in ("count", "write"))
        print(f"{engine:<8} count {parts['count']:.1f} s, write {parts['write']:.1f} s; beside local: {ratios}")
    print(json.dumps({"size": size, "workers": given.workers, "startup": startup, "medians": medians}))


if __name__ == "__main__":
    main()
