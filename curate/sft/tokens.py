"""Token counts of a pool's rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import polars as pl

from curate.data import tokenizer
from curate.data.encoders import Counts
from curate.errors import CurateError


def load_tokenizer(name: str, *, required: bool) -> tuple[tokenizer.Tokenizer | None, list[str]]:
    """Return the tokenizer `name`, and notes.

    Where the default one cannot be had there is none, and a note says so; raises its error when it is `required` or
    when the name is not the default's, for then somebody asked for it.
    """
    named = name != tokenizer.DEFAULT
    try:
        return tokenizer.load(name, allow_download=named), []
    except CurateError as error:
        if required or named:
            raise
        return None, [f"token counts are left out: {error.what}. {error.hint}"]


def count_tokens(
    table: pl.DataFrame, counter: tokenizer.Tokenizer | None
) -> tuple[pl.DataFrame, dict[str, Any] | None, list[str]]:
    """Add `n_tokens`, null for unreadable rows; return the table, what the report says of the tokenizer, and notes.

    A row is counted in the tokenizer's chat template where it has one, otherwise the tokens of all its texts are added
    up, without the marks that a template would add. Without a tokenizer the column is null.
    """
    if counter is None:
        return table.with_columns(n_tokens=pl.lit(None, pl.Int64)), None, []
    counter.check(table["response"])
    notes = []
    if counter.chat_template is None:
        counts = _count_texts(table, counter)
    else:
        counts = counter.count_chat(table["chat"])
        refused = np.flatnonzero(counts < 0)
        if len(refused):
            counts[refused] = _count_texts(table[refused], counter)
            notes.append(
                f"the chat template of {counter.vocabulary.name} refuses {len(refused):,} of {table.height:,} rows: "
                "n_tokens counts their bare text"
            )
    n_tokens = pl.Series(counts, dtype=pl.Int64).set(table["chat"].is_null(), None)
    about = counter.about | {"chat_template": counter.chat_template is not None}
    if about["why"]:
        notes.append(f"tokens are counted by {about['engine']}: {about['why']}")
    return table.with_columns(n_tokens=n_tokens), about, notes


def _count_texts(table: pl.DataFrame, counter: tokenizer.Tokenizer) -> Counts:
    counts = counter.count(table["prompt"]) + counter.count(table["response"])
    longer = (table["roles"] != "ua") | table["chat"].str.contains('],"tools":[', literal=True)
    more = np.flatnonzero(longer.fill_null(False).to_numpy())
    if len(more):
        counts[more] = _count_turns(table["chat"].gather(more), counter)
    return counts


def _count_turns(chats: pl.Series, counter: tokenizer.Tokenizer) -> Counts:
    turns = [list(_texts(orjson.loads(chat))) for chat in chats]
    counts = counter.count(pl.Series([text for row in turns for text in row], dtype=pl.String))
    ends = np.cumsum([0, *map(len, turns)])
    totals: Counts = np.add.reduceat(np.append(counts, 0), ends[:-1]) * (np.diff(ends) > 0)
    return totals


def _texts(chat: dict[str, Any]) -> list[str]:
    """Return every text of a chat that a template would render: contents, calls and tool declarations."""
    texts = [turn["content"] for turn in chat["messages"] if isinstance(turn.get("content"), str)]
    texts += [orjson.dumps(turn["tool_calls"]).decode() for turn in chat["messages"] if turn.get("tool_calls")]
    if chat.get("tools"):
        tools = chat["tools"]
        texts.append(tools if isinstance(tools, str) else orjson.dumps(tools).decode())
    return texts
