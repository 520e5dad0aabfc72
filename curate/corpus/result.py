"""The result of a count, and its directory on disk."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from curate.budget.result import Plan
from curate.config import as_text
from curate.corpus.config import TokensConfig
from curate.corpus.enough import enough_body
from curate.corpus.ledger import write_ledger, write_unreadable
from curate.corpus.levels import Levels
from curate.corpus.lines import Repeated
from curate.corpus.scan import Scan
from curate.corpus.write import write_documents
from curate.data.corpus import Corpus
from curate.data.manifest import OutputDirectory, write_json, write_manifest
from curate.report.tokens_page import tokens_page


@dataclass(frozen=True)
class TokenReport:
    """What `count_tokens` returns: `report` is what report.json holds (docs/tokens.md).

    The rest is kept for writing (None: the corpus was sampled); what lies on disk for it goes when this object does.
    """

    config: TokensConfig
    report: dict[str, Any]
    corpus: Corpus | None = None
    found: Scan | None = None
    levels: Levels | None = None
    dropped: Repeated | None = None
    scratch: tempfile.TemporaryDirectory[str] | None = None
    plan: Plan | None = None

    def write(self, directory: str | Path, *, force: bool = False) -> Path:
        """Write the output directory (files: docs/tokens.md); it appears under its name only when complete.

        Raises UsageError when the directory holds files, CurateError when it cannot be written.
        """
        with OutputDirectory(directory, force=force) as out:
            self.write_into(out.path)
        return Path(directory)

    def write_into(self, path: Path) -> None:
        """Write all files into an existing directory."""
        if self.corpus is not None and self.found is not None and self.levels is not None:
            write_ledger(self.found, self.levels, self.corpus, path / "ledger")
            write_unreadable(self.found, self.corpus, path / "unreadable.jsonl")
            if (form := self.config.write) is not None:
                workers = self.config.workers
                write_documents(self.corpus, self.found, self.levels, self.dropped, form, path, workers)
        write_json(path / "report.json", self.report)
        (path / "report.html").write_text(self._page(), encoding="utf-8")
        settings = {f.name: as_text(getattr(self.config, f.name)) for f in fields(self.config)}
        write_manifest(path, command="tokens", config=settings, sources=self.report["sources"])

    def _page(self) -> str:
        return tokens_page(self.report, "" if self.plan is None else enough_body(self.report, self.plan))
