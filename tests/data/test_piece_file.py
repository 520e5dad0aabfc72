"""Pieces of a checkpoint come back as they were, or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.data.piece_file import append, piece_of, read, scan

VALUES = {
    "first": {"tokens": np.arange(5), "said": ["é", 0.1, None]},
    "second": np.arange(12, dtype=np.uint32).reshape(3, 4) * 77,
    "third": {"names": b"\x00\n[]" * 9, "count": 7},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Write three pieces into one file."""
    path = tmp_path_factory.mktemp("pieces") / "1.pieces"
    with path.open("xb") as file:
        places = {name: append(file, name, piece_of(value)) for name, value in VALUES.items()}
    assert scan(path) == places
    return path


def same(found, value):
    return repr(found) == repr([value])


def test_pieces_of_one_file(whole):
    """Each is found by its name, in the order of writing."""
    found = scan(whole)
    assert list(found) == list(VALUES)
    assert all(same(read(found[name]), value) for name, value in VALUES.items())


def test_a_kill_costs_the_last_piece_alone(whole, tmp_path):
    """Wherever a file ends, the pieces before are whole, and what is left of the next one is no piece."""
    data, path = whole.read_bytes(), tmp_path / "cut"
    counts = []
    for end in range(len(data) + 1):
        path.write_bytes(data[:end])
        found = scan(path)
        assert all(same(read(place), VALUES[name]) for name, place in found.items())
        counts.append(len(found))
    assert counts == sorted(counts)
    assert set(counts) == {0, 1, 2, 3}


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damage_is_told(whole, tmp_path_factory, data):
    """Zeros, bits that turned, foreign bytes: a piece comes back as it was or not at all."""
    broken = bytearray(whole.read_bytes())
    start = data.draw(st.integers(0, len(broken) - 1))
    what = data.draw(st.sampled_from(["zeros", "bit", "bytes"]))
    if what == "bit":
        broken[start] ^= 1 << data.draw(st.integers(0, 7))
    else:
        length = data.draw(st.integers(1, 80))
        broken[start : start + length] = bytes(length) if what == "zeros" else data.draw(st.binary(max_size=length))
    path = tmp_path_factory.mktemp("broken") / "1.pieces"
    path.write_bytes(broken)
    for name, place in scan(path).items():
        found = read(place)
        assert found is None or same(found, VALUES[name])


@pytest.mark.parametrize(
    "line", [b"[" * 4000, b'["a", 1e9, 1, 2]\n', b'["a", -99, -99, 0]\n', b"\x00" * 9999, b"7\n", b"\n"]
)
def test_what_is_no_piece_ends_the_file(line, whole, tmp_path):
    """What stands behind something that is no piece is not looked for; what stands before is there."""
    path = tmp_path / "1.pieces"
    data = whole.read_bytes()
    path.write_bytes(data + line + data)
    found = scan(path)
    assert list(found)[:3] == list(VALUES)
    assert all(
        read(place) is None or same(read(place), VALUES[name]) for name, place in found.items() if name in VALUES
    )
