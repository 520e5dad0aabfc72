"""Exact duplicates: rows that hold the same conversation.

Two rows are the same when their canonical chats agree in everything but Unicode normal form and white space: who says
what in which turn, tools and calls included. Case and punctuation count. The survivor is the row with the lowest id;
ids follow the content, so neither the order of the input nor that of the rows decides. Near-duplicates are another
step's business.
"""

from __future__ import annotations

import unicodedata
from hashlib import blake2b
from typing import Any

import orjson
import polars as pl

REASON = "duplicate.exact"


def mark_exact(frame: pl.DataFrame) -> pl.DataFrame:
    """Mark all but the lowest `id` of each group of alive rows with the same chat; `evidence` is the survivor's id."""
    alive = frame.filter(pl.col("drop_reason").is_null()).select("id", "chat")
    keys = pl.Series("key", [content_key(chat) for chat in alive["chat"]], dtype=pl.Binary)
    lowest = alive.select("id", pl.col("id").min().over(keys).alias("survivor"))
    copies = lowest.filter(pl.col("id") != pl.col("survivor"))
    copy = pl.col("survivor").is_not_null()
    return (
        frame.join(copies, on="id", how="left", maintain_order="left")
        .with_columns(
            drop_reason=pl.when(copy).then(pl.lit(REASON)).otherwise("drop_reason"),
            rules=pl.when(copy).then(pl.concat_list("rules", pl.lit(REASON))).otherwise("rules"),
            evidence=pl.when(copy).then("survivor").otherwise("evidence"),
        )
        .drop("survivor")
    )


def content_key(chat: str) -> bytes:
    """Return the 128-bit hash of a canonical chat; white space and Unicode normal form do not count."""
    return blake2b(orjson.dumps(_plain(orjson.loads(chat)), option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _plain(value: Any) -> Any:
    """Put every text in the JSON `value` into NFC, with single spaces for runs of white space and none at the ends."""
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFC", value).split())
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
