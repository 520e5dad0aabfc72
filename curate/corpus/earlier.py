"""What earlier corpora have: --against loads it before a corpus is read, --save-index keeps it for later ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np

from curate.config import as_text
from curate.corpus.clusters import DuplicateIndex
from curate.corpus.config import TokensConfig
from curate.corpus.forecast import Budget
from curate.corpus.levels import Levels
from curate.corpus.measure import Measure
from curate.corpus.saved_index import load_index, save_index
from curate.corpus.text import Bool
from curate.data.checkpoint import Checkpoint
from curate.data.corpus import bytes_of, open_corpus
from curate.data.manifest import OutputDirectory, write_manifest
from curate.engine.threads import ahead, map_threads
from curate.errors import AlreadyFinished, UsageError

_INDEX = "index.json"


def add_earlier(index: DuplicateIndex, config: TokensConfig, measure: Measure, room: Budget) -> None:
    """Put what --against names into an empty index: one saved index at most, and any number of corpora."""
    saved = [name for name in config.against if os.path.isfile(Path(name) / _INDEX)]
    corpora = [name for name in config.against if name not in saved]
    if len(saved) > 1:
        raise UsageError(
            f"--against: {', '.join(saved)} are saved indexes, and one can be loaded",
            "An index that is saved in a run with --against holds the earlier one too: give the latest.",
        )
    for name in saved:
        load_index(index, Path(name))
    if not corpora:
        return
    corpus = open_corpus(
        corpora,
        columns=config.text_column,
        document=config.document,
        chunk_bytes=measure.chunk_bytes,
        max_expand=config.max_expand,
        most=room.document,
    )
    plain = replace(measure, tokenizers=(), names=False)
    for measured in map_threads(
        plain, ahead(corpus.bundles(), 1), config.workers, bytes_of, corpus.at_work(config.workers)
    ):
        assert measured.signed is not None
        index.add(measured.signed)


@contextmanager
def index_place(config: TokensConfig, kept: Checkpoint) -> Iterator[Path | None]:
    """Reserve --save-index, so that it is refused before a corpus is read; give the directory to write the index into.

    None where there is nothing to write: without the option, and where the interrupted run that this one continues has
    written it. What another run wrote there is replaced with --force alone.
    """
    with ExitStack() as stack:
        place = None
        if config.save_index is not None:
            _refuse_nested(config.save_index, config.out)
            out = OutputDirectory(
                config.save_index, force=config.force, resume=kept.resumed, key=kept.key, option="--save-index"
            )
            with suppress(AlreadyFinished):
                place = stack.enter_context(out).path
        yield place


def _refuse_nested(index: str, out: str | None) -> None:
    if out is None:
        return
    places = [Path(os.path.realpath(name)) for name in (index, out)]
    if any(one.is_relative_to(other) for one, other in permutations(places)):
        raise UsageError(
            f"--save-index {index} and --out {out} lie one in the other",
            "Give each a place of its own: what is there is replaced as a whole.",
        )


def keep_index(index: DuplicateIndex, levels: Levels, config: TokensConfig, place: Path) -> None:
    """Write the index of the documents that stay, those of --against included, into the directory `place`."""
    kept: Bool = np.concatenate([levels.earlier_kept, levels.kept])
    save_index(index, place, kept)
    settings = {"against": as_text(config.against), "documents": int(kept.sum())}
    write_manifest(place, command="tokens --save-index", config=settings, sources=[])
