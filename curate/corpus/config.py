"""The options of `curate tokens`, each declared once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from decimal import Decimal

from curate.config import (
    address_option,
    engine_option,
    force_option,
    max_expand_option,
    option,
    parse_bytes,
    parse_fraction,
    parse_number,
    parse_pair,
    parse_positive,
    parse_whole,
    resume_option,
    seed_option,
    strict_option,
    workers_option,
)
from curate.engine import LOCAL
from curate.errors import UsageError

LEVELS = ("none", "exact", "near")
UNITS = ("file", "line", "paragraph")  # what curate.data.plain cuts a text file into
WRITTEN = ("jsonl", "jsonl.zst", "parquet")
SMALLEST_CHUNK, LARGEST_CHUNK = 1 << 10, 64 << 20  # a record is at most 64 MB: larger chunks would read longer ones
SMALLEST_MEMORY = 1 << 30


def _tokenizer(text: str) -> str:
    return text.strip()


@dataclass(frozen=True)
class TokensConfig:
    """What `curate tokens` can be told."""

    tokenizer: tuple[str, ...] = option(
        "the target model's: an encoding (o200k_base), a Hugging Face id, a folder, a tokenizer.json, .tiktoken or "
        "SentencePiece .model; none counts no tokens; several are set side by side",
        default=("o200k_base",), parse=_tokenizer, many=True, metavar="NAME",
    )  # fmt: skip
    dedup: str = option("duplicates to find: none, exact, or exact and near", default="near", choices=LEVELS)
    out: str | None = option("directory to write; it appears when the run is complete", metavar="DIR")
    write: str | None = option("write the documents that are kept, as", choices=WRITTEN)
    text_column: tuple[str, ...] = option(
        "column that holds the text; several are joined by a blank line [default: found, and said]",
        default=(), many=True, metavar="NAME",
    )  # fmt: skip
    document: str | None = option("what is a document in a text file [default: file]", choices=UNITS)
    special_tokens: bool = option("take special tokens in a text as such, not as text", flag=True)
    eos: bool = option("count one token more for each document", flag=True)
    drop_lines: bool = option("drop lines that another document, or an earlier line, has too", flag=True)
    prefer: tuple[str, ...] = option(
        "which duplicate to keep: of these sources, the first named first; or longest", default=(), many=True,
        metavar="SOURCES|longest",
    )  # fmt: skip
    against: tuple[str, ...] = option(
        "drop what these have already: an index of --save-index, or a corpus", default=(), many=True, metavar="DIR"
    )
    save_index: str | None = option("keep what finds duplicates of this corpus later", metavar="DIR")
    ngram: int = option("words (characters where there are no spaces) in a shingle", default=5, parse=parse_whole,
                        metavar="N")  # fmt: skip
    bands: int = option("bands of the near-duplicate search", default=14, parse=parse_whole, metavar="B")
    rows: int = option("values in a band", default=8, parse=parse_whole, metavar="R")
    threshold: float = option(
        "Jaccard similarity from which documents are near-duplicates", default=0.7, parse=parse_positive, metavar="J"
    )
    explain: bool = option("print how likely the search finds a pair, by its similarity", flag=True)
    sample: Decimal | None = option(
        "estimate from at most this share of the corpus, such as 0.01", parse=parse_fraction, metavar="F"
    )
    weights: tuple[str, ...] = option(
        "share of the training tokens that a source gives: web=0.6,books=0.4", default=(), parse=parse_pair, many=True,
        metavar="SOURCE=SHARE",
    )  # fmt: skip
    max_epochs: float | None = option("lower the shares of sources that would repeat more often than this",
                                      parse=parse_positive, metavar="E")  # fmt: skip
    train_tokens: int | None = option("tokens to train on, for --weights [default: the unique tokens]",
                                      parse=parse_whole, metavar="T")  # fmt: skip
    params: Decimal | None = option("parameters of the model to train: adds the plan", parse=parse_number,
                                    metavar="N")  # fmt: skip
    memory: int | None = option("most memory to use, such as 2GB; the rest goes to disk", parse=parse_bytes,
                                metavar="SIZE")  # fmt: skip
    tmp: str | None = option("directory for what does not fit in memory [default: the system's]", metavar="DIR")
    chunk_size: int | None = option("bytes read at a time; results do not depend on it [default: by --memory]",
                                    parse=parse_bytes, metavar="SIZE")  # fmt: skip
    max_expand: int = max_expand_option()
    workers: int = workers_option()
    engine: str = engine_option()
    address: str | None = address_option()
    seed: int = seed_option()
    force: bool = force_option()
    resume: bool = resume_option()
    strict: bool = strict_option()

    def __post_init__(self) -> None:
        if self.workers is None:
            object.__setattr__(self, "workers", os.cpu_count() or 1)
        self._check_sizes()
        self._check_levels()

    def _check_sizes(self) -> None:
        if self.chunk_size is not None and not SMALLEST_CHUNK <= self.chunk_size <= LARGEST_CHUNK:
            raise UsageError(
                f"--chunk-size {self.chunk_size} is not between 1KB and 64MB", "Leave it out, or give 4MB."
            )
        if self.memory is not None and self.memory < SMALLEST_MEMORY:
            raise UsageError(
                f"--memory {self.memory} is below 1GB, and the libraries and a tokenizer alone take 0.7GB",
                "Give --memory 1GB or more.",
            )

    def _check_levels(self) -> None:
        wants = {
            "--drop-lines": (self.drop_lines, self.dedup != "none", "--dedup exact or near"),
            "--against": (self.against, self.dedup != "none", "--dedup exact or near"),
            "--save-index": (self.save_index, self.dedup == "near", "--dedup near"),
            "--write": (self.write, self.out is not None, "--out DIR"),
            "--max-epochs": (self.max_epochs, self.counts, "a tokenizer"),
            "--weights": (self.weights, self.counts, "a tokenizer"),
            "--sample": (self.sample, self.counts, "a tokenizer"),
            "--params": (self.params, self.counts, "a tokenizer"),
        }
        for option_name, (asked, possible, needed) in wants.items():
            if asked and not possible:
                raise UsageError(f"{option_name} needs {needed}", f"Add it, or leave out {option_name}.")
        if self.sample is not None and (self.write or self.save_index or self.drop_lines or self.against):
            raise UsageError(
                "--sample counts a part of the corpus: it drops and writes nothing",
                "Leave out --sample, or --write, --save-index, --drop-lines and --against.",
            )

        if self.sample is not None and self.engine != LOCAL:
            raise UsageError("--sample reads its part on this machine", "Leave out --sample or --engine.")

    @property
    def counts(self) -> bool:
        """Whether tokens are counted."""
        return any(name != "none" for name in self.tokenizer)

    @property
    def rereads(self) -> bool:
        """Whether the corpus is read a second time."""
        return self.write is not None or self.drop_lines

    @property
    def names_wanted(self) -> bool:
        """Whether ids and first words of documents are wanted: for the ledger, and to show duplicates."""
        return self.out is not None or self.dedup != "none"
