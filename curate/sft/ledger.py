"""The ledger of a selection: one row per input record, with what became of it and why."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curate.data.tables import read_parquet
from curate.errors import CurateError, UsageError

if TYPE_CHECKING:
    from curate.sft.groups import Groups
    from curate.sft.pick import Picks

COLUMNS = (
    "id", "source", "line", "shape", "task", "balance", "score", "language", "cluster", "drop_reason", "rules",
    "evidence", "would_drop", "split", "rank", "radius_at_pick", "nearest_selected", "distance", "n_tokens", "prompt",
    "response",
)  # fmt: skip
# What a ledger is read for later, and what stands there.
KINDS: dict[Any, Any] = {
    "id": pl.String, "source": pl.String, "line": pl.Int64, "task": pl.String, "cluster": pl.Int64,
    "drop_reason": pl.String, "rules": pl.List(pl.String), "would_drop": pl.List(pl.String), "evidence": pl.String,
    "split": pl.String, "rank": pl.Int64, "radius_at_pick": pl.Float64, "nearest_selected": pl.String,
    "distance": pl.Float64, "n_tokens": pl.Int64, "prompt": pl.String, "response": pl.String,
}  # fmt: skip
_NO_FILTERS = ("duplicate.", "have", "template.", "score.")  # reasons that --filters has no say in
LOUD_SHARE = 0.5  # a filter that takes more of the pool than this is named aloud


def open_ledger(frame: pl.DataFrame, unreadable: pl.DataFrame) -> pl.DataFrame:
    """Give each row its id and put the rows in id order.

    The id is the blake2b-128 of the canonical chat (of the raw text where a row is unreadable), so that it follows
    the content and not the place; later copies of the same content get `-1`, `-2`, ...
    """
    broken = iter(unreadable["text"].to_list())
    chats = iter(frame["chat"])  # some thousands at a time become Python objects, not all
    digests = [blake2b(_bytes(next(broken) if text is None else text), digest_size=16).hexdigest() for text in chats]
    copy = pl.int_range(pl.len()).over("digest")
    suffix = pl.when(copy == 0).then(pl.lit("")).otherwise(pl.format("-{}", copy))
    readable = pl.col("error").is_null()
    return (
        frame.with_columns(
            digest=pl.Series(digests, dtype=pl.String),
            read_as=pl.when(readable).then(readable.cum_sum().cast(pl.Int64) - 1),  # place among the readable records
        )
        .sort("digest", "task", "template", "balance", "score", "shape", "source", "line", maintain_order=True)
        .with_columns(
            id=pl.col("digest") + suffix,
            language=pl.lit(None, pl.String),
            drop_reason=pl.when(pl.col("error").is_null())
            .then(pl.lit(None, pl.String))
            .otherwise(pl.lit("unreadable")),
            evidence=pl.col("error"),
            rules=pl.when(pl.col("error").is_null())
            .then(pl.lit([], pl.List(pl.String)))
            .otherwise(pl.lit(["unreadable"], pl.List(pl.String))),
        )
        .drop("digest", "error")
    )


def read_ledger(directory: str | Path, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Return the ledger of a finished selection, or some columns of it.

    Raises UsageError where there is none, CurateError for one that cannot be read, lacks a column of `KINDS` or has
    another kind of values in it.
    """
    path = Path(directory, "ledger.parquet")
    known = KINDS if columns is None else {name: KINDS[name] for name in columns}
    try:
        ledger = read_parquet(path.read_bytes(), columns)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "Give a directory that curate select --out wrote.") from None
    except ValueError as error:
        raise CurateError(f"{path} cannot be read: {error}", "Select once more, with --force.") from None
    try:
        return ledger.cast(known)
    except pl.exceptions.PolarsError:
        raise CurateError(f"{path} is no ledger", "Select once more, with --force.") from None


