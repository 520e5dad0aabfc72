"""Results as a person reads them: at most 80 columns, numbers aligned, nothing decorative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from curate.report.names import below_common_folder, harmless, harmless_values, printable
from curate.report.numbers import counted
from curate.report.wording import map_command, pick_counts, would_drop

_VALUES_SHOWN = 20  # of --balance
_STAGES_SHOWN = 3  # the slowest
_METRICS_SHOWN = {  # the others stand in the report
    "mean": ("distance to the nearest selected", "{:.3f}"),
    "facility_location": ("facility location (mean cosine)", "{:.3f}"),
    "near_duplicates": ("near-duplicates (cosine >= .95)", "{:.1%}"),
    "tokens": ("tokens", "{:,.0f}"),
    "novelsum": ("NovelSum", "{:.3f}"),
    "vendi": ("Vendi", "{:.1f}"),
}


def print_selection(report: Mapping[str, Any], out: str | None, console: Console) -> None:
    """Print the report of a selection."""
    report = harmless_values(report)
    compared = _metrics(report) if report["metrics"] else _coverage(report)
    parts = [_rows(report), _how(report), *([_balance(report)] if report["balance"] else []), compared]
    console.print(Group(*[line for part in parts for line in (part, "")][:-1]))
    if out is not None:
        path, rows = Path(out), counted(report["rows"]["selected"], "row")
        console.print(Text.assemble((f"\n{rows}", "bold"), f" in {path / 'train.jsonl'}"), soft_wrap=True)
        console.print(Text(f"map: {map_command(str(path / 'map.parquet'))}", style="dim"), soft_wrap=True)


def print_sections(sections: Sequence[tuple[str, Sequence[str]]], console: Console) -> None:
    """Print headings with their lines."""
    for i, (heading, lines) in enumerate(sections):
        console.print(Text(("\n" if i else "") + harmless(heading), style="bold"))
        console.print(Text("\n".join(map(harmless, lines))))


def _rows(report: Mapping[str, Any]) -> Table:
    rows = report["rows"]
    table = _table("rows", "")
    table.add_row("read", f"{rows['read']:,}")
    if rows["unreadable"]:
        table.add_row("unreadable", f"-{rows['unreadable']:,}")
    for reason, count in rows["dropped"].items():
        table.add_row(Text(reason), f"-{count:,}")
    table.add_row("live", f"{rows['live']:,}")
    if rows["held_out"]:
        table.add_row("held out", f"{rows['held_out']:,}")
    table.add_row(Text("selected", style="bold"), Text(f"{rows['selected']:,}", style="bold"))
    return table


def _how(report: Mapping[str, Any]) -> Table:
    clusters, picks, tokens = report["clusters"], report["picks"], report["tokens"]
    group = {"cluster": "cluster", "task": "task", "global": "pool"}[clusters["kind"]]
    table = Table.grid(padding=(0, 2))

    def row(name: str, value: str) -> None:
        table.add_row(name, Text(value))  # Text: names of users are no markup

    embedder = report["embedder"]
    row("embedder", f"{embedder['name']}, {embedder['dimensions']} dimensions")
    if embedder.get("cached_texts"):
        row("", f"{embedder['cached_texts']:,} of {embedder['distinct_texts']:,} texts from the cache")
    row("picks", f"{pick_counts(picks)}, from {counted(clusters['count'], group)}")
    if have := report["have"]:
        row("have", f"{have['rows']:,} rows chosen before, {have['matched']:,} of them in the pool")
    if tokens is not None:
        row("tokens", f"{tokens['selected']:,} selected of {tokens['pool']:,} ({tokens['tokenizer']['name']})")
        over = tokens["over_max_tokens"]
        if over["rows"]:
            row("", f"{over['rows']:,} rows of the pool are longer than {over['limit']:,} tokens")
    files = (report["contamination"] or {"files": []})["files"]
    for name, file in zip(below_common_folder([file["path"] for file in files]), files, strict=True):
        where = counted(file["rows"], "row")
        row("items", f"{file['items_found']:,} of {file['items']:,} of {name} stand in {where}")
    for name, said in would_drop(report).items():
        row(name, said)
    seconds = report["seconds"]
    slowest = sorted(seconds, key=lambda name: -seconds[name])[:_STAGES_SHOWN]
    told = ", ".join(f"{name} {seconds[name]:.1f}" for name in seconds if name in slowest and seconds[name] >= 0.05)
    row("time", f"{sum(seconds.values()):.1f} s ({told})")
    row("memory", f"{report['peak_memory_bytes'] / 2**30:.2f} GiB at the peak")
    return table


def _balance(report: Mapping[str, Any]) -> Table:
    table = _table(f"{report['config']['balance']}", "asked", "available", "given")
    for entry in report["balance"][:_VALUES_SHOWN]:
        name = Text(printable(entry["name"]), overflow="ellipsis", no_wrap=True)
        table.add_row(name, *(f"{entry[column]:,}" for column in ("asked", "available", "given")))
    if len(report["balance"]) > _VALUES_SHOWN:
        table.add_row(Text("... and more, in the report", style="dim"))
    return table


def _coverage(report: Mapping[str, Any]) -> Table:
    chance = report["random"]
    head = "distance to the nearest selected row"
    if chance["rows"] < report["rows"]["live"]:
        head = f"to the nearest selected of {chance['rows']:,} rows"
    table = _table(head, "selected", f"random x {chance['selections']} (mean ± sd)")
    names = {"radius": "largest (covering radius)", "p95": "95th percentile", "mean": "mean"}
    for key, name in names.items():
        spread = chance["coverage"][key]
        table.add_row(name, f"{chance['selected'][key]:.3f}", f"{spread['mean']:.3f} ± {spread['sd']:.3f}")
    return table


def _metrics(report: Mapping[str, Any]) -> Group:
    chance = report["random"]
    head = f"measured on {counted(chance['rows'], 'row')}"
    table = _table(head, "selected", f"random x {chance['selections']} (mean ± sd)", "longest", first=32)
    marked = False
    for name, (said, form) in _METRICS_SHOWN.items():
        if found := report["metrics"].get(name):
            marked |= found["beyond_two_sd"]
            spread = f"{form} ± {form}".format(found["random"]["mean"], found["random"]["sd"])
            own = form.format(found["selected"]) + ("*" if found["beyond_two_sd"] else " ")
            table.add_row(said, own, spread, form.format(found["longest"]))
    return Group(table, *([Text("* more than two sd from random", style="dim")] if marked else []))


def _table(*columns: str, first: int = 40) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right", min_width=first if i == 0 else None)
    return table
