"""How many rows each group gives, and with `--balance` first how many each value of a column does.

Without `--balance` every group gives one row while the budget lasts, and the rest goes by size^(1/tau). With it, the
budget is shared over the values by `--tau`, `--shares`, `--floor` and `--cap`; what a value gives is then shared over
its rows in each group, one row each and the rest by size. So a selection from two sources in given parts is spread over
the clusters of each.

Built in are `source` (the name of the file up to its first dot), `script` (of the prompt and the answer: that of most
letters), `language` (of the answer, where it is sure; an extra), `length` (of the answer in bytes of UTF-8: 0+, 64+,
256+, ...), `task`, and `cluster` (the groups themselves, for --floor and --cap). Every other name is a column of the
records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from curate.data import quota
from curate.data.quota import Quota
from curate.sft.config import CLUSTER, LANGUAGE, SelectConfig

NOTHING = "(none)"
LENGTHS = (0, 64, 256, 1024, 4096, 16384)  # bytes
SCRIPTS = ("Latin", "Han", "Hiragana", "Katakana", "Hangul", "Cyrillic", "Greek", "Arabic", "Hebrew", "Devanagari",
           "Bengali", "Tamil", "Thai")  # fmt: skip


@dataclass(frozen=True)
class Shares:
    """Cells to pick in, and their quotas.

    labels: (n,) the cell of each row; cell number modulo the number of groups is the group. quotas and names have one
    entry per cell. balance: what was asked of each value of --balance, what it has and what it gives.
    """

    labels: npt.NDArray[np.integer]
    quotas: list[int]
    names: list[str]
    balance: list[Quota] = field(default_factory=list)


def values_of(live: pl.DataFrame, column: str) -> pl.Series:
    """Return the value of each row that `--balance column` is about, as text."""
    if column == "source":
        stems = {path: PurePath(path).name.split(".")[0] or path for path in live["source"].unique()}
        return live["source"].replace_strict(stems, return_dtype=pl.String)
    if column == "script":
        return live.select(_script()).to_series()
    if column == LANGUAGE:
        return live["language"].fill_null(NOTHING)
    if column == "length":
        size = pl.col("response").str.len_bytes()
        names = [pl.when(size >= least).then(pl.lit(f"{least}+")) for least in reversed(LENGTHS)]
        return live.select(pl.coalesce(names)).to_series()
    return live["task" if column == "task" else "balance"].fill_null(NOTHING)


def _script() -> pl.Expr:
    """Return the script of most letters, the first of `SCRIPTS` on ties; `(none)` where there are no letters."""
    text = pl.concat_str("prompt", "response", separator="\n")
    counts = pl.concat_list(text.str.count_matches(rf"\p{{{script}}}") for script in SCRIPTS)
    name = counts.list.arg_max().replace_strict(dict(enumerate(SCRIPTS)), return_dtype=pl.String)
    return pl.when(counts.list.max() > 0).then(name).otherwise(pl.lit(NOTHING))


def share_out(
    labels: npt.NDArray[np.integer],
    names: Sequence[str],
    k: int,
    config: SelectConfig,
    values: pl.Series | None = None,
    have: npt.NDArray[np.integer] | None = None,
) -> Shares:
    """Share `k` rows out over the groups, or over the `values` of --balance and the groups within each.

    labels: (n,) the group of each row, from 0 to len(names) - 1. have: the groups of rows chosen before; then quotas
    are what is missing to those of old and new rows together. Raises UsageError where bounds cannot be kept.
    """
    bounds: dict[str, Any] = {
        "tau": config.tau, "shares": config.named_shares, "floor": config.floor or 0, "cap": config.cap,
    }  # fmt: skip
    if values is None:
        sizes = np.bincount(labels, minlength=len(names)).tolist()
        if config.balance == CLUSTER:
            table = quota.balance(dict(zip(names, sizes, strict=True)), k, **bounds)
            return Shares(labels, [entry.given for entry in table[: len(names)]], list(names), table)
        if have is not None:
            old = np.bincount(have, minlength=len(names)).tolist()
            return Shares(labels, quota.top_up(sizes, old, k, config.tau), list(names))
        return Shares(labels, quota.one_each_then_fill(sizes, k, config.tau), list(names))
    known = sorted(values.unique(), key=_place)
    value = values.replace_strict(known, range(len(known)), return_dtype=pl.Int64).to_numpy()
    cells = value * len(names) + labels
    sizes = np.bincount(cells, minlength=len(known) * len(names)).reshape(len(known), len(names))
    table = quota.balance(dict(zip(known, sizes.sum(axis=1).tolist(), strict=True)), k, **bounds)
    quotas = [q for row, entry in zip(sizes.tolist(), table, strict=False)
              for q in quota.one_each_then_fill(row, entry.given)]  # fmt: skip
    return Shares(cells, quotas, [f"{value} / {name}" for value in known for name in names], table)


def _place(value: str) -> tuple[int, str]:
    """Put values that are numbers, such as 64+, in their order, behind the others."""
    digits = value.rstrip("+")
    return int(digits) if digits.isdecimal() else -1, value


def notes_on(balance: Sequence[Quota], column: str | None) -> list[str]:
    """Return what should be said aloud: values of --shares that no row has, and those that give less than asked."""
    absent = [entry.name for entry in balance if not entry.available]
    short = [entry for entry in balance if 0 < entry.available < entry.asked]
    return [
        *(f"no row has the {column} {name!r} that --shares names: others make up for it" for name in absent),
        *(
            f"{column} {e.name!r} has {e.available:,} of the {e.asked:,} rows asked: others make up for it"
            for e in short
        ),
    ]
