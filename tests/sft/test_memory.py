"""A pool that does not fit into --memory is refused before the work, with what it needs."""

from __future__ import annotations

import re

import numpy as np
import pytest

from curate.engine.memory import resident_bytes
from curate.errors import CurateError
from curate.sft.memory import check_memory
from curate.sft.select import select_rows


def test_the_forecast_counts_what_is_held_and_the_vectors():
    """The limit that the message names is enough, and half of it is not."""
    with pytest.raises(CurateError, match=r"1,000,000 rows need about [2-9]\.\d+ GB") as error:
        check_memory(2**30, 1_000_000, 256)
    named = float(re.search(r"--memory ([\d.]+)GB", error.value.hint)[1])
    check_memory(int(named * 2**30), 1_000_000, 256)
    with pytest.raises(CurateError):
        check_memory(int(named * 2**29), 1_000_000, 256)
    check_memory(None, 10**9, 4096)


def test_a_selection_obeys_the_limit():
    """Less than the process holds already is refused; enough changes nothing."""
    rows = [{"prompt": f"Say {word}.", "completion": f"{word}, with pleasure."} for word in "abcdefgh"]
    with pytest.raises(CurateError, match="rows need about"):
        select_rows(rows, count=2, memory="10MB")
    free = select_rows(rows, count=2)
    bound = select_rows(rows, count=2, memory="64GB")
    assert bound.rows.equals(free.rows)


def test_resident_memory_grows_with_what_is_held():
    """Two hundred megabytes that are written to are seen."""
    before = resident_bytes()
    held = np.ones(200_000_000, np.uint8)
    assert resident_bytes() - before > 150_000_000
    assert held[-1] == 1
