"""The largest clusters of duplicates, shown with the beginning of their texts, so that a person can judge them."""

from __future__ import annotations

from typing import Any

import numpy as np

from curate.corpus.levels import Levels
from curate.corpus.scan import Scan
from curate.corpus.text import I64
from curate.data.corpus import Corpus

SHOWN_CLUSTERS = 10
SHOWN_MEMBERS = 4


def clusters_shown(found: Scan, corpus: Corpus, levels: Levels) -> dict[str, Any]:
    """Return how many clusters there are of which size, and the largest with the beginning of their texts."""
    tokens = found.table["tokens_0"] if found.verified else None
    largest = range(min(SHOWN_CLUSTERS, len(levels.sizes)))
    members = {number: np.flatnonzero(levels.cluster == number) for number in largest}
    wanted = {}
    for number, documents in members.items():
        keep = levels.survivors[number]
        shown = documents[np.argsort(levels.rank[documents])]
        wanted[number] = [keep] if keep >= 0 else []
        wanted[number] += [d for d in shown.tolist() if d != keep][: SHOWN_MEMBERS - len(wanted[number])]
    names = _named(found, corpus, sorted({int(d) for shown in wanted.values() for d in shown}))
    return {
        "count": len(levels.sizes),
        "sizes": _sizes(levels.sizes),
        "largest": [
            {
                "cluster": number,
                "documents": int(levels.sizes[number]),
                "tokens": int(tokens[members[number]].sum()) if tokens is not None else None,
                "kept": names[int(levels.survivors[number])] if levels.survivors[number] >= 0 else None,
                "dropped": [names[int(d)] for d in wanted[number] if d != levels.survivors[number]],
            }
            for number in largest
        ],
    }


def _sizes(sizes: I64) -> list[dict[str, int]]:
    """Return how many clusters there are of each size, by powers of two."""
    bins = np.bincount(np.log2(sizes).astype(np.int64)) if len(sizes) else np.empty(0, np.int64)
    return [{"from": 2**i, "to": 2 ** (i + 1) - 1, "clusters": int(n)} for i, n in enumerate(bins) if n]


def _named(found: Scan, corpus: Corpus, documents: list[int]) -> dict[int, dict[str, Any]]:
    """Return source, line, id and the start of the text of some documents."""
    table, names = found.table, {}
    parts = np.searchsorted(table.first_of_part, documents, side="right") - 1
    for part in np.unique(parts).tolist():
        frame = table.part("names", part)
        for row in frame.filter(frame["document"].is_in(documents)).iter_rows(named=True):
            names[row["document"]] = {
                "id": row["id"] or f"{corpus.items[row['source']].name}:{row['line']}",
                "source": corpus.items[row["source"]].name,
                "line": row["line"],
                "text": row["start"],
            }
    return names
