"""What was measured of a bundle as a piece of a checkpoint, and back (`curate.data.checkpoint`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from io import BytesIO
from typing import Any

import polars as pl

from curate.corpus.lines import Lines
from curate.corpus.measure import Measure, Measured
from curate.corpus.minhash import Signed
from curate.corpus.table import packed
from curate.data.checkpoint import Checkpoint
from curate.data.documents import Part
from curate.data.tokenizer import Verified


def kept_measure(measure: Measure, kept: Checkpoint) -> Callable[[tuple[int, list[Part]]], Measured]:
    """Return a function of (number, bundle) that measures the bundle, unless that piece is kept already."""

    def measured(numbered: tuple[int, list[Part]]) -> Measured:
        number, bundle = numbered
        # Chunks of another size are cut elsewhere.
        name = f"scan-{measure.chunk_bytes}/{number:06}"
        return _measured(kept.once(name, lambda: _piece(measure(bundle)), _agreed))

    return measured


def _agreed(piece: Mapping[str, Any]) -> bool:
    """Whether no tokenizer differed from its reference; if one did, the run that goes on has to see that for itself."""
    return not any(verified["mismatches"] for verified in piece["verified"])


def _piece(measured: Measured) -> dict[str, Any]:
    measured = measured.without_starts()
    return measured._asdict() | {
        "signed": None if measured.signed is None else vars(measured.signed),
        "lines": None if measured.lines is None else vars(measured.lines),
        "paragraphs": None if measured.paragraphs is None else vars(measured.paragraphs),
        "verified": [asdict(verified) for verified in measured.verified],
        "unreadable": packed(measured.unreadable),
        "mended": [[source, what, count] for (source, what), count in measured.mended.items()],
    }


def _measured(piece: Mapping[str, Any]) -> Measured:
    signed, lines, paragraphs = piece["signed"], piece["lines"], piece["paragraphs"]
    return Measured(**piece)._replace(
        signed=None if signed is None else Signed(**signed),
        lines=None if lines is None else Lines(**lines),
        paragraphs=None if paragraphs is None else Lines(**paragraphs),
        verified=[Verified(**verified) for verified in piece["verified"]],
        unreadable=pl.read_ipc(BytesIO(piece["unreadable"])),
        mended=Counter({(source, what): count for source, what, count in piece["mended"]}),
    )
