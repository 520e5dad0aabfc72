"""The passes over a corpus on the nodes of a cluster: who reads a span works on it, and the results come in its order.

This process holds no text. It takes in what was measured as it does when it reads by itself, so that all that follows
is the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from curate.corpus.held import Holding, Keeper
from curate.corpus.measure import Measure, Measured
from curate.data.corpus import Corpus
from curate.data.documents import Part
from curate.data.spans import Read, Span, SpanReader, cut, whole_stream
from curate.engine import ray
from curate.errors import changed


class SpanRead(NamedTuple):
    """A span that was read: with the number of its first line, what was found out, and its bundles."""

    span: Span
    read: Read
    bundles: int


class Finished(NamedTuple):
    """The last result for a span that was measured: what was found out, and how many records are held of it."""

    read: Read
    records: tuple[int, ...]


def measure_spans(
    corpus: Corpus, measure: Measure, spans: list[SpanRead], holding: Holding | None
) -> Iterator[Measured]:
    """Yield what workers measured of each bundle, in order; fill `spans`, and what reading it tells into `corpus`.

    With `holding` records and sets stay with the workers.
    """
    todo = cut(corpus)
    shared = _shared(corpus)
    lines: Counter[int] = Counter()  # of the ranges before, by source
    held: list[Any] = []
    done = bundles = 0
    state = partial(tuple, (shared, measure, holding is not None))
    for result in ray.stream_chunks(_measure, enumerate(todo), state):
        span = todo[len(spans)]
        if isinstance(result, Measured):
            bundles += 1
            for tokenizer, verified in zip(measure.tokenizers, result.verified, strict=True):
                tokenizer.heed(verified, "the sample")  # a worker's copy was compared
            yield _placed(result, done, lines[span.first])
        elif not isinstance(result, Finished):
            held.append(result)
        else:
            read = result.read
            if holding is not None:
                holding.take(held, result.records)
            spans.append(SpanRead(span._replace(line=lines[span.first] + 1), read, bundles))
            held, bundles = [], 0
            done += sum(stream.size for stream in read.streams.values())
            lines[span.first] += read.lines
            corpus.wanted |= read.wanted
            corpus.seen |= read.seen
            corpus.streams |= read.streams
    parted = sorted({span.first for span in todo if span.stop is not None})
    streams = ray.map_chunks(whole_stream, [shared.items[source] for source in parted], workers=1)
    corpus.streams |= zip(parted, streams, strict=True)


def _measure(numbered: tuple[int, Span], state: tuple[Corpus, Measure, bool]) -> Iterator[Any]:
    """Measure the bundles of a span, in a worker."""
    (number, span), (corpus, measure, hold) = numbered, state
    reader, keeper = SpanReader(corpus, span), Keeper(number)
    for bundle in reader.bundles():
        measured = measure(bundle)
        if hold:
            measured = keeper.keep(measured)
        yield measured.without_starts()
    held, counts = keeper.tables()
    if hold:
        yield from map(ray.Held, held)
    yield Finished(reader.found, counts)


def _placed(measured: Measured, done: int, lines: int) -> Measured:
    """Return what was measured with its place in the whole corpus instead of the one in its span."""
    return measured._replace(
        done=done + measured.done,
        lines_before=lines,
        unreadable=measured.unreadable.with_columns(pl.col("line") + lines),
    )


def reread_spans(
    corpus: Corpus, spans: list[SpanRead], work: Callable[[list[Part], Any], Any], facts: Iterator[Any]
) -> Iterator[Any]:
    """Yield `work(bundle, fact)` for each bundle, in order; `facts` gives the fact for each.

    Raises CurateError where a file is no longer what was read the first time.
    """
    todo = ((done.span, [next(facts) for _ in range(done.bundles)]) for done in spans)
    before = iter(spans)
    for result in ray.stream_chunks(_reread, todo, partial(tuple, (_shared(corpus), work))):
        if not isinstance(result, Read):
            yield result
            continue
        for index, stream in next(before).read.streams.items():
            if result.streams[index].sha256 != stream.sha256:
                raise changed(stream.name)


def _reread(chunk: tuple[Span, list[Any]], held: tuple[Corpus, Callable[[list[Part], Any], Any]]) -> Iterator[Any]:
    span, facts = chunk
    reader = SpanReader(held[0], span)
    for bundle, fact in zip(reader.bundles(), facts, strict=False):
        yield held[1](bundle, fact)
    yield reader.found


def _shared(corpus: Corpus) -> Corpus:
    """Return what workers need to know of a corpus; files are named as from anywhere."""
    items = [
        item._replace(value=Path(item.value).absolute()) if item.kind == "file" else item for item in corpus.items
    ]  # fmt: skip
    return replace(corpus, items=items, notes=[], streams={}, seen=set())
