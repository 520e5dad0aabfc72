"""The story of `curate tokens`: read, count, find duplicates and repeated lines, account for every document.

One pass over the text measures each document; what the later steps need is kept as numbers, in memory or on disk. Then
each level says how many tokens it leaves: exact duplicates, lines seen before, near-duplicates. Which copy stays
depends on the texts (and on --prefer), not on the order of files, rows or workers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from curate.budget.result import Plan
from curate.config import resolve
from curate.corpus.clusters import DuplicateIndex
from curate.corpus.config import TokensConfig
from curate.corpus.earlier import add_earlier, index_place, keep_index
from curate.corpus.enough import plan_of
from curate.corpus.forecast import budget
from curate.corpus.levels import find_levels, find_repetition
from curate.corpus.measure import Measure, warm_up
from curate.corpus.minhash import MinHashParameters
from curate.corpus.notes import notes_on
from curate.corpus.report import build_report, sample_report
from curate.corpus.reread import recount
from curate.corpus.result import TokenReport
from curate.corpus.sample import sample
from curate.corpus.scan import Scan, scan
from curate.corpus.write import check_writable
from curate.data import tokenizer
from curate.data.corpus import Corpus, open_corpus
from curate.data.produce import produce
from curate.data.tokenizer import Tokenizer
from curate.engine import RAY, ray
from curate.engine.memory import give_back
from curate.errors import CurateError
from curate.report.progress import Stages


def count_tokens(inputs: Any, **options: Any) -> TokenReport:
    """Count the tokens of a corpus and of what is left of it after deduplication; the Python face of `curate tokens`.

    `inputs` is a path, a glob, a URL, a Hugging Face id, a polars frame, a list of records, or a list of these;
    `options` are those of the command (`tokenizer="o200k_base"`, `dedup="near"`, ...). Raises CurateError with what is
    wrong and what to do.
    """
    config, _ = resolve(TokensConfig, [("argument", options)])
    found: TokenReport = produce(count, inputs, config)
    return found


def count(inputs: Any, config: TokensConfig, stages: Stages | None = None) -> TokenReport:
    """Count what `config` asks for in `inputs`."""
    stages = stages or Stages()
    with index_place(config, stages.kept) as place:
        return _count(inputs, config, stages, place)


def _count(inputs: Any, config: TokensConfig, stages: Stages, place: Path | None) -> TokenReport:
    room = budget(config.memory, config.chunk_size, config.workers)
    scratch = _scratch(config.tmp)
    directory = Path(scratch.name)
    corpus = open_corpus(
        _as_list(inputs),
        columns=config.text_column,
        document=config.document,
        chunk_bytes=room.chunk,
        max_expand=config.max_expand,
        most=room.document,
        keep_stdin=directory / "stdin" if config.rereads else None,
    )
    if config.engine == RAY:
        with stages("connect"):
            ray.connect(config.address, config.workers)
    with stages("tokenizer"):
        tokenizers = _load(config)
    if config.sample is not None:
        with stages("sample"):
            estimate = sample(corpus, tokenizers, config)
        report = sample_report(corpus, estimate, tokenizers, config, stages)
        return TokenReport(config, report, plan=_add_plan(report, config))

    parameters = MinHashParameters(config.ngram, config.bands, config.rows, config.threshold)
    measure = Measure(tokenizers, config.dedup, parameters, config.eos, config.names_wanted, room.chunk)
    index = None if config.dedup == "none" else DuplicateIndex(parameters, room.duplicates, directory)
    if index is not None and config.against:
        with stages("against"):
            add_earlier(index, config, measure, room)
    with stages("read"):
        found = scan(corpus, measure, directory, index, room, config, stages)
        notes = notes_on(found, corpus)
        if config.drop_lines and config.write:
            check_writable(corpus)
        notes += _count_again(corpus, found, tokenizers, config)
    give_back()
    with stages("duplicates"):
        levels = find_levels(found, [item.name for item in corpus.items], config.prefer, config.workers, stages.kept)
    if index is not None and place is not None:
        with stages("save index"):
            keep_index(index, levels, config, place)
    index = found.index = None  # what it holds is no longer wanted, and the lines want room
    give_back()
    with stages("lines"):
        lines, paragraphs, dropped = find_repetition(found, levels, stages.kept, marked=config.drop_lines)
    if lines is not None and config.drop_lines and tokenizers:
        with stages("recount"):
            again = partial(recount, corpus, found, dropped, tokenizers[0], config.eos, config.workers)
            tokens = stages.kept.once(f"recount-{levels.digest}", again)
            lines = replace(lines, tokens=tokens, left=int(tokens.sum(where=levels.distinct)))
    found.lines = found.paragraphs = None
    give_back()
    report = build_report(
        corpus=corpus, found=found, levels=levels, lines=lines, paragraphs=paragraphs, tokenizers=tokenizers,
        config=config, notes=notes, stages=stages,
    )  # fmt: skip
    return TokenReport(config, report, corpus, found, levels, dropped, scratch, _add_plan(report, config))


def _load(config: TokensConfig) -> list[Tokenizer]:
    """Load the tokenizers, and meanwhile, in another thread, the kernels."""
    with ThreadPoolExecutor(1) as helper:
        if config.sample is None:
            helper.submit(warm_up, config.dedup)
        return [
            tokenizer.load(name, special_tokens=config.special_tokens, allow_download=name != tokenizer.DEFAULT)
            for name in config.tokenizer
            if name != "none"
        ]


def _count_again(corpus: Corpus, found: Scan, tokenizers: Sequence[Tokenizer], config: TokensConfig) -> list[str]:
    """Count all documents by the reference where the fast engine was found to differ on the way; return what to say."""
    notes = []
    can_reread = config.rereads or all(item.kind != "stdin" for item in corpus.items)
    for number in sorted(found.doubtful):
        said = "what was counted before that was not counted again, for stdin is gone"
        if can_reread:
            counts = recount(corpus, found, None, tokenizers[number], config.eos, config.workers)
            found.table.replace(f"tokens_{number}", counts)
            said = "all documents were counted again"
        notes.append(f"{tokenizers[number].about['name']}: {tokenizers[number].why}; {said}")
    return notes


def _add_plan(report: dict[str, Any], config: TokensConfig) -> Plan | None:
    """Put the plan for --params into the report."""
    plan = plan_of(report, config)
    report["plan"] = None if plan is None else plan.to_json()
    return plan


def _scratch(tmp: str | None) -> tempfile.TemporaryDirectory[str]:
    """Make a directory for intermediate results that vanishes with the run."""
    try:
        return tempfile.TemporaryDirectory(prefix="curate-", dir=tmp, ignore_cleanup_errors=True)
    except OSError as error:
        raise CurateError(f"--tmp {tmp}: {error.strerror or error}", "Give a directory that can be written.") from error


def _as_list(inputs: Any) -> list[Any]:
    """Return the inputs as a list; a list of records is one input."""
    if not isinstance(inputs, (list, tuple)) or (inputs and isinstance(inputs[0], Mapping)):
        return [inputs]
    return list(inputs)
