"""A selection beside random ones and the longest answers, as a table of texts: the same on the page and in the card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curate.report.numbers import counted

_NAMES = {
    "radius": "largest distance to the nearest selected (covering radius)",
    "p95": "95th percentile of that distance",
    "mean": "mean of that distance",
    "facility_location": "facility location (mean cosine to the nearest selected)",
    "near_duplicates": "near-duplicates inside (share)",
    "cluster_entropy": "cluster entropy",
    "task_entropy": "task entropy",
    "tokens": "tokens",
    "prompt_bytes": "bytes of a prompt (mean)",
    "answer_bytes": "bytes of an answer (mean)",
    "novelsum": "NovelSum",
    "vendi": "Vendi",
}


def beside_chance(report: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the header and the rows: a metric, the selection, mean ± sd of chance, the difference, the longest.

    Without metrics (`--metrics none`) the rows are the coverage, and there is no column for the longest.
    """
    chance = report["random"]
    metrics = report["metrics"] or {
        name: {"selected": chance["selected"][name], "random": spread} for name, spread in chance["coverage"].items()
    }
    longest = any("longest" in one for one in metrics.values())
    rows: list[tuple[str, ...]] = []
    for name in (name for name in _NAMES if name in metrics):
        one, mean, sd = metrics[name], metrics[name]["random"]["mean"], metrics[name]["random"]["sd"]
        away = f"{(one['selected'] - mean) / sd:+.1f} sd" if sd else ""
        cells = (_NAMES[name], _figure(one["selected"]), f"{_figure(mean)} ± {_figure(sd, mean)}", away)
        rows.append((*cells, _figure(one["longest"])) if longest else cells)
    header = ("", "selected", f"random × {chance['selections']}", "difference", *(["longest"] if longest else []))
    return header, rows


def measured_on(report: Mapping[str, Any]) -> str:
    """Say what the table was measured on, and what it does not tell."""
    return (
        f"Measured on {counted(report['random']['rows'], 'row')}. These numbers tell how the set differs from chance, "
        "and not that it trains a better model."
    )


def _figure(value: float, like: float | None = None) -> str:
    """Return a number with as many digits as its size, or that of `like`, asks for."""
    size = abs(value if like is None else like)
    return f"{value:,.{0 if size >= 1000 else 1 if size >= 10 else 3}f}"
