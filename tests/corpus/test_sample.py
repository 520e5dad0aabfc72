"""Estimates from a sample: intervals that hold the truth, and exact counts where all blocks are drawn."""

from __future__ import annotations

import gzip
import random

import numpy as np
import orjson
import polars as pl
import pytest

from curate.config import resolve
from curate.corpus import sample as module
from curate.corpus.config import TokensConfig
from curate.corpus.count import count_tokens
from curate.corpus.sample import Stratum
from curate.data.corpus import open_corpus
from curate.data.tokenizer import load


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Make blocks so small that a small corpus has many."""
    monkeypatch.setattr(module, "BLOCK_BYTES", 4096)


def corpus(documents: int = 3000, seed: int = 0) -> bytes:
    """Return documents whose lengths drift, so that neighbours are alike."""
    rng = random.Random(seed)
    words = [f"word{i}" for i in range(500)]
    lines = []
    for i in range(documents):
        size = int(5 + 30 * (1 + np.sin(i / 200)) * rng.random())
        lines.append(orjson.dumps({"id": i, "text": " ".join(rng.choices(words, k=size))}))
    return b"\n".join(lines) + b"\n"


@pytest.fixture(scope="module")
def tokenizer():
    """Return one tokenizer: loading it takes a second."""
    return load("o200k_base")


def estimate(path, tokenizer, **options):
    """Return the estimate of the tokens, and the share of blocks that was counted."""
    config, _ = resolve(TokensConfig, [("argument", options)])
    found = module.sample(open_corpus([str(path)]), [tokenizer], config)
    return found["estimates"]["o200k_base"], found["blocks"] / found["blocks_in_all"]


@pytest.mark.parametrize(("name", "pack"), [("c.jsonl", bytes), ("c.jsonl.gz", gzip.compress)])
def test_the_interval_holds_the_truth(tmp_path, tokenizer, name, pack):
    """Of 10 samples at 95 %, at least 7 hold the true count (fewer: 1 in 1,000 by chance), and none reads all."""
    path = tmp_path / name
    data = corpus(12_000)
    path.write_bytes(pack(data))
    truth = int(tokenizer.count(pl.Series([orjson.loads(line)["text"] for line in data.splitlines()])).sum())
    found = [estimate(path, tokenizer, sample="0.1", seed=str(seed)) for seed in range(10)]
    assert all(share < 0.6 for _, share in found)
    assert sum(interval["low"] <= truth <= interval["high"] for interval, _ in found) >= 7


def test_all_blocks_give_the_exact_count(tmp_path):
    """A share of 1 counts every document once, wherever blocks are cut."""
    path = tmp_path / "c.jsonl"
    path.write_bytes(corpus() + b'{"text": 3}\n{"text":""}\n')
    whole = count_tokens(str(path), dedup="none").report
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PRECISION", 0.0)
        report = count_tokens(str(path), sample="1").report
    assert report["tokens"]["total"] == whole["tokens"]["total"]
    for name in ("read", "unreadable", "empty"):
        assert report["documents"][name] == whole["documents"][name]
    assert (report["bytes"], report["characters"]) == (whole["bytes"], whole["characters"])
    assert report["documents"]["unique"] is report["tokens"]["unique"] is None


def test_it_stops_when_it_is_precise(tmp_path):
    """A corpus of equal documents needs no more than the least number of blocks."""
    path = tmp_path / "c.jsonl"
    path.write_bytes(b'{"text":"always the same words"}\n' * 60_000)
    found = count_tokens(str(path), sample="0.9").report["sample"]
    assert (found["stopped"], found["blocks"]) == ("precise enough", module.LEAST_BLOCKS)


def test_workers_leave_no_trace(tmp_path, tokenizer):
    """The same seed draws the same blocks for any number of workers."""
    path = tmp_path / "c.jsonl"
    path.write_bytes(corpus())
    found = [estimate(path, tokenizer, sample="0.1", workers=workers) for workers in ("1", "3")]
    assert found[0] == found[1]


def test_the_variance_is_that_of_the_textbook():
    """Ratio estimate and variance by hand for three blocks of ten."""
    sizes, tokens = np.array([10, 20, 30]), np.array([[12.0], [18.0], [36.0]])
    totals, variances = Stratum(10, 200, sizes, tokens).totals()
    ratio = 66 / 60
    rest = tokens[:, 0] - ratio * sizes
    assert np.isclose(totals[0], ratio * 200)
    assert np.isclose(variances[0], (200 / 20) ** 2 * (1 - 3 / 10) * (rest**2).sum() / 2 / 3)
