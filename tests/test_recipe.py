"""Recipes: steps in order, each run once, again only when something that it depends on has changed."""

from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest

from curate.cli import app
from curate.errors import CurateError, UsageError
from curate.face import run
from curate.recipe import RunConfig, read_recipe, run_recipe

ROOT = Path(__file__).parents[1]
RECIPE = """
out = "{out}"
[set]
pool = "{pool}"
[[step]]
name = "tokens"
run = "tokens"
inputs = ["{{pool}}"]
tokenizer = "none"
write = "jsonl"
[[step]]
run = "select"
inputs = ["{{tokens}}/train-00000.jsonl"]
count = 2
filters = ["none"]
"""


@pytest.fixture
def recipe(tmp_path):
    rows = [{"instruction": f"Tell {word}.", "output": f"All about {word}, at length."} for word in "abcdefgh"]
    (tmp_path / "pool.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(out=tmp_path / "out", pool=tmp_path / "pool.jsonl"))
    return path


def ran(steps):
    return {step.name: step.ran for step in steps}


def test_a_finished_step_is_not_run_again(recipe, tmp_path):
    """The second run does nothing; a changed option, input or output starts its step, and those that read it."""
    first = run_recipe(recipe, RunConfig())
    assert ran(first) == {"tokens": True, "select": True}
    assert first[1].said == "2 rows of 8"
    assert len((tmp_path / "out/select/train.jsonl").read_text().splitlines()) == 2
    again = run_recipe(recipe, RunConfig())
    assert ran(again) == {"tokens": False, "select": False}
    assert [step.said for step in again] == [step.said for step in first]
    assert ran(run_recipe(recipe, RunConfig(set=("select.count=3",)))) == {"tokens": False, "select": True}
    with (tmp_path / "pool.jsonl").open("a") as file:
        file.write(json.dumps({"instruction": "Tell i.", "output": "All about i, at length."}) + "\n")
    assert ran(run_recipe(recipe, RunConfig(set=("select.count=3",)))) == {"tokens": True, "select": True}
    (tmp_path / "out/select/train.jsonl").unlink()
    assert ran(run_recipe(recipe, RunConfig(set=("select.count=3",)))) == {"tokens": False, "select": True}
    assert ran(run_recipe(recipe, RunConfig(set=("select.count=3",), force=True))) == {"tokens": True, "select": True}


def test_options_that_change_no_result_start_nothing(recipe):
    """Workers may differ from run to run."""
    run_recipe(recipe, RunConfig())
    assert ran(run_recipe(recipe, RunConfig(set=("select.workers=1",)))) == {"tokens": False, "select": False}


def test_a_step_that_fails_keeps_those_before_it(recipe, tmp_path):
    """A failure names its reason; the next run goes on with the step that failed."""
    with pytest.raises(CurateError, match="9 rows are wanted"):
        run_recipe(recipe, RunConfig(set=("select.count=9",)))
    assert not (tmp_path / "out/select").exists()
    assert ran(run_recipe(recipe, RunConfig())) == {"tokens": False, "select": True}


def test_a_broken_state_file_is_no_obstacle(recipe, tmp_path):
    """Where nothing is known to be finished everything is run."""
    run_recipe(recipe, RunConfig())
    state = tmp_path / "out/run.json"
    for broken in ("{", "[]", '{"steps": 7}', state.read_text().replace('"seconds"', '"moments"')):
        state.write_text(broken)
        assert ran(run_recipe(recipe, RunConfig())) == {"tokens": True, "select": True}


def test_another_version_of_a_library_starts_a_step(recipe, monkeypatch):
    """As --resume, which goes on with no work of another version."""
    run_recipe(recipe, RunConfig())
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.1")
    assert ran(run_recipe(recipe, RunConfig())) == {"tokens": True, "select": True}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "tokens"', 'name = "../up"', "is no name for a step"),
        ('run = "select"', 'run = "selct"', "unknown command for a step 'selct'"),
        ('run = "select"', 'name = "tokens"\nrun = "select"', "two steps have the same name"),
        ("count = 2", "counts = 2", "unknown option of step select 'counts'"),
        ("count = 2", "count = 0", "step select: --count 0: should be at least 1"),
        ("count = 2", "", "step select: how many rows to select is not said"),
        ("{pool}", "{pools}", "unknown name in"),
        ("[set]", "[sets]", "'sets' is no part of a recipe"),
        ("[set]", "[set", "is not valid TOML"),
    ],
)
def test_mistakes_are_named_before_anything_runs(recipe, tmp_path, old, new, said):
    """A recipe is checked whole before its first step."""
    recipe.write_text(recipe.read_text().replace(old, new))
    with pytest.raises(UsageError, match=said):
        run_recipe(recipe, RunConfig())
    assert not (tmp_path / "out").exists()


def test_an_unknown_name_for_set_is_named(recipe):
    """--set changes what is there."""
    with pytest.raises(UsageError, match="unknown name for --set 'pol'"):
        run_recipe(recipe, RunConfig(set=("pol=x",)))


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines").glob("*.toml")), ids=lambda path: path.stem)
def test_recipes_of_the_project_run(path, tmp_path, monkeypatch, capsys):
    """Each recipe of the project runs from its first line to its last on the small data that it names."""
    monkeypatch.chdir(ROOT)
    assert run(app, ["run", str(path), "--set", f"out={tmp_path / 'out'}", "--quiet", "--json"]) == 0
    steps = json.loads(capsys.readouterr().out)["steps"]
    assert [step["name"] for step in steps] == [step.name for step in read_recipe(path)[1]]
    assert all(step["ran"] and Path(step["out"]).exists() for step in steps)
