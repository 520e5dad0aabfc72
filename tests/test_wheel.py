"""What is built is what works: the sdist is the repository, its wheel the package, without extras, with its types."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import curate

ROOT = Path(__file__).parents[1]
USER = """
from pathlib import Path
from typing import assert_type

import curate
from curate import KCenterGreedy, Selection, TokenReport

report = curate.count_tokens("corpus/", tokenizer="o200k_base")
assert_type(report, TokenReport)
assert_type(report.write("report/"), Path)
selection = curate.select_rows("pool.jsonl", fraction=0.005)
assert_type(selection, Selection)
assert_type(selection.config.seed, int)
assert_type(KCenterGreedy(n_select=3), KCenterGreedy)
curate.select_rows()  # type: ignore[call-arg]
curate.make_plan(params="1.3B").unheard_of  # type: ignore[attr-defined]
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build the sdist and the wheel that comes of it, and beside them the wheel of the source tree."""
    out = tmp_path_factory.mktemp("built")
    for name, *options in (("sdist",), ("tree", "--wheel")):
        command = [sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", str(out / name), str(ROOT)]
        subprocess.run(command, check=True, capture_output=True)
    return out


@pytest.fixture(scope="module")
def wheel(built):
    """Return the wheel that was made of the sdist."""
    (path,) = built.glob("sdist/*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """Return the Python of an environment that holds the wheel and click."""
    import click

    environment = tmp_path_factory.mktemp("env")
    venv.create(environment, with_pip=False)
    python = environment / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True)
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "click").symlink_to(Path(click.__file__).parent)
    return python


def test_the_sdist_holds_the_repository_and_nothing_else(built):
    """Every file that git has or would add is in, and what git ignores is not."""
    if not (ROOT / ".git").exists():
        pytest.skip("git knows what belongs to the repository, and this is no clone")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    (path,) = built.glob("sdist/*.tar.gz")
    with tarfile.open(path) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert names - {"PKG-INFO"} == {name for name in found if (ROOT / name).is_file()}


def test_the_wheel_of_the_sdist_is_the_wheel_of_the_source_tree(built, wheel):
    """Who installs from the sdist gets the same bytes."""
    assert wheel.read_bytes() == (built / "tree" / wheel.name).read_bytes()


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    """Only `curate` is claimed as an import name; the type marker is in, pipelines and tests are not."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"curate"}
    assert "curate/py.typed" in names
    assert not any(name.endswith((".jsonl", ".gz", ".parquet", ".nbc")) for name in names)


def test_the_version_stands_in_one_place(wheel, python):
    """`curate.__version__` is what the wheel is called, what it tells about itself, and what the command prints."""
    (name,) = (name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(zipfile.ZipFile(wheel).read(name).decode())
    printed = subprocess.run([python.parent / "curate", "--version"], check=True, capture_output=True, text=True).stdout
    assert metadata["Version"] == curate.__version__ == wheel.name.split("-")[1]
    assert curate.__version__ in printed
    assert curate.__version__ not in (ROOT / "pyproject.toml").read_text()


def test_help_works_from_an_installed_wheel_without_extras(python, tmp_path):
    """With nothing but click installed, `curate --help` and `curate select --help` answer."""
    for arguments in (["--help"], ["select", "--help"]):
        done = subprocess.run(
            [python, "-I", "-m", "curate.cli", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    imported = "import importlib.util as u; assert u.find_spec('pipelines') is None and u.find_spec('tests') is None"
    subprocess.run([python, "-I", "-c", imported], cwd=tmp_path, check=True)


def test_the_installed_wheel_selects(python, tmp_path):
    """With its dependencies, and far from the repository, the wheel makes a directory that it can verify."""
    packages = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}
    command = [python.parent / "curate", "select", ROOT / "pipelines/sample_pool.jsonl", "--count", "5", "--out", "sft"]
    subprocess.run(command, cwd=tmp_path, env=packages, check=True, capture_output=True)
    assert len((tmp_path / "sft/train.jsonl").read_text().splitlines()) == 5
    subprocess.run(
        [python.parent / "curate", "verify", "sft"], cwd=tmp_path, env=packages, check=True, capture_output=True
    )
    where = [python, "-c", "import curate; print(curate.__file__)"]
    found = subprocess.run(where, cwd=tmp_path, env=packages, check=True, capture_output=True, text=True).stdout
    assert Path(found).is_relative_to(python.parents[1])


def test_types_reach_whoever_installs_the_wheel(python, tmp_path):
    """A strict mypy knows the types of the installed package: of results, and of calls that are wrong."""
    (tmp_path / "user.py").write_text(USER)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", "cache", "--python-executable", str(python)]
    done = subprocess.run([*mypy, "user.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
