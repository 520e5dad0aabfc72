"""`curate tokens` on a cluster: the same bytes as on one machine, also when a worker or a node is lost on the way."""

from __future__ import annotations

import gzip
import json
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest

from curate.corpus import scan, spill
from curate.corpus.config import TokensConfig
from curate.corpus.count import count
from curate.data import checkpoint, spans
from curate.data.corpus import open_corpus
from curate.data.documents import read_parts
from curate.errors import CurateError, UsageError
from curate.report.progress import Stages
from curate.verify import TIMED

DIFFERENT = ("report.html", "report.json", "manifest.json", "log.jsonl")  # they tell the engine and seconds
LINES = ["a line that many a document has, word for word", "and another one, long enough to be looked at"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Make a corpus of every kind: ranges, packed files, tables, text; copies, near copies, repeated lines, faults."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(3000)]

    def records(n: int) -> list[dict[str, str]]:
        made: list[dict[str, str]] = []
        for i in range(n):
            text = "\n".join([" ".join(rng.choice(words, 40)), LINES[i % 2], "字" * (i % 50)])
            if i % 7 == 3:
                text = made[int(rng.integers(i))]["text"]
            if i % 7 == 5:
                text = made[int(rng.integers(i))]["text"] + " and more"
            made.append({"id": f"d{i}", "text": text, "more": "x" * (i % 30)})
        return made

    def lines(rows: list[dict[str, str]]) -> bytes:
        raw = [orjson.dumps(row) + b"\n" for row in rows]
        return b"".join([*raw[:5], b"{broken\n", b"\n", b'{"other": 1}\n', *raw[5:]])

    (folder / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + lines(records(400)).rstrip(b"\n"))
    with gzip.open(folder / "b.jsonl.gz", "wb") as file:
        file.write(lines(records(60)))
    (folder / "c.json").write_text(json.dumps(records(30)))
    pl.DataFrame(records(50)).write_parquet(folder / "d.parquet")
    (folder / "e.txt").write_text("Some text.\n\nAnd more of it.\n")
    (folder / "f.jsonl").write_bytes(b"")
    (folder / "g.jsonl").write_bytes(lines(records(200)))
    return folder


@pytest.fixture
def small_spans(monkeypatch):
    """Cut a corpus of kilobytes as one of terabytes is cut."""
    monkeypatch.setattr(spans, "SPAN_BYTES", 20_000)


class _Disturbed(Stages):
    """Does something to the cluster once, when the first bundle was taken in."""

    def __init__(self, disturb: Callable[[], object]) -> None:
        super().__init__()
        self._disturb: Callable[[], object] | None = disturb

    def advance(self, done: int, total: int | None) -> None:
        if self._disturb:
            self._disturb()
            self._disturb = None


def written(
    corpus: Path | str, out: Path, config: TokensConfig, stages: Stages | None = None
) -> tuple[dict[str, Any], Any]:
    """Return the report and the bytes of all files of a count."""
    result = count([str(corpus)], config, stages)
    result.write(out)
    files = {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    same = {name: data for name, data in files.items() if name not in DIFFERENT}
    facts = {name: value for name, value in result.report.items() if name not in {"config", *TIMED}}
    return facts, same


@pytest.mark.parametrize(
    "options",
    [
        {"write": "jsonl.zst", "prefer": ("longest",)},
        {"write": "jsonl", "drop_lines": True},
        {"write": "parquet", "drop_lines": True, "document": "paragraph"},
        {"dedup": "exact"},
        {"dedup": "none", "tokenizer": ("none",)},
    ],
    ids=str,
)
def test_the_cluster_gives_the_same_bytes(cluster, corpus, small_spans, tmp_path, options):
    """Report, ledger, unreadable records and the documents written are those of one machine."""
    config = TokensConfig(**({"tokenizer": ("o200k_base",), "workers": 2, "out": "unused"} | options))
    local = written(corpus, tmp_path / "local", config)
    assert written(corpus, tmp_path / "ray", replace(config, engine="ray", chunk_size=3000)) == local
    assert local[0]["documents"]["unreadable"] > 5
    assert local[0]["documents"]["duplicate_exact"] > 50 or config.dedup == "none"


@pytest.mark.parametrize("partition", [5, 500])
def test_records_that_stay_with_the_workers_give_the_same_bytes(cluster, corpus, tmp_path, monkeypatch, partition):
    """As those of a corpus that is too large for one machine do; sorted by Ray, in many partitions."""
    monkeypatch.setattr(spill, "_PARTITION", partition)
    monkeypatch.setattr(spans, "SPAN_BYTES", 120_000)
    config = TokensConfig(tokenizer=("none",), workers=2, out="unused", write="jsonl", drop_lines=True)
    local = written(corpus, tmp_path / "local", config)
    monkeypatch.setattr(scan, "size_of", lambda _: 1 << 60)
    assert written(corpus, tmp_path / "ray", replace(config, engine="ray")) == local
    assert local[0]["documents"]["duplicate_near"] > 10
    assert local[0]["lines"]["repeated"] > 100


@pytest.mark.parametrize("held", [False, True])
def test_clusters_and_lines_are_kept(cluster, corpus, tmp_path, monkeypatch, held):
    """A run that goes on reads the corpus again, and looks for no duplicates and no lines."""
    monkeypatch.setattr(checkpoint, "_SHARE", 1e9)
    if held:
        monkeypatch.setattr(scan, "size_of", lambda _: 1 << 60)
    config = TokensConfig(tokenizer=("none",), workers=2, write="jsonl", drop_lines=True, out="unused", engine="ray")

    def run(out: str, *, resume: bool) -> tuple[dict[str, Any], Any]:
        kept, stages = checkpoint.Checkpoint(tmp_path / "kept", {"a": 1}), Stages()
        kept.begin(resume=resume)
        stages.begin(kept)
        return written(corpus, tmp_path / out, config, stages)

    whole = run("whole", resume=False)
    for name in ("clusters.DuplicateIndex.clusters", "lines.LineIndex.repeated"):
        monkeypatch.setattr(f"curate.corpus.{name}", None)
    assert run("resumed", resume=True) == whole


def _kill_a_worker(cluster: Any) -> None:
    """Kill the first process that is seen to work on a chunk."""
    nodes = {process.process.pid for node in cluster.list_all_nodes() for process in node.all_processes["raylet"]}
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if parent in nodes and (folder / "cmdline").read_bytes().startswith(b"ray::_run"):
                    os.kill(int(folder.name), signal.SIGKILL)
                    return
        time.sleep(0.01)
    raise AssertionError("no worker was at work")


def test_a_worker_killed_in_the_middle_changes_nothing(cluster, corpus, small_spans, tmp_path):
    """What it had begun is done again by another one."""
    config = TokensConfig(workers=2, write="jsonl", out="unused")
    local = written(corpus, tmp_path / "local", config)
    with ThreadPoolExecutor(1) as other:
        killed = other.submit(_kill_a_worker, cluster)
        assert written(corpus, tmp_path / "ray", replace(config, engine="ray")) == local
        killed.result()


def test_a_node_lost_in_the_middle_changes_nothing(cluster, corpus, small_spans, tmp_path):
    """What it had read, and what it held, is read again by the others."""
    node = cluster.add_node(num_cpus=1, object_store_memory=200 << 20)
    config = TokensConfig(tokenizer=("none",), workers=2, out="unused")
    local = written(corpus, tmp_path / "local", config)
    disturbed = _Disturbed(lambda: cluster.remove_node(node, allow_graceful=False))
    assert written(corpus, tmp_path / "ray", replace(config, engine="ray"), disturbed) == local


def test_urls_are_read_by_the_workers(cluster, corpus, small_spans, tmp_path):
    """A URL is opened where it is read, in ranges too."""
    config = TokensConfig(tokenizer=("none",), workers=2, write="jsonl", out="unused")
    url = f"file://{corpus}/*.jsonl"
    local = written(url, tmp_path / "local", config)
    assert written(url, tmp_path / "ray", replace(config, engine="ray")) == local
    assert local[0]["documents"]["read"] > 600


def test_a_file_that_changes_is_told(cluster, corpus, small_spans, tmp_path):
    """A file that is not what it was at first is named when it is read for writing."""
    (tmp_path / "a.jsonl").write_bytes((corpus / "g.jsonl").read_bytes())
    result = count([str(tmp_path)], TokensConfig(tokenizer=("none",), workers=2, write="jsonl", out="x", engine="ray"))
    (tmp_path / "a.jsonl").write_bytes((corpus / "g.jsonl").read_bytes().replace(b"word7", b"word8"))
    with pytest.raises(CurateError, match=r"a\.jsonl was changed while it was read"):
        result.write(tmp_path / "out")


def test_stdin_is_refused():
    """The workers of a cluster cannot read it."""
    with pytest.raises(UsageError, match="stdin"):
        spans.cut(open_corpus(["-"]))


def test_small_files_share_a_span_and_large_ones_are_cut(tmp_path):
    """Each source stands in spans once, and an empty one beside the range of another in neither."""
    for name, size in {"a": 0, "b": 0, "c": 250, "d": 0, "e": 60, "f": 30, "g": 20}.items():
        (tmp_path / f"{name}.jsonl").write_bytes(b'{"text": "x"}\n' * (size // 10))
    spans_ = [tuple(span[:4]) for span in spans.cut(open_corpus([tmp_path]), 100)]
    ranges = [(2, 3, start, min(start + 100, 350)) for start in range(0, 350, 100)]
    assert spans_ == [(0, 2, 0, None), *ranges, (3, 5, 0, None), (5, 7, 0, None)]


@pytest.mark.parametrize("size", [4, 5, 7, 50, 1000])
def test_ranges_hold_each_line_once(tmp_path, size):
    """However a file is cut, its lines are read once each, in order, and know where they stand."""
    rng = np.random.default_rng(size)
    texts = ["x" * int(n) for n in rng.integers(0, 40, 30)]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n\r\n".join(orjson.dumps({"text": text}) for text in texts))
    corpus = open_corpus([path])
    whole = read_parts(next(corpus.bundles())).frame
    parts, before = [], 0
    for span in spans.cut(open_corpus([path]), size):
        reader = spans.SpanReader(corpus, span._replace(line=before + 1))
        parts += [read_parts(bundle).frame for bundle in reader.bundles()]
        before += reader.found.lines
    assert pl.concat(parts).equals(whole)
