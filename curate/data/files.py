"""Which files to read, and the plain bytes of each.

Decisions:
- What is given is sorted by name and read once, so the order and repetition of arguments change nothing.
- How a file is packed is seen from its first bytes, not from its name. What we do not read (zip, bz2, xz) is refused.
- A damaged gzip or zstd file gives all bytes before the damage; `PlainBytes.fault` says what happened. Packed bytes are
  fed to the decompressor in small pieces of fixed size, because what it has unpacked of a damaged piece is lost.
- A file that unpacks to far more than text does (`max_expand`) is an error, and is not read to its end: it would fill
  disks and days. How much it may be is told by what was unpacked so far, not by what a header promises.
- The digest is that of the file as it lies on the disk, taken while reading.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from curate.config import MAX_EXPAND
from curate.errors import CurateError, UsageError

BLOCK_BYTES = 1 << 20
FREE_BYTES = 256 << 20  # of plain bytes, whatever the file that they came from
FEED_BYTES = 1024  # measured on 7 MB of gzip: 0.144 s against 0.127 s in pieces of 64 kB
DATA_SUFFIXES = (".json", ".jsonl", ".ndjson")
TABLE_SUFFIXES = (".parquet", ".arrow")

# Files beside the data that are no data: of `datasets` and LLaMA-Factory, and of our own output (`X.report.json` too).
_SIDE_FILES = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
_OWN_FILES = {
    "report.json", "manifest.json", "unreadable.jsonl", "contamination.jsonl", "ledger.parquet", "map.parquet",
}  # fmt: skip
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_ZSTD_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"\xff\xff\xff\xff": "arrow stream",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
}
MAGIC_BYTES = 8


class Input(NamedTuple):
    """One thing to read: `kind` is file, stdin, hub (a Hugging Face id) or object (a Python object)."""

    name: str
    kind: str
    value: Any


def resolve(inputs: Sequence[Any], more_suffixes: tuple[str, ...] = ()) -> tuple[list[Input], list[str]]:
    """Return what to read, sorted by name, each once, and the notes to say about it.

    A directory stands for the data files in it (and below; hidden ones aside), a glob for those that match. Files that
    end in `more_suffixes` (with .gz or .zst too) are data files as well.
    Raises UsageError where nothing is there, with the nearest names that are.
    """
    suffixes = DATA_SUFFIXES + more_suffixes
    notes: list[str] = []
    found: list[Input] = []
    objects: dict[str, int] = {}
    for given in inputs:
        if isinstance(given, (str, Path)):
            found += _expand(str(given), suffixes, notes)
        else:
            kind = type(given).__name__
            objects[kind] = objects.get(kind, 0) + 1
            name = kind if objects[kind] == 1 else f"{kind}#{objects[kind]}"
            found.append(Input(name, "object", given))
    once: dict[Any, Input] = {}
    for item in sorted(found, key=lambda item: item.name):
        key = os.path.realpath(item.value) if item.kind == "file" else (item.kind, item.name)
        if once.setdefault(key, item) is not item:
            notes.append(f"{item.name}: given twice (as {once[key].name}), read once")
    return list(once.values()), notes


def _expand(given: str, suffixes: tuple[str, ...], notes: list[str]) -> list[Input]:
    if given == "-":
        return [Input("-", "stdin", None)]
    if os.path.isdir(given):
        files = _in_directory(given, suffixes, notes)
        if not files:
            raise UsageError(
                f"{_name(given)}: a directory without data files",
                f"Data files end in {', '.join(suffixes + TABLE_SUFFIXES)}; all but tables also with .gz or .zst",
            )
    elif os.path.exists(given):
        files = [given]
    elif any(character in given for character in "*?["):
        matches = [match for match in matching(given) if not os.path.isdir(match)]
        files = _data_files(sorted(matches), given, suffixes, notes)
        if not files:
            raise UsageError(f"{_name(given)}: no data file matches", f"Of other files, {len(matches)} do")
    elif _HUB_NAME.fullmatch(given) and not _is_data(given, suffixes):
        return [Input(given, "hub", given)]
    else:
        raise missing(given)
    return [Input(_name(file), "file", Path(file)) for file in files]


def matching(pattern: str) -> list[str]:
    """Return the paths that a glob matches; `**` follows no links to directories, which may lead in circles."""
    anchor, *parts = Path(pattern).parts if os.path.isabs(pattern) else (os.curdir, *Path(pattern).parts)
    if "**" not in parts:
        return glob.glob(pattern)
    if parts[-1] == "**":
        parts.append("*")
    plain = next(n for n, part in enumerate(parts) if glob.has_magic(part)) + (anchor != os.curdir)
    found = Path(anchor).glob(os.path.join(*parts))
    return [str(path) for path in found if not any(part.startswith(".") for part in path.parts[plain:])]


def _in_directory(top: str, suffixes: tuple[str, ...], notes: list[str]) -> list[str]:
    def stop(error: OSError) -> None:
        raise CurateError(f"{_name(top)}: cannot be listed: {error.strerror}", "Check its permissions")

    files: list[str] = []
    for folder, folders, names in os.walk(top, onerror=stop):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [os.path.join(folder, name) for name in names if not name.startswith(".")]
    odd = sorted(file for file in files if os.path.exists(file) and not os.path.isfile(file))
    notes += [f"{_name(file)}: left aside, neither file nor directory" for file in odd]  # a pipe may wait for ever
    return _data_files(sorted(set(files).difference(odd)), top, suffixes, notes)


def _data_files(files: list[str], given: str, suffixes: tuple[str, ...], notes: list[str]) -> list[str]:
    """Keep the data files; name the others in a note."""
    data = [file for file in files if _is_data(file, suffixes)]
    aside = [_name(os.path.basename(file)) for file in files if not _is_data(file, suffixes)]
    if data and aside:
        more = f" and {len(aside) - 5} more" if len(aside) > 5 else ""
        notes.append(f"{_name(given)}: left aside, no data files: {', '.join(aside[:5])}{more}")
    return data


def _is_data(file: str, suffixes: tuple[str, ...]) -> bool:
    name = os.path.basename(file)
    plain = name.removesuffix(".gz").removesuffix(".zst")
    if name in _SIDE_FILES or name in _OWN_FILES or name.endswith(".report.json"):
        return False
    if name == "log.jsonl" and os.path.exists(os.path.join(os.path.dirname(file), "manifest.json")):
        return False  # our own; elsewhere a log may well be data
    return plain.endswith(suffixes) or name.endswith(TABLE_SUFFIXES)


def missing(given: str) -> UsageError:
    """Build the error for a path that is not there: the first part of it that is missing, and the nearest names."""
    path = parent = os.path.normpath(given)
    while not os.path.exists(parent):
        path, parent = parent, os.path.dirname(parent) or os.curdir
    names = sorted(os.listdir(parent)) if os.path.isdir(parent) else []
    near = get_close_matches(os.path.basename(path), names, n=3, cutoff=0.5)
    shown = " or ".join(_name(os.path.join(os.path.dirname(path), name)) for name in near)
    hint = f"Did you mean {shown}?" if near else f"Nothing in {_name(parent)} has a name like it"
    return UsageError(f"{_name(path)}: no such file or directory", hint)


def _name(path: str) -> str:
    """Return a path as text that can be written: file names may hold bytes that are no UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def packing(head: bytes) -> str:
    """Say from its first bytes how a file is packed: gzip, zstd, parquet, arrow, …, or plain."""
    if _ZSTD_SKIPPABLE.match(head):
        return "zstd"
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "plain")


