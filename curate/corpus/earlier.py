"""What earlier corpora have: --against loads it before a corpus is read, --save-index keeps it for later ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from curate.config import as_text
from curate.corpus.clusters import DuplicateIndex
from curate.corpus.config import TokensConfig
from curate.corpus.levels import Levels
from curate.corpus.measure import Measure
from curate.corpus.saved_index import load_index, save_index
from curate.corpus.text import Bool
from curate.data.corpus import open_corpus
from curate.data.manifest import OutputDirectory, write_manifest
from curate.engine.threads import ahead, map_threads
from curate.errors import UsageError

_INDEX = "index.json"


def add_earlier(index: DuplicateIndex, config: TokensConfig, measure: Measure) -> None:
    """Put what --against names into an empty index: one saved index at most, and any number of corpora."""
    saved = [name for name in config.against if (Path(name) / _INDEX).is_file()]
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
    )
    plain = replace(measure, tokenizers=(), names=False)
    for measured in map_threads(plain, ahead(corpus.bundles(), 1), config.workers):
        assert measured.signed is not None
        index.add(measured.signed)


def keep_index(index: DuplicateIndex, levels: Levels, config: TokensConfig, *, again: bool) -> None:
    """Write the index of the documents that stay, those of --against included, to --save-index.

    again: an interrupted run may have written it already.
    """
    assert config.save_index is not None
    kept: Bool = np.concatenate([levels.earlier_kept, levels.kept])
    with OutputDirectory(config.save_index, force=config.force or again) as out:
        save_index(index, out.path, kept)
        settings = {"against": as_text(config.against), "documents": int(kept.sum())}
        write_manifest(out.path, command="tokens --save-index", config=settings, sources=[])
