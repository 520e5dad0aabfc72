"""Rules against verdicts of our own: each line of verdicts_*.jsonl is an answer and whether a rule keeps it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from curate.sft import filters


def cases_of(language: str) -> list[dict[str, Any]]:
    """Return the cases of a language: rule, answer, keep, and perhaps prompt and repeat."""
    text = Path(__file__).with_name(f"verdicts_{language}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(("language", "least"), [("en", 150), ("zh", 100)])
def test_every_verdict_is_met(language, least, ledger):
    """All of them, with evidence for each drop."""
    cases = cases_of(language)
    assert len(cases) >= least
    wrong = []
    for name in dict.fromkeys(case["rule"] for case in cases):
        mine = [case for case in cases if case["rule"] == name]
        rows = [(case.get("prompt", "Explain it."), case["answer"] * case.get("repeat", 1)) for case in mine]
        marked = filters.apply(ledger(*rows), filters.resolve([name]))
        for case, reason, evidence in zip(mine, marked["drop_reason"], marked["evidence"], strict=True):
            if (reason is None) != case["keep"] or (evidence is None) != case["keep"]:
                wrong.append((name, case["answer"][:60], reason, evidence))
    assert wrong == []
