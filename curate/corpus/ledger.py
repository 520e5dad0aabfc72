"""The ledger of a corpus: parquet parts with a row for each record read, in order of sources and lines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import polars as pl

from curate.corpus.levels import KEPT, REASONS, Levels
from curate.corpus.scan import Scan
from curate.corpus.text import SCRIPTS
from curate.data.corpus import Corpus

PART_ROWS = 100_000

LEDGER = {
    "id": pl.String, "source": pl.String, "line": pl.Int64, "bytes": pl.Int64, "n_tokens": pl.Int64,
    "script": pl.String, "cluster": pl.Int64, "kept": pl.Boolean, "reason": pl.String,
}  # fmt: skip


def write_ledger(found: Scan, levels: Levels, corpus: Corpus, directory: Path) -> None:
    """Write the parts, of PART_ROWS rows each: how they are cut does not depend on how the corpus was read."""
    directory.mkdir()
    number, held, rows = 0, [pl.DataFrame(schema=LEDGER)], 0
    for frame in _frames(found, levels, corpus):
        held.append(frame)
        rows += frame.height
        if rows < PART_ROWS:
            continue
        joined = pl.concat(held)
        while rows >= PART_ROWS:
            joined[:PART_ROWS].write_parquet(directory / f"part-{number:05}.parquet", compression="zstd")
            joined, rows, number = joined[PART_ROWS:], rows - PART_ROWS, number + 1
        held = [joined]
    if rows or not number:
        pl.concat(held).write_parquet(directory / f"part-{number:05}.parquet", compression="zstd")


def _frames(found: Scan, levels: Levels, corpus: Corpus) -> Iterator[pl.DataFrame]:
    table = found.table
    names = pl.Series([item.name for item in corpus.items], dtype=pl.String)
    scripts = pl.Series(SCRIPTS, dtype=pl.String)
    reasons = pl.Series(REASONS, dtype=pl.String)
    size, script, tokens = table["bytes"], table["script"], table["tokens_0"] if found.verified else None
    for part in table.parts("names"):
        documents = part["document"].drop_nulls().to_numpy()
        facts = pl.DataFrame(
            {
                "document": documents,
                "bytes": size[documents],
                "n_tokens": tokens[documents] if tokens is not None else None,
                "script": scripts.gather(script[documents]),
                "cluster": levels.cluster[documents],
                "kept": levels.reason[documents] == KEPT,
                "reason": reasons.gather(levels.reason[documents]),
            },
            schema_overrides={"document": pl.Int64, "n_tokens": pl.Int64},
        )
        source = names.gather(part["source"])
        yield (
            part.with_columns(source=source)
            .join(facts, on="document", how="left", maintain_order="left")
            .with_columns(
                pl.coalesce("id", pl.format("{}:{}", "source", "line")).alias("id"),
                pl.when(pl.col("cluster") >= 0).then("cluster").alias("cluster"),
                pl.col("kept").fill_null(False),
                pl.when(pl.col("document").is_null()).then(pl.lit("unreadable")).otherwise("reason").alias("reason"),
            )
            .select(pl.col(name).cast(dtype) for name, dtype in LEDGER.items())
        )


def write_unreadable(found: Scan, corpus: Corpus, path: Path) -> None:
    """Write what could not be read: source, line, byte_offset, reason and the text itself (the first part of it)."""
    with path.open("wb") as file:
        for part in found.table.parts("unreadable"):
            for record in part.iter_rows(named=True):
                file.write(orjson.dumps(record | {"source": corpus.items[record["source"]].name}) + b"\n")
