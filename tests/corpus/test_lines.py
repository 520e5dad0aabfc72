"""Lines and paragraphs: what they are, which repeat, and texts without them."""

from __future__ import annotations

import random
import tracemalloc
from itertools import chain, pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.corpus import spill
from curate.corpus.lines import LineIndex, Lines, split_lines, split_paragraphs, without_lines
from curate.corpus.text import buffers
from curate.errors import UsageError

WHITE = " \t\r\v\f"
TEXT = st.text(st.sampled_from("ab\n\n \r\t中"), max_size=60)
TEXTS = st.lists(TEXT, max_size=6)


def split(texts):
    data, offsets = buffers(pl.Series(texts, dtype=pl.String))
    return data, offsets, split_lines(data, offsets)


def lines_of(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []


def strings(data, offsets) -> list[str]:
    return [data[a:b].tobytes().decode() for a, b in pairwise(offsets)]


@settings(deadline=None, max_examples=80)
@given(TEXTS)
def test_lines_are_those_between_line_feeds(texts):
    """Each line is found at its place; equal hashes mean equal text without the white space around."""
    data, offsets, lines = split(texts)
    expected = [line for text in texts for line in lines_of(text)]
    stripped = [line.strip(WHITE) for line in expected]
    assert np.diff(lines.offsets).tolist() == [len(lines_of(text)) for text in texts]
    assert lines.sizes.tolist() == [len(line.encode()) for line in stripped]
    stops = np.repeat(offsets[1:], np.diff(lines.offsets)).tolist()
    places = zip(lines.starts.tolist(), stops, strict=True)
    assert [data[start:stop].tobytes().decode().split("\n")[0] for start, stop in places] == expected
    hashes = lines.hashes.tolist()
    assert len(set(hashes)) == len(set(stripped)) == len(set(zip(hashes, stripped, strict=True)))


@settings(deadline=None, max_examples=80)
@given(TEXTS)
def test_paragraphs_are_blocks_between_blank_lines(texts):
    """Equal hashes mean the same lines in the same order; together the paragraphs of a text are all of it."""
    data, offsets, lines = split(texts)
    paragraphs = split_paragraphs(lines)
    expected = []
    for text in texts:
        blocks: list[list[str]] = [[]]
        for line in lines_of(text):
            blocks[-1].append(line.strip(WHITE)) if line.strip(WHITE) else blocks.append([])
        expected.append([tuple(block) for block in blocks if block])
    assert np.diff(paragraphs.offsets).tolist() == [len(blocks) for blocks in expected]
    flat = [block for blocks in expected for block in blocks]
    hashes = paragraphs.hashes.tolist()
    assert len(set(hashes)) == len(set(flat)) == len(set(zip(hashes, flat, strict=True)))
    assert paragraphs.sizes.tolist() == [sum(len(line.encode()) for line in block) for block in flat]
    kept, ends = without_lines(data, offsets, paragraphs, np.zeros(len(paragraphs), bool))
    whole = [text if blocks else "" for text, blocks in zip(texts, expected, strict=True)]
    assert strings(kept, ends) == whole


@settings(deadline=None, max_examples=80)
@given(TEXTS, st.randoms(use_true_random=False))
def test_texts_without_lines(texts, generator):
    """Lines marked to drop go with their line break, all others stay byte for byte."""
    data, offsets, lines = split(texts)
    drop = np.array([generator.random() < 0.5 for _ in range(len(lines))], dtype=bool)
    expected, marks = [], iter(drop.tolist())
    for text in texts:
        expected.append("".join(line for line in _with_breaks(text) if not next(marks)))
    assert strings(*without_lines(data, offsets, lines, drop)) == expected


def _with_breaks(text: str) -> list[str]:
    pieces = [line + "\n" for line in text.split("\n")]
    pieces[-1] = pieces[-1][:-1]
    return [piece for piece in pieces if piece]


@pytest.mark.parametrize("memory", [0, 1 << 20])
@pytest.mark.parametrize("least", [1, 2])
@pytest.mark.parametrize("partition", [1, 20, 1 << 20])
def test_repeated_lines(memory, least, partition, monkeypatch):
    """The line that stays is the first one of the best living document; blank and short lines never repeat."""
    monkeypatch.setattr(spill, "_PARTITION", partition)
    generator = random.Random(0)
    texts = ["\n".join(generator.choices(["a", "bb", " bb", "", "cc c", "dd", "中"], k=6)) for _ in range(60)]
    order = np.array(generator.sample(range(60), 60))
    rank = np.argsort(order).astype(np.uint32)
    alive = np.array([generator.random() < 0.8 for _ in range(60)])
    index = LineIndex(memory, least=least)
    for start in range(0, 60, 7):
        index.add(split(texts[start : start + 7])[2])
    repeated = index.repeated(rank, alive)
    seen, expected = set(), {}
    for document in order.tolist():
        expected[document] = []
        for line in lines_of(texts[document]):
            line = line.strip(WHITE)
            counts = alive[document] and len(line.encode()) >= least
            expected[document].append(bool(counts and line in seen))
            seen |= {line} if counts else set()
    assert [repeated.of(i, i + 1).tolist() for i in range(60)] == [expected[i] for i in range(60)]
    assert repeated.of(0, 60).tolist() == list(chain(*(expected[i] for i in range(60))))


@pytest.mark.parametrize("memory", [0, 1 << 30])
def test_a_line_that_all_documents_have(memory, monkeypatch):
    """Half a million equal lines take no more memory than others: what sorting those in the buffer takes."""
    monkeypatch.setattr(spill, "_PARTITION", 1 << 13)
    documents, chunk = 512, 1024  # lines each
    same = Lines(np.full(chunk, 7, np.uint64), np.full(chunk, 30, np.int32), np.arange(0), np.array([0, chunk]))
    index = LineIndex(memory)
    for _ in range(documents):
        index.add(same)
    rank = np.arange(documents, dtype=np.uint32)[::-1].copy()
    tracemalloc.start()
    try:
        repeated = index.repeated(rank, rank > 0)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4e6 + (48 * index.lines if memory else 0)  # it was 140 bytes a line; what is held is sorted at once
    stays = documents - 2  # the best one is not alive
    assert np.flatnonzero(~repeated.of(0, documents))[:1].tolist() == [stays * chunk]
    assert repeated.of(stays, stays + 1).sum() == chunk - 1


def test_wrong_lengths_are_refused():
    """Marks for another number of lines, or ranks of other documents, are refused with both numbers."""
    data, offsets, lines = split(["a\nb"])
    with pytest.raises(UsageError, match="1 marks were given for 2 lines"):
        without_lines(data, offsets, lines, np.zeros(1, bool))
    index = LineIndex()
    index.add(lines)
    with pytest.raises(UsageError, match="2 documents are ranked"):
        index.repeated(np.arange(2, dtype=np.uint32), np.ones(2, bool))
