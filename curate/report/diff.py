"""A comparison of two directories for people: the same tables on the console and on a page.

The first column is text and to the left, the others to the right; everything from the data is one printable line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from curate.report.names import below_common_folder, name_end, printable
from curate.report.numbers import number, size

_LEVELS = {
    "read": "documents", "unreadable": "  unreadable", "empty": "  empty", "duplicate_exact": "  exact duplicates",
    "duplicate_near": "  near-duplicates", "unique": "  unique", "total": "tokens",
    "after_exact": "  without exact duplicates", "after_lines": "  and lines seen before",
    "after_near": "  without near-duplicates",
}  # fmt: skip


_SOURCE_WIDTH = 22  # six numbers stand beside it
_ROWS = {"read": "read", "live": "live", "selected": "selected", "tokens": "tokens of those selected"}


class Table(NamedTuple):
    """Rows under a header; `more` is how many rows there are beyond them, `width` that of the first column."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    more: int = 0
    width: int = 38


def print_diff(diff: Mapping[str, Any], console: Console) -> None:
    """Print a comparison, with the first examples of each kind."""
    for name in ("a", "b"):
        console.print(Text(f"{name.upper()}  {printable(diff[name])}"), soft_wrap=True)
    for table in tables(diff, shown=10, examples=5):
        drawn = RichTable(box=None, pad_edge=False, header_style="dim")
        for i, column in enumerate(table.header):
            drawn.add_column(
                column, justify="right" if i else "left", no_wrap=True, overflow="ellipsis",
                width=None if i else table.width,
            )  # fmt: skip
        for row in table.rows:
            drawn.add_row(*map(Text, row))
        console.print(Text(), drawn, *([Text(f"and {table.more:,} more, in --json")] if table.more else []), sep="\n")


def diff_page(diff: Mapping[str, Any]) -> str:
    """Return the comparison as a page."""
    from curate.report import page

    sections = [
        ("", page.table(table.header, table.rows) + (page.text(f"and {table.more:,} more") if table.more else ""))
        for table in tables(diff, shown=200, examples=200)
    ]
    return page.page("What changed", sections, lead=f"From A, {printable(diff['a'])}, to B, {printable(diff['b'])}.")


def tables(diff: Mapping[str, Any], *, shown: int, examples: int) -> list[Table]:
    """Return the tables of a comparison, each with `shown` rows at most, those of single rows with `examples`."""
    parts = _of_selections(diff, examples) if diff["command"] == "select" else _of_counts(diff)
    return [_cut(table, shown) for table in [*parts, _settings(diff)] if table.rows]


def _cut(table: Table, shown: int) -> Table:
    return table._replace(rows=table.rows[:shown], more=table.more + max(0, len(table.rows) - shown))


def _settings(diff: Mapping[str, Any]) -> Table:
    """Return what was asked differently, of what, by what."""
    rows = [(f"--{name.replace('_', '-')}", *map(_value, both.values())) for name, both in diff["options"].items()]
    told = {"changed": ("", "other bytes"), "only_a": ("read", ""), "only_b": ("", "read")}
    rows += [(f"input {name_end(name, 32)}", *told[kind]) for kind, names in diff["inputs"].items() for name in names]
    rows += [(f"version of {name}", *map(_value, both.values())) for name, both in diff["versions"].items()]
    return Table(("options, inputs, versions", "A", "B"), [[printable(cell) for cell in row] for row in rows])


def _value(value: Any) -> str:
    if value is None:
        return "–"
    return (", ".join(map(str, value)) or "–") if isinstance(value, list) else str(value)


# -- Selections --------------------------------------------------------------------------------------------------------


def _of_selections(diff: Mapping[str, Any], examples: int) -> list[Table]:
    a, b, counts = diff["rows"]["a"], diff["rows"]["b"], diff["counts"]
    return [
        Table(("rows", "A", "B", "change"), [(_ROWS[name], *_change(a[name], b[name])) for name in _ROWS]),
        Table(
            ("selected rows", ""),
            [
                ("in both", number(counts["both"])),
                ("  of them at another place", number(counts["moved"])),
                ("entered: in B only", number(counts["entered"])),
                ("left: in A only", number(counts["left"])),
            ],
        ),
        Table(
            ("from A to B", "rows"),
            [(printable(f"{fate['a']} → {fate['b']}"), number(fate["rows"])) for fate in diff["fates"]],
        ),
        *(_cut(table, examples) for table in _groups(diff)),
        _examples("entered", diff["entered"], "was", ("rank_b",), "fate_a", examples),
        _examples("left", diff["left"], "is now", ("rank_a",), "fate_b", examples),
        _examples("moved", _farthest(diff["moved"]), "", ("rank_a", "rank_b"), "", examples),
    ]


