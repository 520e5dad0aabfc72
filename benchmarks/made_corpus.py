"""A corpus of any size for benchmarks: real words in new documents, with planted exact and near copies.

Documents are made of fragments (6 to 14 words in a row) of the real texts, so that words and letters are those of real
text while no two documents are alike by accident. Of every 20 documents, one is an exact copy of an earlier one, and
two are copies with a share of their words exchanged; what was planted stands in the field `planted`.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson

DATA = Path(os.environ.get("CURATE_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
ENGLISH = (
    "corpus/en_powershell_docs_3_versions.jsonl.gz", "corpus/spdx_licenses.jsonl.gz", "corpus/wikitext2_valid.txt.gz",
    "instruct/alpaca_data_52k.jsonl.gz",
)  # fmt: skip
CHINESE = ("corpus/zh_tidb_docs.jsonl.gz", "corpus/zh_admin_regulations.jsonl.gz", "instruct/alpaca_zh.jsonl.gz")


def real_texts(files: tuple[str, ...]) -> Iterator[str]:
    for name in files:
        with gzip.open(DATA / name, "rt", encoding="utf-8") as file:
            for line in file:
                if name.endswith(".txt.gz"):
                    yield line
                    continue
                record = orjson.loads(line)
                yield " ".join(record[key] for key in ("text", "licenseText", "instruction", "output") if key in record)


def fragments(files: tuple[str, ...], rng: np.random.Generator) -> list[str]:
    """Cut the real texts into fragments: of 6 to 14 words, or of 10 to 30 characters of Chinese."""
    cut: list[str] = []
    for text in real_texts(files):
        pieces = list(text) if files == CHINESE else text.split()
        joint, low, high = ("", 10, 30) if files == CHINESE else (" ", 6, 14)
        at = 0
        while at < len(pieces):
            size = int(rng.integers(low, high + 1))
            cut.append(joint.join(pieces[at : at + size]))
            at += size
    return cut


def documents(size: int, chinese: bool = False, seed: int = 0) -> Iterator[dict[str, object]]:
    """Yield documents of about `size` bytes together, 3 KB each on average (log-normal lengths)."""
    rng = np.random.default_rng(seed)
    pool = fragments(CHINESE if chinese else ENGLISH, rng)
    mean = sum(len(text.encode()) for text in pool[:10_000]) / 10_000 + 1
    recent: list[list[str]] = []
    made = number = 0
    while made < size:
        kind = number % 20
        planted = ""
        if kind == 7 and recent:
            parts, planted = recent[int(rng.integers(len(recent)))], "exact"
        elif kind in (11, 15) and recent:
            share = float(rng.uniform(0.01, 0.15))
            old = recent[int(rng.integers(len(recent)))]
            swap = rng.random(len(old)) < share
            other = rng.integers(len(pool), size=len(old))
            parts = [pool[o] if s else part for part, s, o in zip(old, swap.tolist(), other.tolist(), strict=True)]
            planted = "near"
        else:
            count = max(1, int(rng.lognormal(7.6, 0.9) / mean))
            parts = [pool[i] for i in rng.integers(len(pool), size=count).tolist()]
            recent.append(parts)
            if len(recent) > 2000:
                recent[int(rng.integers(2000))] = recent.pop()
        joint = "" if chinese else " "
        lines = [joint.join(parts[i : i + 2]) for i in range(0, len(parts), 2)]
        text = "\n".join(line + "\n" if i % 5 == 4 else line for i, line in enumerate(lines))
        yield {"id": f"d{number}", "text": text, "planted": planted}
        made += len(text.encode())
        number += 1


def write(path: Path, size: int, chinese: bool = False, seed: int = 0) -> Path:
    """Write a corpus of `size` bytes of text as JSON lines, unless it is there already."""
    if not path.exists():
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            for document in documents(size, chinese, seed):
                file.write(orjson.dumps(document) + b"\n")
        partial.rename(path)
    return path
