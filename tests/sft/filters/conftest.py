"""Ledgers for the filters' tests."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from curate.sft import filters
from curate.sft.filters import Filter

Ledger = Callable[..., pl.DataFrame]
SCHEMA = {
    "id": pl.String, "chat": pl.String, "prompt": pl.String, "response": pl.String, "roles": pl.String,
    "drop_reason": pl.String, "rules": pl.List(pl.String), "evidence": pl.String,
}  # fmt: skip


def row(prompt: str, response: str, number: int = 0, /, **changes: object) -> dict[str, object]:
    """Return one ledger row of a single exchange."""
    turns = [{"content": prompt, "role": "user"}, {"content": response, "role": "assistant"}]
    chat = json.dumps({"messages": turns}, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    blank = {"drop_reason": None, "rules": [], "evidence": None}
    text = {"chat": chat, "prompt": prompt, "response": response, "roles": "ua"}
    return {"id": f"{number:04d}", **text, **blank, **changes}


@pytest.fixture(scope="session")
def ledger() -> Ledger:
    """Return a function that makes a ledger of (prompt, response) pairs or of whole rows."""

    def make(*rows: tuple[str, str] | dict[str, object]) -> pl.DataFrame:
        made = [{**r, "id": f"{i:04d}"} if isinstance(r, dict) else row(*r, i) for i, r in enumerate(rows)]
        return pl.DataFrame(made, schema=SCHEMA)

    return make


@pytest.fixture(scope="session")
def verdict(ledger: Ledger) -> Callable[..., tuple[bool | None, str | None]]:
    """Return a function that gives a rule's `keep` and `evidence` for one row."""

    def judge(rule: Filter, prompt: str, response: str, /, **changes: object) -> tuple[bool | None, str | None]:
        made = rule()
        frame = ledger(row(prompt, response, **changes))
        measured = frame if made.measure is None else frame.with_columns(measure=made.measure)
        return measured.select(made.keep, evidence=made.evidence).row(0)

    return judge


@pytest.fixture(scope="session")
def marked(shared_data: Path, ledger: Ledger) -> Callable[[str], pl.DataFrame]:
    """Return a function that gives a real pool with the marks of all clean and style rules."""
    pools: dict[str, pl.DataFrame] = {}

    def mark(name: str) -> pl.DataFrame:
        if name not in pools:
            with gzip.open(shared_data / "instruct" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
                rows = [json.loads(line) for line in lines]
            pairs = [(f"{r['instruction']}\n{r.get('input', '')}".strip(), r["output"]) for r in rows]
            pools[name] = filters.apply(ledger(*pairs), filters.resolve(["clean", "style"]))
        return pools[name]

    return mark
