"""A saved index drops from a later corpus what the earlier one has."""

from __future__ import annotations

import json
import random

import numpy as np
import polars as pl
import pytest

from curate.corpus.clusters import DuplicateIndex
from curate.corpus.minhash import MinHashParameters, sign
from curate.corpus.saved_index import load_index, save_index
from curate.corpus.text import buffers
from curate.errors import CurateError, UsageError

DEFAULTS = MinHashParameters()


def page(name: str, words: int = 60) -> str:
    return " ".join(f"{name}{i}" for i in range(words))


def index_of(*texts: str, **options) -> DuplicateIndex:
    index = DuplicateIndex(DEFAULTS, **options)
    index.add(sign(*buffers(pl.Series(texts)), DEFAULTS))
    return index


@pytest.fixture
def saved(tmp_path):
    """Save an index of three pages and one empty text, one page of them twice."""
    index = index_of(page("a"), page("b"), page("a") + " more", "", page("c"))
    kept = index.clusters().kept
    assert kept.sum() == 4
    directory = tmp_path / "index"
    directory.mkdir()
    save_index(index, directory, kept)
    return directory


@pytest.mark.parametrize("memory", [0, 1 << 20])
def test_documents_of_an_earlier_corpus_are_dropped(saved, memory):
    """Exact and near copies of what was kept go, whatever their order; new texts stay."""
    index = DuplicateIndex(DEFAULTS, memory=memory)
    assert load_index(index, saved) == 4
    texts = [page("b"), page("d"), page("c") + " more", page("d") + " more", "", page("a", 61)]
    index.add(sign(*buffers(pl.Series(texts)), DEFAULTS))
    found = index.clusters(np.arange(10, dtype=np.uint32)[::-1])
    assert found.kept[:4].all()
    assert found.kept[4:].tolist() == [False, found.survivor[5] == 5, False, found.survivor[7] == 7, False, False]
    assert found.kept[[5, 7]].sum() == 1
    assert (found.survivor[[4, 6, 8, 9]] < 4).all()
    assert found.exact[4:].tolist() == [True, False, False, False, True, False]


@pytest.mark.parametrize("partition", [1, 1 << 20])
def test_an_index_can_be_saved_again(saved, tmp_path, partition, monkeypatch):
    """An index that was loaded and added to is saved with all that stayed, and loads like one made at once."""
    monkeypatch.setattr("curate.corpus.spill._PARTITION", partition)
    index = DuplicateIndex(DEFAULTS)
    load_index(index, saved)
    index.add(sign(*buffers(pl.Series([page("e"), page("a")])), DEFAULTS))
    again = tmp_path / "again"
    again.mkdir()
    save_index(index, again, index.clusters().kept)
    last = DuplicateIndex(DEFAULTS)
    assert load_index(last, again) == 5
    last.add(sign(*buffers(pl.Series([page("e") + " x", page("b") + " x", page("f")])), DEFAULTS))
    assert last.clusters().kept[5:].tolist() == [False, False, True]


def test_an_index_that_does_not_fit(saved, tmp_path):
    """No index, a damaged one, other parameters, another version, or documents before it: said, with what to do."""
    with pytest.raises(CurateError, match="is no saved index"):
        load_index(DuplicateIndex(DEFAULTS), tmp_path)
    with pytest.raises(CurateError, match="ngram 5, but this run needs 3"):
        load_index(DuplicateIndex(MinHashParameters(ngram=3)), saved)
    with pytest.raises(UsageError, match="1 documents were added before"):
        load_index(index_of("x"), saved)
    header = json.loads((saved / "index.json").read_text())
    (saved / "index.json").write_text(json.dumps(header | {"version": 99}))
    with pytest.raises(CurateError, match="version 99"):
        load_index(DuplicateIndex(DEFAULTS), saved)
    (saved / "index.json").write_text(json.dumps(header))
    with (saved / "shingles.bin").open("ab") as file:
        file.write(b"1234")
    with pytest.raises(CurateError, match=r"shingles\.bin has"):
        load_index(DuplicateIndex(DEFAULTS), saved)


def test_the_bytes_do_not_depend_on_memory(tmp_path):
    """Documents that share a key are written in their order, whatever was on disk and how often it was sorted."""
    parameters = MinHashParameters(ngram=1, bands=4, rows=1, threshold=1.0)
    draw = random.Random(0)
    texts = pl.Series([" ".join(draw.choices([f"w{i}" for i in range(40)], k=12)) for _ in range(400)])
    written = []
    for memory, times in ((0, 1), (5_000, 1), (1 << 30, 1), (1 << 30, 2)):
        index = DuplicateIndex(parameters, memory=memory)
        for start in range(0, len(texts), 60):
            index.add(sign(*buffers(texts[start : start + 60]), parameters))
        for _ in range(times):
            kept = index.clusters().kept
        directory = tmp_path / str(len(written))
        directory.mkdir()
        save_index(index, directory, kept)
        written.append({path.name: path.read_bytes() for path in directory.iterdir()})
    assert written[0] == written[1] == written[2] == written[3]
    assert kept.sum() > 350
