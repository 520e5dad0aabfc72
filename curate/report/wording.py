"""What is said of a selection in more than one place: on the console, on its page, in its card."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any


def pick_counts(picks: Mapping[str, Any]) -> str:
    """Say how the selected rows were picked; the numbers add up to them."""
    if "by_rule" in picks:
        more = f", {picks['beyond_rule']:,} to make up the number" if picks["beyond_rule"] else ""
        return f"{picks['by_rule']:,} by {picks['strategy']}{more}"
    said = f"{picks['centre_samples']:,} centre samples, {picks['k_center']:,} by K-Center-Greedy"
    return said + (f", {picks['coincident']:,} that coincide with those" if picks["coincident"] else "")


def would_drop(report: Mapping[str, Any]) -> dict[str, str]:
    """Say of each group of filters that was not asked for what it would have taken."""
    return {
        group: f"would drop {offered['rows']:,} of the live rows if it were added to --filters"
        for group, offered in report["would_drop"].items()
    }


def map_command(path: str) -> str:
    """Return the command for a shell that opens a `map.parquet` in embedding-atlas."""
    return f"uvx embedding-atlas {shlex.quote(path)} --x x --y y --text text"
