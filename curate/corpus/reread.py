"""A second pass over the corpus, for what needs the text again: writing, and counting without repeated lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise, starmap
from typing import TypeVar

import numpy as np
import polars as pl

from curate.corpus.levels import Repetition
from curate.corpus.lines import split_lines, without_lines
from curate.corpus.scan import Scan
from curate.corpus.text import I64, Bool, buffers
from curate.data.corpus import Corpus
from curate.data.documents import Documents, Part, read_parts
from curate.data.tokenizer import Tokenizer
from curate.engine.threads import ahead, map_threads
from curate.errors import CurateError

T = TypeVar("T")


def reread(
    corpus: Corpus, found: Scan, work: Callable[[list[Part], slice], T], workers: int, *, all_columns: bool = False
) -> Iterator[T]:
    """Yield `work(bundle, documents)` for each bundle of the corpus, in order; `documents` are the numbers of its own.

    Raises CurateError where a file is no longer what was read the first time.
    """
    again = replace(corpus, streams={}, all_columns=all_columns)
    documents = starmap(slice, pairwise([*found.firsts, found.table.documents]))
    numbered = zip(ahead(again.bundles(), 1), documents, strict=False)
    yield from map_threads(lambda pair: work(*pair), numbered, workers)
    for index, stream in corpus.streams.items():
        if index not in again.streams or again.streams[index].sha256 != stream.sha256:
            raise _changed(stream.name)


def read_again(bundle: list[Part], numbers: slice, corpus: Corpus, names: Sequence[str] | None = None) -> Documents:
    """Read a bundle as the first time: CurateError where it does not hold the documents with these numbers."""
    documents = read_parts(bundle, names)
    if documents.frame.height != numbers.stop - numbers.start:
        raise _changed(", ".join(sorted({corpus.items[part.source].name for part in bundle})))
    return documents


def _changed(name: str) -> CurateError:
    return CurateError(f"{name} was changed while it was read", "Run again once it is complete.")


def recount(
    corpus: Corpus, found: Scan, lines: Repetition | None, tokenizer: Tokenizer, eos: bool, workers: int
) -> I64:
    """Count the tokens of each document again, without its repeated `lines`."""

    def work(bundle: list[Part], documents: slice) -> I64:
        text = read_again(bundle, documents, corpus).frame["text"]
        if lines is not None:
            text = without_repeated(text, lines.repeated.of(documents.start, documents.stop))
        counts, _ = tokenizer.count_verified(text)
        return counts + eos

    return np.concatenate([np.zeros(0, np.int64), *reread(corpus, found, work, workers)])


def without_repeated(text: pl.Series, marks: Bool) -> pl.Series:
    """Return the texts without the lines marked."""
    import pyarrow as pa

    data, offsets = buffers(text)
    data, offsets = without_lines(data, offsets, split_lines(data, offsets), marks)
    array = pa.LargeStringArray.from_buffers(len(text), pa.py_buffer(offsets), pa.py_buffer(data))
    left = pl.from_arrow(array)
    assert isinstance(left, pl.Series)
    return left
