"""The kernels of the line level: find, hash and leave out lines, over Arrow bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from curate.corpus.byte_kernels import SEED, absorb, finish, kernel, piece


@kernel
def _is_white(byte: Any) -> Any:
    return byte == 32 or 9 <= byte <= 13


@kernel
def _hash(wide: Any, begin: Any, end: Any) -> Any:
    """Return the hash of the bytes from `begin` to `end`: chunks of eight, the last one marked."""
    state, top = SEED, len(wide) - 1
    while end - begin >= 8:
        state = absorb(state, wide[begin])
        begin += 8
    x = wide[min(begin, top)] >> np.uint64(8 * max(begin - top, 0) & 63)
    return finish(absorb(state, piece(x, np.uint64(end - begin))))


@kernel
def line_rows(data: Any, wide: Any, offsets: Any, hashes: Any, sizes: Any, starts: Any, ends: Any) -> None:
    """Write for each line the hash and the size of what is left without white space around it, and where it starts.

    OUT hashes uint64, sizes int32, starts int64 (line breaks + rows); ends int64 (rows): where the lines of a row end.
    """
    count = 0
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        while at < stop:
            start = at
            while at < stop and data[at] != 10:
                at += 1
            begin, end = start, at
            at += 1
            while begin < end and _is_white(data[begin]):
                begin += 1
            while begin < end and _is_white(data[end - 1]):
                end -= 1
            hashes[count] = _hash(wide, begin, end)
            sizes[count] = min(end - begin, 2147483647)
            starts[count] = start
            count += 1
        ends[row] = count


@kernel
def paragraph_rows(
    line_hashes: Any, line_sizes: Any, line_starts: Any, offsets: Any, hashes: Any, sizes: Any, starts: Any, ends: Any
) -> None:
    """Join lines without a blank one between them; the blank lines before a row's first paragraph belong to it."""
    count = 0
    for row in range(len(offsets) - 1):
        first, blank = count, True
        for line in range(offsets[row], offsets[row + 1]):
            if line_sizes[line] == 0:
                blank = True
                continue
            if blank:
                hashes[count] = SEED
                sizes[count] = 0
                starts[count] = line_starts[line] if count > first else line_starts[offsets[row]]
                count += 1
            blank = False
            hashes[count - 1] = absorb(hashes[count - 1], line_hashes[line])
            sizes[count - 1] = min(np.int64(sizes[count - 1]) + line_sizes[line], 2147483647)
        ends[row] = count
    for i in range(count):
        hashes[i] = finish(hashes[i])


@kernel
def keep_rows(data: Any, offsets: Any, starts: Any, line_offsets: Any, drop: Any, out: Any, ends: Any) -> None:
    """Copy each row without the lines to drop; OUT ends int64 (rows)."""
    size = 0
    for row in range(len(offsets) - 1):
        for line in range(line_offsets[row], line_offsets[row + 1]):
            if drop[line]:
                continue
            stop = starts[line + 1] if line + 1 < line_offsets[row + 1] else offsets[row + 1]
            for at in range(starts[line], stop):
                out[size] = data[at]
                size += 1
        ends[row] = size
