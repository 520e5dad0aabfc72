"""What the script of report.html works on, as JSON in the page: the points of the map, and the rows of the list.

`<` is written `\\u003c` in it, so that no text of the data can end the element. What the rows take is bounded in bytes:
a text takes three a character in Chinese, and six where it is escaped.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import orjson
import polars as pl

POINTS, PICKS = 50_000, 25_000  # on the map
OTHERS = 2_000  # rows in the list that are not selected
_PROMPT, _ANSWER, LABEL = 120, 80, 80  # characters
_COLOURS = 2_000  # more cannot be told apart, and their names take room
_SELECTED_BYTES, _OTHER_BYTES = 2_600_000, 1_200_000
_NONE = 0xFFFF


def drawn_rows(points: pl.DataFrame) -> pl.DataFrame:
    """Return the rows on the map, picks first and in their order, and then others evenly."""
    picks = points.filter("selected").sort("rank").head(PICKS)
    others = points.filter(~pl.col("selected"))
    room = POINTS - picks.height
    if others.height > room:
        others = others[np.linspace(0, others.height - 1, room).round().astype(np.int64)]
    return pl.concat([picks, others]).with_row_index("point")


def listed_rows(ledger: pl.DataFrame, drawn: pl.DataFrame) -> tuple[list[dict[str, Any]], str]:
    """Return the rows of the list, and what is said of those that are not in it.

    Each reason of the dropped ones gives the same number while it lasts. Ids are hashes: the first are a fair sample.
    """
    chosen = ledger.filter(pl.col("rank").is_not_null()).sort("rank")
    lost = ledger.filter(pl.col("drop_reason").is_not_null()).sort("id")
    lost = lost.with_columns(turn=pl.int_range(pl.len()).over("drop_reason")).sort("turn", "drop_reason", "id")
    lost = lost.head(OTHERS // 2).drop("turn")
    alive = ledger.filter(pl.col("drop_reason").is_null() & pl.col("rank").is_null()).sort("id")
    others = pl.concat([lost, alive.head(OTHERS - lost.height)])
    places = drawn.select("id", "point", "cluster_title")

    def shown(rows: pl.DataFrame, room: int) -> list[dict[str, Any]]:
        placed = rows.join(places, on="id", how="left", maintain_order="left")
        return _that_fit((_row(row) for row in placed.select(_short()).iter_rows(named=True)), room)

    kept, rest = shown(chosen.head(PICKS), _SELECTED_BYTES), shown(others, _OTHER_BYTES)
    said = f"{len(kept):,} of {chosen.height:,} selected rows are in this file, and {len(rest):,} of the "
    return kept + rest, said + f"{ledger.height - chosen.height:,} others; ledger.parquet has all, with their texts."


def _short() -> list[pl.Expr]:
    def cut(name: str, length: int) -> pl.Expr:
        flat = pl.col(name).fill_null("").str.slice(0, 4 * length).str.replace_all(r"\s+", " ").str.strip_chars()
        return pl.when(flat.str.len_chars() > length).then(flat.str.slice(0, length) + "…").otherwise(flat).alias(name)

    kept = ("id", "rank", "drop_reason", "split", "cluster", "cluster_title", "task", "point")
    return [*map(pl.col, kept), cut("prompt", _PROMPT), cut("response", _ANSWER), cut("evidence", _PROMPT)]


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the list shows of a row; `kind` and `reason` are what it can be narrowed to."""
    kind, reason = "alive", row["drop_reason"] or ""
    fate = "held out" if row["split"] == "validation" else "not picked"
    if row["rank"] is not None:
        kind, fate = "selected", f"pick {row['rank'] + 1:,}"
    elif reason:
        kind, fate = "dropped", reason
    group = "" if row["cluster"] is None else f"{row['cluster']}: {row['cluster_title'] or ''}".removesuffix(": ")
    named = [one[:LABEL] for one in (row["task"], group) if one]
    return {
        "id": row["id"], "kind": kind, "reason": reason, "fate": fate, "group": " · ".join(named),
        "prompt": row["prompt"], "response": row["response"], "evidence": row["evidence"] if reason else "",
        "point": -1 if row["point"] is None else row["point"],
    }  # fmt: skip


def _that_fit(rows: Iterable[dict[str, Any]], room: int) -> list[dict[str, Any]]:
    """Return the first rows that take no more than `room` bytes on the page."""
    kept = []
    for row in rows:
        room -= len(_json(row)) + 1
        if room < 0:
            break
        kept.append(row)
    return kept


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).replace(b"<", b"\\u003c")


def embedded(report: Mapping[str, Any], drawn: pl.DataFrame, listed: list[dict[str, Any]]) -> str:
    """Return the element that the script reads: packed 16-bit places, colours, rows and the curve over k."""
    places = drawn.select("x", "y").to_numpy().astype(np.float64)
    span = float(np.ptp(places, axis=0).max()) or 1.0
    x, y = np.round((places - places.min(axis=0)) / span * (_NONE - 1)).T
    curve = {name: report["curve"][name] for name in ("sizes", "selected", "random")}
    value = {
        "x": _packed(x),
        "y": _packed(y),
        "picks": int(drawn["selected"].sum()),
        "colours": [_colour(name, column) for name, column in colours(drawn).items()],
        "curve": curve | {"end": curve_end(report)},
        "rows": listed,
    }
    return f'<script type="application/json" id="data">{_json(value).decode()}</script>'


def colours(drawn: pl.DataFrame) -> dict[str, pl.Series]:
    """Return what points can be coloured by, where it tells them apart."""
    group = pl.concat_str(pl.col("cluster").cast(pl.String), "cluster_title", separator=" ", ignore_nulls=True)
    clusters = pl.when(pl.col("cluster").is_not_null()).then(group)
    columns = drawn.select(cluster=clusters, task="task", source="source", dropped="drop_reason")
    least = {"dropped": 1}
    return {one.name: one for one in columns if least.get(one.name, 2) <= one.drop_nulls().n_unique() <= _COLOURS}


def _colour(name: str, column: pl.Series) -> dict[str, Any]:
    """Return a colouring: labels, and the number of its label for each point."""
    labels = column.drop_nulls().unique().sort()
    codes = column.replace_strict(labels, range(len(labels)), default=_NONE, return_dtype=pl.UInt16)
    return {"name": name, "labels": labels.str.slice(0, LABEL).to_list(), "codes": _packed(codes.to_numpy())}


def _packed(values: np.ndarray) -> str:
    return b64encode(values.astype("<u2").tobytes()).decode()


def curve_end(report: Mapping[str, Any]) -> int:
    """Return where the axis over k ends: it is logarithmic and needs some length."""
    return max(2, int(report["curve"]["sizes"][-1]))
