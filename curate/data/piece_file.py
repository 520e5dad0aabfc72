"""The files of a checkpoint: pieces one after the other, each with a name and a checksum.

A piece is a line [name, bytes of the header, bytes of the arrays, checksum of name and header], the header, and the
arrays as they lie in memory. The header is JSON: the value, the form and checksum of each array, and the libraries that
were loaded. Nothing is unpickled.

Decided here: pieces are appended, for a file of its own takes ten times as long to make as a small piece to write, and
only what writes it knows of a file: each thread has one. A kill leaves a piece without its end, as the last one of a
file; a power cut may leave anything. Either is told by sizes and checksums, and taken for a piece that is not there.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NamedTuple
from zlib import crc32

LIBRARIES = ("numpy", "polars", "orjson", "numba", "torch", "sentence_transformers", "tokenizers", "gigatoken")
_LINE = 1 << 12  # bytes that the first line of a piece may have


class Place(NamedTuple):
    """Where a piece is: its header starts at byte `start`, and has `header` bytes and the checksum `crc`."""

    path: Path
    name: str
    start: int
    header: int
    crc: int


class Piece(NamedTuple):
    """A value as JSON, and the arrays and bytes that were in it."""

    tree: Any
    arrays: list[Any]

    @property
    def size(self) -> int:
        """Bytes of the arrays."""
        return sum(array.nbytes for array in self.arrays)


def piece_of(value: Any) -> Piece:
    """Return arrays, bytes, text, numbers, lists, and dicts with names as a piece; tuples come back as lists."""
    arrays: list[Any] = []
    return Piece(_flat(value, arrays), arrays)


def append(file: IO[bytes], name: str, piece: Piece) -> Place:
    """Write a piece at the end of a file that is opened for writing."""
    flat = [_bytes(array) for array in piece.arrays]
    about = [[a.dtype.str, a.shape, _fortran(a), _checksum(data)] for a, data in zip(piece.arrays, flat, strict=True)]
    loaded = [library for library in LIBRARIES if library in sys.modules]
    value = {"value": piece.tree, "arrays": about, "libraries": loaded}
    header = json.dumps(value, default=lambda number: number.item()).encode()  # a number of numpy's
    crc = _crc(name, header)
    line = json.dumps([name, len(header), piece.size, crc]).encode() + b"\n"
    place = Place(Path(file.name), name, file.tell() + len(line), len(header), crc)
    file.write(line + header)
    for data in flat:
        file.write(data)
    file.flush()
    return place


def scan(path: Path) -> dict[str, Place]:
    """Return the pieces of a file that are there to their end."""
    found = {}
    size = path.stat().st_size
    with path.open("rb") as file:
        while line := file.readline(_LINE):
            try:
                name, header, arrays, crc = json.loads(line)
                place = Place(path, str(name), file.tell(), header, crc)
                file.seek(max(header, 0) + max(arrays, 0), 1)
            except Exception:  # a power cut may leave anything
                break
            if file.tell() > size:
                break
            found[place.name] = place
    return found


def read(place: Place) -> list[Any] | None:
    """Return [value], or None where the piece is damaged."""
    try:
        with place.path.open("rb") as file:
            file.seek(place.start)
            header = file.read(place.header)
            if _crc(place.name, header) != place.crc:
                return None
            value = json.loads(header)
            arrays = [_array(file, *about) for about in value["arrays"]]
        for library in value["libraries"]:  # what has run stands in the manifest, whichever process it ran in
            if library in LIBRARIES:
                import_module(library)
        return [_grown(value["value"], arrays)]
    except Exception:  # a file that a power cut has damaged fails in many ways
        return None


def _crc(name: str, header: bytes) -> int:
    return crc32(header, crc32(name.encode()))


def _array(file: Any, dtype: str, shape: list[int], fortran: bool, checksum: int) -> Any:
    array = _numpy().fromfile(file, dtype, math.prod(shape))
    if _checksum(_bytes(array)) != checksum:
        raise ValueError("the checksum differs")
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def _fortran(array: Any) -> bool:
    """Whether the columns lie one after the other: sums by BLAS may depend on it, so it comes back as it was."""
    return bool(array.flags.fnc)


def _bytes(array: Any) -> Any:
    """Return the bytes of an array, in the order in which they lie."""
    if array.dtype.hasobject:
        raise TypeError(f"an array of {array.dtype} cannot be kept")
    return _numpy().ascontiguousarray(array.T if _fortran(array) else array).reshape(-1).view("u1")


def _numpy() -> Any:
    import numpy as np

    return np


def _checksum(data: Any) -> int:
    """Return the sum of all bytes, eight at a time: what a disk has lost, it does not give back as it was."""
    whole = len(data) // 8 * 8
    return int(data[:whole].view("u8").sum(dtype="u8")) + int(data[whole:].sum())


def _flat(value: Any, arrays: list[Any]) -> Any:
    """Return `value` as JSON, its arrays and bytes put into `arrays`."""
    if isinstance(value, Mapping):
        return {name: _flat(part, arrays) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_flat(part, arrays) for part in value]
    if isinstance(value, bytes | bytearray):
        arrays.append(_numpy().frombuffer(value, "u1"))
        return {"\0bytes": len(arrays) - 1}
    if type(value).__name__ == "ndarray":  # a source without arrays does without numpy
        arrays.append(value)
        return {"\0array": len(arrays) - 1}
    return value


def _grown(value: Any, arrays: Sequence[Any]) -> Any:
    if isinstance(value, list):
        return [_grown(part, arrays) for part in value]
    if not isinstance(value, dict):
        return value
    if "\0array" in value:
        return arrays[value["\0array"]]
    if "\0bytes" in value:
        return arrays[value["\0bytes"]].tobytes()
    return {name: _grown(part, arrays) for name, part in value.items()}
