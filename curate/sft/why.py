"""The life of one row of a finished selection, told from its `ledger.parquet`."""

from __future__ import annotations

from typing import Any

import polars as pl

from curate.errors import UsageError
from curate.report.names import harmless
from curate.sft.ledger import read_ledger

_SHOWN = 400  # characters of a text that people are shown; --json has all of it


def life_of(directory: str, row_id: str) -> dict[str, Any]:
    """Return the ledger row with this id, or the only one whose id begins so, and what `directory` knows around it.

    Added are `fate` (a sentence), `selected_rows`, and `nearest` (`id`, `rank`, `prompt`, `response` of the nearest
    selected row, or None). Raises UsageError where there is no ledger, no such row, or more than one.
    """
    ledger = read_ledger(directory)
    found = ledger.filter(pl.col("id").str.starts_with(row_id))
    if row_id in found["id"]:
        found = found.filter(pl.col("id") == row_id)
    if found.height != 1 or not row_id:
        some = ", ".join(found["id"].head(3))
        raise UsageError(
            f"{found.height:,} rows of {directory} have an id that begins with {row_id!r}",
            f"Give more of it: {some}, ..." if found.height else "The column id of ledger.parquet has all ids.",
        )
    row = found.row(0, named=True)
    selected = ledger.filter(pl.col("rank").is_not_null())
    near = pl.col("id") == pl.lit(row["nearest_selected"] if row["distance"] is not None else None, pl.String)
    nearest = selected.filter(near, pl.col("prompt").is_not_null()).select("id", "rank", "prompt", "response")
    return row | {
        "fate": _fate(row, selected.height),
        "selected_rows": selected.height,
        "nearest": next(nearest.iter_rows(named=True), None),
    }


def _fate(row: dict[str, Any], selected: int) -> str:
    if row["drop_reason"] is not None:
        return f"dropped: {row['drop_reason']}"
    if row["rank"] is not None:
        return f"selected: pick {row['rank'] + 1:,} of {selected:,}"
    return "held out for validation" if row["split"] == "validation" else "alive, and not picked"


def render(life: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Return headings with their lines, for people."""
    about = [f"id         {life['id']}", f"from       {life['source']}, line {life['line']}"]
    for name, value in (
        ("evidence", life["evidence"]),
        ("rules", ", ".join(life["rules"] or [])),
        ("would drop", ", ".join(life["would_drop"] or [])),
        ("task", life["task"]),
        ("cluster", life["cluster"]),
        ("tokens", life["n_tokens"]),
        ("radius", life["radius_at_pick"] and f"{life['radius_at_pick']:.3f} from the picks before it"),
    ):
        if value not in (None, ""):
            about.append(f"{name:<10} {_short(' '.join(str(value).split()))}")
    sections = [(life["fate"], about)]
    if life["nearest"] is not None and life["nearest"]["id"] != life["id"]:
        nearest, distance = life["nearest"], life["distance"]
        where = f"{nearest['id']}, pick {nearest['rank'] + 1:,}, at distance {distance:.3f}"
        sections.append(("nearest selected row", [where, _short(nearest["prompt"])]))
    texts = (("prompt", life["prompt"]), ("answer", life["response"]))
    sections += [(name, [_short(text)]) for name, text in texts if text is not None]
    return [(harmless(heading), [harmless(line) for line in lines]) for heading, lines in sections]


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ... ({len(text):,} characters)"
