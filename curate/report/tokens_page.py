"""The report of a token count as a page: what each level leaves, by source and script, duplicates, lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from curate.report.bars import Bar, bar_table, columns
from curate.report.names import below_common_folder
from curate.report.numbers import counted, number, share, size
from curate.report.page import figures, items, page, table, text

SHOWN = 40  # sources on the page; report.json has all


def tokens_page(report: Mapping[str, Any], plan: str = "") -> str:
    """Return the page; `plan` is HTML that answers whether the tokens are enough, where that was asked."""
    names = ", ".join(about["name"] for about in report["tokenizers"]) or "no tokenizer"
    lead = f"{counted(report['documents']['read'], 'document')}, {size(report['bytes'])} bytes of text; {names}"
    sections = [
        ("Estimate from a sample", _sample(report)),
        ("What each level leaves", _levels(report)),
        ("Is it enough?", plan),
        ("By source", _groups(report, "by_source", "source")),
        ("By script", _groups(report, "by_script", "script")),
        ("Bytes per token", _tokenizers(report)),
        ("Mixture", _mixture(report)),
        ("Duplicates and lengths", figures(_lengths(report), _sizes(report), _chances(report))),
        ("Largest clusters of duplicates", _clusters(report)),
        ("What should be known", items([("", note, "") for note in report["notes"]])),
        ("How it was counted", _how(report)),
    ]
    return page(_title(report), sections, lead, f"curate {report['versions']['curate']}")


def _title(report: Mapping[str, Any]) -> str:
    tokens, documents = report["tokens"], report["documents"]
    if report["sample"]:
        return f"About {size(tokens['total'])} tokens"
    if report["tokenizer"]:
        return f"{size(tokens['unique'])} unique tokens of {size(tokens['total'])}"
    return f"{number(documents['unique'])} unique documents of {number(documents['read'])}"


def _sample(report: Mapping[str, Any]) -> str:
    sample = report["sample"]
    if sample is None:
        return ""
    names = [
        "documents",
        "unreadable",
        "empty",
        "bytes",
        "characters",
        *(about["name"] for about in report["tokenizers"]),
    ]
    estimates = [(name, sample["estimates"][name]) for name in names]
    rows = [(name, number(one["value"]), f"{one['low']:,} to {one['high']:,}") for name, one in estimates]
    said = (
        f"{sample['blocks']:,} of {sample['blocks_in_all']:,} blocks were counted, then it stopped: "
        f"{sample['stopped']}. Duplicates are not looked for in a sample."
    )
    return table(("", "estimate", "95 % interval"), rows) + text(said, soft=True)


def _levels(report: Mapping[str, Any]) -> str:
    documents, tokens = report["documents"], report["tokens"]
    if report["sample"]:
        return ""
    rows = [("read", documents["read"], tokens["total"])]
    rows += [(name, -documents[name], None) for name in ("unreadable", "empty") if documents[name]]
    if report["lines"]:
        estimate = "" if report["lines"]["dropped"] else " (estimate)"
        distinct = documents["unique"] + documents["duplicate_near"]
        rows.append(("without exact duplicates", distinct, tokens["after_exact"]))
        rows.append((f"without repeated lines{estimate}", None, tokens["after_lines"]))
    if report["near"]:
        rows.append(("without near-duplicates", documents["unique"], tokens["after_near"]))
    rows.append(("unique", documents["unique"], tokens["unique"]))
    total = tokens["total"] or 0
    cells = [
        ((name, number(count), number(left), share(left, total)), (left or 0) / max(1, total), float(left is not None))
        for name, count, left in rows
    ]
    return bar_table(("", "documents", "tokens", "of total"), cells)


def _groups(report: Mapping[str, Any], key: str, title: str) -> str:
    unit, left = ("tokens", "unique_tokens") if report["tokenizer"] else ("documents", "unique")
    groups = [{**group, title: name} for name, group in _named(report[key], title)]
    groups = sorted(groups, key=lambda group: -group["bytes"])[:SHOWN]
    most = max((g[unit] for g in groups), default=0) or 1
    drawn = [((g[title], size(g[left]), size(g[unit])), g[left] / most, g[unit] / most) for g in groups]
    head = (title, "documents", "exact", "near", unit, "unique", "chars/token", "median", "95 %", "longest")
    rows = [
        (
            g[title], number(g["documents"]), number(g["duplicate_exact"]), number(g["duplicate_near"]),
            number(g[unit]), number(g[left]),
            f"{g['characters_per_token']:.2f}" if g["characters_per_token"] else "",
            *(number(g["length"][name]) if g["length"] else "" for name in ("median", "p95", "longest")),
        )
        for g in groups
    ]  # fmt: skip
    more = len(report[key]) - len(groups)
    rest = text(f"and {more:,} more in report.json", soft=True) if more else ""
    return bar_table((title, f"unique {unit}", "of"), drawn) + table(head, rows) + rest


def _named(groups: Sequence[Mapping[str, Any]], title: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Return each source or script with its name below the folder that all share."""
    return list(zip(below_common_folder([group[title] for group in groups]), groups, strict=True))


