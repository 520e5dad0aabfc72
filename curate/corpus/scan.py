"""The one pass over the text of a corpus: every document is measured, what later steps need is kept as numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import numpy as np
import polars as pl

from curate.corpus.clusters import DuplicateIndex
from curate.corpus.config import TokensConfig
from curate.corpus.forecast import Budget, Forecast, Probe
from curate.corpus.held import Holding
from curate.corpus.lines import LineIndex
from curate.corpus.measure import SHORT_LINE, Measure, Measured
from curate.corpus.pieces import kept_measure
from curate.corpus.spread import SpanRead, measure_spans
from curate.corpus.table import DocumentTable, packed
from curate.data.corpus import Corpus, bytes_of
from curate.data.documents import Part, read_parts
from curate.data.spans import size_of
from curate.data.tokenizer import CHECK_CHARACTERS, CHECK_DOCUMENTS, Verified
from curate.engine import LOCAL
from curate.engine.threads import ahead, map_threads
from curate.report.progress import Stages

CHECK_BYTES = 32 << 20  # of documents that are held, at most, while the tokenizers are compared


@dataclass
class Scan:
    """What a pass over a corpus left: numbers of each document, and the indexes of duplicates and lines.

    `spans` are those that the workers of a cluster read; none where this process read the corpus.

    In `index` the documents of --against come first: document i of the table is `base` + i there. `firsts` are the
    numbers of the first document of each bundle. `doubtful` are the tokenizers whose fast engine was found to differ
    from its reference after it had counted. `unreadable` counts records by (source, reason), `first_line` names
    where a reason was first met.
    """

    table: DocumentTable
    index: DuplicateIndex | None
    lines: LineIndex | None
    paragraphs: LineIndex | None
    base: int = 0
    firsts: list[int] = field(default_factory=list)
    spans: list[SpanRead] = field(default_factory=list)
    verified: list[Verified] = field(default_factory=list)
    doubtful: set[int] = field(default_factory=set)
    mended: Counter[tuple[int, str]] = field(default_factory=Counter)
    unreadable: Counter[tuple[int, str]] = field(default_factory=Counter)
    first_line: dict[tuple[int, str], int] = field(default_factory=dict)
    forecast: Forecast | None = None


def scan(
    corpus: Corpus, measure: Measure, directory: Path, index: DuplicateIndex | None, plan: Budget,
    config: TokensConfig, stages: Stages,
) -> Scan:  # fmt: skip
    """Read the corpus once, by threads or by the workers of a cluster, and return what was measured.

    Bundles that are kept from an interrupted run are read, and not measured again.
    """
    duplicates = index is not None
    found = Scan(
        DocumentTable(directory),
        index,
        LineIndex(plan.lines * 2 // 3, directory, SHORT_LINE) if duplicates else None,
        LineIndex(plan.lines // 3, directory, SHORT_LINE) if duplicates else None,
        index.documents if index else 0,
        verified=[Verified() for _ in measure.tokenizers],
    )
    total = corpus.total_bytes()
    if config.engine == LOCAL:
        bundles = _checked(ahead(corpus.bundles(), 1), measure, found)
        work = kept_measure(measure, stages.kept)
        results = map_threads(
            work,
            enumerate(bundles),
            config.workers,
            lambda numbered: bytes_of(numbered[1]),
            corpus.at_work(config.workers),
        )
    else:
        holding = _holding(found, size_of(corpus), config, plan, directory)
        next(_checked(replace(corpus, streams={}, wanted={}, seen=set()).bundles(), measure, found), None)
        results = measure_spans(corpus, measure, found.spans, holding)
    probe = Probe(None if stages.kept.resumed else total, plan, directory)  # what is kept tells nothing of the rest
    for measured in results:
        _take_in(found, measured)
        stages.advance(measured.done, total)
        if forecast := probe.see(measured):
            stages.say(str(forecast))
    found.forecast = probe.forecast
    return found


def _holding(found: Scan, size: int, config: TokensConfig, plan: Budget, directory: Path) -> Holding | None:
    """Let records stay with the workers where those of files of `size` bytes would not fit here (None: they come)."""
    if found.index is None or config.dedup != "near" or config.against or config.save_index:
        return None
    assert found.lines is not None and found.paragraphs is not None  # noqa: PT018
    if size < plan.duplicates + plan.lines:  # about a byte of records for each byte of text
        return None
    return Holding(found.index, found.lines, found.paragraphs, directory)


def _checked(bundles: Iterator[list[Part]], measure: Measure, found: Scan) -> Iterator[list[Part]]:
    """Yield the bundles, once the tokenizers were compared with their references on the first documents."""
    held: list[list[Part]] = []
    texts: list[str] = []
    size = 0
    for bundle in bundles if measure.tokenizers else ():
        held.append(bundle)
        text = read_parts(bundle).frame["text"].head(CHECK_DOCUMENTS)
        heads = text.str.head(CHECK_CHARACTERS).to_list()  # a column would keep the whole texts
        for head, length in zip(heads, text.str.len_bytes().to_list(), strict=True):
            if len(texts) < CHECK_DOCUMENTS and size < CHECK_BYTES:  # whatever a bundle holds
                texts.append(head)
                size += length
        if len(texts) >= CHECK_DOCUMENTS or size >= CHECK_BYTES:
            break
    for number, tokenizer in enumerate(measure.tokenizers):
        if texts:
            found.verified[number] += tokenizer.check(pl.Series("text", texts, dtype=pl.String))
    yield from chain(held, bundles)


def _take_in(found: Scan, measured: Measured) -> None:
    table, first = found.table, found.table.documents
    found.firsts.append(first)
    if measured.names is not None:
        table.append_part("names", measured.names, measured.lines_before)
    if not measured.unreadable.is_empty():
        table.append_part("unreadable", packed(measured.unreadable))
        for source, line, reason in measured.unreadable.select("source", "line", "reason").iter_rows():
            found.unreadable[source, reason] += 1
            found.first_line.setdefault((source, reason), line)
    if measured.signed is not None:
        assert found.index is not None
        assert found.lines is not None and found.paragraphs is not None  # noqa: PT018
        assert measured.lines is not None and measured.paragraphs is not None  # noqa: PT018
        empty = np.flatnonzero(measured.numbers["empty"])  # no duplicates of each other: a hash of their own
        measured.signed.exact[empty, 0] = (first + empty).astype(np.uint64) << np.uint64(32)
        measured.signed.exact[empty, 1] = np.uint64(2**64 - 1)
        found.index.add(measured.signed)
        found.lines.add(measured.lines)
        found.paragraphs.add(measured.paragraphs)
        measured.numbers["line_sizes"] = measured.lines.sizes
        measured.numbers["paragraph_sizes"] = measured.paragraphs.sizes
    table.append(measured.numbers)
    found.mended += measured.mended
    found.verified = [before + new for before, new in zip(found.verified, measured.verified, strict=True)]
    found.doubtful |= {number for number, verified in enumerate(measured.verified) if verified.mismatches}