def _groups(diff: Mapping[str, Any]) -> list[Table]:
    """Return the tasks whose rows changed, or else the clusters: of A those that rows left, of B those they entered."""
    if diff["by_task"]:
        changed = sorted(diff["by_task"], key=lambda task: (-task["entered"] - task["left"], task["task"]))
        rows = [
            (printable(task["task"]), *(number(task[name]) for name in ("a", "b", "entered", "left")))
            for task in changed
            if task["entered"] or task["left"]
        ]
        return [Table(("task", "A", "B", "entered", "left"), rows)]
    return [
        Table(
            (f"cluster of {run.upper()}", "selected", change),
            [
                (number(cluster["cluster"]) or "none", number(cluster["selected"]), number(cluster[change]))
                for cluster in sorted(diff["by_cluster"][run], key=lambda cluster: -cluster[change])
                if cluster[change]
            ],
        )
        for run, change in (("a", "left"), ("b", "entered"))
    ]


def _farthest(moved: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(moved, key=lambda row: (-abs(row["rank_b"] - row["rank_a"]), row["id"]))


def _examples(
    name: str, rows: Sequence[Mapping[str, Any]], said: str, ranks: Sequence[str], fate: str, shown: int
) -> Table:
    """Return the first rows: the beginning of the prompt, of the id, the pick (from 1) and the other fate."""
    header = [name, "id", *("pick" if len(ranks) == 1 else f"pick in {rank[-1].upper()}" for rank in ranks)]
    lines = [
        [
            printable(row["prompt"] or "")[:200], printable(row["id"])[:8], *(number(row[rank] + 1) for rank in ranks),
            *([printable(row[fate])] if fate else []),
        ]
        for row in rows[:shown]
    ]  # fmt: skip
    return Table([*header, *([said] if fate else [])], lines, max(0, len(rows) - shown))


# -- Counts ------------------------------------------------------------------------------------------------------------


def _of_counts(diff: Mapping[str, Any]) -> list[Table]:
    levels = [
        (_LEVELS[name], *_change(both["a"], both["b"]))
        for name, both in [*diff["documents"].items(), *diff["tokens"].items()]
        if (both["a"], both["b"]) not in {(None, None), (0, 0)}
    ]
    return [Table(("", "A", "B", "change"), levels), _sources(diff["by_source"])]


def _sources(sources: Sequence[Mapping[str, Any]]) -> Table:
    """Return the sources whose counts changed, those of the most tokens (bytes) first."""
    unit = (
        "bytes"
        if all(run is None or run["tokens"] is None for group in sources for run in (group["a"], group["b"]))
        else "tokens"
    )
    unique = "unique" if unit == "bytes" else "unique_tokens"
    names = below_common_folder([group["source"] for group in sources])
    changed = [(name, group) for name, group in zip(names, sources, strict=True) if group["a"] != group["b"]]
    changed.sort(key=lambda pair: (-abs(_of(pair[1], "b", unit) - _of(pair[1], "a", unit)), pair[0]))
    rows = [
        [
            name_end(name, _SOURCE_WIDTH),
            *(size(group[run] and group[run][what]) for what in ("documents", unit, unique) for run in "ab"),
        ]
        for name, group in changed
    ]
    header = ("source", *(f"{what} {run}" for what in ("docs", unit, "unique") for run in "AB"))
    return Table(header, rows, width=_SOURCE_WIDTH)


def _of(group: Mapping[str, Any], run: str, what: str) -> int:
    return 0 if group[run] is None else group[run][what] or 0


def _change(a: int | None, b: int | None) -> tuple[str, str, str]:
    """Return both numbers and their difference; a difference of nothing is empty."""
    return number(a), number(b), "" if a is None or b is None or a == b else f"{b - a:+,}"
