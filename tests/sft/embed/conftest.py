"""Fixtures of the embedders' tests."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test an empty cache of vectors."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("CURATE_CACHE", str(folder))
    return folder
