"""The part `quality` of evidence.py: filters and scores beside selections of Alpaca that others published.

Reported, not tuned to. CaR (1,013 rows) and Cherry LLM (3,111 rows) are told apart from the rest of the pool: AUC is
the chance that a score is higher in a row of theirs than in another row, 0.5 for a score that says nothing, and for a
rule the same of rows that it keeps. Experts revised 2,286 answers of Alpaca: how often does a score prefer the revision
(ties count half)? A rule can only prefer one where it takes exactly one of the two.
"""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import curate

FILTERS = ("clean", "style", "lima", "quality")
SETS = {"CaR": "car_alpaca_selected", "Cherry": "cherry_alpaca_5_percent"}
PICKS = ("facility-location", "k-center", "cluster-medoids", "repr-filter", "longest", "random")
SCORES = {
    "bytes of the answer": lambda rows: rows["response"].str.len_bytes(),
    "bytes of the prompt": lambda rows: rows["prompt"].str.len_bytes(),
    "sentences of the answer": lambda rows: rows["response"].str.count_matches(r"[.!?](?:\s|$)"),
    "distinct words of the answer": lambda rows: rows["response"].str.to_lowercase().str.split(" ").list.n_unique(),
    "compression of the answer": lambda rows: pl.Series([_packed(text) for text in rows["response"]]),
}


def _packed(text: str) -> float:
    return len(text.encode()) / len(zlib.compress(text.encode(), 9))


def key(record: dict[str, str]) -> str:
    """Return what rows are matched by."""
    return "\0".join(record[name] for name in ("instruction", "input", "output"))


def read(path: Path) -> list[dict[str, Any]]:
    """Read gzip'd JSON lines, or one gzip'd JSON list."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return json.load(file) if path.name.endswith(".json.gz") else [json.loads(line) for line in file]


def ledger(rows: Any) -> pl.DataFrame:
    """Return the rows in their order, with all rules that fired."""
    options = {"filters": FILTERS, "dedup": "none", "metrics": "none", "scope": "global", "strategy": "random"}
    return curate.select_rows(rows, count=1, **options).ledger.sort("line")


def auc(score: np.ndarray, inside: np.ndarray) -> float:
    """Return the chance that a row inside scores higher than one outside."""
    from scipy.stats import rankdata

    ranks, n = rankdata(score), int(inside.sum())
    return float((ranks[inside].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))


def revisions(data: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the ledgers of the original and of the revised answers."""
    pairs: list[dict[str, str]] = []
    for part in ("train", "test"):
        with gzip.open(data / f"pairs/car_expert_revised_{part}.csv.gz", "rt", encoding="utf-8", newline="") as file:
            pairs += csv.DictReader(file)
    both = [
        [{"instruction": pair["src"].removeprefix("Instruction: "), "output": pair[side].removeprefix("Response: ")}
         for pair in pairs]
        for side in ("neg", "pos")
    ]  # fmt: skip
    original, revised = (ledger(rows) for rows in both)
    return original, revised


def quality(data: Path) -> dict[str, Any]:
    """Print a table of scores, one of rules and one of picks; return their figures."""
    alpaca = data / "instruct/alpaca_data_52k.jsonl.gz"
    pool = [key(record) for record in read(alpaca)]
    sets = {name: read(data / f"selections/{file}.json.gz") for name, file in SETS.items()}
    keys = {name: {key(record) for record in rows} for name, rows in sets.items()}
    inside = {name: np.array([row in known for row in pool]) for name, known in keys.items()}
    table, (original, revised) = ledger(str(alpaca)), revisions(data)
    result: dict[str, Any] = {"scores": {}, "rules": {}, "picks": {}}

    print(f"\n{'score':<30}{'AUC CaR':>10}{'AUC Cherry':>12}{'prefers the revision':>22}")
    for name, score in SCORES.items():
        values = score(table).to_numpy()
        before, after = score(original).to_numpy(), score(revised).to_numpy()
        prefers = float((after > before).mean() + (after == before).mean() / 2)
        found = {"CaR": auc(values, inside["CaR"]), "Cherry": auc(values, inside["Cherry"]), "revision": prefers}
        result["scores"][name] = found
        print(f"{name:<30}{found['CaR']:>10.3f}{found['Cherry']:>12.3f}{prefers:>22.3f}")

    print(
        f"\n{'rule':<30}{'pool':>8}{'CaR':>8}{'Cherry':>8}{'AUC CaR':>10}{'AUC Cherry':>12}{'original : revision':>22}"
    )
    for name in sorted(set(table["rules"].explode().drop_nulls())):
        fired = table["rules"].list.contains(name).to_numpy()
        shares = [float(fired[rows].mean()) for rows in (slice(None), inside["CaR"], inside["Cherry"])]
        areas = [auc(~fired, inside[known]) for known in ("CaR", "Cherry")]
        before, after = (side["rules"].list.contains(name).to_numpy() for side in (original, revised))
        only = int((before & ~after).sum()), int((after & ~before).sum())
        result["rules"][name] = {"shares": shares, "auc": areas, "only": only}
        print(f"{name:<30}", *(f"{share:>7.2%}" for share in shares), *(f"{area:>10.3f}" for area in areas), only)

    print(f"\n{'picks, share of a set':<30}{'CaR':>8}{'Cherry':>8}")
    for strategy in PICKS:
        shares = []
        for rows in inside.values():
            options = {"count": int(rows.sum()), "strategy": strategy, "metrics": "none"}
            picked = curate.select_rows(str(alpaca), **options).ledger.sort("line")["rank"].is_not_null().to_numpy()
            shares.append(float(rows[picked].mean()))
        result["picks"][strategy] = shares
        print(f"{strategy:<30}", *(f"{share:>7.2%}" for share in shares), flush=True)
    print(f"{'chance':<30}", *(f"{rows.mean():>7.2%}" for rows in inside.values()))
    return result
