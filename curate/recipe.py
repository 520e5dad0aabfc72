"""The story of `curate run`: the steps of a recipe, one after the other; a finished step is not run again.

A recipe is a TOML file:

    out = "out/lima"                  # everything that a run writes lies below this directory
    [set]                             # names that the steps use, and that --set changes
    pool = "pool.jsonl"
    [[step]]
    name = "tokens"                   # its output is {out}/tokens; later steps say {tokens}
    run = "tokens"                    # tokens, select, or source NAME (whose output is {out}/NAME.jsonl)
    inputs = ["{pool}"]
    params = "1.3B"                   # options of the command, as on the command line

Decided here: as `make` does, a step counts as finished while its options, the versions of curate, Python and libraries,
and the size and time of every file that it read or wrote are what they were. These are kept in {out}/run.json, which is
replaced after each step, so that a run that is killed continues with the step it was in.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from curate.config import environment, option, options, parse_pair, resolve, resume_option
from curate.data.fingerprint import file_facts, fingerprint
from curate.data.lock import beside, locked
from curate.errors import AlreadyFinished, CurateError, UsageError, unknown_name
from curate.report.numbers import counted, size
from curate.report.progress import Stages

STATE = "run.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_USED = re.compile(r"\{([^{}]*)\}")
_KEYS = {"name", "run", "inputs"}  # of a step; every other key is an option of its command
_KEPT = {"mark", "files", "said", "seconds"}  # of a step in STATE
_ANOTHER = "Give another out in the recipe."


@dataclass(frozen=True)
class RunConfig:
    """What `curate run` can be told."""

    set: tuple[str, ...] = option(
        "change the recipe: a name of its table [set], out, or an option of a step as STEP.OPTION=VALUE",
        default=(), many=True, parse=parse_pair, metavar="KEY=VALUE",
    )  # fmt: skip
    force: bool = option("run every step again, finished or not", flag=True)
    resume: bool = resume_option()

    def __post_init__(self) -> None:
        if self.force and self.resume:
            raise UsageError("--force and --resume exclude each other", "Leave one of them out.")


class Step(NamedTuple):
    """A step as it will be run: `command` such as "select", its options, and where its output goes."""

    name: str
    command: str
    inputs: list[str]
    config: Any
    out: Path


class Done(NamedTuple):
    """What became of a step: `ran` is false where it was finished before; `said` is its result in a few words."""

    name: str
    command: str
    out: str
    ran: bool
    seconds: float
    said: str


class Command(NamedTuple):
    """A command that a step can run: its options, its story, and the context manager of its output."""

    config: type
    story: Callable[[list[str], Any, Stages], Any]
    output: Callable[..., Any]
    ending: str = ""


def run_recipe(path: str | Path, config: RunConfig, stages: Stages | None = None) -> list[Done]:
    """Run the steps of the recipe at `path` that are not finished yet; return what became of each.

    With `config.resume` a step that was interrupted goes on where it stopped. Raises UsageError for a recipe that is
    none and while another run of it goes on, CurateError where a step fails: the steps before it are kept.
    """
    out, steps = read_recipe(path, config.set)
    with locked(out, _ANOTHER):
        return _run_steps(out, steps, config, stages or Stages())


def _run_steps(out: Path, steps: Sequence[Step], config: RunConfig, stages: Stages) -> list[Done]:
    state = _load(out / STATE)
    done = []
    for step in steps:
        mark = _mark(step)
        kept = state.get(step.name, {})
        finished = not config.force and kept.get("mark") == mark and kept["files"] == file_facts([step.out])
        if not finished:
            stages.say(f"step {step.name}: curate {step.command}")
            kept = {"mark": mark, "said": _run(step, stages, resume=config.resume)}
            kept["seconds"] = round(sum(stages.seconds.values()), 3)
            stages.seconds.clear()
            state[step.name] = kept | {"files": file_facts([step.out])}
            _save(out / STATE, state)
        done.append(Done(step.name, step.command, str(step.out), not finished, kept["seconds"], kept["said"]))
    return done


def read_recipe(path: str | Path, changes: Sequence[str] = ()) -> tuple[Path, list[Step]]:
    """Return the directory of a recipe and its steps; `changes` are those of --set."""
    document = _document(path)
    names, tables = {**document.get("set", {}), "out": document["out"]}, document["step"]
    steps = {_step_name(path, table): dict(table) for table in tables}
    if len(steps) < len(tables):
        raise UsageError(f"{path}: two steps have the same name", "Give each a name of its own: name = ...")
    for change in changes:
        _change(change, names, steps)
    out = Path(_filled(str(names.pop("out")), names, path))
    names["out"] = str(out)
    found = []
    for name, table in steps.items():
        found.append(_step(path, name, table, names, out))
        names[name] = str(found[-1].out)
    return out, found


def _document(path: str | Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}", "Give the path of a recipe, such as pipelines/lima.toml"
        ) from None
    except (ValueError, RecursionError) as error:  # broken TOML or UTF-8, a number of 5,000 digits, nested too deeply
        raise UsageError(f"{path} is not valid TOML: {error}", "Mend the file at the place named.") from None
    unknown = set(document) - {"out", "set", "step"}
    tables = document.get("step")
    steps = isinstance(tables, list) and tables and all(isinstance(table, dict) for table in tables)
    names = isinstance(document.get("set", {}), dict)
    if unknown or not isinstance(document.get("out"), str) or not steps or not names:
        what = f"{min(unknown)!r} is no part of a recipe" if unknown else "`out` or the steps are missing, or no tables"
        raise UsageError(f"{path}: {what}", 'Write out = "DIR", then [set] and a table [[step]] for each step.')
    return document


def _step_name(path: str | Path, table: Mapping[str, Any]) -> str:
    name = str(table.get("name", str(table.get("run", "")).split(" ")[-1]))
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{path}: {name!r} is no name for a step", "Letters, digits, - and _ make a name; `run` names the command."
        )
    return name


def _change(change: str, names: dict[str, Any], steps: dict[str, dict[str, Any]]) -> None:
    """Carry out one KEY=VALUE of --set."""
    key, value = (part.strip() for part in change.split("=", 1))
    step, dot, name = key.partition(".")
    if dot and step in steps:
        steps[step][name.replace("-", "_")] = value
    elif key in names:
        names[key] = value
    else:
        raise unknown_name("name for --set", key, [*names, *(f"{step}.OPTION" for step in steps)])


def _step(path: str | Path, name: str, table: Mapping[str, Any], names: Mapping[str, Any], out: Path) -> Step:
    words = str(table.get("run", name))
    command = _command(words)
    given = {key.replace("-", "_"): value for key, value in table.items() if key not in _KEYS}
    for key in given:
        if key not in options(command.config):
            raise unknown_name(f"option of step {name}", key, set(options(command.config)) - {"out", "force", "resume"})
    given = {key: _filled(value, names, path) for key, value in given.items()}
    place = out / f"{name}{command.ending}"
    layers = [("environment", environment(command.config)), (f"{path}", {**given, "out": str(place), "force": "true"})]
    inputs = _filled(table.get("inputs", []), names, path)
    inputs = [inputs] if isinstance(inputs, str) else inputs
    if not isinstance(inputs, list) or not all(isinstance(given, str) for given in inputs):
        raise UsageError(f"step {name}: inputs is neither a name nor a list of names", 'Write inputs = ["{pool}"].')
    try:
        config: Any = resolve(command.config, layers)[0]
    except UsageError as error:
        raise UsageError(f"step {name}: {error.what}", error.hint) from None
    return Step(name, words, inputs, config, place)


def _filled(value: Any, names: Mapping[str, Any], path: str | Path) -> Any:
    """Put names in the place of {name}, in texts and in lists and tables of texts."""
    if isinstance(value, list):
        return [_filled(part, names, path) for part in value]
    if isinstance(value, dict):
        return {key: _filled(part, names, path) for key, part in value.items()}
    if not isinstance(value, str):
        return value
    for name in _USED.findall(value):
        if name not in names:
            raise unknown_name(f"name in {path}", name, names)
    return _USED.sub(lambda match: str(names[match[1]]), value)


def _command(words: str) -> Command:
    from curate.data.manifest import OutputDirectory

    if words == "tokens":
        from curate.corpus.config import TokensConfig
        from curate.corpus.count import count

        return Command(TokensConfig, count, OutputDirectory)
    if words == "select":
        from curate.sft.config import SelectConfig
        from curate.sft.select import select

        return Command(SelectConfig, select, OutputDirectory)
    from curate.data import sources
    from curate.data.sources._output import OutputFile

    known = {f"source {name}": name for name in sources.names()}
    if words not in known:
        raise unknown_name("command for a step", words, ["tokens", "select", *known])
    module = sources.load(known[words])
    return Command(module.Config, module.extract, OutputFile, ".jsonl")


def _run(step: Step, stages: Stages, *, resume: bool) -> str:
    """Run a step and return its result in a few words."""
    from curate.data.produce import produce

    command = _command(step.command)
    try:
        result = produce(command.story, step.inputs, replace(step.config, resume=resume), stages, command.output)
    except AlreadyFinished as finished:  # it was killed before the state was saved
        return _in_short(step.command, json.loads(finished.report.read_bytes()))
    except UsageError as error:
        raise UsageError(f"step {step.name}: {error.what}", error.hint) from error
    for note in [*result.report["notes"], *result.report.get("advice", ())]:
        stages.say(note)
    return _in_short(step.command, result.report)


def _in_short(command: str, report: Mapping[str, Any]) -> str:
    if command == "select":
        return f"{counted(report['rows']['selected'], 'row')} of {report['rows']['read']:,}"
    if command != "tokens":
        return f"{counted(report['rows'], 'row')} of {report['read']:,} {report['unit']}"
    what, of = report["tokens"]["unique"], report["tokens"]["total"]
    if what is None:
        return f"{counted(report['documents']['unique'], 'unique document')} of {report['documents']['read']:,}"
    plan = f"; {report['plan']['verdict']}" if report.get("plan") else ""
    return f"{size(what)} unique tokens of {size(of)}{plan}"


# -- What is finished --------------------------------------------------------------------------------------------------


def _mark(step: Step) -> dict[str, Any]:
    """Return what the result of a step depends on, as JSON holds it."""
    from curate.data.checkpoint import installed

    return {"command": step.command, "versions": installed(), **fingerprint(step.inputs, step.config)}


def _load(path: Path) -> dict[str, Any]:
    try:
        state = json.loads(path.read_bytes())
        return {name: dict(kept) for name, kept in state["steps"].items() if set(kept) >= _KEPT}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # nothing is known to be finished


def _save(path: Path, state: Mapping[str, Any]) -> None:
    from curate.data.manifest import SCHEMA_VERSION, write_json

    partial = beside(path, "partial")
    try:
        write_json(partial, {"schema_version": SCHEMA_VERSION, "steps": state})
        partial.replace(path)
    except OSError as error:
        raise CurateError(f"cannot write {path}: {error.strerror or error}", _ANOTHER) from error
