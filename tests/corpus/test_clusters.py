"""Clusters and survivors: against brute force, for any order and memory, and on real corpora."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter, defaultdict
from itertools import combinations

import numpy as np
import polars as pl
import pytest

from curate.corpus import clusters as module
from curate.corpus.clusters import DuplicateIndex, find_duplicates
from curate.corpus.minhash import MinHashParameters, Signed, sign
from curate.corpus.reference import jaccard_reference
from curate.corpus.text import buffers
from curate.errors import UsageError

# One row a band: nearly every pair is a candidate, so the threshold alone decides.
MANY_CANDIDATES = MinHashParameters(ngram=2, bands=12, rows=1, threshold=0.5)
DEFAULTS = MinHashParameters()


def families(seed: int, count: int = 120) -> list[str]:
    """Return texts in families whose members differ by a few words, some of them copies, empty or short."""
    generator = random.Random(seed)
    texts = []
    while len(texts) < count:
        words = [f"w{generator.randrange(300)}" for _ in range(generator.choice([1, 3, 12, 40]))]
        for _ in range(generator.choice([1, 1, 2, 5, 20])):
            edited = list(words)
            for _ in range(generator.randrange(1 + len(words) // 4)):
                edited[generator.randrange(len(words))] = f"w{generator.randrange(300)}"
            texts.append(generator.choice([" ", "  "]).join(edited))
    texts += ["", " ", "!?", "!?"]
    generator.shuffle(texts)
    return texts


def signed(texts: list[str], parameters: MinHashParameters) -> Signed:
    return sign(*buffers(pl.Series(texts, dtype=pl.String)), parameters)


def indexed(texts, parameters, chunk=1000, **options):
    index = DuplicateIndex(parameters, **options)
    for start in range(0, len(texts), chunk):
        index.add(signed(texts[start : start + chunk], parameters))
    return index


def brute_force(s: Signed, rank: list[int], threshold: float) -> list[int]:
    """Return the survivor of each document: components of the candidate pairs that are similar, the best of each."""
    n = len(s)
    survivor = list(range(n))
    sets = [part.tolist() for part in np.split(s.shingles, s.shingle_offsets[1:-1])]

    def unite(a: int, b: int) -> None:
        old, new = sorted((survivor[a], survivor[b]), key=rank.__getitem__, reverse=True)
        survivor[:] = [new if x == old else x for x in survivor]

    for a, b in combinations(range(n), 2):
        same = (s.exact[a] == s.exact[b]).all()
        candidates = sets[a] and sets[b] and (s.keys[a] == s.keys[b]).any()
        if same or (candidates and jaccard_reference(sets[a], sets[b]) >= threshold):
            unite(a, b)
    return survivor


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("parameters", [MANY_CANDIDATES, MinHashParameters(ngram=2, bands=6, rows=3), DEFAULTS])
def test_brute_force(seed, parameters):
    """Every candidate pair at or above the threshold is merged, none below it, and the best of each cluster stays."""
    texts = families(seed)
    s = signed(texts, parameters)
    order = np.random.default_rng(seed).permutation(len(texts)).astype(np.uint32)
    found = indexed(texts, parameters).clusters(order)
    rank = np.argsort(order).tolist()
    assert found.survivor.tolist() == brute_force(s, rank, parameters.threshold)
    assert found.unchecked == 0
    assert found.candidates == found.merged + found.false
    copies = Counter(map(tuple, s.exact.tolist()))
    assert found.exact.sum() == sum(copies.values()) - len(copies)


@pytest.mark.parametrize("parameters", [MANY_CANDIDATES, DEFAULTS])
def test_order_chunks_workers_and_memory_change_nothing(parameters, tmp_path):
    """Survivors, named by their keys, and all counts are the same for other orders, chunks, threads and on disk."""
    texts = families(7, 400)
    keys = np.random.default_rng(1).permutation(len(texts))

    def outcome(order, chunk, workers, **options):
        index = indexed([texts[i] for i in order], parameters, chunk, **options)
        found = index.clusters(np.argsort(keys[order]).astype(np.uint32), workers)
        by_key = dict(zip(keys[order].tolist(), keys[order][found.survivor].tolist(), strict=True))
        exact = set(keys[order][found.exact].tolist())
        return (by_key, exact, found.candidates, found.merged, found.unchecked), index

    straight = list(range(len(texts)))
    shuffled = random.Random(0).sample(straight, len(straight))
    expected, in_memory = outcome(straight, 1000, 1)
    assert in_memory.spilled == 0
    assert outcome(shuffled, 7, 3)[0] == expected
    small, on_disk = outcome(shuffled, 16, 2, memory=20_000, directory=tmp_path)
    assert small == expected
    assert min(on_disk.records.spilled, on_disk.sets.spilled) > 10_000


@pytest.mark.parametrize("partition", [1, 64])
def test_partitions_change_nothing(partition, monkeypatch):
    """Records that come back in many partitions, or in some that are far too large, give the same clusters."""
    texts = families(3, 300)
    texts += texts[:3] * 50
    expected = indexed(texts, MANY_CANDIDATES).clusters().survivor
    monkeypatch.setattr("curate.corpus.spill._PARTITION", partition)
    assert (indexed(texts, MANY_CANDIDATES).clusters().survivor == expected).all()
    assert (indexed(texts, MANY_CANDIDATES, memory=9000).clusters().survivor == expected).all()


def test_pairs_in_small_bundles_change_no_cluster(monkeypatch):
    """Comparing a few pairs at a time, unions in between, gives the same clusters."""
    texts = families(4, 300)
    expected = indexed(texts, MANY_CANDIDATES).clusters().survivor
    monkeypatch.setattr(module, "_PAIRS", 400)
    assert (indexed(texts, MANY_CANDIDATES).clusters().survivor == expected).all()


def test_templates_are_counted_not_hidden(monkeypatch):
    """In a bucket too large to compare all pairs, what is merged is right, and pairs not compared are counted."""
    texts = families(5, 300)
    everything = indexed(texts, MANY_CANDIDATES).clusters()
    monkeypatch.setattr(module, "_EXHAUSTIVE", 3)
    monkeypatch.setattr(module, "_LEADERS", 2)
    some = indexed(texts, MANY_CANDIDATES).clusters()
    assert some.unchecked > 0
    assert (everything.survivor[some.survivor] == everything.survivor).all()
    assert some.kept.sum() >= everything.kept.sum()


def test_a_chain_is_one_cluster_with_one_survivor():
    """Each text is like the next one only; all are one cluster, and its best document stays."""
    words = [f"w{i}" for i in range(120)]
    texts = [" ".join(words[i * 8 : i * 8 + 60]) for i in range(8)]
    found = find_duplicates(pl.Series(texts), MinHashParameters(ngram=1, bands=40, rows=1, threshold=0.7))
    assert jaccard_reference(list(range(60)), list(range(56, 116))) < 0.1
    assert found.kept.sum() == 1
    assert len(set(found.survivor.tolist())) == 1


def test_the_first_in_order_survives():
    """The survivor of copies and of near-duplicates is the one that comes first in the order given."""
    text = " ".join(f"word{i}" for i in range(50))
    texts = [text, text + " ", text + " end", "another text altogether it is"]
    found = find_duplicates(pl.Series(texts), DEFAULTS, np.array([2, 1, 0, 3], np.uint32))
    assert found.survivor.tolist() == [2, 2, 2, 3]
    assert found.exact.tolist() == [True, False, False, False]
    assert found.kept.tolist() == [False, False, True, True]


@pytest.mark.parametrize("texts", [[], [""], ["", ""], ["one"], ["same"] * 9, ["a", "b", "c"]])
def test_few_equal_and_unlike_texts(texts):
    """No texts, one, all the same and none the same: one survivor for each distinct text."""
    found = find_duplicates(pl.Series(texts, dtype=pl.String), DEFAULTS)
    assert found.kept.sum() == len(set(texts))
    assert found.exact.sum() == len(texts) - len(set(texts))


def test_wrong_lengths_are_refused():
    """An order of another number of documents than were added is refused with both numbers."""
    index = indexed(["a", "b"], DEFAULTS)
    with pytest.raises(UsageError, match=r"order is of shape \(3,\), but 2 documents"):
        index.clusters(np.arange(3, dtype=np.uint32))


# Real corpora


def records(path):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def pairs(labels) -> set[tuple[int, int]]:
    groups = defaultdict(list)
    for i, label in enumerate(labels):
        groups[label].append(i)
    return {pair for group in groups.values() for pair in combinations(group, 2)}


def test_versions_of_a_page(shared_data):
    """PowerShell pages: 785 distinct of 787; clusters hold versions of one page only, and nine pairs of ten of them."""
    rows = records(shared_data / "corpus" / "en_powershell_docs_3_versions.jsonl.gz")
    found = find_duplicates(pl.Series([row["text"] for row in rows]), DEFAULTS, workers=2)
    assert (~found.exact).sum() == 785
    truth, merged = pairs([row["_page"] for row in rows]), pairs(found.survivor.tolist())
    assert merged <= truth
    assert len(merged) >= 0.9 * len(truth)
    assert found.unchecked == 0


def test_versions_of_a_regulation(shared_data):
    """Chinese regulations: what is merged is one title in several versions; the rest is below the threshold."""
    rows = records(shared_data / "corpus" / "zh_admin_regulations.jsonl.gz")
    found = find_duplicates(pl.Series([row["text"] for row in rows]), DEFAULTS)
    truth, merged = pairs([row["_title"] for row in rows]), pairs(found.survivor.tolist())
    s = signed([row["text"] for row in rows], DEFAULTS)
    sets = [part.tolist() for part in np.split(s.shingles, s.shingle_offsets[1:-1])]
    similar = {(a, b) for a, b in truth if jaccard_reference(sets[a], sets[b]) >= DEFAULTS.threshold}
    assert merged <= truth
    assert len(merged & similar) >= 0.9 * len(similar)


def test_licences(shared_data):
    """SPDX licences: 638 distinct of 681 once white space is collapsed; a family survives as one of its members."""
    rows = records(shared_data / "corpus" / "spdx_licenses.jsonl.gz")
    found = find_duplicates(pl.Series([row["licenseText"] for row in rows]), DEFAULTS)
    assert (~found.exact).sum() == 638
    by_name = {row["id"]: i for i, row in enumerate(rows)}
    assert found.survivor[by_name["GPL-2.0-only"]] == found.survivor[by_name["GPL-2.0-or-later"]]
    assert found.survivor[by_name["MIT"]] != found.survivor[by_name["Apache-2.0"]]


def test_instructions_are_not_lost(shared_data):
    """Alpaca's 52,002 instructions are all different, and the exact level drops none."""
    rows = records(shared_data / "instruct" / "alpaca_data_52k.jsonl.gz")
    s = signed([row["instruction"] for row in rows], DEFAULTS)
    assert len(np.unique(s.exact, axis=0)) == len(rows)


def test_pairs_judged_by_people(shared_data):
    """Of 99 pairs of web pages, one at most that people call different is merged, and three in five of the alike."""
    rows = records(shared_data / "pairs" / "near_dup_web_pairs.jsonl.gz")
    alike = np.array([int(row["label"]) >= 1 for row in rows])
    merged = np.array([find_duplicates(pl.Series([r["text_a"], r["text_b"]]), DEFAULTS).kept.sum() == 1 for r in rows])
    assert (merged & ~alike).sum() <= 1
    assert (merged & alike).sum() >= 0.6 * alike.sum()
