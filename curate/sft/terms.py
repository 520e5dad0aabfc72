"""Which words tell a cluster from the rest: what people read instead of a number."""

from __future__ import annotations

import polars as pl

TERMS = 3
_COMMON = 20  # a word that more than every twentieth row holds names nothing: the, what, write
_WORD = r"\p{Han}{2}|[\p{L}--\p{Han}]{3,}"  # short words tell little; Han has no spaces, so two characters at a time
_ROWS = 50_000  # looked at, evenly spread: the words of a cluster are plain long before


def top_terms(texts: pl.Series, labels: pl.Series) -> pl.DataFrame:
    """Return `cluster` and `cluster_title`, its three most telling words; one row for each label that is not null.

    A word tells p log(p / q): p is the share of the rows of the cluster that hold it, q that of all rows (what the word
    adds to the Kullback-Leibler divergence). Words that over a twentieth of all rows hold, and more than two, are left
    out. Ties go to the word that sorts first; a cluster without words has "".
    """
    rows = pl.DataFrame({"cluster": labels.cast(pl.Int64), "text": texts}).drop_nulls()
    every = rows.gather_every(max(1, -(-rows.height // _ROWS)))
    words = (
        every.with_row_index("row")
        .select("row", "cluster", word=pl.col("text").str.to_lowercase().str.extract_all(_WORD).list.unique())
        .explode("word")
        .drop_nulls()
    )
    pool = words.group_by("word").len("everywhere").filter(pl.col("everywhere") <= max(2, every.height / _COMMON))
    sizes = every.group_by("cluster").len("size")
    counts = words.group_by("cluster", "word").len("here").join(pool, on="word").join(sizes, on="cluster")
    p, q = pl.col("here") / pl.col("size"), pl.col("everywhere") / every.height
    titles = (
        counts.with_columns(tells=(p * (p / q).log()).round(9))
        .sort("cluster", "tells", "word", descending=[False, True, False])
        .group_by("cluster", maintain_order=True)
        .agg(cluster_title=pl.col("word").head(TERMS).str.join(", "))
    )
    return (
        rows.select("cluster")
        .unique()
        .join(titles, on="cluster", how="left")
        .with_columns(pl.col("cluster_title").fill_null(""))
        .sort("cluster")
    )
