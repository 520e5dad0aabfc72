"""The kernels of what every document is asked for, near-duplicates or not: a hash of its bytes, and its script.

As in `corpus/kernels.py`: kernels get typed arrays, have no options, never raise, and release the interpreter lock.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curate.corpus.byte_kernels import SEED, U8, absorb, finish, is_ascii, kernel, piece
from curate.corpus.kernels import _fold, _has_letter, _main_script
from curate.corpus.text import SCRIPTS

_LATIN = SCRIPTS.index("Latin")


@kernel
def hash_bytes(wide: Any, at: Any, stop: Any) -> Any:
    """Return a 64-bit hash of the bytes from `at` to `stop`."""
    state = SEED
    while stop - at >= 8:
        state = absorb(state, wide[at])
        at += 8
    base = min(at, len(wide) - 1)
    return finish(absorb(state, piece(wide[base] >> U8 * np.uint64(at - base), np.uint64(stop - at))))


@kernel
def hash_rows(wide: Any, offsets: Any, hashes: Any) -> None:
    """Write the 64-bit hash of each row's bytes; OUT uint64 (n)."""
    for row in range(len(offsets) - 1):
        hashes[row] = hash_bytes(wide, offsets[row], offsets[row + 1])


@kernel
def script_rows(data: Any, wide: Any, offsets: Any, table: Any, folded: Any, scripts: Any) -> None:
    """Write the main script of each row, as `sign_rows` does; OUT int8 (n)."""
    by_script = np.empty(len(SCRIPTS), dtype=np.int64)
    for row in range(len(offsets) - 1):
        at, stop = offsets[row], offsets[row + 1]
        if is_ascii(wide, at, stop):
            scripts[row] = _LATIN if _has_letter(data, at, stop) else 0
        else:
            by_script[:] = 0
            _fold(wide, at, stop, table, folded, by_script)
            scripts[row] = _main_script(by_script)
