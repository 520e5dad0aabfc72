"""What a user names, to the parts of a corpus: JSON in every layout, tables, text; packed or not, local or remote.

Decisions:
- One thread reads, unpacks and cuts (`Corpus.bundles`); the bundles are read into columns by others
  (`curate.data.documents`). So one large file keeps all cores busy; small files share a bundle.
- Where the text of a record is, is looked up in each source by itself: files of one directory may differ.
- A file is JSON, a table or text by its name and first bytes; what is neither JSON nor a table is text.
- A corpus can be read again, for writing; stdin is then kept in a file.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, cast

import polars as pl

from curate.config import MAX_EXPAND
from curate.data import records
from curate.data.chunks import object_chunks, total_bytes
from curate.data.columns import SAMPLE, Wanted, find_columns
from curate.data.documents import Part
from curate.data.files import DATA_SUFFIXES, MAGIC_BYTES, TABLE_SUFFIXES, Input, PlainBytes, Stream, packing, resolve
from curate.data.manifest import MANIFEST
from curate.data.plain import MAX_DOCUMENT_BYTES, plain_pieces, too_large
from curate.data.records import Piece, Unparsable
from curate.data.tables import TABLES, table_slices
from curate.errors import CurateError, UsageError

TEXT_SUFFIXES = (".txt", ".md")
SAMPLE_BYTES = 4 << 20

_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://")
_RECORD_LINE = re.compile(rb"[^\n]++")
_TEXT = Wanted(("text",))


@dataclass
class Corpus:
    """The sources of a corpus, and, once it is read, the stream of each and where its text was found."""

    items: list[Input]
    notes: list[str]
    columns: tuple[str, ...] = ()
    document: str | None = None
    chunk_bytes: int = 16 << 20
    max_expand: int = MAX_EXPAND
    most: int = MAX_DOCUMENT_BYTES  # of a document in a text file
    all_columns: bool = False  # of tables: for writing
    streams: dict[int, PlainBytes | Stream] = field(default_factory=dict)
    wanted: dict[int, Wanted | None] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def total_bytes(self) -> int | None:
        """Return the bytes of all files, None where they are not known."""
        return total_bytes(self.items)

    def at_work(self, workers: int) -> int:
        """Return how many bytes bundles may have that are worked on together: a large document's, or all usual ones."""
        return max(self.most, 2 * (workers + 1) * self.chunk_bytes)  # a chunk ends with the record that fills it

    def bundles(self) -> Iterator[list[Part]]:
        """Yield the parts in bundles of about `chunk_bytes`, in order of sources and lines."""
        return bundled(self.parts(), self.chunk_bytes)

    def parts(self) -> Iterator[Part]:
        """Yield the parts of all sources in their order."""
        done = 0
        for index, item in enumerate(self.items):
            if item.kind in ("hub", "object"):
                yield from self._object_parts(index, item, done)
                continue
            try:
                with open_input(item) as file:
                    yield from self._file_parts(index, item, file, done)
            except OSError as error:
                raise CurateError(f"{item.name}: cannot be read: {error.strerror or error}") from error
            done += self.streams[index].size

    def _object_parts(self, index: int, item: Input, done: int) -> Iterator[Part]:
        for chunk in object_chunks([item]):
            assert not isinstance(chunk.content, Piece)
            head = chunk.content[:SAMPLE]
            wanted = self._find(index, head.to_dicts() if isinstance(head, pl.DataFrame) else head)
            yield Part(index, done, self.chunk_bytes // 4, chunk.first, chunk.content, wanted)

    def _file_parts(self, index: int, item: Input, file: BinaryIO, done: int) -> Iterator[Part]:
        stream = self.streams[index] = PlainBytes(file, item.name, self.chunk_bytes, max_expand=self.max_expand)
        packed = packing_of(item, file)
        if packed in TABLES:
            if item.kind == "file":  # a remote one would be fetched twice
                stream.hash_all()
            yield from self._table_parts(index, item, file, packed, done + stream.size)
            return
        peeked = _Peeked(stream)
        if self._is_text(item, peeked.head):
            self.wanted[index] = _TEXT
            for plain in plain_pieces(peeked, self.document or "file", self.chunk_bytes, item.name, self.most):
                yield Part(index, done + stream.size, len(plain.data), 0, plain, _TEXT)
            return
        pieces = records.pieces(cast(PlainBytes, peeked), self.chunk_bytes)
        held, sample = [], _Sample()
        for piece in pieces:
            held.append(piece)
            if sample.add(piece):
                break
        wanted = self._find(index, sample.rows)
        for piece in chain(held, pieces):
            yield Part(index, done + stream.size, len(piece.data), 0, piece, wanted)

    def _table_parts(self, index: int, item: Input, file: BinaryIO, packed: str, done: int) -> Iterator[Part]:
        def choose(rows: list[dict[str, Any]], names: Sequence[str]) -> list[str] | None:
            wanted = self._find(index, rows)
            self.seen.update(names)
            if self.all_columns or wanted.chat:
                return None
            return [name for name in names if name in (*wanted.columns, "id")]

        first = 1
        file.seek(0)
        for table in table_slices(item, file, packed, self.chunk_bytes, self.max_expand, choose):
            yield Part(index, done, int(table.estimated_size()), first, table, self.wanted[index] or _TEXT)
            first += table.height

    def _is_text(self, item: Input, head: bytes) -> bool:
        name = item.name.removesuffix(".gz").removesuffix(".zst")
        if name.endswith(DATA_SUFFIXES):
            return False
        if name.endswith(TEXT_SUFFIXES) or self.document:
            return True
        return head.removeprefix(records.BOM).lstrip()[:1] not in (b"{", b"[", b"")

    def _find(self, index: int, rows: Sequence[Any]) -> Wanted:
        """Look up, once for each source, where its text is; without any text each record gets its reason."""
        if index not in self.wanted:
            for row in rows:
                self.seen.update(map(str, row) if isinstance(row, dict) else ())
            self.wanted[index] = Wanted(self.columns) if self.columns else find_columns(rows)
        return self.wanted_of(index)

    def wanted_of(self, index: int) -> Wanted:
        """Return where the text of a source is, once its first records were seen."""
        return self.wanted[index] or _TEXT


def bytes_of(bundle: Sequence[Part]) -> int:
    """Return the bytes that the parts of a bundle hold."""
    return sum(part.size for part in bundle)


def bundled(parts: Iterable[Part], chunk_bytes: int) -> Iterator[list[Part]]:
    """Yield parts in bundles of about `chunk_bytes`."""
    bundle: list[Part] = []
    size = 0
    for part in parts:
        if bundle and size + part.size > chunk_bytes:
            yield bundle
            bundle, size = [], 0
        bundle.append(part)
        size += part.size
    if bundle:
        yield bundle


def open_corpus(
    inputs: Sequence[Any],
    *,
    columns: tuple[str, ...] = (),
    document: str | None = None,
    chunk_bytes: int = 16 << 20,
    max_expand: int = MAX_EXPAND,
    most: int = MAX_DOCUMENT_BYTES,
    keep_stdin: Path | None = None,
) -> Corpus:
    """Return the corpus that `inputs` name: files, directories, globs, URLs, "-", hub ids or Python objects.

    `columns` hold the text (none: they are found), `document` is the unit of text files, `max_expand` is as in
    `PlainBytes`, a text document of over `most` bytes is an error, `keep_stdin` names the file that stdin is copied to,
    so that it can be read again. Raises UsageError where nothing is there, CurateError for a text that is too large.
    """
    remote = [given for given in inputs if _is_remote(given)]
    items, notes = resolve([given for given in inputs if not _is_remote(given)], TEXT_SUFFIXES)
    items = [item for item in items if not _is_ledger(item)]
    items = sorted([*items, *(item for url in dict.fromkeys(remote) for item in _remote(url))], key=lambda i: i.name)
    if not items:
        raise UsageError("no input", "Name a file, a directory, a glob, a URL, a Hugging Face id, or - for stdin")
    if keep_stdin is not None:
        items = [_kept(item, keep_stdin) if item.kind == "stdin" else item for item in items]
    for item in items:  # those whose size is known are told before hours of reading
        text = item.kind == "file" and document in (None, "file") and item.name.endswith(TEXT_SUFFIXES)
        with suppress(OSError):  # told where it is read
            if text and Path(item.value).stat().st_size > most:
                raise too_large(item.name, 1, "file", most)
    return Corpus(items, notes, columns, document, chunk_bytes, max_expand, most)


def _kept(item: Input, path: Path) -> Input:
    try:
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
    except OSError as error:
        raise CurateError(
            f"-: cannot be kept in {path.parent}: {error.strerror or error}", "Give a file, or more room: --tmp DIR"
        ) from error
    return Input(item.name, "file", path)


def _is_ledger(item: Input) -> bool:
    """Whether a file is a part of the ledger that a run of ours wrote beside its documents."""
    folder = Path(item.value).parent if item.kind == "file" else Path()
    return folder.name == "ledger" and (folder.parent / MANIFEST).exists()


def _is_remote(given: Any) -> bool:
    return isinstance(given, str) and _REMOTE.match(given) is not None


def _remote(url: str) -> list[Input]:
    """Return the data files that a URL stands for: a file, the files of a directory, or those that match a glob."""
    import fsspec  # type: ignore[import-untyped]

    try:
        system, path = fsspec.core.url_to_fs(url)
        if any(character in path for character in "*?["):
            paths = system.glob(path)
        else:
            paths = system.find(path) if system.isdir(path) else [path]
            if paths == [path]:
                system.info(path)
    except FileNotFoundError:
        paths = []
    except ImportError as error:
        raise UsageError(f"{url}: {error}", "Install the package that is named, such as pip install s3fs") from None
    except Exception as error:  # whatever the file system raises: the network, a login, a name
        raise CurateError(f"{url}: cannot be opened: {str(error) or type(error).__name__}") from error
    suffixes = (*DATA_SUFFIXES, *TEXT_SUFFIXES, *TABLE_SUFFIXES)
    if not paths:
        raise UsageError(f"{url}: nothing is there", "Check the name; a pattern such as *.jsonl.gz names many.")
    if paths != [path]:
        paths = [name for name in sorted(paths) if name.removesuffix(".gz").removesuffix(".zst").endswith(suffixes)]
    if not paths:
        raise UsageError(f"{url}: no data file is there", f"Data files end in {', '.join(suffixes)}")
    return [Input(name, "remote", name) for name in map(system.unstrip_protocol, paths)]


def open_input(item: Input) -> AbstractContextManager[BinaryIO]:
    """Open what a user named: a file, stdin or a URL."""
    if item.kind == "stdin":
        return nullcontext(sys.stdin.buffer)
    if item.kind == "remote":
        import fsspec

        opened: AbstractContextManager[BinaryIO] = fsspec.open(item.value, "rb")
        return opened
    return open(item.value, "rb")


def packing_of(item: Input, file: BinaryIO) -> str:
    """Say how an open file is packed (stdin: empty, which is never packed); it stands at its beginning afterwards."""
    if item.kind == "stdin":
        return ""
    if isinstance(file, BufferedReader):  # a pipe cannot be wound back
        return packing(file.peek(MAGIC_BYTES)[:MAGIC_BYTES])
    head = file.read(MAGIC_BYTES)
    file.seek(0)
    return packing(head)


class _Peeked:
    """A stream of plain bytes whose beginning was looked at."""

    def __init__(self, stream: PlainBytes) -> None:
        self._stream, self._blocks = stream, iter(stream)
        self.head = next(self._blocks, b"")

    def __iter__(self) -> Iterator[bytes]:
        return chain([self.head], self._blocks) if self.head else self._blocks

    @property
    def fault(self) -> str | None:
        return self._stream.fault


class _Sample:
    """The first records of a source: as many, and not too large, for any size of pieces."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self._count = self._bytes = 0

    def add(self, piece: Piece) -> bool:
        """Take what is wanted of a piece; return whether that is enough."""
        for raw in _raw_records(piece):
            self._count += 1
            self._bytes += len(raw)
            with suppress(Unparsable):
                self.rows.append(records.parse(raw)[0])
            if self._count >= SAMPLE or self._bytes >= SAMPLE_BYTES:
                return True
        return False


def _raw_records(piece: Piece) -> Iterator[bytes]:
    if piece.fault is not None:
        return
    if piece.spans is None:
        yield from (match[0] for match in _RECORD_LINE.finditer(piece.data) if not match[0].isspace())
    else:
        yield from (piece.data[start:end] for start, end, _ in piece.spans)
