"""The report of a selection: every count and measure as one JSON object (contract: docs/select.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from curate.config import as_text
from curate.data.manifest import SCHEMA_VERSION, versions
from curate.report.progress import Stages, peak_memory_bytes
from curate.sft.coverage import mean_and_sd
from curate.sft.ledger import dropped

if TYPE_CHECKING:
    from curate.data.read import Rows
    from curate.sft.config import SelectConfig
    from curate.sft.pick import Picks
    from curate.sft.select import Groups

SMALL_SET = 1000  # below it, fine-tuning lowered scores of strong base models (arXiv 2602.14696, 500-1,000 rows)


def build_report(
    *,
    table: pl.DataFrame,
    rows: Rows,
    config: SelectConfig,
    groups: Groups,
    quotas: Sequence[int],
    picked: Picks,
    embedder: Mapping[str, Any],
    tokens: Mapping[str, Any] | None,
    coverage: Mapping[str, float],
    chance: Sequence[Mapping[str, float]],
    seeds: Sequence[int],
    notes: Sequence[str],
    stages: Stages,
) -> dict[str, Any]:
    """Put the facts of a run together; the counts must add up, or the run fails."""
    reasons = dropped(table)
    selected = table.filter(pl.col("rank").is_not_null())
    counts = {
        "read": table.height,
        "unreadable": int((table["drop_reason"] == "unreadable").sum()),
        "dropped": reasons,
        "live": int(table["drop_reason"].is_null().sum()),
        "selected": selected.height,
        "held_out": int((table["split"] == "validation").sum()),
    }
    if counts["read"] != counts["live"] + counts["unreadable"] + sum(reasons.values()):
        raise AssertionError(f"rows do not add up: {counts}")
    return {
        "schema_version": SCHEMA_VERSION,
        "command": "select",
        "rows": counts,
        "sources": [source._asdict() for source in rows.sources],
        "embedder": dict(embedder),
        "clusters": _groups(groups, quotas),
        "picks": picked.counts(),
        "coverage": dict(coverage),
        "random": {"coverage": mean_and_sd(chance), "selections": len(chance), "seeds": list(seeds)},
        "tokens": _tokens(table, selected, tokens, config),
        "notes": [*notes, *_warnings(selected.height)],
        "config": {f.name: as_text(getattr(config, f.name)) for f in fields(config)},
        "versions": versions(),
        "seconds": {name: round(value, 3) for name, value in stages.seconds.items()},
        "peak_memory_bytes": peak_memory_bytes(),
    }


def _groups(groups: Groups, quotas: Sequence[int]) -> dict[str, Any]:
    sizes = np.bincount(groups.labels, minlength=len(groups.names))
    return {
        "kind": groups.kind,
        "count": len(groups.names),
        "smallest": int(sizes.min()),
        "largest": int(sizes.max()),
        **groups.about,
        "quotas": [
            {"name": name, "available": int(size), "given": int(given)}
            for name, size, given in zip(groups.names, sizes, quotas, strict=True)
        ],
    }


def _tokens(
    table: pl.DataFrame, selected: pl.DataFrame, about: Mapping[str, Any] | None, config: SelectConfig
) -> dict[str, Any] | None:
    if about is None:
        return None
    long = table.filter(pl.col("n_tokens") > config.max_tokens)
    return {
        "tokenizer": dict(about),
        "pool": int(table["n_tokens"].sum()),
        "selected": int(selected["n_tokens"].sum()),
        "longest": int(selected["n_tokens"].max() or 0),  # type: ignore[call-overload]
        "over_max_tokens": {
            "limit": config.max_tokens,
            "rows": long.height,
            "first_ids": long["id"].head(10).to_list(),
        },
    }


def _warnings(selected: int) -> list[str]:
    if selected >= SMALL_SET:
        return []
    return [
        f"{selected:,} rows are few: on strong recent base models 500-1,000 examples can lower benchmark scores "
        "(arXiv 2602.14696); compare with a random selection of the same size before you trust it"
    ]
