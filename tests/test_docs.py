"""Docs say what the program does."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from curate.cli import app
from curate.face import run

ROOT = Path(__file__).parents[1]


def _generator():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["cli.md", "filters.md"])
def test_generated_pages_are_up_to_date(page):
    """The generated pages equal what the program itself says."""
    assert (ROOT / "docs" / page).read_text() == _generator().PAGES[page](), "run: python docs/generate.py"


@pytest.mark.parametrize("name", sorted(app.commands))
def test_every_command_has_help_with_an_example(name):
    """Each command's help says what it does and shows a command to type."""
    help_text = app.commands[name].help
    assert len(help_text.split("\n")[0]) > 20
    assert f"curate {name}" in help_text


@pytest.mark.parametrize("name", sorted(app.commands))
def test_every_command_is_in_the_readme(name):
    """The README names every command."""
    assert f"curate {name}" in (ROOT / "README.md").read_text()


def test_ci_runs_the_commands_of_the_readme():
    """The two set-up commands of the README are the ones that CI runs, and no others."""
    blocks = re.findall(r"```bash\n(make [a-z]+)\n", (ROOT / "README.md").read_text())
    commands = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line.startswith("make ")]
    assert blocks == commands
    assert len(blocks) == 2


def test_the_readme_shows_what_make_sample_prints(tmp_path, capsys, monkeypatch):
    """The table in the README is that of the first command, but for time and memory."""
    command = re.search(r"curate select .*?--force", (ROOT / "Makefile").read_text(), re.S)[0]
    arguments = command.replace("\\\n", " ").replace("out/sample", str(tmp_path / "out")).split()
    monkeypatch.chdir(ROOT)
    assert run(app, arguments[1:]) == 0
    out = capsys.readouterr().out.replace(str(tmp_path / "out"), "out/sample")
    printed = [line.rstrip() for line in out.splitlines()]
    shown = re.search(r"make sample\n```\n\n```text\n(.*?)```", (ROOT / "README.md").read_text(), re.S)[1].splitlines()
    for ours, theirs in zip(printed, shown, strict=True):
        assert ours == theirs or ours.startswith(("time ", "memory "))


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))])
def test_links_and_paths_lead_somewhere(page):
    """Every relative link of a page, and every path of the project that it names in code, is there."""
    text = (ROOT / page).read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    paths = re.findall(r"`((?:curate|docs|benchmarks|tests|pipelines)/[\w/.-]+)`", text)
    for path in [*((ROOT / page).parent / link for link in links), *(ROOT / path for path in paths)]:
        assert path.exists(), path


def test_every_dependency_has_a_line_of_why():
    """docs/dependencies.md names each dependency of pyproject.toml."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "docs/dependencies.md").read_text()
    extras = [name for group in project["optional-dependencies"].values() for name in group]
    for requirement in [*project["dependencies"], *extras]:
        name = re.match(r"[a-z0-9-]+", requirement)[0]
        assert re.search(rf"\b{name}\b", text), name


def test_licences_are_those_of_what_is_installed():
    """docs/licences.md has what pyproject.toml asks for and whatever is under the MPL; nothing is under the GPL."""
    shown = dict(re.findall(r"^\| (\S+) \| (.*?) \|", (ROOT / "docs/licences.md").read_text(), re.M))
    family = re.compile("Apache|BSD|MIT|MPL|Mozilla")  # spellings differ from one release of a package to the next
    generator = _generator()
    for name, askers in generator.brought().items():
        licence = generator.licence(name)
        assert "GPL" not in licence, name
        if askers[0].startswith("curate") or re.search("MPL|Mozilla", licence):
            now, then = (set(family.findall(text)) for text in (licence, shown[name]))
            assert now == then, f"{name}: {licence}; run: python docs/generate.py"


def test_every_page_is_in_the_index():
    """docs/index.md, where the site begins, links to every other page."""
    links = re.findall(r"\]\(([\w.]+)\)", (ROOT / "docs/index.md").read_text())
    assert sorted([*links, "index.md"]) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def test_the_changelog_keeps_its_form():
    """Releases stand newest first, each with its date; their changes stand under the six headings of the form."""
    headings = re.findall(r"^##.*", (ROOT / "CHANGELOG.md").read_text(), re.M)
    releases = [heading for heading in headings if heading.startswith("## ")]
    assert releases[0] == "## [Unreleased]"
    assert all(re.fullmatch(r"## \[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", release) for release in releases[1:])
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert {heading.removeprefix("### ") for heading in headings if heading not in releases} <= kinds


def test_the_project_names_no_machine():
    """No tracked text holds a path of a developer's machine."""
    import subprocess

    pattern = r"(^|[^A-Za-z0-9_.])/(work|root|farm|home)/"
    found = subprocess.run(
        ["git", "grep", "-nIE", pattern, "--", ".", ":!tests/test_docs.py"], cwd=ROOT, capture_output=True, check=False
    )
    assert found.stdout == b""
