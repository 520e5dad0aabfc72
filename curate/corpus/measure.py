"""What is measured of each document while its text is at hand: the one pass over the text.

Runs in several threads at once: polars, the tokenizers and the kernels work without the interpreter lock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from curate.corpus.lines import Lines, split_lines, split_paragraphs
from curate.corpus.minhash import MinHashParameters, Signed, sign
from curate.corpus.table import packed
from curate.corpus.text import I8, I64, U8, U64, buffers, code_points, read_only, wide
from curate.data.documents import Documents, Part, read_parts
from curate.data.tokenizer import Tokenizer, Verified

START_CHARACTERS = 120  # of each text, to show duplicates by
SHORT_LINE = 24  # bytes; our choice: shorter lines ("}", "---", "Yes.") repeat without being copies


class Measured(NamedTuple):
    """A bundle of documents, measured. `numbers` are columns of the document table, `done` bytes of files read.

    `lines_before` are lines of the file that stand before the first one counted here.
    """

    numbers: dict[str, npt.NDArray[Any]]
    names: bytes | None
    signed: Signed | None
    lines: Lines | None
    paragraphs: Lines | None
    verified: list[Verified]
    unreadable: pl.DataFrame
    mended: Counter[tuple[int, str]]
    done: int
    lines_before: int = 0

    def without_starts(self) -> Measured:
        """Return it without where its lines start, which is for texts that are at hand."""
        nowhere = np.empty(0, np.int64)
        both = (None if found is None else replace(found, starts=nowhere) for found in (self.lines, self.paragraphs))
        return self._replace(lines=next(both), paragraphs=next(both))


@dataclass(frozen=True)
class Measure:
    """What to measure: tokens by each tokenizer; for duplicates (`dedup`) signatures and lines; names for people."""

    tokenizers: Sequence[Tokenizer]
    dedup: str
    parameters: MinHashParameters
    eos: bool = False
    names: bool = True
    chunk_bytes: int = 4 << 20

    def __call__(self, bundle: Sequence[Part]) -> Measured:
        """Read a bundle and measure its documents."""
        return self.documents(read_parts(bundle), bundle[-1].done)

    def documents(self, documents: Documents, done: int) -> Measured:
        """Measure documents that are read."""
        frame = documents.frame
        text = frame["text"]
        data, offsets = buffers(text)
        counted = [tokenizer.count_verified(text) for tokenizer in self.tokenizers]
        numbers: dict[str, npt.NDArray[Any]] = {
            "source": frame["source"].to_numpy(),
            "bytes": np.diff(offsets),
            "characters": text.str.len_chars().to_numpy(),
            "empty": ~text.str.contains(r"\S").to_numpy(),
        }
        numbers |= {f"tokens_{i}": counts + self.eos for i, (counts, _) in enumerate(counted)}
        signed = lines = paragraphs = None
        if self.dedup == "none":
            numbers["script"] = scripts(data, offsets)
        else:
            signed = self._sign(data, offsets)
            lines = split_lines(data, offsets)
            paragraphs = split_paragraphs(lines)
            numbers |= {
                "script": signed.script,
                "text_key": hashes(data, offsets),
                "id_key": np.where(frame["id"].is_null().to_numpy(), np.uint64(0), hashes(*buffers(frame["id"]))),
            }
        return Measured(
            numbers, self._names(documents) if self.names else None, signed, lines, paragraphs,
            [verified for _, verified in counted], documents.unreadable, documents.mended, done,
        )  # fmt: skip

    def _sign(self, data: U8, offsets: I64) -> Signed:
        if self.dedup == "near":
            return sign(data, offsets, self.parameters)
        signed = sign(data, offsets, MinHashParameters(self.parameters.ngram, 1, 1))
        nothing = np.zeros(len(signed), np.int64)  # without words nothing is a candidate
        return replace(signed, words=nothing, shingles=signed.shingles[:0], shingle_offsets=np.append(nothing, 0))

    def _names(self, documents: Documents) -> bytes:
        """Return, packed, a row for each record: source, line, id, number of its document in the bundle, its start."""
        frame, unreadable = documents.frame, documents.unreadable
        named = frame.select(
            "source", "line", "id",
            pl.int_range(pl.len(), dtype=pl.Int64).alias("document"),
            pl.col("text").str.slice(0, START_CHARACTERS).alias("start"),
        )  # fmt: skip
        if unreadable.is_empty():
            return packed(named)
        missing = unreadable.select("source", "line")
        return packed(pl.concat([named, missing], how="diagonal").sort("source", "line", maintain_order=True))


def warm_up(dedup: str) -> None:
    """Load the kernels and the table of code points: half a second that another thread can spend."""
    data, offsets = buffers(pl.Series(["a few words", "中文"]))
    if dedup == "none":
        scripts(data, offsets)
    else:
        sign(data, offsets, MinHashParameters())
        split_paragraphs(split_lines(data, offsets))
        hashes(data, offsets)


def hashes(data: U8, offsets: I64) -> U64:
    """Return a 64-bit hash of the bytes of each text."""
    from curate.corpus.row_kernels import hash_rows

    found = np.empty(len(offsets) - 1, np.uint64)
    hash_rows(wide(data)[1], read_only(offsets), found)
    return found


def scripts(data: U8, offsets: I64) -> I8:
    """Return the main script of each text, as `sign` does, without signing it."""
    from curate.corpus.row_kernels import script_rows

    longest = int(np.diff(offsets).max(initial=0))
    folded = np.ndarray((2 * longest + 16,), np.uint64, np.empty(2 * longest + 24, np.uint8), strides=(1,))
    found = np.empty(len(offsets) - 1, np.int8)
    script_rows(*wide(data), read_only(offsets), code_points(), folded, found)
    return found
