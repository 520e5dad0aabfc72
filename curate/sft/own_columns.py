"""What columns of one's own are for: a prompt template (`--one-prompt-per-task`) and a score (`--score-column`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy.typing as npt
import polars as pl

from curate.sft.distance import F32
from curate.sft.ledger import mark

if TYPE_CHECKING:
    from curate.sft.score import Scorer, Scores

OTHER_TEMPLATE = "template.other"
NO_SCORE = "score.missing"
HIGH_IFD = "score.ifd"


def mark_other_templates(table: pl.DataFrame) -> pl.DataFrame:
    """Mark alive rows whose `template` is not the commonest of their task (`evidence`), the first by name on ties."""
    alive = table.filter(pl.col("drop_reason").is_null()).select("id", "task", "template")
    ranked = alive.group_by("task", "template").len().sort("len", "template", descending=[True, False], nulls_last=True)
    commonest = ranked.group_by("task", maintain_order=True).first().select("task", evidence="template")
    found = alive.join(commonest, on="task", how="left", nulls_equal=True)
    other = found.filter(pl.col("template").ne_missing(pl.col("evidence")))
    return mark(table, other.select("id", pl.col("evidence").fill_null("(none)")), OTHER_TEMPLATE)


def mark_without_score(table: pl.DataFrame, why: str) -> pl.DataFrame:
    """Mark alive rows that have no score: none can be made up for them."""
    blank = table.filter(pl.col("drop_reason").is_null() & pl.col("score").is_null())
    return mark(table, blank.select("id", evidence=pl.lit(why)), NO_SCORE)


def mark_scored(table: pl.DataFrame, scorer: Scorer) -> tuple[pl.DataFrame, Scores]:
    """Score the alive rows by a model; mark those without a score, and those whose IFD is 1 or more."""
    alive = table.filter(pl.col("drop_reason").is_null())
    found = scorer(alive["prompt"].to_list(), alive["response"].to_list())
    values = alive.select("id", score=pl.Series(found.values).fill_nan(None))
    table = table.drop("score").join(values, on="id", how="left", maintain_order="left")
    table = mark_without_score(table, "the answer has no two tokens in the model's window")
    if found.about["name"].startswith("ifd:"):
        high = table.filter(pl.col("drop_reason").is_null() & (pl.col("score") >= 1))
        table = mark(table, high.select("id", evidence=pl.format("IFD {}", pl.col("score").round(3))), HIGH_IFD)
    return table, found


def mix(similarity: F32, scores: npt.ArrayLike, labels: npt.ArrayLike, weight: float) -> F32:
    """Return the order of cores: nearness to the centre and quality, mixed by `weight` (0 is nearness alone).

    Both are ranked within each group, from 1 / (rows of the group) to 1, equal values the same, for scores have no
    common scale. similarity, scores, labels: (n,). The result is larger for better rows.
    """
    frame = pl.DataFrame({"near": similarity, "score": scores, "label": labels})
    near, score = (pl.col(name).rank("average").over("label") / pl.len().over("label") for name in ("near", "score"))
    return frame.select((1 - weight) * near + weight * score).to_series().cast(pl.Float32).to_numpy()
