"""How many tokens a corpus has, from a sample of it: for corpora that nobody wants to read whole.

The corpus is cut into blocks, blocks are drawn at random, the documents that begin in them are counted, and the ratio
of tokens to bytes is applied to all bytes: a ratio estimate over clusters (Cochran, Sampling Techniques, 3rd ed.,
chapter 9A). Blocks are drawn, not documents, because neighbours are alike; the interval allows for that.

Decided here: unpacked files of JSON lines are read at the drawn places only, in random order, until the 95 % interval
is within PRECISION of the estimate or the share is used up. What cannot be entered in the middle (packed files, tables,
arrays, texts) is read through, and only the drawn blocks are parsed and counted; of a corpus of few blocks more than
the share is taken. Duplicates are not estimated: how many there are in a sample says little about the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from curate.corpus.config import TokensConfig
from curate.data import records
from curate.data.corpus import Corpus
from curate.data.documents import Part, read_parts
from curate.data.records import Piece
from curate.data.tokenizer import Tokenizer
from curate.engine.threads import ahead, map_threads

BLOCK_BYTES = 256 << 10  # some 80 web pages: enough blocks in a small corpus, few seeks in a large one
PRECISION = 0.005  # half the width of the interval, as a share of the estimate: our choice
LEAST_BLOCKS = 30  # below, the normal approximation is not to be trusted
NORMAL_95 = 1.96
FACTS = ("documents", "unreadable", "empty", "bytes", "characters")


class Block(NamedTuple):
    """A range of bytes of an unpacked file of JSON lines."""

    source: int
    start: int
    stop: int


@dataclass(frozen=True)
class Stratum:
    """Blocks that are drawn alike: all blocks and bytes there are, and what was found in those drawn.

    `sizes` int64 (n): their bytes; `found` float64 (n, facts + tokenizers).
    """

    blocks: int
    bytes: int
    sizes: np.ndarray
    found: np.ndarray

    def totals(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the estimates for all blocks and their variances."""
        n = len(self.sizes)
        if n == 0:
            return np.zeros(self.found.shape[1]), np.zeros(self.found.shape[1])
        ratio = self.found.sum(axis=0) / self.sizes.sum()
        rest = self.found - ratio * self.sizes[:, None]
        spread = (rest**2).sum(axis=0) / max(n - 1, 1)
        mean = self.sizes.mean()
        return ratio * self.bytes, (self.bytes / mean) ** 2 * (1 - n / self.blocks) * spread / n


def sample(corpus: Corpus, tokenizers: Sequence[Tokenizer], config: TokensConfig) -> dict[str, Any]:
    """Return the estimate: totals with their intervals, how much was read and why it stopped."""
    assert config.sample is not None
    rng = np.random.default_rng(config.seed)
    blocks, rest = _blocks(corpus)
    entered, precise = _draw(corpus, blocks, rng, tokenizers, config)
    through = _read_through(corpus, rest, rng, tokenizers, config)
    totals, variances = (np.add(*pair) for pair in zip(entered.totals(), through.totals(), strict=True))
    names = (*FACTS, *(tokenizer.about["name"] for tokenizer in tokenizers))
    return {
        "share_asked": float(config.sample),
        "blocks": len(entered.sizes) + len(through.sizes),
        "blocks_in_all": entered.blocks + through.blocks,
        "bytes_counted": int(entered.sizes.sum() + through.sizes.sum()),
        "bytes_in_all": entered.bytes + through.bytes,
        "stopped": "precise enough" if precise else "share used up",
        "confidence": 0.95,
        "estimates": {
            name: _interval(float(totals[i]), float(variances[i])) for i, name in enumerate(names)
        },
    }  # fmt: skip


def _interval(total: float, variance: float) -> dict[str, int]:
    half = NORMAL_95 * variance**0.5
    return {"value": round(total), "low": max(0, round(total - half)), "high": round(total + half)}


def _blocks(corpus: Corpus) -> tuple[list[Block], list[int]]:
    """Return the blocks of the files that can be entered in the middle, and the other sources."""
    blocks: list[Block] = []
    rest: list[int] = []
    for index, item in enumerate(corpus.items):
        size = Path(item.value).stat().st_size if item.kind == "file" else 0
        if size >= 4 * BLOCK_BYTES and _is_lines(corpus, index):
            blocks += [Block(index, at, min(at + BLOCK_BYTES, size)) for at in range(0, size, BLOCK_BYTES)]
        else:
            rest.append(index)
    return blocks, rest


