"""What `curate source` prints: where every unit of the dumps went, and what each group was asked for and gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from curate.report.names import harmless_values
from curate.report.numbers import counted

_SITES_SHOWN = 20


def print_source(extract: Any, out: str | None, console: Console) -> None:
    """Print the report of an `Extract`."""
    report = harmless_values(extract.report)
    console.print(Group(_counts(report), "", _groups(report["groups"])))
    rows = counted(report["rows"], "row")
    console.print(Text.assemble((f"\n{rows}", "bold"), f" in {out}" if out else ""), soft_wrap=True)


def _counts(report: Mapping[str, Any]) -> Table:
    table = _table(report["unit"], "")
    table.add_row("read", f"{report['read']:,}")
    for rule, count in sorted(report["dropped"].items(), key=lambda item: (-item[1], item[0])):
        table.add_row(Text(rule), f"-{count:,}")
    table.add_row(Text("used", style="bold"), Text(f"{report['used']:,}", style="bold"))
    return table


def _groups(groups: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("shared out over", "asked", "available", "given")
    shown = 0
    for group in groups:
        whole = group["name"] is None
        shown = 0 if whole else shown + 1
        if shown <= _SITES_SHOWN:
            name = Text(group["group"], style="bold") if whole else Text(f"  {group['name']}", overflow="ellipsis")
            asked = f"{group['asked']:,}" if whole else ""
            table.add_row(name, asked, f"{group['available']:,}", f"{group['given']:,}")
        elif shown == _SITES_SHOWN + 1:
            table.add_row(Text("  ... and more, in the report", style="dim"))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right", min_width=40 if i == 0 else None, no_wrap=True)
    return table
