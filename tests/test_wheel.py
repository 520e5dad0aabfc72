"""The wheel that is built is the package that works: without extras, without the repository beside it."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from the source tree."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    """Only `curate` is claimed as an import name; the type marker is in, pipelines and tests are not."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"curate"}
    assert "curate/py.typed" in names
    assert not any(name.endswith((".jsonl", ".gz", ".parquet")) for name in names)


def test_help_works_from_an_installed_wheel_without_extras(wheel, tmp_path):
    """With nothing but click installed, `curate --help` and `curate select --help` answer."""
    import click

    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env/bin/python"
    (site,) = (tmp_path / "env/lib").glob("python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    (site / "click").symlink_to(Path(click.__file__).parent)
    for arguments in (["--help"], ["select", "--help"], ["--version"]):
        done = subprocess.run(
            [python, "-I", "-m", "curate.cli", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    imported = "import importlib.util as u; assert u.find_spec('pipelines') is None and u.find_spec('tests') is None"
    subprocess.run([python, "-I", "-c", imported], cwd=tmp_path, check=True)
