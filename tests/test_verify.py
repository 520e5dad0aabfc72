"""`curate verify`: a finished directory against its manifest, and the same run once more."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from shutil import copytree

import orjson
import pytest

import curate
from curate.cli import app
from curate.errors import CurateError, UsageError
from curate.face import run
from curate.verify import VerifyConfig, render, verify_directory

REPLAY = VerifyConfig(replay=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Return a directory with a pool, a selection from it, a count of it and the index that the count saved."""
    place = tmp_path_factory.mktemp("verify")
    rows = [{"instruction": f"Say {word}.", "output": f"It is {word}, as you know."} for word in map(str, range(40))]
    (place / "pool.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in [*rows, rows[0]]) + b"{broken\n")
    with contextlib.chdir(place):
        curate.select_rows("pool.jsonl", fraction="0.1", holdout="0.1", out="sft", workers=2)
        curate.count_tokens("pool.jsonl", tokenizer="none", write="jsonl", save_index="index", out="count")
    return place


@pytest.fixture
def place(finished, tmp_path, monkeypatch) -> Path:
    """Return a copy of the directory, and be in it, for manifests name the pool as the command did."""
    copied = tmp_path / "copy"
    copytree(finished, copied)
    monkeypatch.chdir(copied)
    return copied


def change(directory: Path, how) -> None:
    """Change the manifest of a directory."""
    manifest = orjson.loads((directory / "manifest.json").read_bytes())
    how(manifest)
    (directory / "manifest.json").write_bytes(orjson.dumps(manifest))


def verify(directory: Path, config: VerifyConfig = VerifyConfig()):  # noqa: B008 (it is frozen)
    return verify_directory(str(directory), config)


def faults(files) -> dict[str, str]:
    return {file["path"]: file["status"] for file in files if file["status"] not in {"ok", "same"}}


def test_a_library_that_names_its_build_is_no_other_version(tmp_path, monkeypatch):
    """The torch of PyPI calls itself 2.13.0+cu130, and its metadata 2.13.0: nothing has changed since the run."""
    monkeypatch.setattr(sys.modules["numpy"], "__version__", "9.9.9+cu130")
    curate.select_rows([{"instruction": f"Tell me of {n}, please.", "output": f"It is {n}."} for n in range(9)],
                       count=2, filters=["none"], out=str(tmp_path / "sft"))  # fmt: skip
    assert verify(tmp_path / "sft")["versions"] == {}


@pytest.mark.parametrize("name", ["sft", "count", "index"])
def test_what_a_run_wrote_matches(place, name, capsys):
    """Nothing is said against a directory that nobody touched, and the exit code is 0."""
    result = verify(place / name)
    assert result["matches"]
    assert not faults(result["outputs"])
    files = {str(file.relative_to(place / name)) for file in (place / name).rglob("*") if file.is_file()}
    assert {output["path"] for output in result["outputs"]} == files - {"manifest.json", "log.jsonl", ".key.json"}
    assert result["versions"] == {}
    assert run(app, ["verify", str(place / name)]) == 0
    assert "matches its manifest" in " ".join(capsys.readouterr().out.split())


def test_every_fault_of_an_output_is_named(place, capsys):
    """A byte changed, a byte more, a file gone, and a file too many: each is named, and the exit code is 1."""
    train, ledger = place / "sft/train.jsonl", place / "sft/ledger.parquet"
    train.write_bytes(train.read_bytes().replace(b"Say", b"say", 1))
    ledger.write_bytes(ledger.read_bytes() + b"\n")
    (place / "sft/README.md").unlink()
    (place / "sft/more").mkdir()
    (place / "sft/more/train.jsonl").write_bytes(b"")
    (place / "sft/link").symlink_to(place / "pool.jsonl")
    result = verify(place / "sft")
    named = {"train.jsonl": "changed", "ledger.parquet": "changed", "README.md": "gone",
             "more/train.jsonl": "added", "link": "added"}  # fmt: skip
    assert faults(result["outputs"]) == named
    assert not result["matches"]
    assert run(app, ["verify", str(place / "sft")]) == 1
    printed = capsys.readouterr().out
    assert all(f"{status}: {name}" in printed for name, status in named.items())
    assert run(app, ["verify", str(place / "sft"), "--json"]) == 1
    assert orjson.loads(capsys.readouterr().out)["matches"] is False


def test_names_with_a_dot_are_nobodys_output(place):
    """What git, a hub or a desktop keeps there is no fault."""
    (place / "sft/.cache").mkdir()
    (place / "sft/.cache/state").write_bytes(b"")
    (place / "sft/.gitattributes").write_bytes(b"")
    assert verify(place / "sft")["matches"]


def test_an_input_that_changed_is_a_fault_and_one_that_is_gone_is_not(place):
    """A set travels without its pool; a pool that is another than it was is said."""
    pool = place / "pool.jsonl"
    pool.write_bytes(pool.read_bytes() + b"\n")
    result = verify(place / "sft")
    assert faults(result["inputs"]) == {"pool.jsonl": "changed"}
    assert not result["matches"]
    pool.unlink()
    result = verify(place / "sft")
    assert faults(result["inputs"]) == {"pool.jsonl": "gone"}
    assert result["matches"]


@pytest.mark.parametrize("name", ["../pool.jsonl", "/etc/passwd", "a/../../pool.jsonl", "inner", "a\0b"])
def test_a_path_out_of_the_directory_is_refused(place, name):
    """By its name or by a link, and before anything is read."""
    (place / "sft/inner").symlink_to(place / "pool.jsonl")
    change(place / "sft", lambda manifest: manifest["outputs"].update({name: {"sha256": "0", "bytes": 0}}))
    with pytest.raises(CurateError, match="names a path outside of it"):
        verify(place / "sft")


@pytest.mark.parametrize("how", ["pipe", "directory"])
def test_only_files_are_read(place, how):
    """A pipe in the place of a file, which would be read for ever, is no file."""
    (place / "sft/train.jsonl").unlink()
    (os.mkfifo if how == "pipe" else os.mkdir)(place / "sft/train.jsonl")
    assert faults(verify(place / "sft")["outputs"])["train.jsonl"] == "gone"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [({"config": {"colour": "red"}}, "unknown option 'colour'"), ({"command": "bake"}, "no command 'bake'"),
     ({"config": {"fraction": 2}}, "--fraction 2: should be above 0"), ({"config": {}}, "how many rows")],
)  # fmt: skip
def test_a_configuration_that_this_version_cannot_read_is_a_fault(place, changes, problem):
    """Unknown options, values and commands are told, and nothing is replayed."""
    change(place / "sft", lambda manifest: manifest.update(changes))
    result = verify(place / "sft", REPLAY)
    assert problem in result["configuration"]["problem"]
    assert result["replay"]["status"] == "impossible"
    assert not result["matches"]


def test_other_versions_are_told_and_no_fault(place):
    """With what they were and are; a library that is not installed, too."""
    change(place / "sft", lambda manifest: manifest["versions"].update(polars="0.1", absent="1", python="2.7"))
    result = verify(place / "sft")
    assert {name: version["then"] for name, version in result["versions"].items()} == {
        "absent": "1", "polars": "0.1", "python": "2.7"
    }  # fmt: skip
    assert "version    absent was 1, is not installed" in render(result)[0][1]
    assert result["matches"]


@pytest.mark.parametrize(
    ("content", "error"),
    [(None, UsageError), (b"{", CurateError), (b"[]", CurateError), (b'{"schema_version": 2}', CurateError)],
)  # fmt: skip
def test_a_manifest_that_is_none_is_refused(tmp_path, content, error):
    """No manifest, no JSON, no object, or of a later version."""
    if content is not None:
        (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(error, match=r"manifest\.json"):
        verify(tmp_path)


@pytest.mark.parametrize("part", ["config", "inputs", "outputs", "versions", "command"])
def test_a_manifest_with_a_part_of_another_type_is_refused(place, part):
    """A number in the place of each part."""
    change(place / "sft", lambda manifest: manifest.update({part: 5}))
    with pytest.raises(CurateError, match="no manifest of schema version 1"):
        verify(place / "sft")


@pytest.mark.parametrize(
    ("name", "compared"),
    [("sft", {"train.jsonl", "validation.jsonl", "ledger.parquet", "unreadable.jsonl", "README.md"}),
     ("count", {"train-00000.jsonl", "ledger/part-00000.parquet", "unreadable.jsonl"})],
)  # fmt: skip
def test_a_replay_gives_the_same_bytes(place, name, compared):
    """All files but reports, with the workers of this machine; an index that the run had saved is left alone."""
    before = (place / "index/manifest.json").stat().st_mtime_ns
    result = verify(place / name, REPLAY)
    assert result["replay"]["status"] == "same"
    assert compared <= {file["path"] for file in result["replay"]["files"]}
    assert result["matches"]
    assert (place / "index/manifest.json").stat().st_mtime_ns == before


def test_a_replay_that_differs_names_the_files(place):
    """Another seed in the manifest gives other random picks; a file that is not written again is told."""
    change(place / "sft", lambda manifest: manifest["config"].update(strategy="random", seed=7, holdout=0))
    result = verify(place / "sft", REPLAY)
    assert result["replay"]["status"] == "differs"
    told = faults(result["replay"]["files"])
    assert told["train.jsonl"] == told["ledger.parquet"] == "differs"
    assert told["validation.jsonl"] == "not_written"
    assert not faults(result["outputs"])
    assert not result["matches"]


@pytest.mark.parametrize(("strategy", "named"), [("k-center", True), ("facility-location", False)])
def test_core_sets_are_named_where_a_rule_uses_them(place, strategy, named):
    """A replay of what a cluster picked may differ by them; other rules pick the same on a cluster."""
    change(place / "sft", lambda manifest: manifest["config"].update(engine="ray", strategy=strategy, fraction="0.2"))
    replay = verify(place / "sft", REPLAY)["replay"]
    assert replay["status"] == "differs"
    assert ("core-sets" in str(replay["why"])) == named


def test_a_replay_without_the_inputs_is_impossible(place):
    """It says which input is gone, changed, or no file; asking for it is then a fault."""
    (place / "pool.jsonl").unlink()
    result = verify(place / "sft", REPLAY)
    assert result["replay"]["why"] == "the input pool.jsonl is gone"
    assert not result["matches"]
    change(place / "sft", lambda manifest: manifest["inputs"][0].update(path="-", sha256=None))
    assert verify(place / "sft", REPLAY)["replay"]["why"] == "the input - is no file"
    assert "saved index" in verify(place / "index", REPLAY)["replay"]["why"]


@pytest.mark.parametrize("settings", [{"filters": ["clean", "RULES"]}, {"filters": "RULES"}, {"embedder": "RULES:x"}])
def test_a_replay_runs_no_code_that_a_manifest_names(place, settings):
    """A directory from anywhere may name a file of its own: it is not imported."""
    rules = place / "sft/rules.py"
    rules.write_text(f"open({str(place / 'ran')!r}, 'w')\n")
    named = orjson.loads(orjson.dumps(settings).replace(b"RULES", str(rules).encode()))
    change(place / "sft", lambda manifest: manifest["config"].update(named))
    assert "code that the manifest names" in verify(place / "sft", REPLAY)["replay"]["why"]
    assert not (place / "ran").exists()


def test_names_do_not_act_on_the_terminal(place, capsys):
    """Control characters in a manifest are shown and not obeyed."""
    evil = "\x1b[2J\x9b31m\r\u202e"
    change(place / "sft", lambda manifest: manifest["inputs"].append({"path": evil, "sha256": "0", "bytes": 0}))
    change(place / "sft", lambda manifest: manifest["outputs"].update({evil: {"sha256": "0", "bytes": 0}}))
    change(place / "sft", lambda manifest: manifest["versions"].update({evil: evil}))
    assert run(app, ["verify", str(place / "sft")]) == 1
    out = capsys.readouterr().out
    assert "\ufffd[2J" in out
    assert not [letter for letter in out if not letter.isprintable() and letter != "\n"]


def test_one_directory_is_wanted(capsys):
    """None, or two, is wrong usage."""
    assert run(app, ["verify"]) == 2
    assert "curate verify sft/" in capsys.readouterr().err
