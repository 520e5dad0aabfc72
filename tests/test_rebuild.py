"""`curate report`: the page of a finished directory made anew, from what lies in it alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

import curate
from curate.cli import app
from curate.corpus.count import count_tokens
from curate.data.lock import drop_lock, take_lock
from curate.data.manifest import MANIFEST, file_sha256, read_manifest, write_json
from curate.errors import CurateError, UsageError
from curate.face import run
from curate.rebuild import rebuild
from curate.report import page
from curate.verify import VerifyConfig, verify_directory

ROWS = [
    {"instruction": f"What is {i} times {i % 7}? Say how.", "output": f"It is {i * (i % 7)}: add it up {i} times."}
    for i in range(80)
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a selection, a count with a plan, and the sample of a count; their inputs are gone by then."""
    place = tmp_path_factory.mktemp("finished")
    pool = place / "pool.jsonl"
    pool.write_bytes(
        b"".join(orjson.dumps(row) + b"\n" for row in [*ROWS, *ROWS[:9], {"instruction": "Eh?", "output": ""}])
    )
    curate.select_rows(str(pool), out=place / "sft", count=8, holdout=0.05, task_column="instruction", workers=1)
    count_tokens(str(pool), out=place / "count", tokenizer="o200k_base,cl100k_base", params="1M", workers=1)
    count_tokens(str(pool), out=place / "sample", sample=0.5, workers=1)
    pool.unlink()
    return place


@pytest.fixture(params=["sft", "count", "sample"])
def directory(finished, tmp_path, request):
    """Return a copy of one of them."""
    return Path(shutil.copytree(finished / request.param, tmp_path / "copy"))


@pytest.fixture
def selection(finished, tmp_path):
    """Return a copy of the selection."""
    return Path(shutil.copytree(finished / "sft", tmp_path / "sft"))


def _files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def _matches(directory: Path) -> bool:
    return verify_directory(str(directory), VerifyConfig())["matches"]


# -- What works --------------------------------------------------------------------------------------------------------


def test_the_page_is_the_one_that_the_run_wrote(directory):
    """Without its input, and with its page gone or changed, every byte comes back, and nothing else changes."""
    before = _files(directory)
    (directory / "report.html").write_text("another page")
    assert not _matches(directory)
    rebuild(str(directory))
    assert _files(directory) == before
    (directory / "report.html").unlink()
    rebuild(str(directory))
    assert _files(directory) == before
    assert _matches(directory)
    assert [path.name for path in directory.parent.iterdir()] == ["copy"]


def test_a_page_of_another_look_gets_its_hash_into_the_manifest(directory, monkeypatch):
    """A later version draws another page: the directory matches its manifest with it, and nothing else changes."""
    before = _files(directory)
    monkeypatch.setattr(page, "_STYLE", "body { color: red; }")
    told = rebuild(str(directory))
    after = _files(directory)
    assert {name for name in after if after[name] != before[name]} == {"report.html", MANIFEST}
    assert told["bytes"] == len(after["report.html"])
    assert _matches(directory)


def test_the_command_prints_the_page_and_works_inside_of_the_directory(selection, monkeypatch, capsys):
    """As text and as JSON; the directory may be the one that the user is in."""
    monkeypatch.chdir(selection)
    assert run(app, ["report", "."]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "./report.html"
    assert run(app, ["report", ".", "--json"]) == 0
    told = orjson.loads(capsys.readouterr().out)
    assert told == {"directory": ".", "page": "./report.html", "bytes": (selection / "report.html").stat().st_size}


def test_open_shows_the_page_in_the_browser_or_says_where_it_is(selection, tmp_path):
    """The browser gets the address of the file; where there is none the path is told, and that is no failure."""
    seen, browser = tmp_path / "seen", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}\n')
    browser.chmod(0o755)
    call = [sys.executable, "-m", "curate.cli", "report", str(selection), "--open"]
    plain = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY", "TERM")}
    shown = subprocess.run(call, env={**plain, "BROWSER": f"{browser} %s"}, capture_output=True, text=True, check=True)
    assert seen.read_text().strip() == (selection / "report.html").as_uri()
    assert shown.stderr == ""
    alone = subprocess.run(call, env=plain, capture_output=True, text=True, check=True)
    assert alone.stderr == f"curate: no browser is found here: open {selection}/report.html where there is one\n"


