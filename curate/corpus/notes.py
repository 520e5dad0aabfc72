"""What should be said about a corpus that was read: where its text was found, what was mended, what is unreadable."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from curate.corpus.scan import Scan
from curate.corpus.spill import Seen
from curate.data.corpus import Corpus
from curate.errors import CurateError, UsageError

_NAMED = 3  # files, of those that share a note
_MENDED = {
    "nan": "NaN or Infinity in {}: read as null",
    "surrogate": "half a surrogate pair in {}: read as U+FFFD",
    "utf8": "bytes that are no UTF-8 in {}: read as U+FFFD",
}


def notes_on(found: Scan, corpus: Corpus) -> list[str]:
    """Return the notes. Raises CurateError when no document was read, UsageError when --text-column names none."""
    notes = [*corpus.notes, *column_notes(corpus), *_unreadable(found, corpus)]
    if not found.table.documents:
        if corpus.columns and found.unreadable and not set(corpus.columns) & corpus.seen:
            raise UsageError(
                f"--text-column {','.join(corpus.columns)}: no record has it",
                f"Columns: {', '.join(sorted(corpus.seen)[:20])}",
            )
        said = "\n".join(f"  {note}" for note in notes)
        raise CurateError(
            f"no document can be read\n{said}" if found.unreadable else f"nothing to read\n{said}".rstrip(),
            "Check the input, or name its text with --text-column",
        )
    for what, said in _MENDED.items():
        for source, count in sorted((s, n) for (s, w), n in found.mended.items() if w == what):
            notes.append(f"{corpus.items[source].name}: {said.format(_documents(count))}")
    for _, stream in sorted(corpus.streams.items()):
        if stream.fault:
            notes.append(f"{stream.name}: {stream.fault}; what stands before is used")
        elif stream.size == 0:
            notes.append(f"{stream.name}: the file is empty (0 bytes)")
    return notes + _same_ids(found, corpus)


def column_notes(corpus: Corpus) -> list[str]:
    """Say where the text was found, unless it is asked for or called text."""
    files: dict[str, list[str]] = defaultdict(list)
    for index, wanted in sorted(corpus.wanted.items()):
        if wanted is None:
            files["no text was found in the first records"].append(corpus.items[index].name)
        elif wanted.chat:
            files["the text is the turns of instruction examples, joined"].append(corpus.items[index].name)
        elif wanted.columns != ("text",) and not corpus.columns:
            files[f"the text is taken from {wanted.columns[0]}"].append(corpus.items[index].name)
    return [f"{_listed(names)}: {what}" for what, names in files.items()]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _unreadable(found: Scan, corpus: Corpus) -> list[str]:
    notes = []
    by_source: dict[int, Counter[str]] = defaultdict(Counter)
    for (source, reason), count in found.unreadable.items():
        by_source[source][reason] += count
    for source, reasons in sorted(by_source.items()):
        first = "; ".join(f"{r} (line {found.first_line[source, r]})" for r, _ in reasons.most_common(2))
        more = f"; and {len(reasons) - 2} more reasons" if len(reasons) > 2 else ""
        notes.append(f"{corpus.items[source].name}: {_documents(reasons.total())} unreadable: {first}{more}")
    return notes


def _documents(count: int) -> str:
    return f"{count:,} document" if count == 1 else f"{count:,} documents"


def _same_ids(found: Scan, corpus: Corpus) -> list[str]:
    """Say which files share ids: an id then names several documents in the ledger."""
    table = found.table
    if found.index is None:  # then ids are not hashed
        return []
    seen = Seen(table.documents)
    for first, last in table.blocks():
        seen.mark(table.read("id_key", first, last))
    some = [(np.empty(0, np.uint64), np.empty(0, np.int32))]
    for first, last in table.blocks():
        keys = table.read("id_key", first, last)
        rows = seen.several(keys) & (keys != 0)  # 0: without an id
        some.append((keys[rows], table.read("source", first, last)[rows]))
    keys, source = map(np.concatenate, zip(*some, strict=True))
    order = np.argsort(keys, kind="stable")
    keys, source = keys[order], source[order]
    again = np.flatnonzero(keys[1:] == keys[:-1])
    if not len(again):
        return []
    pairs = np.unique(np.stack((source[again], source[again + 1]), axis=1), axis=0)
    names = sorted({corpus.items[s].name for pair in pairs.tolist() for s in pair})
    return [f"{len(np.unique(keys[again])):,} ids name several documents each, in {_listed(names)}"]
