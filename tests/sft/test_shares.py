"""`--balance`: exact quotas over the values of a column, with shares, floors and caps."""

from __future__ import annotations

import random
from pathlib import Path

import orjson
import polars as pl
import pytest

import curate
from curate.cli import app
from curate.errors import UsageError
from curate.face import run
from curate.sft.shares import values_of

SAMPLE = Path(__file__).parents[2] / "pipelines/sample_pool.jsonl"


def rows(**counts):
    """Make so many different rows of each kind."""
    return [
        {"instruction": f"Tell of {kind} number {i} and {i * i}.", "output": f"It is {kind} {i}.", "kind": kind}
        for kind, count in counts.items()
        for i in range(count)
    ]


def balanced(pool, **options):
    selection = curate.select_rows(pool, workers=1, **options)
    table = {entry["name"]: entry for entry in selection.report["balance"]}
    return selection, {name: (entry["asked"], entry["available"], entry["given"]) for name, entry in table.items()}


def test_what_the_table_says_is_what_is_given():
    """A column of the records: its shares, and as many rows of each value as the table says, from clusters."""
    selection, table = balanced(rows(a=60, b=30, c=10), count=20, balance="kind", shares="c=0.25", tau=3)
    assert table == {"a": (8, 60, 8), "b": (7, 30, 7), "c": (5, 10, 5)}
    given = dict(selection.rows["balance"].value_counts().iter_rows())
    assert given == {name: entry[2] for name, entry in table.items()}
    assert selection.report["clusters"]["kind"] == "cluster"
    assert sum(group["given"] for group in selection.report["clusters"]["quotas"]) == 20


def test_values_that_lack_rows_are_said():
    """A value without rows, and one with too few, stand in the table and are said aloud."""
    selection, table = balanced(rows(a=60, b=3), count=20, balance="kind", shares="b=0.5,manual=0.1")
    assert table == {"a": (8, 60, 17), "b": (10, 3, 3), "manual": (2, 0, 0)}
    assert "kind 'b' has 3 of the 10 rows asked: others make up for it" in selection.report["notes"]
    assert "no row has the kind 'manual' that --shares names: others make up for it" in selection.report["notes"]


@pytest.mark.parametrize("strategy", ["k-center", "task-center", "longest"])
def test_floors_and_caps_hold_with_any_strategy(strategy):
    """Values of a floor and a cap, for strategies in clusters and in one pool."""
    _, table = balanced(rows(a=60, b=30, c=5), count=20, balance="kind", floor=4, cap=9, strategy=strategy)
    assert [entry[2] for entry in table.values()] == [9, 7, 4]


def test_clusters_are_values_too():
    """Floors and caps hold for K-means clusters, whose rows are then what the ledger says."""
    selection, table = balanced(rows(a=60, b=30), count=20, clusters=5, balance="cluster", floor=2, cap=6)
    given = dict(selection.rows["cluster"].value_counts().iter_rows())
    assert {str(cluster): count for cluster, count in given.items()} == {
        name: entry[2] for name, entry in table.items()
    }
    assert all(2 <= entry[2] <= 6 for entry in table.values())
    assert sum(entry[2] for entry in table.values()) == 20


def test_the_file_is_a_value(tmp_path):
    """--balance source: the name of the file up to its first dot."""
    for name, count in (("se.stem.jsonl", 30), ("own.jsonl", 6)):
        pool = rows(**{name[:2]: count})
        (tmp_path / name).write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in pool))
    files = [str(tmp_path / "se.stem.jsonl"), str(tmp_path / "own.jsonl")]
    _, table = balanced(files, count=10, balance="source", shares="own=0.4")
    assert table == {"own": (4, 6, 4), "se": (6, 30, 6)}


def test_script_and_length_of_a_row():
    """The script of most letters, and the answer's bytes; a row without letters has no script."""
    live = pl.DataFrame({
        "prompt": ["翻译", "Translate, please", "1 + 1", "ひらがなで"],
        "response": ["这是一段中文 ok", "да", "2" * 64, "あ" * 100],
    })  # fmt: skip
    assert values_of(live, "script").to_list() == ["Han", "Latin", "(none)", "Hiragana"]
    assert values_of(live, "length").to_list() == ["0+", "0+", "64+", "256+"]


def test_order_does_not_matter(tmp_path):
    """Shuffled lines give the same rows in the same order, where copies differ in the column too."""
    pool = rows(a=40, b=40) + [row | {"kind": "b"} for row in rows(a=9)]
    want = curate.select_rows(pool, count=15, balance="kind", floor=3, workers=1)
    random.Random(4).shuffle(pool)
    got = curate.select_rows(pool, count=15, balance="kind", floor=3, workers=1)
    assert got.rows["id"].to_list() == want.rows["id"].to_list()
    assert got.report["balance"] == want.report["balance"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"floor": 3}, "--floor is for the values of --balance"),
        ({"shares": "a=0.5", "cap": 3}, "--shares and --cap are for the values of --balance"),
        ({"balance": "kind", "shares": "a=0.7,b=0.4"}, "--shares add up to 1.1, more than 1"),
        ({"balance": "kind", "shares": "a"}, "should be VALUE=SHARE"),
        ({"balance": "kind", "shares": "a=2"}, "should be above 0 and at most 1"),
        ({"balance": "kin"}, "--balance kin: no record has the column kin"),
        ({"balance": "cluster", "scope": "global"}, "--balance cluster needs K-means clusters"),
        ({"balance": "cluster", "strategy": "longest"}, "--balance cluster needs K-means clusters"),
        ({"balance": "kind", "floor": 4}, "'b' should give at least 4 rows, but has only 3 of them"),
        ({"balance": "kind", "cap": 2}, "5 rows are wanted, but the groups may give 4 at most: 'a' 2, 'b' 2"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    """Options without --balance, shares that are none, and bounds that cannot be kept, with the group."""
    with pytest.raises(UsageError, match=said):
        curate.select_rows(rows(a=20, b=3), count=5, workers=1, **options)


def test_a_budget_of_tokens_is_not_shared_out():
    """Quotas count rows."""
    with pytest.raises(UsageError, match="--balance shares out rows, and --budget-tokens counts tokens"):
        curate.select_rows(rows(a=9), budget_tokens=100, balance="kind")


def test_the_console_shows_asked_available_given(capsys):
    """At most 80 columns; values in the order of their numbers."""
    assert run(app, ["select", str(SAMPLE), "--count", "30", "--balance", "length", "--workers", "1", "--quiet"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    start = lines.index(["length", "asked", "available", "given"])
    assert [line[0] for line in lines[start + 1 : start + 5]] == ["0+", "64+", "256+", "1024+"]
