"""What changed from one selection to another, row by row: the two ledgers joined by `id`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from curate.errors import CurateError
from curate.sft.ledger import read_ledger

SELECTED = "selected"
ABSENT = "not in the pool"
_COLUMNS = (
    "id", "source", "line", "task", "cluster", "drop_reason", "evidence", "split", "rank", "n_tokens", "prompt",
)  # fmt: skip


def compare_selections(a: Path, b: Path) -> dict[str, Any]:
    """Return the rows that entered, left and moved from the selection in `a` to that in `b`, and what explains it.

    A row's fate is `selected`, its drop reason, `held out`, `not picked`, or `not in the pool`. Raises as
    `read_ledger`, and CurateError for a ledger with columns of other types, or with an id twice.
    """
    rows = _one(a, "a").join(_one(b, "b"), on="id", how="full", coalesce=True).with_columns(
        pl.col("fate_a", "fate_b").fill_null(ABSENT),
        **{name: pl.coalesce(f"{name}_b", f"{name}_a") for name in ("source", "line", "task", "prompt")},
    )  # fmt: skip
    was, now = pl.col("fate_a") == SELECTED, pl.col("fate_b") == SELECTED
    moved = rows.filter(was, now, pl.col("rank_a") != pl.col("rank_b"))
    entered, left = rows.filter(now, ~was), rows.filter(was, ~now)
    return {
        "rows": {"a": _counts(rows, "a"), "b": _counts(rows, "b")},
        "counts": {
            "both": rows.filter(was, now).height,
            "moved": moved.height,
            "entered": entered.height,
            "left": left.height,
        },
        "fates": _fates(rows),
        "by_task": _by_task(rows.filter(was | now), was, now),
        "by_cluster": {
            "a": _by_cluster(rows.filter(was), "a", left=~now),
            "b": _by_cluster(rows.filter(now), "b", entered=~was),
        },
        "entered": _listed(entered.sort("rank_b", "id")),
        "left": _listed(left.sort("rank_a", "id")),
        "moved": _listed(moved.sort("rank_b", "id")),
    }


def _one(directory: Path, suffix: str) -> pl.DataFrame:
    """Return one ledger with the fate of each row; all columns but `id` end in _a or _b."""
    ledger = read_ledger(directory, _COLUMNS)
    if ledger["id"].n_unique() < ledger.height or ledger["id"].null_count():
        raise CurateError(f"{directory}/ledger.parquet has an id twice, or none", "Select once more, with --force.")
    fate = (
        pl.when(pl.col("rank").is_not_null())
        .then(pl.lit(SELECTED))
        .when(pl.col("drop_reason").is_not_null())
        .then("drop_reason")
        .when(pl.col("split") == "validation")
        .then(pl.lit("held out"))
        .otherwise(pl.lit("not picked"))
    )
    return ledger.select("id", fate.alias(f"fate_{suffix}"), pl.exclude("id").name.suffix(f"_{suffix}"))


def _counts(rows: pl.DataFrame, run: str) -> dict[str, int | None]:
    read = rows.filter(pl.col(f"fate_{run}") != ABSENT)
    selected = read.filter(pl.col(f"rank_{run}").is_not_null())
    return {
        "read": read.height,
        "live": int(read[f"drop_reason_{run}"].is_null().sum()),
        "selected": selected.height,
        "tokens": None if selected[f"n_tokens_{run}"].null_count() else int(selected[f"n_tokens_{run}"].sum()),
    }


def _fates(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """Count the rows whose fate changed, by both fates; the most first."""
    changed = rows.filter(pl.col("fate_a") != pl.col("fate_b")).group_by(a="fate_a", b="fate_b").agg(rows=pl.len())
    return changed.sort("rows", "a", "b", descending=[True, False, False]).to_dicts()


def _by_task(rows: pl.DataFrame, was: pl.Expr, now: pl.Expr) -> list[dict[str, Any]]:
    tasks = rows.filter(pl.col("task").is_not_null()).group_by("task")
    return (
        tasks.agg(a=was.sum(), b=now.sum(), entered=(now & ~was).sum(), left=(was & ~now).sum()).sort("task").to_dicts()
    )


def _by_cluster(rows: pl.DataFrame, run: str, **change: pl.Expr) -> list[dict[str, Any]]:
    """Count the selected rows of each cluster of one run, and those that changed; numbers are those of the run."""
    clusters = rows.group_by(cluster=f"cluster_{run}")
    sums = {name: expression.sum() for name, expression in change.items()}
    return clusters.agg(selected=pl.len(), **sums).sort("cluster").to_dicts()


def _listed(rows: pl.DataFrame) -> list[dict[str, Any]]:
    facts = [f"{name}_{run}" for name in ("fate", "rank", "cluster", "evidence") for run in "ab"]
    return rows.select("id", "source", "line", "task", "prompt", *facts).to_dicts()
