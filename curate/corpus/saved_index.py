"""Save what is needed to drop from a later corpus what this one has already, and load it again.

A saved index is a directory of plain arrays and `index.json`: exact hashes, band keys and shingles of the documents
that stayed. Loaded into an empty `DuplicateIndex` they come first, outrank everything added later, and are not compared
with one another.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.corpus.clusters import DuplicateIndex
from curate.corpus.minhash import KEYS_VERSION
from curate.corpus.spill import Values
from curate.corpus.text import U64, UNICODE_VERSION, Bool
from curate.errors import CurateError, UsageError

_COLUMNS: dict[str, Any] = {
    "exact": np.uint64, "keys": np.uint64, "documents": np.uint32, "lengths": np.uint32, "shingles": np.uint32,
}  # fmt: skip
_ROWS = 1 << 16  # documents at a time


def save_index(index: DuplicateIndex, directory: Path, kept: Bool) -> None:
    """Write the documents `kept` (bool, all added ones) of the index into an empty directory."""
    number = np.cumsum(kept, dtype=np.uint32) - np.uint32(1)
    rows = np.flatnonzero(kept)
    files = {name: (directory / f"{name}.bin").open("xb") for name in _COLUMNS}
    try:
        first = 0
        for block in index.exact.blocks():
            block[kept[first : first + len(block)]].tofile(files["exact"])
            first += len(block)

        def those_kept(keys: U64, documents: Values) -> tuple[U64, Values]:
            stays = kept[documents]
            return keys[stays], documents[stays]

        for part in index.records.partitions(those_kept):
            keys, documents = those_kept(*part)
            order = np.lexsort((documents, keys))  # those of one key come in no particular order
            keys, documents = keys[order], documents[order]
            keys.tofile(files["keys"])
            number[documents].tofile(files["documents"])
        for start in range(0, len(rows), _ROWS):
            shingles, offsets = index.sets.fetch(rows[start : start + _ROWS])
            np.diff(offsets).astype(np.uint32).tofile(files["lengths"])
            shingles.tofile(files["shingles"])
        sizes = {name: file.tell() for name, file in files.items()}
    finally:
        for file in files.values():
            file.close()
    (directory / "index.json").write_text(
        json.dumps({**_header(index), "bytes": sizes}, indent=2, sort_keys=True) + "\n"
    )


def load_index(index: DuplicateIndex, directory: Path) -> int:
    """Put a saved index into an empty one and return how many documents it has.

    CurateError where it is none, damaged, or made with other parameters or by another version of the hashes.
    """
    if index.documents:
        raise UsageError(f"{index.documents} documents were added before the saved index", "Load it first")
    sizes = _checked_sizes(index, directory)
    documents = sizes["lengths"] // 4
    exact = _piece(directory, "exact", 0, 2 * documents).reshape(-1, 2)
    starts = np.concatenate(
        [np.zeros(1, np.int64), np.cumsum(_piece(directory, "lengths", 0, documents), dtype=np.int64)]
    )
    for start in range(0, sizes["documents"] // 4, _ROWS * 16):
        count = min(_ROWS * 16, sizes["documents"] // 4 - start)
        index.records.append(
            _piece(directory, "keys", start, count).astype(np.uint64),
            _piece(directory, "documents", start, count).astype(np.uint32),
        )
    for start in range(0, documents, _ROWS):
        offsets = starts[start : start + _ROWS + 1]
        values = _piece(directory, "shingles", int(offsets[0]), int(offsets[-1] - offsets[0])).astype(np.uint32)
        index.sets.append(values, offsets - offsets[0])
    index.settle(exact)
    return documents


def _header(index: DuplicateIndex) -> dict[str, Any]:
    p = index.parameters
    return {
        "format": "curate duplicate index",
        "version": KEYS_VERSION,
        "unicode": UNICODE_VERSION,
        "ngram": p.ngram,
        "bands": p.bands,
        "rows": p.rows,
    }


def _checked_sizes(index: DuplicateIndex, directory: Path) -> dict[str, int]:
    """Return the size of each column once everything about the saved index is as it must be."""
    path = directory / "index.json"
    try:
        saved = json.loads(path.read_bytes())
        sizes = {name: int(saved["bytes"][name]) for name in _COLUMNS}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CurateError(
            f"{directory} is no saved index: {error}", "Give a directory that --save-index wrote"
        ) from None
    for name, ours in _header(index).items():
        if name != "unicode" and saved.get(name) != ours:
            raise CurateError(
                f"{path} has {name} {saved.get(name)!r}, but this run needs {ours!r}",
                "Use the same --ngram, --bands and --rows, or make the index again with --save-index",
            )
    for name, size in sizes.items():
        file = directory / f"{name}.bin"
        found = file.stat().st_size if file.is_file() else -1
        if found != size:
            raise CurateError(
                f"{file} has {found} bytes, but {size} were written", "Make the index again with --save-index"
            )
    return sizes


def _piece(directory: Path, name: str, start: int, count: int) -> npt.NDArray[Any]:
    dtype = np.dtype(_COLUMNS[name])
    return np.fromfile(directory / f"{name}.bin", dtype=dtype, count=count, offset=start * dtype.itemsize)
