"""Sums over the documents of a corpus by group, read from the table block by block: there may be very many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from curate.corpus.levels import KEPT, REASONS, Levels
from curate.corpus.table import DocumentTable
from curate.corpus.text import I64

DOCUMENTS, LEFT = "documents", "left"


def sums_by(
    column: str, groups: int, table: DocumentTable, levels: Levels, names: Sequence[str], left: I64 | None
) -> dict[str, I64]:
    """Return sums int64 (groups, fates) by the groups that `column` names and by what becomes of the documents.

    Of DOCUMENTS (how many), of the columns `names`, and of LEFT where `left` int64 (n) is given.
    """
    wanted = [DOCUMENTS, *names, *([] if left is None else [LEFT])]
    found = {name: np.zeros(groups * len(REASONS), np.int64) for name in wanted}
    for first, last in table.blocks():
        cell = table.read(column, first, last).astype(np.int64) * len(REASONS) + levels.reason[first:last]
        for name in names:
            np.add.at(found[name], cell, table.read(name, first, last))
        if left is not None:
            np.add.at(found[LEFT], cell, left[first:last])
        found[DOCUMENTS] += np.bincount(cell, minlength=groups * len(REASONS))
    return {name: sums.reshape(groups, len(REASONS)) for name, sums in found.items()}


def spread(found: I64) -> dict[str, int] | None:
    """Return median, 95th percentile and the longest of the lengths `found`, whose order is lost (None: none)."""
    if not len(found):
        return None
    median, p95 = np.percentile(found, (50, 95), method="inverted_cdf", overwrite_input=True).tolist()
    return {"median": int(median), "p95": int(p95), "longest": int(found.max())}


def lengths_where(name: str, column: str, value: int, count: int, table: DocumentTable) -> I64:
    """Return the column `name` of the `count` documents whose `column` is `value`."""
    found, filled = np.empty(count, np.int64), 0
    for first, last in table.blocks():
        part = table.read(name, first, last)[table.read(column, first, last) == value]
        found[filled : filled + len(part)] = part
        filled += len(part)
    return found


def lengths(name: str, table: DocumentTable, levels: Levels) -> list[dict[str, int]]:
    """Return how many documents there are of each length, and the sum of the lengths, by powers of two."""
    counts, kept, sums = np.zeros((3, 64), np.int64)
    for first, last in table.blocks():
        block, stays = table.read(name, first, last), levels.reason[first:last] == KEPT
        digits = np.frexp(block)[1]  # binary ones; 0 has none
        counts += np.bincount(digits, minlength=64)
        kept += np.bincount(digits[stays], minlength=64)
        sums += np.bincount(digits, weights=block, minlength=64).astype(np.int64)
    return [
        {
            "from": 2 ** (i - 1) if i else 0, "to": 2**i - 1 if i else 0,
            "documents": int(n), "unique": int(kept[i]), "sum": int(sums[i]),
        }
        for i, n in enumerate(counts) if n
    ]  # fmt: skip
