"""What a result depends on is told by options, and by size and time of files; what has changed is told in words."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from curate.config import NO_CHANGE, options
from curate.corpus.config import TokensConfig
from curate.data.checkpoint import key_of
from curate.data.fingerprint import READ, difference, fingerprint
from curate.sft.config import SelectConfig


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
    assert _of(engine="ray", address="auto") == _of(engine="ray")


def test_options_that_change_no_result_are_options():
    """Each name in the list is an option of both commands that write a directory, but for --tmp of one."""
    assert NO_CHANGE - set(options(TokensConfig)) == set()
    assert NO_CHANGE - set(options(SelectConfig)) == {"tmp"}


@pytest.mark.parametrize("named", ["rules.py", "rules.py:short", "rules.py:short=3:5", "a=b/rules.py:short=3:5"])
def test_a_file_of_filters_counts_however_it_is_named(named, tmp_path, monkeypatch):
    """With one of its filters, with numbers, and below a directory with an equals sign."""
    monkeypatch.chdir(tmp_path)
    path = Path("a=b/rules.py" if "a=b" in named else "rules.py")
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert list(fingerprint([], SelectConfig(count=1, filters=("clean", named)))["files"]) == [str(path)]


@pytest.mark.parametrize(
    "config",
    [
        TokensConfig(out="out", against=("index", "hf://datasets/a/b")),
        SelectConfig(count=1, out="out", have="https://example.org/have.jsonl"),
        SelectConfig(count=1, out="out", decontaminate=("openai/gsm8k",)),
    ],
)
def test_data_that_an_option_names_is_to_be_local(config, corpus):
    """As the inputs: of a URL or an id of the hub nobody can tell whether it is the same again."""
    assert key_of("corpus", config) is None
    local = {name: "index" if name == "have" else ("index",) for name in READ if getattr(config, name, None)}
    assert key_of("corpus", replace(config, **local)) is not None


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
    assert difference(was, {**was, "options": {}}).endswith(", is absent")
    assert difference(_of(), _of(["corpus", "index"])) == "other inputs were named"
    assert difference(_of(), _of() | {"command": "another"}) == "another command was run"
