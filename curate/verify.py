"""The story of `curate verify`: is a finished directory what its manifest says, and does the same run give it again?

Decided here:
- A directory matches when every output is there with its size and sha256, nothing else lies beside them, no input that
  is still there has changed, and this version can read the configuration. An input that is gone is told and is no
  fault: a set travels without its pool. Other versions of libraries are told too.
- Names that begin with a dot (of git, a hub, a desktop) are nobody's output, and are not looked at.
- A manifest may come from anywhere. A path that leads out of the directory is refused, links followed, before any
  file is read; a replay imports no Python file that a manifest names.
- A replay compares all files but the reports, which hold seconds and memory, with the hashes in the manifest. Workers,
  memory and the like are this machine's. So is the engine, for Ray listens on the network, and no manifest is to start
  it: where a replay of K-Center-Greedy on a cluster differs, core-sets are named as a reason.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.config import OF_THE_MACHINE, as_text, option, resolve
from curate.corpus.config import TokensConfig
from curate.engine import RAY
from curate.errors import CurateError
from curate.report.names import printable
from curate.report.progress import Stages
from curate.sft.config import K_CENTER, TASK_CENTER, SelectConfig

_CONFIGS: dict[str, type] = {"select": SelectConfig, "tokens": TokensConfig}
_INDEX = "tokens --save-index"  # its directory has no configuration of its own
_NOT_AGAIN = OF_THE_MACHINE | {"engine", "save_index"}  # options that a replay does not take from the manifest
_REPORTS = ("report.json", "report.html")
TIMED = ("seconds", "peak_memory_bytes", "forecast")  # of a report: what no two runs have in common
_SHOWN = 10  # files of each kind; --json has all


@dataclass(frozen=True)
class VerifyConfig:
    """What `curate verify` can be told."""

    replay: bool = option("run the command again from its inputs, and compare what it writes", flag=True)


def verify_directory(directory: str, config: VerifyConfig, stages: Stages | None = None) -> dict[str, Any]:
    """Return what matches and what does not, as docs/verify_diff.md has it; `matches` is the whole of it.

    Raises UsageError for a directory without a manifest, CurateError for a manifest that cannot be read or that names
    a path outside of the directory.
    """
    from curate.data.manifest import SCHEMA_VERSION, read_manifest

    stages = stages or Stages()
    place = Path(directory)
    manifest = read_manifest(place)
    paths = {name: inside(place, name) for name in manifest["outputs"]}
    with stages("outputs"):
        outputs = [
            {"path": name, "status": file_status(paths[name], facts)} for name, facts in manifest["outputs"].items()
        ]
        outputs += [{"path": name, "status": "added"} for name in _added(place)]
    with stages("inputs"):
        inputs = [
            {"path": source["path"], "status": file_status(source["path"], source)} for source in manifest["inputs"]
        ]
    problem = _config_problem(manifest)
    again = _replay(manifest, inputs, problem, stages) if config.replay else None
    return {
        "schema_version": SCHEMA_VERSION,
        "directory": as_text(directory),
        "command": manifest["command"],
        "matches": all(output["status"] == "ok" for output in outputs)
        and all(source["status"] != "changed" for source in inputs)
        and problem is None
        and (again is None or again["status"] == "same"),
        "outputs": outputs,
        "inputs": inputs,
        "configuration": {"readable": problem is None, "problem": problem},
        "versions": _other_versions(manifest["versions"]),
        "replay": again,
    }


def inside(place: Path, name: str) -> str:
    """Return the path of an output; CurateError where it leads out of the directory."""
    root = os.path.realpath(place)
    try:
        path = os.path.realpath(os.path.join(root, name))
    except ValueError:  # a NUL
        path = ""
    if not Path(path).is_relative_to(root):
        raise CurateError(
            f"the manifest of {place} names a path outside of it: {printable(name)}",
            "No run of curate writes such a manifest: do not trust this directory.",
        )
    return path


def file_status(path: str, facts: Mapping[str, Any]) -> str:
    """Return what became of a file: ok, changed, gone, unreadable, or no_hash where the manifest has none."""
    from curate.data.manifest import file_sha256

    if facts["sha256"] is None:
        return "no_hash"
    if not os.path.isfile(path):  # nor a device, nor a pipe, which might have no end
        return "gone"
    try:
        same = os.path.getsize(path) == facts["bytes"] and file_sha256(Path(path)) == facts["sha256"]
    except OSError:
        return "unreadable"
    return "ok" if same else "changed"


def _added(place: Path) -> list[str]:
    """Return the files that the manifest does not have."""
    from curate.data.manifest import written_files

    files = (path.relative_to(place) for path in place.rglob("*") if path.is_symlink() or not path.is_dir())
    names = {str(path) for path in files if not any(part.startswith(".") for part in path.parts)}
    return [as_text(name) for name in sorted(names - written_files(place))]


def _config_problem(manifest: Mapping[str, Any]) -> str | None:
    """Return why this version cannot read the configuration, or None."""
    if manifest["command"] == _INDEX:
        return None
    if manifest["command"] not in _CONFIGS:
        return f"this version has no command {manifest['command']!r} that writes a directory"
    try:
        _read_config(manifest["command"], manifest["config"])
    except CurateError as error:
        return error.what
    return None


def _read_config(command: str, settings: Mapping[str, Any]) -> Any:
    return resolve(_CONFIGS[command], [("manifest.json", settings)])[0]


def _other_versions(then: Mapping[str, Any]) -> dict[str, dict[str, str | None]]:
    """Return the versions that are not what they were, by name: `then` and `now` (None: not installed)."""
    from importlib.metadata import PackageNotFoundError, version
    from platform import python_version

    from curate import __version__

    now: dict[str, str | None] = {"curate": __version__, "python": python_version()}
    for name in then.keys() - now.keys():
        try:
            now[name] = version(name)
        except (PackageNotFoundError, ValueError):
            now[name] = None
    return {name: {"then": str(then[name]), "now": now[name]} for name in sorted(then) if now[name] != then[name]}


# -- Replay ------------------------------------------------------------------------------------------------------------


def _replay(
    manifest: Mapping[str, Any], inputs: Sequence[Mapping[str, str]], problem: str | None, stages: Stages
) -> dict[str, Any]:
    """Run the command again; `status` is same, differs or impossible, and `why` says why, where that is known."""
    settings = {name: value for name, value in manifest["config"].items() if name not in _NOT_AGAIN}
    config = None if problem or manifest["command"] == _INDEX else _read_config(manifest["command"], settings)
    why = problem or next(_obstacles(manifest, inputs, config), None)
    files: list[dict[str, str]] = []
    if why is None:
        try:
            files = _run_again(manifest, config, stages)
        except CurateError as error:
            why = error.what
    same = all(file["status"] == "same" for file in files)
    status = "impossible" if why else "same" if same else "differs"
    asked = manifest["config"]
    if status == "differs" and asked.get("engine") == RAY and asked.get("strategy") in (K_CENTER, TASK_CENTER):
        why = "the run was on Ray, where K-Center-Greedy picks from a large pool by core-sets"
    return {"status": status, "why": why, "files": files}


def _obstacles(manifest: Mapping[str, Any], inputs: Sequence[Mapping[str, str]], config: Any) -> Iterator[str]:
    """Yield what keeps a command from being run again."""
    if manifest["command"] == _INDEX:
        yield "a saved index is written by the run of another directory"
    if not manifest["outputs"].keys() - set(_REPORTS):
        yield "the run wrote nothing but reports"
    for name in [*getattr(config, "filters", ()), getattr(config, "embedder", "")]:
        if ".py" in name:
            yield f"it would run code that the manifest names ({name}): run the command yourself"
    for source in inputs:
        if source["status"] != "ok" and not (source["status"] == "no_hash" and os.path.isfile(source["path"])):
            what = "is no file" if source["status"] == "no_hash" else f"is {source['status']}"
            yield f"the input {source['path']} {what}"


def _run_again(manifest: Mapping[str, Any], config: Any, stages: Stages) -> list[dict[str, str]]:
    from curate.data.manifest import MANIFEST, OutputDirectory, file_sha256

    story: Any
    if manifest["command"] == "select":
        from curate.sft.select import select as story
    else:
        from curate.corpus.count import count as story
    result = story([source["path"] for source in manifest["inputs"]], config, stages)
    with tempfile.TemporaryDirectory(prefix="curate-replay-") as scratch, stages("write"):
        place = Path(scratch, "replay")
        with OutputDirectory(place) as out:
            result.write_into(out.path)
        found = {str(file.relative_to(place)): file_sha256(file) for file in place.rglob("*") if file.is_file()}
    wanted = {name: facts["sha256"] for name, facts in manifest["outputs"].items()}
    names = sorted((wanted.keys() | found.keys()) - {MANIFEST, *_REPORTS})
    return [{"path": name, "status": _compared(wanted.get(name), found.get(name))} for name in names]


def _compared(wanted: str | None, found: str | None) -> str:
    if wanted == found:
        return "same"
    return "not_written" if found is None else "new" if wanted is None else "differs"


# -- For people --------------------------------------------------------------------------------------------------------


def render(result: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Return headings with their lines, for people."""
    outputs, inputs = result["outputs"], result["inputs"]
    lines = [_tally("outputs", outputs, "ok", "as the manifest has them"), *_others(outputs, "ok")]
    lines += [_tally("inputs", inputs, "ok", "as they were"), *_others(inputs, "ok")]
    problem = result["configuration"]["problem"]
    lines.append(
        f"{'options':<10} " + (f"cannot be read: {printable(problem)}" if problem else "readable by this version")
    )
    for name, version in result["versions"].items():
        said = f"{name} was {version['then']}, is {version['now'] or 'not installed'}"
        lines.append(f"{'version':<10} {printable(said)}")
    if again := result["replay"]:
        lines += _replay_lines(again)
    verdict = "matches its manifest" if result["matches"] else "does not match its manifest"
    return [(f"{printable(result['directory'])} {verdict}", lines)]


def _replay_lines(again: Mapping[str, Any]) -> list[str]:
    if again["status"] == "impossible":
        return [f"{'replay':<10} impossible: {printable(again['why'])}"]
    lines = [_tally("replay", again["files"], "same", "the same, byte for byte"), *_others(again["files"], "same")]
    return [*lines, f"{'':<10} {again['why']}"] if again["why"] else lines


def _tally(name: str, files: Sequence[Mapping[str, str]], good: str, said: str) -> str:
    return f"{name:<10} {sum(file['status'] == good for file in files):,} of {len(files):,} {said}"


def _others(files: Sequence[Mapping[str, str]], good: str) -> list[str]:
    """Return a line for each file that is not as it should be, and one for those beyond the first."""
    named = [
        f"{'':<10} {file['status'].replace('_', ' ')}: {printable(file['path'])}"
        for file in files
        if file["status"] != good
    ]
    rest = [f"{'':<10} and {len(named) - _SHOWN:,} more, in --json"] if len(named) > _SHOWN else []
    return named[:_SHOWN] + rest
