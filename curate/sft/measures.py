"""What rules found in a pool, kept on disk: another threshold or another choice of rules reads columns, not texts.

What a rule of ours computes depends on the texts of a row and on nothing else, so its column belongs to the pool. The
columns of a pool are one file. Its name is a hash of the rows' ids, which are hashes of their content, in their order,
and of all that could change a column: the code of the rules and the versions of what runs it.

- A rule that looks at more than texts (tokens), and a rule of the user's own, whose code may do anything, is computed
  every time.
- A file holds its sha256 and then parquet. What is cut short, changed or foreign is passed over and written anew;
  nothing is unpickled.
- A file appears by a rename of a complete one, so that a killed run leaves none. Of two runs at once the last one's
  columns stay.

It lies beside the vectors: `cache.py`.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import polars as pl

from curate.data import chat, lexicon
from curate.sft import filters, language
from curate.sft.cache import cache_root, write_whole

TEXTS = {"chat", "prompt", "response", "roles"}
_DIGEST_BYTES = 32


class Measures:
    """The columns of one pool, by the name of the rule."""

    def __init__(self, table: pl.DataFrame, compute: filters.Compute = filters.compute) -> None:
        """Open the columns of `table`, the ledger as it was opened: `id`, and `chat`, null in unreadable rows.

        compute: computes columns of rules of ours, which look at one row at a time.
        """
        self._compute = compute
        self._path = cache_root() / "columns" / f"{_key(table)}.columns"
        self._columns = _read(self._path, table.height)
        self._new = False

    def look(self, frame: pl.DataFrame, expressions: dict[str, pl.Expr]) -> pl.DataFrame:
        """Return the columns as `filters.compute` does; those that are known are not computed."""
        missing = {name: expression for name, expression in expressions.items() if name not in self._columns}
        ours = {name: missing[name] for name in missing if filters.is_built_in(name) and _reads_texts(missing[name])}
        if ours:
            self._columns |= {column.name: column for column in self._compute(frame, ours)}
            self._new = True
        others = filters.compute(frame, {name: missing[name] for name in missing if name not in ours})
        return pl.DataFrame([others[name] if name in others.columns else self._columns[name] for name in expressions])

    def column(self, name: str, compute: Callable[[], pl.Series]) -> pl.Series:
        """Return the column `name`, which depends on texts and on code of ours; computed where it is not known."""
        if name not in self._columns:
            self._columns[name], self._new = compute().alias(name), True
        return self._columns[name]

    def save(self) -> list[str]:
        """Write what is new; return a note where the disk takes no more."""
        if not self._new:
            return []
        stored = BytesIO()
        pl.DataFrame(self._columns).write_parquet(stored)
        packed = stored.getvalue()
        try:
            with write_whole(self._path) as file:
                file.write(sha256(packed).digest() + packed)
        except OSError as error:
            return [f"columns of rules are not cached: {error.filename or self._path}: {error.strerror or error}"]
        return []


def _reads_texts(expression: pl.Expr) -> bool:
    return TEXTS.issuperset(expression.meta.root_names())


def _key(table: pl.DataFrame) -> str:
    ids = table.select(pl.when(pl.col("chat").is_not_null()).then("id").fill_null("").str.join("\n")).item()
    return sha256(f"{_versions()}\n{ids}".encode()).hexdigest()


@cache
def _versions() -> str:
    """Return what else decides on a column: the code that makes texts and looks at them, and what runs it."""
    rules = sorted(Path(filters.__file__).parent.glob("*.py"))
    others = [Path(str(module.__file__)) for module in (chat, language, lexicon)]
    code = sha256(b"".join(file.read_bytes() for file in (*rules, *others)))
    return f"{code.hexdigest()} {sys.version} {pl.__version__} {zlib.ZLIB_RUNTIME_VERSION}"


def _read(path: Path, height: int) -> dict[str, pl.Series]:
    """Return the columns in the file, none where it is absent or not what was written."""
    with suppress(OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        held = path.read_bytes()
        packed = held[_DIGEST_BYTES:]
        if sha256(packed).digest() == held[:_DIGEST_BYTES]:
            found = pl.read_parquet(BytesIO(packed), n_rows=height + 1)
            if found.height == height:
                return {column.name: column for column in found}
    return {}
