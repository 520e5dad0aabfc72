"""Super-NaturalInstructions to instruction rows: 50 generation tasks, one example each, as LIMA takes them.

LIMA names "natural language generation tasks such as summarization, paraphrasing, and style transfer" (arXiv
2305.11206, section 2.1), and not which 50. Ours are the English tasks of `GENERATION`, categories that we chose, but
for those whose answers repeat (`_classifies`). Each category gives as many tasks, none more than it has, and within one
the tasks of lowest hash come first; the example is the instance of lowest hash. LIMA edited some by hand; here they are
as they stand. The prompt is the definition, a blank line and the input; the answer is the first output.

What is read: upstream's `task*.json` (a task with its Instances), and JSON lines of tasks and of instances that name
theirs in `_task`. A task of upstream is held whole, up to 64 MB.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from curate.config import option, parse_whole
from curate.data import quota
from curate.data.sources import Extract, Output, build_extract, draw, message_row
from curate.data.sources._files import Dump, find
from curate.data.sources._records import Record, records
from curate.report.progress import Stages

GENERATION = (
    "Code to Text", "Data to Text", "Dialogue Generation", "Explanation", "Fill in The Blank",
    "Grammar Error Correction", "Paper Review", "Paraphrasing", "Poem Generation", "Question Generation",
    "Question Rewriting", "Sentence Composition", "Sentence Compression", "Sentence Expansion", "Story Composition",
    "Style Transfer", "Summarization", "Text Completion", "Text Simplification", "Title Generation",
)  # fmt: skip
_FEW_ANSWERS = 20
_LANGUAGES = ("Input_language", "Output_language", "Instruction_language")


@dataclass(frozen=True)
class Config(Output):
    """One example each of Super-NI's generation tasks.

    DUMP is a task*.json of the upstream repository, JSON lines of tasks and of instances (joined by _task), or a
    directory with such files, plain, .gz or .zst.

    \b
    curate source superni natural-instructions/tasks/ --out superni.jsonl
    curate source superni tasks.jsonl instances.jsonl --count 20 --out superni.jsonl
    """

    count: int = option("tasks wanted", default=50, parse=parse_whole, metavar="K")
    categories: tuple[str, ...] = option("categories to take, such as Summarization [default: 20 that generate text]",
                                         default=(), many=True, metavar="NAMES")  # fmt: skip


@dataclass
class _Task:
    """What is known of a task: its record, its usable instances, different answers, and the instance that is drawn."""

    record: Record | None = None
    instances: int = 0
    answers: set[str] = field(default_factory=set)  # the first ones
    drawn: tuple[float, str, str, str] | None = None  # draw, id, input, output


def extract(inputs: list[str], config: Config, stages: Stages) -> Extract:
    """Choose tasks and an example of each."""
    endings = [f"*.{kind}{packed}" for kind in ("json", "jsonl") for packed in ("", ".gz", ".zst")]
    dumps = [Dump(path, config.max_expand) for path in find(inputs, *endings)]
    counts: Counter[str] = Counter()
    tasks: dict[str, _Task] = {}
    for dump in dumps:
        with stages("read"):
            _read(dump, config.seed, tasks, counts, stages)
    left: dict[str, list[str]] = {}
    for name, task in sorted(tasks.items()):
        rule = _dropped(task, config)
        if rule:
            counts[rule] += task.instances
        elif task.drawn:
            left.setdefault(_first(task.record, "Categories"), []).append(name)
    rows, groups = _share_out(tasks, left, config, counts)
    return build_extract(
        "superni", config, rows, unit="instances", read=counts.pop("read", 0), dropped=counts, used=len(rows),
        groups=groups, sources=[dump.about for dump in dumps],
        notes=[note for dump in dumps for note in dump.notes()] + _notes(tasks, config),
    )  # fmt: skip


def _notes(tasks: dict[str, _Task], config: Config) -> list[str]:
    known = {_first(task.record, "Categories") for task in tasks.values()}
    notes = [f"no task has the category {name!r}" for name in config.categories if name not in known]
    if all(task.record is None for task in tasks.values()):
        notes.append("no task has a definition: name the file of the tasks too")
    return notes


def _read(dump: Dump, seed: int, tasks: dict[str, _Task], counts: Counter[str], stages: Stages) -> None:
    for record in records(dump, stages.advance):
        if record is None:
            counts.update(("read", "unreadable"))
            continue
        name = record.get("_task") or dump.path.name.split(".")[0]
        task = tasks.setdefault(str(name), _Task())
        instances = [record]
        if "Definition" in record:
            task.record = {key: value for key, value in record.items() if key != "Instances"}
            instances = record.get("Instances") or []
        for instance in instances if isinstance(instances, list) else ():
            counts["read"] += 1
            if not isinstance(instance, dict):
                counts["unreadable"] += 1
                continue
            given, answer = instance.get("input"), _first(instance, "output")
            if not isinstance(given, str) or not answer.strip():
                counts["instance.empty"] += 1
                continue
            task.instances += 1
            if len(task.answers) <= _FEW_ANSWERS:
                task.answers.add(answer)
            id = str(instance.get("id") or given)
            item = (draw(seed, name, id), id, given, answer)
            task.drawn = min(task.drawn or item, item)


def _first(record: Record | None, key: str) -> str:
    """Return a value, or the first of its list, as text; empty where there is none."""
    value = (record or {}).get(key)
    value = value[0] if isinstance(value, list) and value else value
    return value if isinstance(value, str) else ""


def _dropped(task: _Task, config: Config) -> str | None:
    if task.record is None or not _first(task.record, "Definition"):
        return "task.unknown"
    if _first(task.record, "Categories") not in (config.categories or GENERATION):
        return "task.no_generation"
    if any(_first(task.record, key) not in ("", "English") for key in _LANGUAGES):
        return "task.not_english"
    return "task.classifies" if _classifies(task) else None


def _classifies(task: _Task) -> bool:
    """Whether a task gives the same few answers again and again; categories of dialogue hold such tasks too."""
    return len(task.answers) <= _FEW_ANSWERS and task.instances >= 2 * len(task.answers)


def _share_out(
    tasks: dict[str, _Task], left: dict[str, list[str]], config: Config, counts: Counter[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return a row for each task that its category gives, and the table of categories."""
    categories = sorted(left)
    quotas = quota.water_fill([len(left[category]) for category in categories], config.count, math.inf)
    rows, groups = [], []
    for category, given in zip(categories, quotas, strict=True):
        ranked = sorted(left[category], key=lambda name: (draw(config.seed, name), name))
        for name in ranked[:given]:
            rows.append(_row(name, tasks[name], category))
            counts["instance.not_drawn"] += tasks[name].instances - 1
        counts["task.over_quota"] += sum(tasks[name].instances for name in ranked[given:])
        groups.append({"group": "categories", "name": category, "available": len(ranked), "given": given})
    available = sum(map(len, left.values()))
    total = {"group": "categories", "name": None, "asked": config.count, "available": available, "given": len(rows)}
    return rows, [total, *groups]


def _row(name: str, task: _Task, category: str) -> dict[str, Any]:
    assert task.drawn is not None
    _, id, given, answer = task.drawn
    prompt = "\n\n".join(part for part in (_first(task.record, "Definition").strip(), given.strip()) if part)
    licence = _first(task.record, "Instance License") or None
    return message_row(f"superni:{id}", prompt, answer.strip(), source="superni", task=name, category=category,
                       licence=licence)  # fmt: skip
