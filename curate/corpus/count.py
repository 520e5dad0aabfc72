"""The story of `curate tokens`: read, count, find duplicates and repeated lines, account for every document.

One pass over the text measures each document; what the later steps need is kept as numbers, in memory or on disk. Then
each level says how many tokens it leaves: exact duplicates, lines seen before, near-duplicates. Which copy stays
depends on the texts (and on --prefer), not on the order of files, rows or workers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curate.config import resolve
from curate.corpus.clusters import DuplicateIndex
from curate.corpus.config import TokensConfig
from curate.corpus.levels import find_levels, find_repetition
from curate.corpus.measure import Measure
from curate.corpus.minhash import MinHashParameters
from curate.corpus.notes import notes_on
from curate.corpus.report import build_report
from curate.corpus.result import TokenReport
from curate.corpus.scan import scan
from curate.data import tokenizer
from curate.data.corpus import open_corpus
from curate.report.progress import Stages


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
    directory = Path(scratch.name)
    memory = 1 << 30
    corpus = open_corpus(
        _as_list(inputs),
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
    parameters = MinHashParameters(config.ngram, config.bands, config.rows, config.threshold)
    index = None if config.dedup == "none" else DuplicateIndex(parameters, memory, directory)

    with stages("read") as advance:
        measure = Measure(tokenizers, config.dedup, parameters, eos=config.eos)
        found = scan(corpus, measure, directory, index, memory // 2, config.workers, advance)
        notes = notes_on(found, corpus)
    with stages("duplicates"):
        levels = find_levels(found, [item.name for item in corpus.items], config.prefer, config.workers)
    with stages("lines"):
        lines = find_repetition(found, found.lines, "line_sizes", levels)
        paragraphs = find_repetition(found, found.paragraphs, "paragraph_sizes", levels)
    report = build_report(
        corpus=corpus, found=found, levels=levels, lines=lines, paragraphs=paragraphs, tokenizers=tokenizers,
        config=config, notes=notes, stages=stages,
    )  # fmt: skip
    return TokenReport(config, report, corpus, found, levels, scratch)


def _as_list(inputs: Any) -> list[Any]:
    """Return the inputs as a list; a list of records is one input."""
    if not isinstance(inputs, (list, tuple)) or (inputs and isinstance(inputs[0], Mapping)):
        return [inputs]
    return list(inputs)
