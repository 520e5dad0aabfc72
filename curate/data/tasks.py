"""Definitions of tasks, to join to rows that are input and output only, as Super-NI's instances are: `--join-tasks`."""

from __future__ import annotations

from curate.config import MAX_EXPAND
from curate.data.read import as_name, read_records
from curate.errors import UsageError


def read_definitions(path: str, key: str, max_expand: int = MAX_EXPAND) -> dict[str, str]:
    """Return the definition of each task in the records of `path`: `Definition`, the first of a list, or `definition`.

    `key` is the column that names the task, here as in the rows. Raises UsageError for a file that is not there,
    without definitions, or with two different ones of a task.
    """
    found: dict[str, str] = {}
    for source, line, record in read_records(path, max_expand=max_expand)[0]:
        task, text = as_name(record.get(key)), record.get("Definition") or record.get("definition")
        text = text[0] if isinstance(text, list) else text
        if task is None or not isinstance(text, str):
            continue
        if found.setdefault(task, text) != text:
            raise UsageError(f"{source}, line {line}: a second definition of the task {task}", "Leave one of them out.")
    if not found:
        raise UsageError(
            f"--join-tasks {path}: no record has both {key} and Definition",
            "Its records name the task in the same column as the rows do: --task-column.",
        )
    return found
