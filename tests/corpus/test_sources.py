"""Names of groups of sources."""

from __future__ import annotations

import pytest

from curate.corpus.sources import groups
from curate.errors import UsageError

SOURCES = ["data/web/part-0.jsonl.gz", "data/web/part-1.jsonl.gz", "data/books.parquet", "/abs/wiki/en.txt"]


def test_a_name_is_a_path_a_directory_or_a_stem():
    """Sources belong to the first name that fits them."""
    assert groups(["web", "books"], SOURCES, "--weights") == [0, 0, 1, None]
    assert groups(["en", "part-1", "data"], SOURCES, "--weights") == [2, 1, 2, 0]
    assert groups(["/abs/wiki/en.txt", "books.parquet"], SOURCES, "--weights") == [None, None, 1, 0]


def test_a_name_that_fits_nothing_is_refused():
    """The nearest names are told."""
    with pytest.raises(UsageError, match=r"unknown source in --weights 'boks'\nDid you mean books"):
        groups(["boks"], SOURCES, "--weights")
