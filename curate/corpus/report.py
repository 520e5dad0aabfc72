"""The report of `curate tokens`: every count as one JSON object (contract: docs/tokens.md); the levels must add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from typing import Any

import numpy as np

from curate.config import as_text
from curate.corpus.config import TokensConfig
from curate.corpus.largest import clusters_shown
from curate.corpus.levels import EMPTY, EXACT, KEPT, NEAR, Levels, Repetition
from curate.corpus.measure import SHORT_LINE
from curate.corpus.minhash import MinHashParameters
from curate.corpus.notes import column_notes
from curate.corpus.scan import Scan
from curate.corpus.sources import groups
from curate.corpus.sums import DOCUMENTS, LEFT, lengths, lengths_where, spread, sums_by
from curate.corpus.text import I64, SCRIPTS, UNICODE_VERSION
from curate.corpus.weights import mixture, parse_weights
from curate.data.corpus import Corpus
from curate.data.manifest import SCHEMA_VERSION, versions
from curate.data.tokenizer import Tokenizer
from curate.report.progress import Stages, peak_memory_bytes


def build_report(
    *, corpus: Corpus, found: Scan, levels: Levels, lines: Repetition | None, paragraphs: Repetition | None,
    tokenizers: Sequence[Tokenizer], config: TokensConfig, notes: Sequence[str], stages: Stages,
) -> dict[str, Any]:  # fmt: skip
    """Put the facts of a run together; the counts must add up, or the run fails."""
    table = found.table
    names = [tokenizer.about["name"] for tokenizer in tokenizers]
    columns = ["bytes", "characters", *(f"tokens_{i}" for i in range(len(names)))]
    length = "tokens_0" if names else "bytes"
    left = None if lines is None else lines.tokens
    unreadable: Counter[int] = Counter()
    for (source, _), count in found.unreadable.items():
        unreadable[source] += count
    sources = sums_by("source", len(corpus.items), table, levels, columns, left)
    bounds = np.append(0, np.cumsum(sources[DOCUMENTS].sum(axis=1))).tolist()  # sources follow one another
    by_source = [
        {"source": item.name} | _group(_of(sources, i), names, table.read(length, *at), unreadable[i])
        for i, (item, at) in enumerate(zip(corpus.items, pairwise(bounds), strict=True))
    ]
    scripts = sums_by("script", len(SCRIPTS), table, levels, columns, left)
    counts = scripts[DOCUMENTS].sum(axis=1).tolist()
    by_script = [
        {"script": script} | _group(_of(scripts, i), names, lengths_where(length, "script", i, counts[i], table), None)
        for i, script in enumerate(SCRIPTS) if counts[i]
    ]  # fmt: skip
    total = {name: sums.sum(axis=0) for name, sums in sources.items()}
    return {
        "schema_version": SCHEMA_VERSION,
        "command": "tokens",
        "sample": None,
        "documents": _documents(total[DOCUMENTS], sum(unreadable.values())),
        "bytes": int(total["bytes"].sum()),
        "characters": int(total["characters"].sum()),
        "tokens": _tokens(total, lines),
        "tokenizer": _about(tokenizers, found, 0),
        "tokenizers": [_about(tokenizers, found, i) for i in range(len(tokenizers))],
        "by_source": by_source,
        "by_script": sorted(by_script, key=lambda group: (-group["bytes"], group["script"])),
        "lines": _repetition(lines, total, dropped=config.drop_lines),
        "paragraphs": _repetition(paragraphs, total, dropped=False),
        "near": _near(config, levels),
        "clusters": None if config.dedup == "none" else clusters_shown(found, corpus, levels),
        "against": _against(config, found, levels),
        "mixture": _mixture(config, corpus, by_source),
        "lengths": {"unit": "tokens" if names else "bytes", "bins": lengths(length, table, levels)},
        "forecast": found.forecast._asdict() if found.forecast else None,
        "plan": None,
        "sources": _sources(corpus, sources[DOCUMENTS].sum(axis=1), unreadable),
        "notes": list(notes),
        **_run(config, stages),
    }


def _of(sums: Mapping[str, I64], group: int) -> dict[str, I64]:
    return {name: by_group[group] for name, by_group in sums.items()}


def _documents(fates: I64, unreadable: int) -> dict[str, int]:
    reasons = fates.tolist()
    counts = {
        "read": sum(reasons) + unreadable,
        "unreadable": unreadable,
        "empty": reasons[EMPTY],
        "duplicate_exact": reasons[EXACT],
        "duplicate_near": reasons[NEAR],
        "unique": reasons[KEPT],
    }
    if counts["read"] != sum(counts.values()) - counts["read"]:
        raise AssertionError(f"documents do not add up: {counts}")
    return counts


def _tokens(total: Mapping[str, I64], lines: Repetition | None) -> dict[str, int | None]:
    names = ("total", "after_exact", "after_lines", "after_near", "unique")
    if "tokens_0" not in total:
        return dict.fromkeys(names)
    tokens = total["tokens_0"]
    distinct = tokens[KEPT] + tokens[NEAR]
    rest = distinct if lines is None else lines.left
    sums = tokens.sum(), distinct, rest, tokens[KEPT], total.get(LEFT, tokens)[KEPT]
    return dict(zip(names, map(int, sums), strict=True))


def _about(tokenizers: Sequence[Tokenizer], found: Scan, number: int) -> dict[str, Any] | None:
    if number >= len(tokenizers):
        return None
    verified = found.verified[number]
    return tokenizers[number].about | {
        "verified": {f.name: getattr(verified, f.name) for f in fields(verified)},
    }


def _group(sums: Mapping[str, I64], names: Sequence[str], sizes: I64, unreadable: int | None) -> dict[str, Any]:
    """Return what there is of a source or a script, and what is left of it; `sizes` are how long its documents are."""
    reasons = sums[DOCUMENTS].tolist()
    size, characters = int(sums["bytes"].sum()), int(sums["characters"].sum())
    tokens = [int(sums[f"tokens_{i}"].sum()) for i in range(len(names))]
    group: dict[str, Any] = {
        "documents": sum(reasons) + (unreadable or 0),
        "empty": reasons[EMPTY],
        "duplicate_exact": reasons[EXACT],
        "duplicate_near": reasons[NEAR],
        "unique": reasons[KEPT],
        "bytes": size,
        "characters": characters,
        "tokens": tokens[0] if tokens else None,
        "unique_tokens": int(sums.get(LEFT, sums["tokens_0"])[KEPT]) if tokens else None,
        "characters_per_token": _ratio(characters, tokens[0]) if tokens else None,
        "bytes_per_token": {name: _ratio(size, total) for name, total in zip(names, tokens, strict=True)},
        "length": spread(sizes),
    }
    return group if unreadable is None else {**group, "unreadable": unreadable}


def _ratio(above: int, below: int) -> float | None:
    return round(above / below, 4) if below else None


def _repetition(found: Repetition | None, total: Mapping[str, I64], *, dropped: bool) -> dict[str, Any] | None:
    if found is None:
        return None
    repeated = None
    if found.left is not None:
        repeated = int(total["tokens_0"][[KEPT, NEAR]].sum()) - found.left
    return {
        "read": found.of,
        "repeated": found.count,
        "repeated_bytes": found.bytes,
        "repeated_tokens": repeated,
        "repeated_tokens_are": "estimated by their share of the bytes" if found.tokens is None else "counted",
        "least_bytes": SHORT_LINE,
        "dropped": dropped,
    }


def _near(config: TokensConfig, levels: Levels) -> dict[str, Any] | None:
    if config.dedup != "near":
        return None
    parameters = MinHashParameters(config.ngram, config.bands, config.rows, config.threshold)
    curve = {f"{s / 100:.2f}": round(parameters.collision_probability(s / 100), 4) for s in range(30, 101, 5)}
    return {
        "ngram": config.ngram, "bands": config.bands, "rows": config.rows, "threshold": config.threshold,
        **levels.comparisons, "chance_to_be_compared": curve,
    }  # fmt: skip


def _against(config: TokensConfig, found: Scan, levels: Levels) -> dict[str, Any] | None:
    """Return how much of the corpus is in --against already."""
    if not config.against:
        return None
    theirs = np.flatnonzero(levels.survivors < 0)
    member = np.isin(levels.cluster, theirs)
    return {
        "names": list(config.against),
        "documents": found.base,
        "dropped_exact": int((member & (levels.reason == EXACT)).sum()),
        "dropped_near": int((member & (levels.reason == NEAR)).sum()),
    }


def _mixture(config: TokensConfig, corpus: Corpus, by_source: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return tokens and epochs by source, for the shares asked for."""
    if not config.weights and config.max_epochs is None:
        return None
    weights = parse_weights(config.weights)
    names = [item.name for item in corpus.items]
    unique: Counter[str] = Counter(dict.fromkeys(weights, 0))
    for name, group, facts in zip(names, groups(list(weights), names, "--weights"), by_source, strict=True):
        if weights and group is None:
            continue
        unique[name if group is None else list(weights)[group]] += facts["unique_tokens"]
    return mixture(unique, weights, config.train_tokens, config.max_epochs)


