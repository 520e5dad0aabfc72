"""The report of `curate tokens`: every count as one JSON object (contract: docs/tokens.md); the levels must add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from curate.config import as_text
from curate.corpus.config import TokensConfig
from curate.corpus.largest import clusters_shown
from curate.corpus.levels import BLOCK, EMPTY, EXACT, NEAR, Levels, Repetition
from curate.corpus.measure import SHORT_LINE
from curate.corpus.minhash import MinHashParameters
from curate.corpus.notes import column_notes
from curate.corpus.scan import Scan
from curate.corpus.sources import groups
from curate.corpus.text import I64, SCRIPTS, UNICODE_VERSION, Bool
from curate.corpus.weights import mixture, parse_weights
from curate.data.corpus import Corpus
from curate.data.manifest import SCHEMA_VERSION, versions
from curate.data.tokenizer import Tokenizer
from curate.report.progress import Stages, peak_memory_bytes


@dataclass(frozen=True)
class Columns:
    """The columns of the document table that the report sums over, and which documents each level leaves.

    `unique` are the tokens of each document without the lines that are dropped.
    """

    source: npt.NDArray[np.int32]
    script: npt.NDArray[np.int8]
    bytes: I64
    characters: I64
    tokens: list[I64]
    unique: I64
    reason: npt.NDArray[np.uint8]
    kept: Bool


def build_report(
    *, corpus: Corpus, found: Scan, levels: Levels, lines: Repetition | None, paragraphs: Repetition | None,
    tokenizers: Sequence[Tokenizer], config: TokensConfig, notes: Sequence[str], stages: Stages,
) -> dict[str, Any]:  # fmt: skip
    """Put the facts of a run together; the counts must add up, or the run fails."""
    table = found.table
    tokens = [table[f"tokens_{i}"] for i in range(len(tokenizers))]
    unique = tokens[0] if tokens else table["bytes"]
    if lines is not None and lines.tokens is not None:
        unique = lines.tokens
    columns = Columns(
        table["source"], table["script"], table["bytes"], table["characters"], tokens, unique, levels.reason,
        levels.kept,
    )  # fmt: skip
    names = [tokenizer.about["name"] for tokenizer in tokenizers]
    unreadable: Counter[int] = Counter()
    for (source, _), count in found.unreadable.items():
        unreadable[source] += count
    bounds = np.searchsorted(columns.source, np.arange(len(corpus.items) + 1))  # sources follow one another
    by_source = [
        {"source": item.name, **_group(columns, slice(bounds[i], bounds[i + 1]), names, unreadable[i])}
        for i, item in enumerate(corpus.items)
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "command": "tokens",
        "sample": None,
        "documents": _documents(columns, sum(unreadable.values())),
        "bytes": int(columns.bytes.sum()),
        "characters": int(columns.characters.sum()),
        "tokens": _tokens(columns, levels, lines),
        "tokenizer": _about(tokenizers, found, 0),
        "tokenizers": [_about(tokenizers, found, i) for i in range(len(tokenizers))],
        "by_source": by_source,
        "by_script": sorted(
            (
                {"script": SCRIPTS[i], **_group(columns, columns.script == i, names, None)}
                for i in np.unique(columns.script).tolist()
            ),
            key=lambda group: (-group["bytes"], group["script"]),
        ),
        "lines": _repetition(lines, columns, levels, dropped=config.drop_lines),
        "paragraphs": _repetition(paragraphs, columns, levels, dropped=False),
        "near": _near(config, levels),
        "clusters": None if config.dedup == "none" else clusters_shown(found, corpus, levels),
        "against": _against(config, found, levels),
        "mixture": _mixture(config, corpus, by_source),
        "lengths": _lengths(columns),
        "forecast": found.forecast._asdict() if found.forecast else None,
        "plan": None,
        "sources": _sources(corpus, columns, unreadable),
        "notes": list(notes),
        **_run(config, stages),
    }


def _documents(columns: Columns, unreadable: int) -> dict[str, int]:
    reasons = np.bincount(columns.reason, minlength=4).tolist()
    counts = {
        "read": len(columns.reason) + unreadable,
        "unreadable": unreadable,
        "empty": reasons[EMPTY],
        "duplicate_exact": reasons[EXACT],
        "duplicate_near": reasons[NEAR],
        "unique": int(columns.kept.sum()),
    }
    if counts["read"] != sum(counts.values()) - counts["read"]:
        raise AssertionError(f"documents do not add up: {counts}")
    return counts


def _tokens(columns: Columns, levels: Levels, lines: Repetition | None) -> dict[str, int | None]:
    names = ("total", "after_exact", "after_lines", "after_near", "unique")
    if not columns.tokens:
        return dict.fromkeys(names)
    tokens = columns.tokens[0]
    rest = tokens if lines is None else lines.left(tokens, columns.bytes)
    sums = (
        tokens.sum(), tokens.sum(where=levels.distinct), rest.sum(where=levels.distinct),
        tokens.sum(where=levels.kept), columns.unique.sum(where=levels.kept),
    )  # fmt: skip
    return dict(zip(names, map(int, sums), strict=True))


def _about(tokenizers: Sequence[Tokenizer], found: Scan, number: int) -> dict[str, Any] | None:
    if number >= len(tokenizers):
        return None
    verified = found.verified[number]
    return tokenizers[number].about | {
        "verified": {f.name: getattr(verified, f.name) for f in fields(verified)},
    }


def _group(columns: Columns, member: Bool | slice, names: Sequence[str], unreadable: int | None) -> dict[str, Any]:
    """Return what there is of a source or a script, and what is left of it."""
    kept = columns.kept[member]
    reasons = np.bincount(columns.reason[member], minlength=4).tolist()
    size, characters = int(columns.bytes[member].sum()), int(columns.characters[member].sum())
    sums = [int(tokens[member].sum()) for tokens in columns.tokens]
    group: dict[str, Any] = {
        "documents": len(kept) + (unreadable or 0),
        "empty": reasons[EMPTY],
        "duplicate_exact": reasons[EXACT],
        "duplicate_near": reasons[NEAR],
        "unique": int(kept.sum()),
        "bytes": size,
        "characters": characters,
        "tokens": sums[0] if sums else None,
        "unique_tokens": int(columns.unique[member][kept].sum()) if sums else None,
        "characters_per_token": _ratio(characters, sums[0]) if sums else None,
        "bytes_per_token": {name: _ratio(size, total) for name, total in zip(names, sums, strict=True)},
        "length": _spread((columns.tokens or [columns.bytes])[0][member]),
    }
    return group if unreadable is None else {**group, "unreadable": unreadable}


def _ratio(above: int, below: int) -> float | None:
    return round(above / below, 4) if below else None


def _spread(lengths: I64) -> dict[str, int] | None:
    """Return how long documents are: tokens, or bytes where none are counted."""
    if not len(lengths):
        return None
    median, p95 = np.percentile(lengths, (50, 95), method="inverted_cdf").tolist()
    return {"median": int(median), "p95": int(p95), "longest": int(lengths.max())}


def _repetition(found: Repetition | None, columns: Columns, levels: Levels, *, dropped: bool) -> dict[str, Any] | None:
    if found is None:
        return None
    alive = levels.distinct
    repeated = None
    if columns.tokens:
        tokens = columns.tokens[0]
        repeated = int(tokens.sum(where=alive) - found.left(tokens, columns.bytes).sum(where=alive))
    return {
        "read": found.of,
        "repeated": found.count,
        "repeated_bytes": int(found.bytes.sum(where=alive)),
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


def _lengths(columns: Columns) -> dict[str, Any]:
    """Return how many documents there are of each length, and how many tokens they hold, by powers of two."""
    lengths = (columns.tokens or [columns.bytes])[0]
    counts, kept, sums = np.zeros((3, 64), np.int64)
    for first in range(0, len(lengths), BLOCK):
        block, stays = lengths[first : first + BLOCK], columns.kept[first : first + BLOCK]
        digits = np.frexp(block)[1]  # binary ones; 0 has none
        counts += np.bincount(digits, minlength=64)
        kept += np.bincount(digits[stays], minlength=64)
        sums += np.bincount(digits, weights=block, minlength=64).astype(np.int64)
    return {
        "unit": "tokens" if columns.tokens else "bytes",
        "bins": [
            {
                "from": 2 ** (i - 1) if i else 0, "to": 2**i - 1 if i else 0,
                "documents": int(n), "unique": int(kept[i]), "sum": int(sums[i]),
            }
            for i, n in enumerate(counts) if n
        ],
    }  # fmt: skip


def _sources(corpus: Corpus, columns: Columns, unreadable: Mapping[int, int]) -> list[dict[str, Any]]:
    counts = np.bincount(columns.source, minlength=len(corpus.items))
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
