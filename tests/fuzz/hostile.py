"""What strangers send: valid files cut, flipped and spliced, bytes at random, JSON of every shape; and what must hold.

`@fuzz` runs a test on a few hundred cases; `benchmarks/fuzz.py` runs the same tests on many more.
"""

from __future__ import annotations

import atexit
import gzip
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import orjson
import zstandard
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from curate.errors import CurateError

T = TypeVar("T")
SECONDS = 60  # for one case, which takes milliseconds, and seconds where kernels are compiled: more is a hang
HERE = Path(tempfile.mkdtemp(prefix="curate-fuzz-"))
atexit.register(shutil.rmtree, HERE, ignore_errors=True)

fuzz = settings(
    max_examples=int(os.environ.get("FUZZ_CASES", "150")),
    derandomize="FUZZ_CASES" not in os.environ,  # new cases are for the long run, and the same ones for every other
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


class TooLong(BaseException):
    """A case that hangs; no handler of the code under test takes it for an error of its own."""


def survives(read: Callable[[], T]) -> T | None:
    """Return what `read` returns, None where it refuses with a message; anything else that it raises fails the test."""

    def stop(*_: Any) -> None:
        raise TooLong(f"not done after {SECONDS} s")

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        return read()
    except CurateError as error:
        refusal = error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert refusal.what.strip()
    orjson.dumps([refusal.what, refusal.hint])  # --json prints both
    return None


def put(name: str, data: bytes) -> str:
    """Write a file of the case and return its path."""
    path = HERE / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def lines(*values: Any) -> bytes:
    """Return values as JSON lines."""
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


# -- Bytes -------------------------------------------------------------------------------------------------------------

# What readers look out for, or stumble over.
TOKENS = (
    b"\0", b"\n", b"\r\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b'"', b"\\", b"{", b"}", b"[", b"]", b",",
    b":", b"[" * 3_000, b'{"a":' * 3_000, b"\\ud800", b"\\u0000", b"NaN", b"-Infinity", b"1e999", b"9" * 400, b"null",
    b"true", b"\x1b[2J", "\u202e".encode(), b"<", b">", b"&", b"=", b"\x1f\x8b", b"(\xb5/\xfd", b"PAR1",
    b"ARROW1", b"..", b"/",
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, files: Sequence[bytes]) -> bytes:
    """Return one of `files` as it is, or cut, flipped and spliced; now and then bytes at random."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    data = bytearray(draw(st.sampled_from(files)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        size = draw(st.integers(1, 40))
        match draw(st.sampled_from(("flip", "flip", "put", "token", "cut", "drop", "again", "end"))):
            case "flip" if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "put":
                data[at : at + size] = draw(st.binary(min_size=1, max_size=size))
            case "token":
                data[at:at] = draw(st.sampled_from(TOKENS))
            case "cut":
                del data[at:]
            case "drop":
                del data[at : at + size]
            case "again":
                data[at:at] = data[at : at + 10 * size]
            case "end":
                data += draw(st.sampled_from(TOKENS))
    return bytes(data)


def packed(contents: st.SearchStrategy[bytes]) -> st.SearchStrategy[tuple[str, bytes]]:
    """Return (ending, bytes) of files that are plain, gzip or zstd, in one member or two, whole or cut."""

    def pack(data: bytes, kind: str, cut: int) -> tuple[str, bytes]:
        half = len(data) // 2
        if kind:
            compress = gzip.compress if kind == ".gz" else zstandard.compress
            data = compress(data[:half]) + compress(data[half:])
        return kind, data[: len(data) - cut]

    return st.builds(pack, contents, st.sampled_from(("", "", ".gz", ".zst")), st.sampled_from((0, 0, 0, 1, 7, 30)))


# -- Values ------------------------------------------------------------------------------------------------------------

_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.integers(), st.floats(), st.text(max_size=12),
    st.sampled_from(("", " ", "\0", "\x1b[31m", "\u202e", "\ud800", "<b>&amp;", "../../etc/passwd", "[1]", "nan")),
)  # fmt: skip


def values(*names: str) -> st.SearchStrategy[Any]:
    """Return JSON values of every shape, with `names` among the keys of their objects."""
    keys = st.one_of(st.sampled_from(names), st.text(max_size=4)) if names else st.text(max_size=4)
    return st.recursive(
        _SCALARS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
        max_leaves=12,
    )


def changed(documents: Sequence[Any], *names: str) -> st.SearchStrategy[Any]:
    """Return one of `documents` in which up to three values, wherever they stand, are others or gone."""
    other = values(*names)  # made once: making it takes longer than drawing from it

    @st.composite
    def change(draw: st.DrawFn) -> Any:
        document = json.loads(json.dumps(draw(st.sampled_from(documents))))
        for _ in range(draw(st.integers(0, 3))):
            places = list(_places(document))
            if not places:
                break
            parent, key = places[draw(st.integers(0, len(places) - 1))]
            if draw(st.integers(0, 4)) == 0:
                with suppress(KeyError, IndexError):
                    del parent[key]
            else:
                parent[key] = draw(other)
        return document

    return change()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (parent, key) of every value inside `value`."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def as_json(value: Any) -> bytes:
    """Return a value as JSON, with NaN and half surrogate pairs as Python writes them."""
    return json.dumps(value).encode()
