"""The story of `curate tokens`: read, count, find duplicates, find repeated lines, account for every document.

One pass over the text measures each document (`measure.py`); what the later steps need is kept as numbers, in memory or
on disk. Then every level says how many tokens it leaves: exact duplicates, lines seen before, near-duplicates. Which copy
stays depends on the texts (and on --prefer), not on the order of files, rows or workers.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate.config import resolve
from curate.corpus.clusters import Clusters, DuplicateIndex
from curate.corpus.config import TokensConfig
from curate.corpus.lines import LineIndex
from curate.corpus.measure import Measure, Measured
from curate.corpus.minhash import MinHashParameters
from curate.corpus.report import build_report
from curate.corpus.result import TokenReport
from curate.corpus.sources import groups
from curate.corpus.table import DocumentTable
from curate.corpus.text import I32, I64, U64, Bool
from curate.data import tokenizer
from curate.data.corpus import Corpus, open_corpus
from curate.data.documents import UNREADABLE, Part, read_parts
from curate.data.tokenizer import CHECK_BYTES, CHECK_DOCUMENTS, Tokenizer, Verified
from curate.engine.threads import ahead, map_threads
from curate.errors import CurateError
from curate.report.progress import Advance, Stages


def count_tokens(inputs: Any, **options: Any) -> TokenReport:
    """Count the tokens of a corpus and of what is left of it after deduplication; the Python face of `curate tokens`.

    `inputs` is a path, a glob, a URL, a Hugging Face id, a polars frame, a list of records, or a list of these;
    `options` are those of the command (`tokenizer="o200k_base"`, `dedup="near"`, ...). Raises CurateError with what is
    wrong and what to do.
    """
    config, _ = resolve(TokensConfig, [("argument", options)])
    found = count(inputs, config)
    if config.out is not None:
        found.write(config.out, force=config.force)
    return found


def count(inputs: Any, config: TokensConfig, stages: Stages | None = None) -> TokenReport:
    """Count what `config` asks for in `inputs`."""
    stages = stages or Stages()
    scratch = tempfile.TemporaryDirectory(prefix="curate-", dir=config.tmp, ignore_cleanup_errors=True)
    corpus = open_corpus(
        inputs if isinstance(inputs, (list, tuple)) else [inputs],
        columns=config.text_column,
        document=config.document,
        chunk_bytes=config.chunk_size or 16 << 20,
    )
    with stages("tokenizer"):
        tokenizers = [
            tokenizer.load(name, special_tokens=config.special_tokens, allow_download=True)
            for name in config.tokenizer
            if name != "none"
        ]
    with stages("read") as advance:
        read = read_corpus(corpus, tokenizers, config, Path(scratch.name), advance)
    with stages("duplicates"):
        levels = find_duplicates(read, corpus, config)
    with stages("lines"):
        repeated = find_repeated_lines(read, levels)
    report = build_report(corpus, read, levels, repeated, tokenizers, config, stages)
    return TokenReport(config, report, read, levels, corpus, scratch)