def _is_lines(corpus: Corpus, index: int) -> bool:
    """Whether a file is unpacked JSON lines; looks up where its text is, too."""
    with open(corpus.items[index].value, "rb") as file:
        if file.read(1) != b"{":
            return False
    one = replace(corpus, items=[corpus.items[index]], streams={}, wanted={})
    first = next(iter(one.parts()))
    corpus.wanted[index] = one.wanted[0]
    corpus.seen |= one.seen
    return isinstance(first.content, Piece) and first.content.spans is None and first.content.fault is None


def _draw(
    corpus: Corpus, blocks: list[Block], rng: np.random.Generator, tokenizers: Sequence[Tokenizer],
    config: TokensConfig,
) -> tuple[Stratum, bool]:  # fmt: skip
    """Read blocks in random order until the estimate is precise, or the share is used up."""
    order = rng.permutation(len(blocks))
    most = min(len(blocks), max(LEAST_BLOCKS, _rounded(config.sample, len(blocks))))
    all_bytes = sum(block.stop - block.start for block in blocks)
    drawn = Stratum(len(blocks), all_bytes, np.zeros(0, np.int64), np.zeros((0, len(FACTS) + len(tokenizers))))
    while len(drawn.sizes) < most:
        batch = [blocks[i] for i in order[len(drawn.sizes) : min(len(drawn.sizes) + LEAST_BLOCKS, most)].tolist()]
        parts = (_part(corpus, block) for block in batch)
        found = np.array(list(map_threads(lambda part: _count(part, tokenizers, config.eos), parts, config.workers)))
        sizes = np.array([block.stop - block.start for block in batch])
        drawn = replace(drawn, sizes=np.append(drawn.sizes, sizes), found=np.concatenate([drawn.found, found]))
        if _is_precise(drawn):
            return drawn, True
    return drawn, False


def _is_precise(drawn: Stratum) -> bool:
    totals, variances = drawn.totals()
    return bool(len(drawn.sizes) >= LEAST_BLOCKS and NORMAL_95 * variances[-1] ** 0.5 <= PRECISION * totals[-1])


def _rounded(share: Decimal | None, count: int) -> int:
    return int((share or Decimal(1)) * count)


def _part(corpus: Corpus, block: Block) -> Part:
    """Read the lines that begin in a block."""
    with open(corpus.items[block.source].value, "rb") as file:
        start = block.start
        if start > 0:
            file.seek(start - 1)
            start += len(file.readline()) - 1
        if start >= block.stop:
            data = b""
        else:
            file.seek(start)
            data = file.read(block.stop - start)
            if not data.endswith(b"\n"):
                data += file.readline(records.MAX_LINE_BYTES)
    data = data.removeprefix(records.BOM) if start == 0 else data
    piece = Piece(1, start, data)
    return Part(block.source, 0, len(data), 0, piece, corpus.wanted_of(block.source))


def _count(part: Part, tokenizers: Sequence[Tokenizer], eos: bool) -> list[float]:
    """Return the facts of the documents of a part, and their tokens by each tokenizer."""
    documents = read_parts([part])
    text = documents.frame["text"]
    facts: list[float] = [
        len(text) + documents.unreadable.height,
        documents.unreadable.height,
        int((~text.str.contains(r"\S")).sum()),
        int(text.str.len_bytes().sum()),
        int(text.str.len_chars().sum()),
    ]
    return facts + [int(t.count_verified(text)[0].sum()) + eos * len(text) for t in tokenizers]


def _read_through(
    corpus: Corpus, rest: list[int], rng: np.random.Generator, tokenizers: Sequence[Tokenizer], config: TokensConfig
) -> Stratum:
    """Read the other sources to their end, and count the blocks that are drawn."""
    others = replace(corpus, items=[corpus.items[i] for i in rest], streams={}, wanted={}, chunk_bytes=BLOCK_BYTES)
    expected = (others.total_bytes() or 0) / BLOCK_BYTES
    share = max(float(config.sample or 1), min(1.0, 2 * LEAST_BLOCKS / max(expected, 1)))
    blocks = size = 0

    def drawn() -> Iterator[Part]:
        nonlocal blocks, size
        for part in ahead(others.parts(), 4):
            blocks, size = blocks + 1, size + part.size
            if rng.random() < share:
                yield part

    sizes, found = [], []
    parts = drawn()
    while batch := list(islice(parts, 64)):
        sizes += [part.size for part in batch]
        found += list(map_threads(lambda part: _count(part, tokenizers, config.eos), batch, config.workers))
    corpus.wanted |= {rest[i]: wanted for i, wanted in others.wanted.items()}
    table = np.array(found).reshape(len(found), len(FACTS) + len(tokenizers))
    return Stratum(blocks, size, np.array(sizes, np.int64), table)
