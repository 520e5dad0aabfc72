"""The result of a selection, and its directory on disk."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import polars as pl

from curate.config import as_text
from curate.data.manifest import OutputDirectory, write_json, write_manifest
from curate.data.write import export_rows, llama_factory_reads, write_dataset_info, write_rows, write_unreadable
from curate.report.card import dataset_card
from curate.report.page import write_page
from curate.report.select_page import select_page
from curate.sft.config import SelectConfig
from curate.sft.ledger import COLUMNS
from curate.sft.map import map_rows

if TYPE_CHECKING:
    import datasets

    from curate.data.read import Source


@dataclass(frozen=True)
class Selection:
    """What `select_rows` returns.

    `ledger` has one row per input record (columns: docs/select.md), `report` is what report.json holds, `unreadable`
    the lines that could not be read, `hits` the pairs of a row and an evaluation item that it holds (None: none asked).
    """

    config: SelectConfig
    ledger: pl.DataFrame
    unreadable: pl.DataFrame
    sources: list[Source]
    report: dict[str, Any]
    hits: pl.DataFrame | None = None

    @cached_property
    def rows(self) -> pl.DataFrame:
        """The selected rows, in pick order."""
        return self.ledger.filter(pl.col("rank").is_not_null()).sort("rank")

    def to_dataset(self) -> datasets.Dataset:
        """Return the selected rows as a `datasets.Dataset` in the shape of `format`, ready for a trainer."""
        import datasets

        rows = list(export_rows(self.rows, self.config.format))
        columns = dict.fromkeys(key for row in rows for key in row)  # not every row has tools or a system prompt
        # Arguments of tool calls differ in their keys: as Arrow structs each call would get the keys of all others.
        return datasets.Dataset.from_dict(
            {key: [row.get(key) for row in rows] for key in columns}, on_mixed_types="use_json"
        )

    def write(self, directory: str | Path, *, force: bool = False) -> Path:
        """Write the output directory (files: docs/select.md); it appears under its name only when complete.

        Raises UsageError when the directory holds files, CurateError when it cannot be written.
        """
        with OutputDirectory(directory, force=force) as out:
            self.write_into(out.path)
        return Path(directory)

    def write_into(self, path: Path) -> None:
        """Write all files of the selection into an existing directory."""
        keys = write_rows(self.rows, path / "train.jsonl", self.config.format)
        held = self.ledger.filter(pl.col("split") == "validation")
        if held.height:
            keys |= write_rows(held, path / "validation.jsonl", self.config.format)
        points = map_rows(self.ledger)
        _write_parquet(self.ledger.select(COLUMNS), path / "ledger.parquet")
        _write_parquet(points, path / "map.parquet")
        write_unreadable(self.unreadable, path / "unreadable.jsonl")
        if self.hits is not None:
            lines = (orjson.dumps(hit, option=orjson.OPT_APPEND_NEWLINE) for hit in self.hits.iter_rows(named=True))
            (path / "contamination.jsonl").write_bytes(b"".join(lines))
        write_json(path / "report.json", self.report)
        write_page(path / "report.html", select_page(self.report, self.ledger, points))
        write_dataset_info(path / "dataset_info.json", self.config.format, keys, validation=held.height > 0)
        card = dataset_card(
            self.report,
            self.rows,
            validation=held.height > 0,
            llama_factory=llama_factory_reads(self.config.format, keys),
        )
        (path / "README.md").write_text(card, encoding="utf-8")
        settings = {f.name: as_text(getattr(self.config, f.name)) for f in fields(self.config)}
        write_manifest(path, command="select", config=settings, sources=self.report["sources"])


def _write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame by way of memory: polars hides why a disk refused, and takes no path that is not UTF-8."""
    packed = BytesIO()
    frame.write_parquet(packed, compression="zstd")
    path.write_bytes(packed.getbuffer())
