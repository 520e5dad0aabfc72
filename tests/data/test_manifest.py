"""The output directory appears whole or not at all, and its manifest tells how it came to be."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import orjson
import polars as pl
import pytest

from curate.data.manifest import OutputDirectory, versions, write_manifest
from curate.errors import CurateError, UsageError


def _write(target, text="x", **options):
    with OutputDirectory(target, **options) as out:
        (out.path / "a.txt").write_text(text)
        write_manifest(out.path, command="test", config={}, sources=[])


def test_directory_appears_with_its_manifest(tmp_path):
    """Every output stands in the manifest with its hash, and nothing else is left beside it."""
    _write(tmp_path / "out")
    manifest = orjson.loads((tmp_path / "out/manifest.json").read_bytes())
    assert manifest["outputs"]["a.txt"] == {"bytes": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
    assert manifest["versions"]["curate"]
    assert os.listdir(tmp_path) == ["out"]


def test_a_failed_run_leaves_nothing(tmp_path):
    """An error inside the block removes the scratch directory and keeps what was there."""
    _write(tmp_path / "out", "first")
    with pytest.raises(ZeroDivisionError), OutputDirectory(tmp_path / "out", force=True) as out:
        (out.path / "a.txt").write_text(str(1 / 0))
    assert (tmp_path / "out/a.txt").read_text() == "first"
    assert os.listdir(tmp_path) == ["out"]


def test_a_directory_with_files_is_refused(tmp_path):
    """Without --force nothing is replaced; with it only what a run of curate wrote."""
    _write(tmp_path / "out")
    with pytest.raises(UsageError, match="not empty"):
        _write(tmp_path / "out")
    _write(tmp_path / "out", "new", force=True)
    assert (tmp_path / "out/a.txt").read_text() == "new"
    (tmp_path / "out/thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match=r"thesis\.tex"):
        _write(tmp_path / "out", force=True)
    assert (tmp_path / "out/thesis.tex").read_text() == "precious"


def test_a_file_in_the_way_is_refused(tmp_path):
    """A file under the name of the directory is an error, with or without force."""
    (tmp_path / "out").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        _write(tmp_path / "out", force=True)


def test_two_runs_in_one_directory_are_refused(tmp_path):
    """The second of two runs is told about the first; the first is not disturbed."""
    with OutputDirectory(tmp_path / "out") as out:
        (out.path / "a").touch()
        with pytest.raises(UsageError, match="another run"):
            _write(tmp_path / "out")
    assert (tmp_path / "out/a").exists()


def test_a_killed_run_leaves_no_trace_after_the_next(tmp_path):
    """SIGKILL in the middle leaves nothing under the final name; the next run tidies up and succeeds."""
    code = (
        "import os, signal, sys; from curate.data.manifest import OutputDirectory\n"
        "with OutputDirectory(sys.argv[1]) as out:\n"
        "    (out.path / 'a').touch(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], check=False)
    assert done.returncode == -9
    assert not (tmp_path / "out").exists()
    _write(tmp_path / "out")
    assert os.listdir(tmp_path) == ["out"]


def test_a_full_disk_is_one_clear_error(tmp_path):
    """An I/O failure while writing is a CurateError that names the directory; no partial directory stays."""
    with pytest.raises(CurateError, match="No space left"), OutputDirectory(tmp_path / "out"):
        Path("/dev/full").write_text("x")
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_told_apart_when_polars_says_it(tmp_path):
    """Polars raises errors of its own, with the system's number in the text; they are the same one message."""
    said = "parquet: underlying IO error: No space left on device (os error 28)"
    with pytest.raises(CurateError, match=r"cannot write .*No space left"), OutputDirectory(tmp_path / "out"):
        raise pl.exceptions.ComputeError(said)
    assert os.listdir(tmp_path) == []


def test_the_directory_one_is_in_is_refused(tmp_path, monkeypatch):
    """Replacing the working directory would leave the user in a removed one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in (".", "..", tmp_path / "here"):
        with pytest.raises(UsageError, match="the directory you are in"):
            _write(name)
    assert os.listdir(tmp_path) == ["here"]


def test_parents_are_made_for_a_result_only(tmp_path):
    """Missing parents appear with the result, and go again when there is none."""
    with pytest.raises(ZeroDivisionError), OutputDirectory(tmp_path / "a/b/out"):
        raise ZeroDivisionError
    assert os.listdir(tmp_path) == []
    _write(tmp_path / "a/b/out")
    assert (tmp_path / "a/b/out/a.txt").exists()


def test_names_with_wildcards_touch_no_other_directory(tmp_path):
    """A name is a name, also where it could be read as a pattern."""
    (tmp_path / ".other.partial-1").mkdir()
    (tmp_path / ".[o]ut.partial-1").mkdir()
    _write(tmp_path / "*")
    assert (tmp_path / ".other.partial-1").exists()
    _write(tmp_path / "[o]ut")
    assert not (tmp_path / ".[o]ut.partial-1").exists()


def test_a_link_stays_a_link(tmp_path):
    """Where the name is a link to a directory, that directory is replaced."""
    _write(tmp_path / "real")
    (tmp_path / "out").symlink_to("real")
    _write(tmp_path / "out", "new", force=True)
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "real/a.txt").read_text() == "new"
    (tmp_path / "real/link").symlink_to("nowhere")
    with pytest.raises(UsageError, match="link"):
        _write(tmp_path / "out", force=True)


def test_an_interrupt_between_the_two_renames_keeps_the_old_result(tmp_path, monkeypatch):
    """Ctrl-C while the new directory takes the place of the old one leaves the old one, and nothing beside it."""
    _write(tmp_path / "out", "old")
    rename = Path.rename

    def interrupted(self, target):
        if self.name.endswith(f"partial-{os.getpid()}"):
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _write(tmp_path / "out", "new", force=True)
    assert (tmp_path / "out/a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["out"]


def test_a_lock_file_that_was_just_removed_locks_nobody_out(tmp_path, monkeypatch):
    """A run that opened the lock of one that ends meanwhile takes a new lock, so that two never write at once."""
    lock = tmp_path / ".out.lock"
    flock, removed = fcntl.flock, []

    def flock_late(file, how):
        if not removed:
            removed.append(lock.unlink())
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", flock_late)
    with OutputDirectory(tmp_path / "out"):
        assert lock.exists()
        with pytest.raises(UsageError, match="another run"):
            OutputDirectory(tmp_path / "out").__enter__()
    assert removed


def test_versions_do_not_import_anything():
    """Only libraries that have run are listed."""
    code = "from curate.data.manifest import versions; import sys; versions(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert versions()["python"] == sys.version.split()[0]
