"""The kernels that find out, without sorting, which keys stand alone: a table of two bits for each slot of keys.

A key's slot is its top bits. A slot that was met once holds one key, which is no duplicate of any other; in a slot that
was met twice there may be copies, or two keys by accident. Nothing that has a copy is ever taken for alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curate.corpus.byte_kernels import kernel

_ONE, _TWO, _THREE = np.uint64(1), np.uint64(2), np.uint64(3)


@kernel
def mark_keys(
    keys: Any,  # uint64 (n)
    shift: Any,  # uint64: 64 less the bits of a slot's number
    marks: Any,  # IN OUT uint8: four slots a byte, two bits each: met once, met twice
) -> None:
    """Note which slots the keys fall into."""
    for i in range(len(keys)):
        slot = keys[i] >> shift
        bit = _ONE << (_TWO * (slot & _THREE))
        byte = np.uint64(marks[slot >> _TWO])
        marks[slot >> _TWO] = byte | bit | (byte & bit) << _ONE


@kernel
def may_repeat(
    keys: Any,  # uint64 (n)
    shift: Any,  # as for mark_keys
    marks: Any,  # uint8, as mark_keys left it
    found: Any,  # OUT bool (n)
) -> None:
    """Write for each key whether its slot was met twice."""
    for i in range(len(keys)):
        slot = keys[i] >> shift
        found[i] = np.uint64(marks[slot >> _TWO]) >> (_TWO * (slot & _THREE)) & _TWO != 0