class Stream(NamedTuple):
    """What is known of a file that was read to its end: see `PlainBytes`."""

    name: str
    size: int
    sha256: str
    fault: str | None

    @classmethod
    def of(cls, stream: Any) -> Stream:
        """Return what a stream that was used up tells."""
        return cls(stream.name, stream.size, stream.sha256, stream.fault)


class PlainBytes:
    """The plain bytes of an open file, unpacked, in blocks of at most about `block_bytes`.

    Once it is read to its end, `sha256` and `size` are those of the file as it was packed, and `fault` says why the
    plain bytes end too early (None: they do not). `zstd_window` is the largest window of zstd in bytes, memory that a
    stranger may ask for; 0 is the library's own limit, 128 MiB. A file that unpacks to over `FREE_BYTES` and over
    `max_expand` bytes for each byte read of it raises CurateError.
    """

    def __init__(
        self, file: BinaryIO, name: str, block_bytes: int, *, zstd_window: int = 0, max_expand: int = MAX_EXPAND
    ) -> None:
        self.name = name
        self.size = 0
        self.fault: str | None = None
        self._file = file
        self._block_bytes = block_bytes
        self._zstd_window = zstd_window
        self._max_expand = max_expand
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Return the digest of the bytes read so far."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        blocks = self._blocks()
        first = next(blocks, b"")
        kind = packing(first)
        blocks = chain([first], blocks)
        if kind == "plain":
            for block in blocks:
                yield from (block[at : at + self._block_bytes] for at in range(0, len(block), self._block_bytes))
        elif kind in ("gzip", "zstd"):
            yield from self._unpack(blocks, kind)
            for _ in blocks:  # after damage: the digest is of the whole file
                pass
        else:
            raise CurateError(f"{self.name}: a {kind} file, which is not read here", "Unpack it into a file first")

    def hash_all(self) -> None:
        """Read the file to its end for its digest and size alone."""
        for _ in self._blocks():
            pass

    def _blocks(self) -> Iterator[bytes]:
        try:
            while block := self._file.read(BLOCK_BYTES):
                self.size += len(block)
                self._digest.update(block)
                yield block
        except OSError as error:
            raise CurateError(f"{self.name}: cannot be read: {error.strerror or error}") from error

    def _unpack(self, blocks: Iterable[bytes], kind: str) -> Iterator[bytes]:
        new, errors = _decompressor(kind, self._zstd_window)
        engine, fed, expanded = new(), False, 0
        for block in blocks:
            for start in range(0, len(block), FEED_BYTES):
                piece = block[start : start + FEED_BYTES]
                while piece := piece if fed else piece.lstrip(b"\0"):  # members may be padded with zeros
                    fed = True
                    try:
                        plain = engine.decompress(piece)
                    except errors as error:
                        self.fault = f"the {kind} data is damaged here ({error})"
                        return
                    if plain:
                        expanded += len(plain)
                        if expanded > max(FREE_BYTES, self._max_expand * self.size):
                            raise expands_too_far(self.name, self._max_expand)
                        yield plain
                    if not engine.eof:
                        break
                    piece, engine, fed = engine.unused_data, new(), False  # the next member or frame
        if fed:
            self.fault = f"the {kind} file is cut off here (truncated)"


def expands_too_far(name: str, max_expand: int) -> CurateError:
    """Build the error for a file that unpacks to more than --max-expand allows."""
    return CurateError(
        f"{name}: unpacks to over {max_expand:,} bytes for each of its own: text does not, decompression bombs do",
        f"Where you trust the file, allow more: --max-expand {10 * max_expand}",
    )


def _decompressor(kind: str, zstd_window: int) -> tuple[Callable[[], Any], tuple[type[Exception], ...]]:
    if kind == "gzip":
        return lambda: zlib.decompressobj(wbits=31), (zlib.error,)
    import zstandard

    return lambda: zstandard.ZstdDecompressor(max_window_size=zstd_window).decompressobj(), (zstandard.ZstdError,)
