"""What a result depends on is told by options, and by size and time of files; what has changed is told in words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from curate.corpus.config import TokensConfig
from curate.data.fingerprint import difference, fingerprint


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """Make a corpus of two files, a hidden one, and an output inside."""
    monkeypatch.chdir(tmp_path)
    for name in ("corpus/a.txt", "corpus/b.txt", "corpus/.hidden/c.txt", "corpus/out/report.json", "index/index.json"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("x")


def _of(inputs=("corpus",), **options):
    return fingerprint(inputs, TokensConfig(**options), Path("corpus/out"))


def test_files_are_those_that_are_read(corpus):
    """Hidden files, the output and what is written elsewhere do not count; files that options name do."""
    assert set(_of()["files"]) == {"corpus/a.txt", "corpus/b.txt"}
    assert set(_of(["corpus/*.txt"])["files"]) == {"corpus/a.txt", "corpus/b.txt"}
    assert "index/index.json" in _of(against=("index",))["files"]
    assert "index/index.json" not in _of(save_index="index")["files"]
    assert _of(save_index="index") != _of()


def test_options_that_change_no_result_do_not_count():
    """Where a run computes, and how much it may use, leaves no trace."""
    assert _of(workers=1, memory=2 << 30, tmp="x", out="out", force=True, resume=True) == _of(workers=7)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: os.utime("corpus/b.txt", (1, 1)), "the input has changed since: corpus/b.txt"),
        (lambda: Path("corpus/a.txt").unlink(), "the input has changed since: corpus/a.txt"),
        (lambda: [Path(f"corpus/{i}.txt").touch() for i in range(5)],
         "the input has changed since: corpus/0.txt, corpus/1.txt, corpus/2.txt and 2 more"),
    ],
)  # fmt: skip
def test_changed_files_are_named(change, said, corpus):
    """Three files are named, the rest is counted."""
    before = _of()
    change()
    assert difference(before, _of()) == said


def test_what_else_has_changed_is_named(corpus):
    """Versions come first, for they change for all; then options, then other inputs."""
    was = _of() | {"versions": {"numpy": "1"}}
    assert difference(was, _of(ngram=3) | {"versions": {"numpy": "2"}}) == "numpy was 1, is 2"
    assert difference(was, _of(ngram=3) | {"versions": {"numpy": "1"}}) == "--ngram was 5, is 3"
    assert difference(_of(), _of(["corpus", "index"])) == "other inputs were named"
    assert difference(_of(), _of() | {"command": "another"}) == "another command was run"