# -- What goes wrong ---------------------------------------------------------------------------------------------------


def test_a_run_that_writes_the_directory_is_not_disturbed(selection):
    """The lock of a run keeps a rebuild out."""
    lock = take_lock(selection.with_name(f".{selection.name}.lock"), selection)
    try:
        with pytest.raises(UsageError, match="another run"):
            rebuild(str(selection))
    finally:
        drop_lock(lock)
    rebuild(str(selection))


@pytest.mark.parametrize("renames", [0, 1])
def test_a_rebuild_that_is_killed_leaves_a_page(selection, renames):
    """Killed before the first rename: the old page, which matches. After it: a whole page, and the next one matches."""
    before = _files(selection)
    (selection / "report.html").write_text("old page")
    killed = f"""
import os, pathlib
from curate.rebuild import rebuild
plain, calls = pathlib.Path.replace, []
def replace(self, target):
    if len(calls) == {renames}:
        os.kill(os.getpid(), {signal.SIGKILL:d})
    calls.append(target)
    return plain(self, target)
pathlib.Path.replace = replace
rebuild({str(selection)!r})
"""
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -signal.SIGKILL
    page_now = (selection / "report.html").read_bytes()
    assert page_now == (before["report.html"] if renames else b"old page")
    rebuild(str(selection))
    assert _files(selection) == before
    curate.select_rows(ROWS, out=selection, count=4, force=True, workers=1)  # a run tidies up what was left
    assert [path.name for path in selection.parent.iterdir()] == ["sft"]


@pytest.mark.parametrize("name", ["report.json", "ledger.parquet", "map.parquet"])
@pytest.mark.parametrize("fault", ["gone", "changed", "not in its manifest"])
def test_what_is_not_as_its_run_wrote_it_is_not_shown(selection, name, fault):
    """One error names the file and what is wrong with it; nothing is changed."""
    if fault == "gone":
        (selection / name).unlink()
    elif fault == "changed":
        (selection / name).write_bytes(b"{}")
    else:
        manifest = read_manifest(selection)
        del manifest["outputs"][name]
        write_json(selection / MANIFEST, manifest)
    before = _files(selection)
    with pytest.raises(CurateError, match=f"{name} is {fault}"):
        rebuild(str(selection))
    assert _files(selection) == before


@pytest.mark.parametrize("command", ["select", "tokens"])
@pytest.mark.parametrize("report", [{}, [], {"rows": None}, {"config": {"colour": "red"}}, {"config": {}, "plan": 1}])
def test_a_report_of_another_kind_is_an_error_and_no_page(selection, command, report):
    """Whatever report.json holds, with the hash that its manifest has: one error, exit code 1 or 2, the old page."""
    (selection / "report.json").write_bytes(orjson.dumps(report))
    manifest = read_manifest(selection)
    manifest["command"] = command
    manifest["outputs"]["report.json"] = {
        "sha256": file_sha256(selection / "report.json"), "bytes": len(orjson.dumps(report)),
    }  # fmt: skip
    write_json(selection / MANIFEST, manifest)
    before = _files(selection)
    with pytest.raises(CurateError):
        rebuild(str(selection))
    assert _files(selection) == before


def test_other_directories_are_refused(tmp_path, selection):
    """No manifest; a command without a page; no lock stays beside either."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"manifest\.json"):
        rebuild(str(tmp_path / "empty"))
    write_json(selection / MANIFEST, {**read_manifest(selection), "command": "tokens --save-index"})
    with pytest.raises(UsageError, match="writes no page"):
        rebuild(str(selection))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "sft"]


def test_a_file_outside_of_the_directory_is_not_read(selection, tmp_path):
    """A link that leads out is refused, whatever hash the manifest has for it."""
    (selection / "ledger.parquet").rename(tmp_path / "elsewhere")
    (selection / "ledger.parquet").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CurateError, match="outside"):
        rebuild(str(selection))