def _sources(corpus: Corpus, counts: I64, unreadable: Mapping[int, int]) -> list[dict[str, Any]]:
    return [
        {
            "path": item.name,
            "sha256": corpus.streams[i].sha256 if i in corpus.streams and corpus.streams[i].size else None,
            "bytes": corpus.streams[i].size if i in corpus.streams else None,
            "records": int(counts[i]) + unreadable[i],
        }
        for i, item in enumerate(corpus.items)
    ]


def sample_report(
    corpus: Corpus, estimate: Mapping[str, Any], tokenizers: Sequence[Tokenizer], config: TokensConfig, stages: Stages
) -> dict[str, Any]:
    """Put the estimate of a sample into the shape of a report; what a sample cannot tell is null."""
    values = {name: interval["value"] for name, interval in estimate["estimates"].items()}
    abouts = [tokenizer.about for tokenizer in tokenizers]
    documents: dict[str, int | None] = dict.fromkeys(("duplicate_exact", "duplicate_near", "unique"))
    documents |= {"read": values["documents"], "unreadable": values["unreadable"], "empty": values["empty"]}
    levels: dict[str, int | None] = dict.fromkeys(("after_exact", "after_lines", "after_near", "unique"))
    empty = ("lines", "paragraphs", "near", "clusters", "against", "mixture", "lengths", "forecast", "plan")
    return {
        "schema_version": SCHEMA_VERSION,
        "command": "tokens",
        "sample": dict(estimate),
        "documents": documents,
        "bytes": values["bytes"],
        "characters": values["characters"],
        "tokens": levels | {"total": values[abouts[0]["name"]]},
        "tokenizer": abouts[0],
        "tokenizers": abouts,
        "by_source": [],
        "by_script": [],
        **dict.fromkeys(empty),
        "sources": [{"path": item.name, "sha256": None, "bytes": None, "records": None} for item in corpus.items],
        "notes": [*corpus.notes, *column_notes(corpus)],
        **_run(config, stages),
    }


def _run(config: TokensConfig, stages: Stages) -> dict[str, Any]:
    return {
        "config": {f.name: as_text(getattr(config, f.name)) for f in fields(config)},
        "versions": versions() | {"unicode": UNICODE_VERSION},
        "seconds": {name: round(value, 3) for name, value in stages.seconds.items()},
        "peak_memory_bytes": peak_memory_bytes(),
    }
