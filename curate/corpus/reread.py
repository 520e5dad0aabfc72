"""A second pass over the corpus, for what needs the text again: writing, and counting without repeated lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise, starmap
from typing import NamedTuple, TypeVar

import numpy as np
import polars as pl

from curate.corpus.lines import Repeated, split_lines, without_lines
from curate.corpus.scan import Scan
from curate.corpus.spread import reread_spans
from curate.corpus.text import I64, Bool, buffers
from curate.data.corpus import Corpus, bytes_of
from curate.data.documents import Documents, Part, read_parts
from curate.data.tokenizer import Tokenizer
from curate.engine.threads import ahead, map_threads
from curate.errors import changed

T = TypeVar("T")


class Fate(NamedTuple):
    """What becomes of the documents of a bundle: of these `size` those `kept` stay, without the lines `repeated`."""

    size: int
    kept: Bool | None
    repeated: Bool | None


def reread(
    corpus: Corpus,
    found: Scan,
    work: Callable[[list[Part], Fate], T],
    fate: Callable[[slice], Fate],
    workers: int,
    *,
    all_columns: bool = False,
) -> Iterator[T]:
    """Yield `work(bundle, fate(documents))` for each bundle, in order; `documents` are the numbers of its own.

    Where the workers of a cluster read the corpus they do it again; `work` must pickle for that.
    Raises CurateError where a file is no longer what was read the first time.
    """
    again = replace(corpus, streams={}, all_columns=all_columns)
    documents = starmap(slice, pairwise([*found.firsts, found.table.documents]))
    if found.spans:
        yield from reread_spans(again, found.spans, work, map(fate, documents))
        return
    numbered = zip(ahead(again.bundles(), 1), documents, strict=False)
    yield from map_threads(
        lambda pair: work(pair[0], fate(pair[1])),
        numbered,
        workers,
        lambda pair: bytes_of(pair[0]),
        corpus.at_work(workers),
    )
    for index, stream in corpus.streams.items():
        if index not in again.streams or again.streams[index].sha256 != stream.sha256:
            raise changed(stream.name)


def read_again(bundle: list[Part], count: int, names: Sequence[str], *, raw: bool = True) -> Documents:
    """Read a bundle as the first time: CurateError where it does not hold `count` documents. names: of all sources."""
    documents = read_parts(bundle, names if raw else None)
    if documents.frame.height != count:
        raise changed(", ".join(sorted({names[part.source] for part in bundle})))
    return documents


def recount(corpus: Corpus, found: Scan, lines: Repeated | None, tokenizer: Tokenizer, eos: bool, workers: int) -> I64:
    """Count the tokens of each document again, without its repeated `lines`."""
    names = [item.name for item in corpus.items]
    count = partial(_count, names=names, tokenizer=tokenizer, eos=eos)
    counts = reread(corpus, found, count, partial(fate_of, kept=None, lines=lines), workers)
    return np.concatenate([np.zeros(0, np.int64), *counts])


def fate_of(documents: slice, kept: Bool | None, lines: Repeated | None) -> Fate:
    """Return the fate of some documents; `kept` is that of all (None: it does not matter), `lines` those to drop."""
    return Fate(
        documents.stop - documents.start,
        None if kept is None else kept[documents],
        None if lines is None else lines.of(documents.start, documents.stop),
    )


def _count(bundle: list[Part], fate: Fate, names: Sequence[str], tokenizer: Tokenizer, eos: bool) -> I64:
    text = read_again(bundle, fate.size, names, raw=False).frame["text"]
    counts, _ = tokenizer.count_verified(text if fate.repeated is None else without_repeated(text, fate.repeated))
    return counts + eos


def without_repeated(text: pl.Series, marks: Bool) -> pl.Series:
    """Return the texts without the lines marked."""
    import pyarrow as pa

    data, offsets = buffers(text)
    data, offsets = without_lines(data, offsets, split_lines(data, offsets), marks)
    array = pa.LargeStringArray.from_buffers(len(text), pa.py_buffer(offsets), pa.py_buffer(data))
    left = pl.from_arrow(array)
    assert isinstance(left, pl.Series)
    return left
