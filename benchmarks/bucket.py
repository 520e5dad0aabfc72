"""What clusters take of memory where nearly all documents share their band keys, as texts of one template may do.

    python benchmarks/bucket.py --documents 3e6 10e6

Signatures are made up: nineteen documents in twenty have the same two band keys, and five shingles that are the same
too. Prints the most that arrays held while clusters were formed (tracemalloc), under a memory of 64 MB.
"""

from __future__ import annotations

import argparse
import time
import tracemalloc

import numpy as np

from curate.corpus.clusters import DuplicateIndex
from curate.corpus.minhash import MinHashParameters, Signed

BANDS, STEP, ALONE = 2, 20_000, 0.05


def filled(documents: int) -> DuplicateIndex:
    """Return an index of made-up signatures; the same for the same number."""
    rng = np.random.default_rng(1)
    index = DuplicateIndex(MinHashParameters(5, BANDS, 8), 64 << 20)
    for _ in range(0, documents, STEP):
        own = rng.integers(0, 2**60, (STEP, BANDS)).astype(np.uint64)
        keys = np.where(rng.random((STEP, 1)) < ALONE, own, np.uint64(7 * 10**15))
        exact = rng.integers(0, 2**63, (STEP, 2)).astype(np.uint64)
        ones = np.ones(STEP, np.int64)
        shingles = np.tile(np.arange(5, dtype=np.uint32), STEP)
        offsets = np.arange(0, 5 * STEP + 1, 5, dtype=np.int64)
        script = np.zeros(STEP, np.int8)
        keys += np.arange(BANDS, dtype=np.uint64) << np.uint64(60)
        index.add(Signed(exact, keys, shingles, offsets, ones, ones, script))
    return index


def main() -> None:
    """Print a row for each number of documents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=float, nargs="+", default=[3e6, 10e6])
    for documents in map(int, parser.parse_args().documents):
        index = filled(documents)
        order = np.arange(index.documents, dtype=np.uint32)
        tracemalloc.start()
        start = time.perf_counter()
        kept = int(index.clusters(order).kept.sum())
        seconds, (_, most) = time.perf_counter() - start, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        each = f"{most / documents:.1f} bytes each"
        print(f"{documents:>12,} {most / 1e6:>8.0f} MB {each:>18} {kept:>9,} kept {seconds:>6.1f} s", flush=True)


if __name__ == "__main__":
    main()
