"""Which texts of an evaluation item are looked for: its prompts, and everything else of thirteen words or more.

Decided here, by the names of columns, since benchmarks agree on little else:
- What asks (`question`, `prompt`, `instruction`, `problem`, ..., the turns of a user) is a prompt: one text for each
  string in it. `input` belongs to an instruction and is joined to it; by itself it is a prompt.
- Choices (`A` ... `J`, `choices`, `options`, `endings`) make two more prompts, the question with its choices: as they
  stand, and each after its letter, as evaluation harnesses print them.
- Any other string (answer, solution, tests, reference) is looked for as far as it has thirteen words in a row. So no
  list of names for answers is needed, and ids, labels and letters fall out by themselves.
- A record without a column of a known name has its longest string as the prompt, and the run says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from curate.config import MAX_EXPAND
from curate.data.read import read_records
from curate.errors import CurateError

PROMPTS = {
    "question", "prompt", "instruction", "problem", "query", "turns", "goal", "ctx", "context", "premise", "sentence",
    "conversations", "messages",
}  # fmt: skip
CHOICES = {"choices", "options", "endings", *ascii_lowercase[:10]}
_JOINED = "input"
_SPEAKS = {"user", "human", "prompter", "system"}


@dataclass(frozen=True)
class Item:
    """One evaluation item: where it stands, what it asks (each way in which it may be copied), and its other texts."""

    source: str
    line: int
    prompts: list[str]
    others: list[str]
    known: bool


def read_items(evaluations: Sequence[str], max_expand: int = MAX_EXPAND) -> tuple[list[Item], list[str]]:
    """Return the items of files and directories (whatever `curate.data.read` takes), and notes.

    Raises UsageError for a file that is not there, CurateError where there is no record in any.
    """
    records, notes = read_records(list(evaluations), max_expand=max_expand)
    if not records:
        raise CurateError(f"--decontaminate {','.join(evaluations)}: no record in it", "Name files that hold records.")
    items = [item(*record) for record in records]
    unnamed = sorted({one.source for one in items if not one.known})
    notes += [f"{source}: no column names a prompt; the longest text of an item is looked for" for source in unnamed]
    return items, notes


def item(source: str, line: int, record: Mapping[str, Any]) -> Item:
    """Sort the strings of a record into prompts and others; see the module's docstring."""
    prompts, inputs, choices, others = [], [], [], []
    for name, text in _strings(record, ""):
        if name in PROMPTS:
            prompts.append(text)
        elif name == _JOINED:
            inputs.append(text)
        elif name in CHOICES:
            choices.append(text)
        else:
            others.append(text)
    if inputs:
        prompts = ["\n".join([*prompts[:1], text]) for text in inputs] + prompts[1:]
    known = bool(prompts)
    if not known and others:
        prompts = [others.pop(others.index(max(others, key=len)))]
    if prompts and choices:
        marked = [f"{letter}. {text}" for letter, text in zip(ascii_uppercase, choices, strict=False)]
        prompts += ["\n".join([prompts[0], *choices]), "\n".join([prompts[0], *marked])]
    return Item(source, line, prompts, others, known)


def _strings(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield each string that says something, and the lower-cased name of the column that it stands in."""
    if isinstance(value, str):
        if value.strip():
            yield name, value
    elif isinstance(value, Mapping):
        speaker = value.get("role", value.get("from"))
        for key, inner in value.items():
            if isinstance(speaker, str) and key in ("content", "value"):
                yield from _strings(inner, name if speaker in _SPEAKS else speaker)
            else:
                inside = name in CHOICES or name == "turns"  # choices: {"text": [...], "label": [...]}
                yield from _strings(inner, name if inside and key in ("text", "content") else str(key).lower())
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner, name)
