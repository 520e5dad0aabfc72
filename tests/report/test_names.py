"""Names of sources are cut at a folder, never inside a name."""

from __future__ import annotations

import pytest

from curate.report.names import below_common_folder


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["/data/web/a.jsonl", "/data/web/ab.jsonl"], ["a.jsonl", "ab.jsonl"]),
        (["/data/web/a.jsonl", "/data/wiki/a.jsonl"], ["web/a.jsonl", "wiki/a.jsonl"]),
        (["books/a.txt"], ["a.txt"]),
        (["-", "a.txt"], ["-", "a.txt"]),
        ([], []),
    ],
)
def test_the_shared_folder_goes(names, short):
    """What is left tells the sources apart."""
    assert below_common_folder(names) == short
