"""Token counts of a pool's rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import polars as pl

from curate.data import tokenizer
from curate.errors import CurateError


def count_tokens(
    table: pl.DataFrame, name: str, *, required: bool
) -> tuple[pl.DataFrame, dict[str, Any] | None, list[str]]:
    """Add `n_tokens`: the tokens of all turns of a row, without the marks that a chat template would add.

    Where the tokenizer cannot be had the column is null and a note says so; raises its error when `required`.
    """
    try:
        counter = tokenizer.load(name)
    except CurateError as error:
        if required:
            raise
        note = f"token counts are left out: {error.what}. {error.hint}"
        return table.with_columns(n_tokens=pl.lit(None, pl.Int64)), None, [note]
    simple = table["roles"] == "ua"
    counts = np.zeros(table.height, dtype=np.int64)
    for column in ("prompt", "response"):
        counts += counter.count(table[column])
    rest = np.flatnonzero(~simple.fill_null(True).to_numpy())
    if len(rest):
        counts[rest] = _count_turns(table["chat"].gather(rest), counter)
    readable = table["chat"].is_not_null()
    n_tokens = pl.Series(counts).set(~readable, None)
    return table.with_columns(n_tokens=n_tokens), counter.about, []


def _count_turns(chats: pl.Series, counter: tokenizer.Tokenizer) -> np.ndarray:
    turns = [list(_texts(orjson.loads(chat))) for chat in chats]
    counts = counter.count(pl.Series([text for row in turns for text in row], dtype=pl.String))
    ends = np.cumsum([0, *map(len, turns)])
    totals: np.ndarray = np.add.reduceat(np.append(counts, 0), ends[:-1]) * (np.diff(ends) > 0)
    return totals


def _texts(chat: dict[str, Any]) -> list[str]:
    """Return every text of a chat that a template would render: contents, calls and tool declarations."""
    texts = [turn["content"] for turn in chat["messages"] if isinstance(turn.get("content"), str)]
    texts += [orjson.dumps(turn["tool_calls"]).decode() for turn in chat["messages"] if turn.get("tool_calls")]
    if chat.get("tools"):
        tools = chat["tools"]
        texts.append(tools if isinstance(tools, str) else orjson.dumps(tools).decode())
    return texts