def _tokenizers(report: Mapping[str, Any]) -> str:
    names = [about["name"] for about in report["tokenizers"]]
    if len(names) < 2:
        return ""
    rows = [
        (shown, *(f"{group['bytes_per_token'][name] or 0:.2f}" for name in names))
        for key, title in (("by_source", "source"), ("by_script", "script"))
        for shown, group in _named(report[key], title)[:SHOWN]
    ]
    return table(("", *names), rows)


def _mixture(report: Mapping[str, Any]) -> str:
    mixture = report["mixture"]
    if mixture is None:
        return ""
    rows = [
        (
            name, f"{row['share_asked']:.1%}", f"{row['share']:.1%}", number(row["tokens"]),
            number(row["unique_tokens"]), "" if row["epochs"] is None else f"{row['epochs']:.2f}",
        )
        for name, row in _named(mixture["sources"], "source")
    ]  # fmt: skip
    said = f"{number(mixture['reachable_tokens'])} of {number(mixture['train_tokens'])} training tokens"
    return table(("source", "share asked", "share", "tokens", "unique", "epochs"), rows) + text(said, soft=True)


def _lengths(report: Mapping[str, Any]) -> str:
    lengths = report["lengths"]
    if lengths is None:
        return ""
    drawn = [
        Bar(
            size(b["from"]), b["documents"], b["unique"],
            f"{counted(b['documents'], 'document')}, {b['unique']:,} unique",
        )
        for b in lengths["bins"]
    ]  # fmt: skip
    return columns(f"Documents by length ({lengths['unit']}, from)", drawn)


def _sizes(report: Mapping[str, Any]) -> str:
    sizes = (report["clusters"] or {"sizes": []})["sizes"]
    drawn = [Bar(f"{b['from']:,}", b["clusters"], b["clusters"], f"{b['clusters']:,} clusters") for b in sizes]
    return columns("Clusters of duplicates by size (documents, from)", drawn)


def _chances(report: Mapping[str, Any]) -> str:
    chances = sorted(report["near"]["chance_to_be_compared"].items()) if report["near"] else []
    drawn = [Bar(similarity.removeprefix("0"), 1, chance, f"{chance:.1%}") for similarity, chance in chances]
    return columns("Chance that a pair is compared, by its similarity", drawn)


def _clusters(report: Mapping[str, Any]) -> str:
    parts = []
    for cluster in (report["clusters"] or {"largest": []})["largest"]:
        tokens = f", {cluster['tokens']:,} tokens" if cluster["tokens"] is not None else ""
        kept = [("kept", cluster["kept"])] if cluster["kept"] else []
        rows = [(f"{what} {m['id']}", m["text"], "") for what, m in [*kept, *(("", m) for m in cluster["dropped"])]]
        parts.append(text(f"{counted(cluster['documents'], 'document')}{tokens}") + items(rows))
    return "".join(parts)


def _how(report: Mapping[str, Any]) -> str:
    lines = []
    for about in report["tokenizers"]:
        verified = about["verified"]
        lines.append(
            f"{about['name']} by {about['engine']}: {counted(verified['documents'], 'document')} compared with the "
            f"reference, {verified['mismatches']:,} differed, {verified['sent_to_reference']:,} were counted by it."
        )
    if report["tokenizers"]:
        end = "one for its end is" if report["config"]["eos"] else "nor for its end"
        lines.append(f"No token is counted for the beginning of a document, {end}.")
    if near := report["near"]:
        lines.append(
            f"Near-duplicates: {near['bands']} bands of {near['rows']} values, {near['ngram']}-grams. "
            f"{near['candidates']:,} pairs were compared; {near['merged']:,} had a Jaccard similarity of "
            f"{near['threshold']} or more and were merged, {near['false']:,} had less, {near['unchecked']:,} were "
            "left out."
        )
    peak = report["peak_memory_bytes"] / 2**30
    lines.append(f"{sum(report['seconds'].values()):.1f} seconds, {peak:.2f} GiB of memory at the peak.")
    return items([("", line, "") for line in lines])
