"""Rows to files, in the shapes that trainers load.

The main file is `train.jsonl`: `datasets.load_dataset(DIR)` takes every file that begins with a split's name for data,
so no side file does, and the dataset card names the data files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from curate.data.chat import ShapeError, from_chat
from curate.data.manifest import write_json
from curate.errors import CurateError

# LLaMA-Factory's names (left) for the keys of our rows (right), and how it finds the turns.
_COLUMNS = {
    "messages": {"messages": "messages"},
    "sharegpt": {"messages": "conversations", "system": "system", "tools": "tools"},
    "alpaca": {
        "prompt": "instruction", "query": "input", "response": "output", "system": "system", "history": "history",
    },
}  # fmt: skip
_TAGS = {
    "messages": {
        "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
        "observation_tag": "tool", "system_tag": "system",
    },
    "sharegpt": {
        "role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt",
        "observation_tag": "observation", "function_tag": "function_call", "system_tag": "system",
    },
}  # fmt: skip


def export_rows(rows: pl.DataFrame, form: str) -> Iterator[dict[str, Any]]:
    """Yield each row of `rows` (columns id, chat) as a record of `form`, with its ledger id.

    Raises CurateError when a row does not fit the format (a dialogue is no alpaca row).
    """
    for id, chat, source, line in rows.select("id", "chat", "source", "line").iter_rows():
        try:
            yield {**from_chat(chat, form), "id": id}
        except ShapeError as error:
            raise CurateError(
                f"{source}:{line} cannot be written as {form}: {error}", "Use --format messages, which holds every row."
            ) from None


def write_rows(rows: pl.DataFrame, path: Path, form: str) -> set[str]:
    """Write `rows` as JSON lines of `form`; return the keys that occur in records and in their `messages`."""
    keys: set[str] = set()
    with path.open("wb") as file:
        for record in export_rows(rows, form):
            keys.update(record, *record.get("messages", ()))
            file.write(orjson.dumps(record) + b"\n")
    return keys


def write_unreadable(unreadable: pl.DataFrame, path: Path) -> None:
    """Write what could not be read: source, line, byte_offset, reason and the text itself (the first part of it)."""
    with path.open("wb") as file:
        for record in unreadable.iter_rows(named=True):
            file.write(orjson.dumps(record) + b"\n")


def llama_factory_reads(form: str, keys: set[str]) -> bool:
    """Whether LLaMA-Factory can be told how to read such rows; `keys` as `write_rows` returns them.

    It knows prompts and completions as texts only, not as turns. In `messages` it would take a tool call for an empty
    answer and train on that (its converter.py reads calls from a turn of their own, as in ShareGPT).
    """
    return form != "prompt-completion" and not (form == "messages" and keys & {"tools", "tool_calls"})


def write_dataset_info(path: Path, form: str, keys: set[str], *, validation: bool) -> None:
    """Write LLaMA-Factory's registry entry for the directory, or none where it would read the rows wrongly.

    `keys` as `write_rows` returns them. Not `"formatting": "openai"`: that converter puts a system prompt of its own
    into every row that has none.
    """
    if not llama_factory_reads(form, keys):
        write_json(path, {})
        return
    entry: dict[str, Any] = {"columns": {name: key for name, key in _COLUMNS[form].items() if key in keys}}
    if form in _TAGS:
        entry |= {"formatting": "sharegpt", "tags": _TAGS[form]}
    info = {"curated": {"file_name": "train.jsonl", **entry}}
    if validation:
        info["curated_validation"] = {"file_name": "validation.jsonl", **entry}
    write_json(path, info)