def mark(table: pl.DataFrame, marks: pl.DataFrame, reason: str) -> pl.DataFrame:
    """Drop the alive rows that `marks` (id, evidence) names, for `reason`; the order of rows stays."""
    hit = pl.col("evidence_right").is_not_null()
    return (
        table.join(marks, on="id", how="left", maintain_order="left")
        .with_columns(
            drop_reason=pl.when(hit).then(pl.lit(reason)).otherwise("drop_reason"),
            rules=pl.when(hit).then(pl.concat_list("rules", pl.lit(reason))).otherwise("rules"),
            evidence=pl.when(hit).then("evidence_right").otherwise("evidence"),
        )
        .drop("evidence_right")
    )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def dropped(table: pl.DataFrame) -> dict[str, int]:
    """Count the rows per drop reason, unreadable ones apart, the most frequent first."""
    counts = (
        table.filter(pl.col("drop_reason").is_not_null() & (pl.col("drop_reason") != "unreadable"))
        .group_by("drop_reason")
        .len()
        .sort("len", "drop_reason", descending=[True, False])
    )
    return dict(counts.iter_rows())


def would_drop(table: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Count the live rows that the rules in `would_drop` would take, by group: rows, and rows of each rule."""
    fired = table.filter(pl.col("drop_reason").is_null()).select("id", rule="would_drop").explode("rule").drop_nulls()
    groups = fired.group_by(group=pl.col("rule").str.extract(r"^(\w+)").str.replace("_", "-")).agg(
        rows=pl.col("id").n_unique(), rules=pl.col("rule").value_counts(sort=True)
    )
    return {
        group: {"rows": rows, "rules": {pair["rule"]: pair["count"] for pair in counts}}
        for group, rows, counts in groups.sort("group").iter_rows()
    }


def top_reason(table: pl.DataFrame) -> tuple[str, str]:
    """Say what took most rows, unreadable ones counted, and what can be done about it (nothing, if it is empty)."""
    reasons = dropped(table)
    unreadable = int((table["drop_reason"] == "unreadable").sum())
    name, count = max({"unreadable": unreadable, **reasons}.items(), key=lambda item: item[1])
    if not count:
        return "nothing was dropped", ""
    if name == "unreadable":
        return f"{count:,} cannot be read", ""
    hint = "" if name.startswith(_NO_FILTERS) else "Leave the rule out: --filters takes a list of rules."
    if name == "contamination":
        hint = "Is the pool itself among the files of --decontaminate?"
    if name == "outlier":
        hint = "Leave fewer out: --trim-outliers."
    return f"{name} took most ({count:,})", hint


def loud_filters(table: pl.DataFrame) -> list[str]:
    """Name every rule that dropped over half of the pool."""
    return [
        f"{name} dropped {count:,} of {table.height:,} rows: is that meant?"
        for name, count in dropped(table).items()
        if count > LOUD_SHARE * table.height
    ]


def text_to_embed(live: pl.DataFrame, which: str) -> pl.Series:
    """Return the text that is embedded: the prompt, or prompt and answer."""
    if which == "prompt":
        return live["prompt"]
    return live.select(pl.concat_str("prompt", "response", separator="\n\n")).to_series()


def record_selection(
    table: pl.DataFrame,
    live: pl.DataFrame,
    groups: Groups,
    candidates: np.ndarray,
    picked: Picks,
    chosen: np.ndarray,
    nearest: np.ndarray,
    distance: np.ndarray,
) -> pl.DataFrame:
    """Write clusters, ranks and distances into the ledger.

    `candidates` are positions in `live`; `chosen` the picked ones in pick order; `nearest` (n_live,) is the position in
    `live` of the nearest one.
    """
    n = live.height
    cluster = np.full(n, -1, dtype=np.int64)
    if groups.clusters is not None:
        cluster[candidates] = groups.clusters
    rank = np.full(n, -1, dtype=np.int64)
    rank[chosen] = np.arange(len(chosen))
    radius = np.full(n, np.nan)
    radius[chosen] = picked.radius
    ids = live["id"]
    facts = live.select(
        "row",
        cluster=_null_where(cluster, -1),
        rank=_null_where(rank, -1),
        radius_at_pick=pl.Series(radius).fill_nan(None),
        nearest_selected=ids.gather(nearest),
        distance=pl.Series(distance.astype(np.float64)),
        split=pl.when(pl.Series(rank) >= 0).then(pl.lit("train")).when("holdout").then(pl.lit("validation")),
    )
    return table.with_row_index("row").join(facts, on="row", how="left", maintain_order="left").drop("row")


def _null_where(values: np.ndarray, missing: int) -> pl.Series:
    series = pl.Series(values)
    return series.set(series == missing, None)
