"""A token count as a person reads it: at most 80 columns, numbers aligned, nothing decorative."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from curate.report.names import below_common_folder, harmless_values, name_end, printable
from curate.report.numbers import counted, number, size

SHOWN_SOURCES = 20
SHOWN_CLUSTERS = 5


def print_tokens(report: Mapping[str, Any], out: str | None, console: Console, *, explain: bool = False) -> None:
    """Print the report of a token count; with `explain` how likely the search compares a pair, too."""
    report = harmless_values(report)
    if report["sample"]:
        console.print(Group(_sample(report), _how(report)))
        return
    parts: list[Any] = [_levels(report), _groups(report, "by_source", "source"), _groups(report, "by_script", "script")]
    if len(report["tokenizers"]) > 1:
        parts.append(_tokenizers(report))
    if report["clusters"] and report["clusters"]["count"]:
        parts.append(_clusters(report))
    if report["against"]:
        parts.append(_against(report["against"]))
    if report["mixture"]:
        parts.append(_mixture(report["mixture"]))
    if explain and report["near"]:
        parts.append(_explain(report))
    parts.append(_how(report))
    console.print(Group(*parts))
    if out is not None:
        console.print(Text.assemble(("report, ledger and manifest", "bold"), f" in {out}"), soft_wrap=True)


def _levels(report: Mapping[str, Any]) -> Table:
    """Return what is left level by level, in documents and in tokens."""
    documents, tokens = report["documents"], report["tokens"]
    table = _table("", "documents", "tokens", "of total")

    def row(name: str, count: int | None, left: int | None, style: str = "") -> None:
        share = f"{left / tokens['total']:.1%}" if left is not None and tokens["total"] else ""
        cells = (name, number(count), number(left), share)
        table.add_row(*(Text(cell, style=style) for cell in cells))

    row("read", documents["read"], tokens["total"])
    if documents["unreadable"]:
        row("  unreadable", -documents["unreadable"], None)
    if documents["empty"]:
        row("  empty", -documents["empty"], None)
    if report["lines"]:
        count = documents["read"] - documents["unreadable"] - documents["empty"] - documents["duplicate_exact"]
        row("without exact duplicates", count, tokens["after_exact"])
        row("  and lines seen before" + ("" if report["lines"]["dropped"] else " (estimate)"), None,
            tokens["after_lines"])  # fmt: skip
    if report["near"]:
        row("without near-duplicates", documents["unique"], tokens["after_near"])
    row("unique", documents["unique"], tokens["unique"], "bold")
    return table


def _groups(report: Mapping[str, Any], key: str, title: str) -> Group:
    names = below_common_folder([group[title] for group in report[key]])
    groups = [{**group, title: name} for group, name in zip(report[key], names, strict=True)]
    shown = sorted(groups, key=lambda group: -group["bytes"])[:SHOWN_SOURCES]
    unit = "tokens" if report["tokenizer"] else "bytes"
    unique = "unique_tokens" if report["tokenizer"] else None
    table = _table(title, "docs", unit, "unique", "chars/tok", "median", "longest")
    for group in shown:
        length = group["length"] or {"median": None, "longest": None}
        table.add_row(
            Text(name_end(group[title])), size(group["documents"]), size(group[unit]),
            size(group[unique] if unique else group["unique"]),
            f"{group['characters_per_token']:.2f}" if group["characters_per_token"] else "",
            size(length["median"]), size(length["longest"]),
        )  # fmt: skip
    rest = Text(f"and {len(groups) - len(shown)} more" if len(groups) > len(shown) else "")
    return Group(Text(), table, *([rest] if rest.plain else []))


def _sample(report: Mapping[str, Any]) -> Group:
    """Return the estimate of a sample, with its intervals."""
    sample = report["sample"]
    table = _table("estimate", "", "95 % interval")
    names = ["documents", "bytes", "characters", *(about["name"] for about in report["tokenizers"])]
    for name in names:
        one = sample["estimates"][name]
        table.add_row(Text(name_end(name)), f"{one['value']:,}", f"{one['low']:,} to {one['high']:,}")
    said = Text(
        f"\n{sample['blocks']:,} of {sample['blocks_in_all']:,} blocks were counted, then it stopped: "
        f"{sample['stopped']}.\nDuplicates are not looked for in a sample."
    )
    return Group(table, said)


def _against(against: Mapping[str, Any]) -> Text:
    return Text(
        f"\n{against['documents']:,} earlier documents in {printable(', '.join(against['names']))}: "
        f"{against['dropped_exact']:,} were there already, {against['dropped_near']:,} nearly so"
    )


def _mixture(mixture: Mapping[str, Any]) -> Group:
    """Return how often each source is seen."""
    table = _table("mixture", "share", "tokens", "unique", "epochs")
    for row in mixture["sources"]:
        share = f"{row['share']:.1%}" + (f" of {row['share_asked']:.1%} asked" if row["capped"] else "")
        epochs = f"{row['epochs']:.2f}" if row["epochs"] is not None else ""
        table.add_row(Text(name_end(row["source"])), share, size(row["tokens"]), size(row["unique_tokens"]), epochs)
    lines: list[Any] = [Text(), table]
    if mixture["reachable_tokens"] < mixture["train_tokens"]:
        lines.append(
            Text(f"{size(mixture['reachable_tokens'])} of {size(mixture['train_tokens'])} tokens can be given: "
                 f"every source is at {mixture['max_epochs']:g} epochs")
        )  # fmt: skip
    return Group(*lines)


def _tokenizers(report: Mapping[str, Any]) -> Group:
    """Return bytes per token of several tokenizers side by side, by source and by script."""
    names = [about["name"] for about in report["tokenizers"]]
    table = _table("bytes per token", *(name_end(name, 20) for name in names))
    for key, title in (("by_source", "source"), ("by_script", "script")):
        for group in report[key][:SHOWN_SOURCES]:
            ratios = (group["bytes_per_token"][name] for name in names)
            table.add_row(Text(name_end(group[title])), *(f"{ratio:.2f}" if ratio else "" for ratio in ratios))
    return Group(Text(), table)


def _clusters(report: Mapping[str, Any]) -> Group:
    clusters = report["clusters"]
    lines = [Text(f"\n{counted(clusters['count'], 'cluster')} of duplicates; the largest:")]
    for cluster in clusters["largest"][:SHOWN_CLUSTERS]:
        tokens = f", {cluster['tokens']:,} tokens" if cluster["tokens"] is not None else ""
        lines.append(Text(f"  {counted(cluster['documents'], 'document')}{tokens}", style="bold"))
        members = [("kept", cluster["kept"])] if cluster["kept"] else [("", None)]
        members += [("dropped", member) for member in cluster["dropped"][:2]]
        lines += [Text(f"    {what:<8}{_start(member)}") for what, member in members if member]
    return Group(*lines)


def _start(member: Mapping[str, Any]) -> str:
    text = printable(member["text"])
    return f"{name_end(member['id'], 24)}  {text}"[:66]


def _explain(report: Mapping[str, Any]) -> Group:
    near = report["near"]
    said = Text(
        f"\n{near['bands']} bands of {near['rows']} values, {near['ngram']}-grams; merged from a Jaccard similarity of "
        f"{near['threshold']}.\n{near['candidates']:,} pairs were compared: {near['merged']:,} similar, "
        f"{near['false']:,} not, {near['unchecked']:,} left out."
    )
    table = _table("similarity", "chance to be compared")
    for similarity, chance in near["chance_to_be_compared"].items():
        table.add_row(similarity, f"{chance:.1%}")
    return Group(said, table)


def _how(report: Mapping[str, Any]) -> Text:
    lines = []
    for about in report["tokenizers"]:
        verified = about["verified"]
        lines.append(
            f"tokenizer  {about['name']} by {about['engine']}, {counted(verified['documents'], 'document')} compared"
        )
        if verified["sent_to_reference"]:
            lines.append(f"           {verified['sent_to_reference']:,} documents counted by the reference")
    seconds = report["seconds"]
    slowest = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items() if value >= 0.05)
    total = sum(seconds.values())
    rate = f", {report['bytes'] / total / 1e6:,.0f} MB/s" if total >= 1 else ""
    lines.append(f"time       {total:.1f} s ({slowest}){rate}")
    lines.append(f"memory     {report['peak_memory_bytes'] / 2**30:.2f} GiB at the peak")
    return Text("\n" + "\n".join(lines))


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right", min_width=24 if i == 0 else None, no_wrap=True)
    return table
