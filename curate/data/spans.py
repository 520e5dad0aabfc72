"""A corpus in spans, so that many machines read it at once: small files together, large JSON lines in ranges of bytes.

Decisions:
- What cannot be cut without being read (packed files, JSON arrays, tables, text files) is read whole by one worker.
- A line belongs to the range in which it begins. Lines are numbered from the beginning of their range, for nobody knows
  how many stand before it; who takes in the ranges in order adds that.
- A file is opened where it is read, under the same path: a disk that all nodes see, s3:// or hf://.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import BinaryIO, NamedTuple

from curate.data.columns import Wanted
from curate.data.corpus import Corpus, bundled, open_input, packing_of
from curate.data.documents import Part
from curate.data.files import BLOCK_BYTES, Input, PlainBytes, Stream
from curate.data.records import BOM, Piece, line_pieces
from curate.errors import CurateError, UsageError

SPAN_BYTES = 64 << 20
MOST_SPANS = 2000  # of a large corpus spans are longer: what is sorted is cut into as many parts as spans, squared


class Span(NamedTuple):
    """The sources from `first` to before `last`, or of one source the bytes from `start` to before `stop`.

    `line` is the number of the first line, 1 where it is not known yet.
    """

    first: int
    last: int
    start: int = 0
    stop: int | None = None
    line: int = 1


class Read(NamedTuple):
    """What was found out while a span was read: as the fields of `Corpus`; `lines` are those of a range."""

    streams: dict[int, Stream]
    wanted: dict[int, Wanted | None]
    seen: set[str]
    lines: int = 0


def cut(corpus: Corpus, span_bytes: int | None = None) -> list[Span]:
    """Cut a corpus into spans of about `span_bytes` (None: by its size), small files together.

    Where the text is in a file that is cut goes to `corpus.wanted`. Raises as `size_of`.
    """
    span_bytes = span_bytes or max(SPAN_BYTES, size_of(corpus) // MOST_SPANS)
    spans: list[Span] = []
    full = size = span_bytes + 1  # of the last span: to a full one nothing is added, not even an empty file
    for index, item in enumerate(corpus.items):
        more = _size(item)
        if more > span_bytes and (start := _first_line(corpus, index)) is not None:
            cuts = [start, *range(span_bytes, more, span_bytes), more]
            spans += [Span(index, index + 1, *ends) for ends in pairwise(cuts)]
            size = full
        elif size + more > span_bytes:
            spans.append(Span(index, index + 1))
            size = more
        else:
            spans[-1] = spans[-1]._replace(last=index + 1)
            size += more
    return spans


def size_of(corpus: Corpus) -> int:
    """Return the bytes of all files, as they are packed; UsageError for stdin, which other machines cannot read."""
    return sum(map(_size, corpus.items))


def _size(item: Input) -> int:
    if item.kind == "stdin":
        raise UsageError("- (stdin) cannot be read by the workers of a cluster", "Write it to a file first.")
    if item.kind == "object":
        return 0
    if item.kind == "hub":
        return SPAN_BYTES  # unknown: it has a span of its own
    import fsspec  # type: ignore[import-untyped]

    try:
        system, path = fsspec.core.url_to_fs(str(item.value))
        return int(system.size(path) or 0)
    except OSError as error:
        raise CurateError(f"{item.name}: cannot be read: {error.strerror or error}") from error


def _first_line(corpus: Corpus, index: int) -> int | None:
    """Return the byte where the lines of plain JSON lines begin, None for anything else."""
    item = corpus.items[index]
    with open_input(item) as file:
        if packing_of(item, file) != "plain":
            return None
    one = replace(corpus, items=[item], streams={}, wanted={})
    content = next(one.parts()).content
    if not isinstance(content, Piece) or content.spans is not None or content.fault is not None:
        return None
    corpus.wanted[index] = one.wanted[0]
    return content.offset


@dataclass
class SpanReader:
    """Reads a span; `found` is complete once the bundles are used up."""

    corpus: Corpus
    span: Span
    found: Read = field(init=False)

    def bundles(self) -> Iterator[list[Part]]:
        """Yield the parts of the span as `Corpus.bundles` does, with the numbers of the sources of the whole corpus."""
        parts = self._whole() if self.span.stop is None else self._range(self.span.stop)
        return bundled(parts, self.corpus.chunk_bytes)

    def _whole(self) -> Iterator[Part]:
        first = self.span.first
        some = replace(
            self.corpus, items=self.corpus.items[first : self.span.last], streams={}, wanted={}, seen=set()
        )  # fmt: skip
        for part in some.parts():
            yield part._replace(source=part.source + first)
        streams = {first + index: Stream.of(stream) for index, stream in some.streams.items()}
        self.found = Read(streams, {first + index: wanted for index, wanted in some.wanted.items()}, some.seen)

    def _range(self, stop: int) -> Iterator[Part]:
        source, item = self.span.first, self.corpus.items[self.span.first]
        wanted = self.corpus.wanted_of(source)
        try:
            with open_input(item) as file:
                lines = _Lines(file, item.name, self.span.start, stop)
                for piece in line_pieces(lines, lines, self.corpus.chunk_bytes, lines.first(), self.span.line):
                    yield Part(source, lines.size, len(piece.data), 0, piece, wanted)
        except OSError as error:
            raise CurateError(f"{item.name}: cannot be read: {error.strerror or error}") from error
        self.found = Read({source: Stream.of(lines)}, {}, set(), lines.lines)


class _Lines:
    """The whole lines that begin in a range of an open file, in blocks; what `PlainBytes` tells of a file, of them."""

    fault: str | None = None

    def __init__(self, file: BinaryIO, name: str, start: int, stop: int) -> None:
        self.name, self.size, self.lines = name, 0, 0
        self._file, self._stop = file, stop
        self._at = start
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def first(self) -> int:
        """Go to the first line that begins in the range and return where it does."""
        if self._at > len(BOM):  # else it is the beginning of the file
            self._at -= 1
            self._file.seek(self._at)
            while block := self._file.read(BLOCK_BYTES):
                end = block.find(b"\n") + 1
                self._at += end or len(block)
                if end:
                    break
        self._file.seek(self._at)
        return self._at

    def __iter__(self) -> Iterator[bytes]:
        ended = self._at >= self._stop
        while not ended and (block := self._file.read(BLOCK_BYTES)):
            last = self._stop - 1 - self._at  # where the last byte of the range stands in the block
            if last < len(block) and (end := block.find(b"\n", max(last, 0)) + 1):
                block, ended = block[:end], True
            self._at += len(block)
            self.size += len(block)
            self.lines += block.count(b"\n")
            self._digest.update(block)
            yield block


def whole_stream(item: Input) -> Stream:
    """Return size and digest of a file, which is read to its end for that."""
    with open_input(item) as file:
        stream = PlainBytes(file, item.name, BLOCK_BYTES)
        stream.hash_all()
    return Stream.of(stream)
