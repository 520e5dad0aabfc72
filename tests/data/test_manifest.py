"""The output directory appears whole or not at all, and its manifest tells how it came to be."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import orjson
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


def test_versions_do_not_import_anything():
    """Only libraries that have run are listed."""
    code = "from curate.data.manifest import versions; import sys; versions(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert versions()["python"] == sys.version.split()[0]
