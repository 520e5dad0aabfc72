"""Topping up: rows that were chosen before (`--have`), so that new picks go on from them.

A row of the pool that says the same as an old row (white space and Unicode normal form do not count) is dropped as
`have`. Old rows that are not in the pool count as well: all old rows are embedded and clustered with the pool, quotas
are those of old and new rows together, and a strategy goes on from the old rows of a group as from picks.

The old file is read by its own keys, without `--map`. The task of an old row is that of its copies in the pool, for a
written selection has no column of tasks; where rows are picked within tasks, an old row without one counts nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from curate.config import MAX_EXPAND
from curate.data.read import read_rows
from curate.sft.config import SelectConfig
from curate.sft.distance import F32
from curate.sft.duplicates import content_key
from curate.sft.ledger import mark

HAVE = "have"


@dataclass(frozen=True)
class Have:
    """Rows chosen before: `task`, `prompt`, `response`, one for each content; `matched` of them are in the pool.

    sha256: of the files at `path`.
    """

    path: str
    rows: pl.DataFrame
    matched: int
    sha256: list[str | None]

    def about(self) -> dict[str, Any]:
        """Return what the report tells."""
        return {"path": self.path, "rows": self.rows.height, "matched": self.matched, "sha256": self.sha256}

    def notes(self) -> list[str]:
        """Return what should be said aloud."""
        if self.matched:
            return []
        return [f"no row of --have {self.path} is in the pool: all {self.rows.height:,} count as rows from elsewhere"]


def mark_have(
    table: pl.DataFrame, path: str, workers: int = 1, max_expand: int = MAX_EXPAND
) -> tuple[pl.DataFrame, Have]:
    """Mark the readable rows of the pool that stand in `path` too; `evidence` is the place there.

    Raises UsageError and CurateError as `read_rows` does.
    """
    given = read_rows(path, max_expand=max_expand, workers=workers)
    read = given.frame.filter(pl.col("chat").is_not_null())
    old = read.select("prompt", "response", place=pl.format("{}:{}", "source", "line"), key=_keys(read))
    old = old.unique("key", keep="first", maintain_order=True).sort("key")
    readable = table.filter(pl.col("chat").is_not_null())
    pool = readable.select("id", "task", key=_keys(readable))
    found = pool.join(old, on="key", how="inner", maintain_order="left")
    tasks = found.unique("key", keep="first", maintain_order=True).select("key", "task")
    rows = old.join(tasks, on="key", how="left", maintain_order="left").select("task", "prompt", "response")
    have = Have(path, rows, tasks.height, [source.sha256 for source in given.sources])
    return mark(table, found.select("id", evidence="place"), HAVE), have


def that_count(have: Have, vectors: F32, tasks: pl.Series, config: SelectConfig) -> tuple[F32, pl.Series]:
    """Return the vectors and tasks of the old rows that belong to a group: within tasks, those of a task offered."""
    if config.scope not in ("auto", "task") or config.task_column is None:
        return vectors, have.rows["task"]
    known = have.rows["task"].is_in(tasks.unique().drop_nulls().to_list()).fill_null(False)
    return vectors[known.to_numpy()], have.rows["task"].filter(known)


def _keys(rows: pl.DataFrame) -> pl.Series:
    return pl.Series([content_key(chat) for chat in rows["chat"]], dtype=pl.Binary)
