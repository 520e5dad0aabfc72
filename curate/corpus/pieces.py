"""What was measured of a bundle as pieces of a checkpoint, and back (`curate.data.checkpoint`).

There are two of each bundle. The small one holds what took most of the time, the numbers of tokens and the band keys:
a twentieth of the bytes. The other is kept where there is time to spare, and is otherwise measured again, which takes
about half as long as measuring all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from io import BytesIO
from typing import Any

import numpy as np
import polars as pl

from curate.corpus.lines import Lines
from curate.corpus.measure import Measure, Measured
from curate.corpus.minhash import MinHashParameters, Signed
from curate.corpus.table import packed
from curate.data.checkpoint import Checkpoint
from curate.data.documents import Part
from curate.data.tokenizer import Verified
from curate.errors import UsageError


def kept_measure(measure: Measure, kept: Checkpoint) -> Callable[[tuple[int, list[Part]]], Measured]:
    """Return a function of (number, bundle) that measures the bundle, unless its pieces are kept already."""
    quick = replace(measure, tokenizers=(), parameters=MinHashParameters(measure.parameters.ngram, 1, 1))

    def measured(numbered: tuple[int, list[Part]]) -> Measured:
        number, bundle = numbered
        fresh: list[Measured] = []

        def dear() -> dict[str, Any]:
            fresh.append(measure(bundle))
            return _dear(fresh[0])

        # Chunks of another size are cut elsewhere.
        name = f"scan-{measure.chunk_bytes}/{number:06}"
        found = kept.once(name, dear, _agreed)
        rest = kept.once(f"{name}-rest", lambda: _rest(fresh[0] if fresh else quick(bundle)), spare=True)
        return _measured(found, rest)

    return measured


def _agreed(piece: Mapping[str, Any]) -> bool:
    """Whether no tokenizer differed from its reference; if one did, the run that goes on has to see that for itself."""
    return not any(verified["mismatches"] for verified in piece["verified"])


def _dear(measured: Measured) -> dict[str, Any]:
    numbers = measured.numbers
    return {
        "tokens": {name: counts for name, counts in numbers.items() if name.startswith("tokens")},
        "keys": None if measured.signed is None else measured.signed.keys,
        "verified": [asdict(verified) for verified in measured.verified],
        "texts": _texts(numbers),
    }


def _rest(measured: Measured) -> dict[str, Any]:
    measured = measured.without_starts()
    signed = measured.signed
    return measured._asdict() | {
        "numbers": {name: counts for name, counts in measured.numbers.items() if not name.startswith("tokens")},
        "signed": None if signed is None else vars(signed) | {"keys": None},
        "lines": None if measured.lines is None else vars(measured.lines),
        "paragraphs": None if measured.paragraphs is None else vars(measured.paragraphs),
        "verified": None,
        "unreadable": packed(measured.unreadable),
        "mended": [[source, what, count] for (source, what), count in measured.mended.items()],
    }


def _measured(dear: Mapping[str, Any], rest: Mapping[str, Any]) -> Measured:
    if not np.array_equal(dear["texts"], _texts(rest["numbers"])):
        raise UsageError(
            "--resume: the input has changed since, though neither its size nor its time has",
            "Start anew without --resume.",
        )
    signed, lines, paragraphs = rest["signed"], rest["lines"], rest["paragraphs"]
    return Measured(**rest)._replace(
        numbers=rest["numbers"] | dear["tokens"],
        signed=None if signed is None else Signed(**signed | {"keys": dear["keys"]}),
        lines=None if lines is None else Lines(**lines),
        paragraphs=None if paragraphs is None else Lines(**paragraphs),
        verified=[Verified(**verified) for verified in dear["verified"]],
        unreadable=pl.read_ipc(BytesIO(rest["unreadable"])),
        mended=Counter({(source, what): count for source, what, count in rest["mended"]}),
    )


def _texts(numbers: Mapping[str, Any]) -> Any:
    """Return what tells the texts from others: a hash of each, or, where duplicates are not looked for, the lengths."""
    return numbers["text_key"] if "text_key" in numbers else numbers["bytes"]
