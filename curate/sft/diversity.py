"""How the prompts of a selection differ from those of its pool: by how they begin.

Self-Instruct (arXiv 2212.10560, section 3.3) counts root verbs and their nouns, with a parser of English. The first
two words are nearly those in an instruction ("write a", "what is"), and need no parser; in Chinese they are the first
two characters. Shares of a pool and of a small selection compare; their numbers of different openings do not.
"""

from __future__ import annotations

from typing import Any

import polars as pl

SHOWN = 10
_OPENING = r"^[^\pL\pN]*(\p{Han}{2}|[\pL\pN'’]+(?:[^\pL\pN'’]+[\pL\pN'’]+)?)"


def openings(table: pl.DataFrame) -> dict[str, Any]:
    """Return how many openings the prompts of live and of selected rows have, and the shares of the most frequent."""
    live = table.filter(pl.col("drop_reason").is_null()).select(
        opening=pl.col("prompt").str.to_lowercase().str.extract(_OPENING).fill_null(""), selected=pl.col("rank") >= 0
    )
    counts = live.group_by("opening").agg(pool=pl.len(), selected=pl.col("selected").sum())
    selected = counts["selected"].sum()
    top = counts.sort("pool", "opening", descending=[True, False]).head(SHOWN)
    return {
        "openings": {"pool": counts.height, "selected": int((counts["selected"] > 0).sum())},
        "most_frequent": [
            {"opening": opening, "pool": pool / live.height, "selected": chosen / selected}
            for opening, pool, chosen in top.iter_rows()
        ],
    }
