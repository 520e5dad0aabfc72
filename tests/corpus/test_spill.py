"""Records and sets come back whole, from memory and from disk."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.corpus import spill
from curate.corpus.spill import Column, Records, Seen, Sets, gathered, offsets_of
from curate.errors import CurateError


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 3), max_size=40), max_size=8),
    st.sampled_from([0, 300, 1 << 20]),
    st.sampled_from([3, 1 << 20]),
)
def test_records_come_back_grouped(chunks, memory, partition):
    """Every pair comes back once, sorted by key, each key in one partition; the cut depends on the number alone."""
    before, spill._PARTITION = spill._PARTITION, partition
    try:
        records, number, expected = Records(memory, dtype=np.uint64), 0, []
        for chunk in chunks:
            keys = np.array(chunk, dtype=np.uint64)
            values = np.arange(number, number + len(chunk), dtype=np.uint64)
            number += len(chunk)
            records.append(keys, values)
            expected += zip(keys.tolist(), values.tolist(), strict=True)
        for _ in range(2):  # they can be read again
            parts = [(keys.tolist(), values.tolist()) for keys, values in records.partitions()]
            assert sorted(pair for part in parts for pair in zip(*part, strict=True)) == sorted(expected)
            together = [key for keys, _ in parts for key in keys]
            assert together == sorted(together)
            assert sum(len(set(keys)) for keys, _ in parts) == len(set(together))
            shared = [pair for part in records.partitions(shared=True) for pair in zip(*part, strict=True)]
            keys = [key for key, _ in shared]
            assert keys == sorted(keys)
            assert len(shared) == len(set(shared))
            assert set(shared) <= set(expected)
            counts = Counter(key for key, _ in expected)
            assert {pair for pair in expected if counts[pair[0]] > 1} <= set(shared)
    finally:
        spill._PARTITION = before
    assert (records.spilled > 0) == (number > max(memory // (4 * 16), 1))


@settings(deadline=None, max_examples=80)
@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 99)), max_size=9), max_size=12), st.booleans())
def test_what_is_not_wanted_is_left_out_on_the_way(chunks, sorted_parts):
    """A reducer sees sorted records, never many at once where few are left, and what it leaves out changes nothing."""
    before, spill._PARTITION = spill._PARTITION, 8
    if sorted_parts:  # as they come from a cluster
        flat = sorted(record for chunk in chunks for record in chunk)
        chunks = [flat[start : start + 9] for start in range(0, len(flat), 9)]
    most = 0

    def least_of_each(keys, values):
        nonlocal most
        most = max(most, len(keys))
        assert (keys[1:] >= keys[:-1]).all()
        order = np.lexsort((values, keys))
        keys, values = keys[order], values[order]
        first = np.append(True, keys[1:] != keys[:-1])[: len(keys)]
        return keys[first], values[first]

    arrays = [np.array(sorted(chunk), np.uint64).reshape(-1, 2).T for chunk in chunks]
    parts = [(keys, values) for keys, values in arrays] or [(np.empty(0, np.uint64), np.empty(0, np.uint64))]
    try:
        everything = list(zip(*(array.tolist() for array in gathered(parts)), strict=True))
        left = least_of_each(*gathered(parts, least_of_each))
    finally:
        spill._PARTITION = before
    records = [record for chunk in chunks for record in chunk]
    assert sorted(everything) == sorted(records)
    assert [key for key, _ in everything] == sorted(key for key, _ in records)
    assert dict(zip(*(array.tolist() for array in left), strict=True)) == {
        key: min(value for other, value in records if other == key) for key, _ in records
    }
    assert most <= 2 * 8


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.lists(st.integers(0, 2**32 - 1), max_size=9), max_size=6), max_size=6),
    st.sampled_from([0, 40, 1 << 20]),
    st.data(),
)
def test_sets_come_back_by_number(chunks, memory, data):
    """Any ascending choice of rows comes back as it was put in."""
    sets, rows = Sets(memory), []
    for chunk in chunks:
        offsets = np.cumsum([3, *map(len, chunk)], dtype=np.int64)  # a slice of a longer array
        sets.append(np.array([7, 7, 7, *(v for row in chunk for v in row)], dtype=np.uint32), offsets)
        rows += chunk
    for _ in range(2):
        chosen = sorted(data.draw(st.sets(st.sampled_from(range(len(rows)))))) if rows else []
        values, offsets = sets.fetch(np.array(chosen, dtype=np.int64))
        assert [part.tolist() for part in np.split(values, offsets[1:-1])][: len(chosen)] == [rows[i] for i in chosen]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.integers(0, 2**32 - 1), max_size=9), max_size=6), st.integers(1, 3), st.integers(0, 60)
)  # fmt: skip
def test_columns_come_back_in_order(chunks, width, held):
    """Rows come back as they were put in, from memory and from disk, twice; lengths give where each row starts."""
    before, spill._COLUMN = spill._COLUMN, held
    try:
        column, lengths, rows = Column(np.uint64, width=width), Column(np.uint32), []
        for chunk in chunks:
            rows += [[value + i for i in range(width)] for value in chunk]
            whole = np.array(chunk, np.uint64)
            column.append(whole[:, None] + np.arange(width, dtype=np.uint64) if width > 1 else whole)
            lengths.append(np.array(chunk, np.uint32))
            assert column.rows == lengths.rows == len(rows)
            found = [row for block in column.blocks() for row in block.reshape(-1, width).tolist()]
            assert found == rows
        assert offsets_of(lengths).tolist() == [0, *accumulate(row[0] for row in rows)]
    finally:
        spill._COLUMN = before


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 3), max_size=40), max_size=8))
def test_no_key_that_repeats_is_missed(chunks):
    """Every key that was noted more than once is told, wherever it stands."""
    arrays = [np.array(chunk, np.uint64) for chunk in chunks]
    seen, counts = Seen(sum(map(len, chunks))), Counter(key for chunk in chunks for key in chunk)
    for keys in arrays:
        seen.mark(keys)
    for keys in arrays:
        assert seen.several(keys)[[counts[key] > 1 for key in keys.tolist()]].all()


def test_a_directory_that_cannot_be_written(tmp_path):
    """Where intermediate results cannot be kept, the error names the directory and the option to change it."""
    records = Records(0, tmp_path / "missing")
    with pytest.raises(CurateError, match="missing: No such file") as error:
        records.append(np.zeros(3, np.uint64), np.zeros(3, np.uint32))
    assert "--tmp" in error.value.hint


def test_a_full_disk(tmp_path, monkeypatch):
    """A disk that fills up ends the run with what to do about it."""
    sets = Sets(0, tmp_path)
    sets.append(np.zeros(3, np.uint32), np.array([0, 3]))
    with open("/dev/full", "wb", buffering=0) as full:
        monkeypatch.setattr(sets._file, "_file", full)
        with pytest.raises(CurateError, match="No space left on device"):
            sets.append(np.zeros(3, np.uint32), np.array([0, 3]))


def test_temporary_files_have_no_name(tmp_path):
    """Nothing is left in the directory, however the process ends: the file has no name from the start."""
    sets = Sets(0, tmp_path)
    sets.append(np.zeros(3, np.uint32), np.array([0, 3]))
    assert sets.spilled == 12
    assert list(tmp_path.iterdir()) == []
