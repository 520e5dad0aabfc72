"""The report of a selection as a page: what was read and what is left, a map with a slider over the picks, every row.

The page is one file that opens from a disk, below 5 MB whatever the pool: `select_data.py` bounds what is in it, and
the page says what is left out. Its script sets texts of the data as `textContent` only. No chart library: a canvas and
two hundred lines do it, where plotly alone weighs 4 MB.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl

from curate.report.bars import bar_table
from curate.report.chance import beside_chance, measured_on
from curate.report.names import below_common_folder
from curate.report.numbers import most_first, share
from curate.report.page import figures, folded, items, page, table, text
from curate.report.select_data import LABEL, colours, curve_end, drawn_rows, embedded, listed_rows
from curate.report.svg import Axis, Band, Line, Shape, chart
from curate.report.wording import map_command, pick_counts, would_drop

_ATLAS = f"With search and filters over all points: {map_command('map.parquet')}"
_SHOWN = 40  # clusters, tasks or values; report.json has all


def select_page(report: Mapping[str, Any], ledger: pl.DataFrame, points: pl.DataFrame) -> str:
    """Return the page of a selection: its report, its ledger, and the rows that have a place (`map.map_rows`)."""
    rows = report["rows"]
    drawn = drawn_rows(points)
    listed, said = listed_rows(ledger, drawn)
    kind = {"cluster": "Clusters", "task": "Tasks", "global": "Pool"}[report["clusters"]["kind"]]
    sections = [
        ("From read to selected", _funnel(rows)),
        ("The map, and the picks in their order", _map(report, points, drawn)),
        ("Rows", _rows(listed, said) + embedded(report, drawn, listed)),
        (f"{kind}: kept of what is there", _groups(report, points)),
        (f"Quotas by {report['config']['balance']}", _quotas(report)),
        ("Lengths before and after", _lengths(ledger)),
        ("Beside chance", _chance(report)),
        ("What should be known", _known(report)),
        ("How it was done", _how(report)),
    ]
    title = f"{rows['selected']:,} of {rows['read']:,} rows selected"
    names = below_common_folder([source["path"] for source in report["sources"]])
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    lead = f"From {', '.join(names[:3])}{more}. {pick_counts(report['picks'])}; embedder {report['embedder']['name']}."
    here = Path(__file__)
    return page(
        title, sections, lead, f"curate {report['versions']['curate']}",
        style=here.with_suffix(".css").read_text("utf-8"), script=here.with_suffix(".js").read_text("utf-8"),
    )  # fmt: skip


# -- Sections ----------------------------------------------------------------------------------------------------------


def _funnel(rows: Mapping[str, Any]) -> str:
    lost = [("unreadable", rows["unreadable"]), *most_first(rows["dropped"])]
    left, steps = rows["read"], [("read", rows["read"], rows["read"])]
    for name, count in lost:
        left -= count
        steps += [(name, -count, left)] if count else []
    steps.append(("live", rows["live"], rows["live"]))
    if rows["held_out"]:
        steps.append(("held out", rows["held_out"], rows["held_out"]))
    steps.append(("selected", rows["selected"], rows["selected"]))
    read = rows["read"] or 1
    cells = [((name, f"{count:,}", share(left, read)), left / read, 1.0) for name, count, left in steps]
    return bar_table(("", "rows", "left"), cells)


def _map(report: Mapping[str, Any], points: pl.DataFrame, drawn: pl.DataFrame) -> str:
    about, k = report["map"], report["rows"]["selected"]
    ways = "".join(f'<option value="{i}">{escape(name)}</option>' for i, name in enumerate(colours(drawn)))
    said = (
        f"The two directions in which the vectors spread most (PCA). They keep {about['spread_kept']:.1%} of the "
        f"spread: rows that are far apart here are far apart, rows that lie together may not be near. "
        f"{report['rows']['read'] - points.height:,} rows were dropped before there were vectors and have no place. "
        "Drag a box to look closer; the rows below are then those inside it. Keys: arrows, + and -, Escape."
    )
    if drawn.height < points.height:
        said = f"{drawn.height:,} of {points.height:,} rows are drawn. {said}"
    return (
        "<noscript><p>The map and the list of rows need JavaScript.</p></noscript>"
        '<div class="controls"><label for="picks">Picks</label>'
        f'<input type="range" id="picks" min="1" max="{k}" value="{k}"><output id="k" for="picks"></output></div>'
        '<p class="soft" id="covered"></p>'
        '<canvas id="map" tabindex="0" role="img" aria-label="Map of the pool" aria-describedby="told"></canvas>'
        '<div class="controls"><label>Colour <select id="colour"><option value="">picks</option>'
        f'{ways}</select></label><span><button id="in" aria-label="zoom in">+</button> '
        '<button id="out" aria-label="zoom out">−</button> <button id="whole" disabled>whole map</button></span></div>'
        f'<div id="told" aria-live="polite"></div>{text(said, _ATLAS, soft=True)}'
        f'<div class="curve">{_curves(report)}</div>'
    )


def _curves(report: Mapping[str, Any]) -> str:
    curve, charts = report["curve"], []
    for name, said in (("mean", "Mean distance to the nearest pick"), ("radius", "Largest distance to a pick")):
        chance = [(size, one[name]["mean"], 2 * one[name]["sd"]) for size, one in _sized(curve, "random")]
        own = [(size, one[name]) for size, one in _sized(curve, "selected")]
        shapes: list[Shape] = [
            Band([(size, mean - wide, mean + wide) for size, mean, wide in chance], "random ± 2 sd", 0),
            Line([(size, mean) for size, mean, _ in chance], "random", 0, dashed=True),
            Line(own, "this selection", 1),
        ]
        charts.append(chart(said, shapes, Axis("picks", log=True, low=1, high=curve_end(report)), Axis("distance")))
    return figures(*charts)


def _sized(curve: Mapping[str, Any], name: str) -> list[tuple[int, Any]]:
    """Return the points of a curve of the report, each with its number of picks."""
    return list(zip(curve["sizes"], curve[name], strict=True))


def _rows(listed: list[dict[str, Any]], said: str) -> str:
    reasons = sorted({row["reason"] for row in listed if row["reason"]})
    options = "".join(f'<option value="{escape(one)}">{escape(one)}</option>' for one in reasons)
    return (
        '<div class="controls"><label>Show <select id="kind"><option value="selected">selected</option>'
        '<option value="dropped">dropped</option><option value="alive">not picked</option><option value="">all</option>'
        f'<optgroup label="dropped for">{options}</optgroup></select></label>'
        '<input id="search" type="search" placeholder="search texts, reasons, ids" aria-label="search rows"></div>'
        '<p class="soft" id="found" aria-live="polite"></p>'
        '<table class="rows"><thead><tr><th>fate</th><th>group</th><th>prompt and answer</th></tr></thead>'
        '<tbody id="rows"></tbody></table><p><button id="more">show more</button></p>' + text(said, soft=True)
    )


def _groups(report: Mapping[str, Any], points: pl.DataFrame) -> str:
    clusters = report["clusters"]
    if clusters["kind"] == "global":
        return ""
    titles = {}
    if clusters["kind"] == "cluster":
        pairs = points.select(pl.col("cluster").cast(pl.String), "cluster_title").unique().iter_rows()
        titles = dict(pairs)
    most = max(1, clusters["largest"])
    found = sorted(clusters["quotas"], key=lambda one: (-one["available"], one["name"]))
    cells = [
        (
            (
                f"{one['name']} {titles.get(one['name']) or ''}".strip()[:LABEL],
                f"{one['given']:,}",
                f"{one['available']:,}",
            ),
            one["given"] / most,
            one["available"] / most,
        )
        for one in found
    ]
    header = ({"cluster": "cluster and its words", "task": "task"}[clusters["kind"]], "kept", "of")
    rest = folded(f"{len(cells) - _SHOWN:,} smaller ones", bar_table(header, cells[_SHOWN : 10 * _SHOWN]))
    more = len(cells) - 10 * _SHOWN
    left = text(f"and {more:,} more in report.json", soft=True) if more > 0 else ""
    return bar_table(header, cells[:_SHOWN]) + (rest + left if len(cells) > _SHOWN else "")


def _quotas(report: Mapping[str, Any]) -> str:
    rows = [
        (one["name"][:LABEL], *(f"{one[column]:,}" for column in ("asked", "available", "given")))
        for one in report["balance"][: 10 * _SHOWN]
    ]
    return table(("value", "asked", "available", "given"), rows)


def _lengths(ledger: pl.DataFrame) -> str:
    charts = []
    for name, said, column in (
        ("characters", "Prompts", pl.col("prompt").str.len_chars()),
        ("characters", "Answers", pl.col("response").str.len_chars()),
        ("tokens", "Tokens", pl.col("n_tokens")),
    ):
        lengths = ledger.select("rank", bin=column.clip(1).log(2).floor()).drop_nulls("bin")
        lines = [
            Line(_histogram(lengths["bin"]), "all rows read", 0),
            Line(_histogram(lengths.filter(pl.col("rank").is_not_null())["bin"]), "selected", 1),
        ]
        if not lengths.is_empty():
            charts.append(chart(said, lines, Axis(name, log=True), Axis("share of rows", show="{:.0%}".format, low=0)))
    return figures(*charts)


def _histogram(bins: pl.Series) -> list[tuple[float, float]]:
    """Return the share of values between 2^b and 2^(b+1), at the middle of each bin, from the first to the last."""
    if bins.is_empty():
        return []
    whole = bins.cast(pl.Int64).to_numpy()
    low = int(whole.min())
    return [(2 ** (low + b + 0.5), count / len(whole)) for b, count in enumerate(np.bincount(whole - low).tolist())]


def _chance(report: Mapping[str, Any]) -> str:
    return table(*beside_chance(report)) + text(measured_on(report), soft=True)


def _known(report: Mapping[str, Any]) -> str:
    offered = [f"{group} {said}" for group, said in would_drop(report).items()]
    return items([("", one, "") for one in [*report["notes"], *report["advice"], *offered]])


def _how(report: Mapping[str, Any]) -> str:
    seconds = most_first(report["seconds"])
    total = sum(value for _, value in seconds) or 1.0
    stages = bar_table(("stage", "seconds"), [((name, f"{value:.2f}"), value / total, 1.0) for name, value in seconds])
    settings = [(name, _setting(value)) for name, value in sorted(report["config"].items())]
    peak = f"{total:.1f} seconds, {report['peak_memory_bytes'] / 2**30:.2f} GiB of memory at the peak."
    return (
        text(report["command_line"])
        + text(peak, soft=True)
        + stages
        + folded("Configuration", table(("", ""), settings))
        + folded(
            "Versions", table(("", ""), [(name, str(value)) for name, value in sorted(report["versions"].items())])
        )
    )


def _setting(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
