"""`curate diff`: what changed from one selection, or count, to another."""

from __future__ import annotations

import contextlib
from pathlib import Path

import orjson
import polars as pl
import pytest

import curate
from curate.cli import app
from curate.diff import compare
from curate.errors import CurateError, UsageError
from curate.face import run

ROWS = [
    {"instruction": f"Say {word} to {name}.", "output": f"{word} it is, dear {name}.", "task": word}
    for word in ("hello", "goodbye", "thanks")
    for name in map(str, range(20))
]
HOSTILE = "\x1b[2J\x9b31m\r\u202e<script>alert(1)</script>"


def _write(path: Path, rows) -> str:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path.name


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """Return a directory with selections and counts of two pools; the second lacks rows and has others."""
    place = tmp_path_factory.mktemp("diff")
    other = [*ROWS[5:], {"instruction": HOSTILE, "output": "It is not run.", "task": HOSTILE},
             {"instruction": "Say nothing.", "output": "", "task": "thanks"}]  # fmt: skip
    with contextlib.chdir(place):
        first, second = _write(place / "first.jsonl", ROWS), _write(place / "second.jsonl", other)
        curate.select_rows(first, count=12, out="a", workers=2)
        curate.select_rows(second, count=14, holdout="0.1", seed=3, strategy="random", out="b", workers=1)
        curate.select_rows(first, count=6, task_column="task", out="tasks-a", workers=1)
        curate.select_rows(second, count=57, task_column="task", filters="none", out="tasks-b", workers=1)
        curate.count_tokens(first, text_column="instruction", out="count-a", workers=1)
        curate.count_tokens([first, second], text_column="instruction", dedup="exact", out="count-b", workers=1)
        curate.count_tokens(first, text_column="instruction", tokenizer="none", dedup="none", out="count-c", workers=1)
        curate.count_tokens(first, text_column="instruction", sample=0.5, out="count-d", workers=1)
    return place


@pytest.fixture(autouse=True)
def there(finished, monkeypatch):
    """Be where the directories are."""
    monkeypatch.chdir(finished)


def _plainly(name: str) -> dict[str, dict]:
    """Return the rows of a ledger by id: the slow way, row by row."""
    return {row["id"]: row for row in pl.read_parquet(f"{name}/ledger.parquet").iter_rows(named=True)}


def _fate(row) -> str:
    if row is None:
        return "not in the pool"
    if row["rank"] is not None:
        return "selected"
    return row["drop_reason"] or ("held out" if row["split"] == "validation" else "not picked")


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a"), ("tasks-a", "tasks-b"), ("a", "a")])
def test_every_row_is_where_a_plain_comparison_has_it(first, second):
    """Rows that entered, left and moved, and the counts of fates, as two dicts of rows tell them."""
    diff = compare(first, second)
    a, b = _plainly(first), _plainly(second)
    fates = {key: (_fate(a.get(key)), _fate(b.get(key))) for key in a.keys() | b.keys()}
    entered = {key for key, (was, now) in fates.items() if was != "selected" == now}
    left = {key for key, (was, now) in fates.items() if was == "selected" != now}
    both = {key for key, pair in fates.items() if pair == ("selected", "selected")}
    moved = {key for key in both if a[key]["rank"] != b[key]["rank"]}
    assert {row["id"] for row in diff["entered"]} == entered
    assert {row["id"] for row in diff["left"]} == left
    assert {row["id"] for row in diff["moved"]} == moved
    assert diff["counts"] == {
        "both": len(both), "moved": len(moved), "entered": len(entered), "left": len(left)
    }  # fmt: skip
    assert {(fate["a"], fate["b"]): fate["rows"] for fate in diff["fates"]} == {
        pair: list(fates.values()).count(pair) for pair in set(fates.values()) if pair[0] != pair[1]
    }
    for row in [*diff["entered"], *diff["left"], *diff["moved"]]:
        assert (row["fate_a"], row["fate_b"]) == fates[row["id"]]
        known = b.get(row["id"]) or a[row["id"]]
        assert (row["prompt"], row["line"], row["task"]) == (known["prompt"], known["line"], known["task"])
        for name, ledger in (("a", a), ("b", b)):
            there = ledger.get(row["id"]) or {}
            assert row[f"rank_{name}"] == there.get("rank")
            assert row[f"cluster_{name}"] == there.get("cluster")


def test_tasks_and_clusters_add_up():
    """What entered and left by task, and by cluster of each run, is what entered and left in all."""
    diff = compare("tasks-a", "tasks-b")
    for change in ("entered", "left"):
        assert sum(task[change] for task in diff["by_task"]) == diff["counts"][change]
    assert [task["task"] for task in diff["by_task"]] == sorted({row["task"] for row in ROWS} | {HOSTILE})
    assert [sum(task[name] for task in diff["by_task"]) for name in "ab"] == [6, 57]
    diff = compare("a", "b")
    assert diff["by_task"] == []
    assert sum(cluster["left"] for cluster in diff["by_cluster"]["a"]) == diff["counts"]["left"]
    assert sum(cluster["selected"] for cluster in diff["by_cluster"]["b"]) == 14


def test_what_was_asked_differently_is_told():
    """Options but for the directory's own name, and inputs by name and bytes."""
    diff = compare("a", "b")
    assert diff["options"] == {
        "count": {"a": 12, "b": 14}, "holdout": {"a": 0, "b": 0.1}, "seed": {"a": 0, "b": 3},
        "strategy": {"a": "facility-location", "b": "random"},
    }  # fmt: skip
    assert diff["inputs"] == {"changed": [], "only_a": ["first.jsonl"], "only_b": ["second.jsonl"]}
    assert diff["versions"] == {}
    assert diff["rows"]["a"] | {"tokens": 0} == {"read": 60, "live": 60, "selected": 12, "tokens": 0}


def test_an_input_with_other_bytes_is_told(tmp_path):
    """The same name, and another hash."""
    for name in "ab":
        curate.select_rows("first.jsonl", count=2, out=tmp_path / name, workers=1)
    manifest = orjson.loads((tmp_path / "b/manifest.json").read_bytes())
    manifest["inputs"][0]["sha256"] = "0"
    (tmp_path / "b/manifest.json").write_bytes(orjson.dumps(manifest))
    assert compare(str(tmp_path / "a"), str(tmp_path / "b"))["inputs"]["changed"] == ["first.jsonl"]


def test_counts_are_compared_by_level_and_source():
    """Every number is that of one of the two reports; a level that was not looked at is null; a source may be new."""
    diff = compare("count-a", "count-b")
    a, b = (orjson.loads(Path(name, "report.json").read_bytes()) for name in ("count-a", "count-b"))
    assert diff["documents"]["read"] == {"a": 60, "b": 117}
    assert diff["documents"]["duplicate_exact"] == {"a": 0, "b": 55}
    assert diff["documents"]["duplicate_near"] == {"a": a["documents"]["duplicate_near"], "b": None}
    assert diff["tokens"]["after_near"] == {"a": a["tokens"]["after_near"], "b": None}
    assert diff["tokens"]["total"] == {"a": a["tokens"]["total"], "b": b["tokens"]["total"]}
    first, second = diff["by_source"]
    assert (first["source"], second["source"]) == ("first.jsonl", "second.jsonl")
    assert first["a"]["unique_tokens"] == a["by_source"][0]["unique_tokens"]
    assert second["a"] is None
    assert second["b"]["documents"] == 57
    assert diff["options"] == {"dedup": {"a": "near", "b": "exact"}}


@pytest.mark.parametrize("other", ["count-a", "count-b", "count-c", "count-d"])
def test_counts_of_every_kind_are_printed(other, capsys):
    """With and without a tokenizer, without duplicates, and a sample."""
    assert run(app, ["diff", "count-a", other]) == 0
    assert "documents" in capsys.readouterr().out


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("tasks-a", "tasks-b"), ("count-a", "count-b"), ("a", "a")])
def test_what_is_printed_fits_80_columns_and_does_not_act(first, second, capsys):
    """Control characters of prompts, tasks and names are shown and not obeyed; --json is one object."""
    assert run(app, ["diff", first, second]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert all(len(line) <= 80 for line in out.splitlines())
    assert not [letter for letter in out if not letter.isprintable() and letter != "\n"]
    assert ("\ufffd[2J" in out) == (second == "tasks-b")
    assert run(app, ["diff", first, second, "--json"]) == 0
    assert orjson.loads(capsys.readouterr().out) == compare(first, second)


def test_the_page_runs_nothing_of_the_data(tmp_path, capsys):
    """--html writes the same tables, with prompts and names as text."""
    page = tmp_path / "diff.html"
    assert run(app, ["diff", "tasks-a", "tasks-b", "--html", str(page)]) == 0
    html = page.read_text()
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert "\x1b" not in html
    assert "What changed" in html
    assert f"wrote {page}" in capsys.readouterr().err


def test_two_kinds_are_not_compared(capsys):
    """A selection and a count: wrong usage, which names both."""
    assert run(app, ["diff", "a", "count-a"]) == 2
    assert "a is of curate select, and count-a of curate tokens" in capsys.readouterr().err
    assert run(app, ["diff", "a"]) == 2
    assert "curate diff sft/" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"manifest\.json: No such file"):
        compare("a", "nowhere")


def _broken(tmp_path: Path, name: str, file: str, content: bytes) -> str:
    manifest = Path(name, "manifest.json").read_bytes()
    (tmp_path / "manifest.json").write_bytes(manifest)
    (tmp_path / file).write_bytes(content)
    return str(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b"{}", b'{"lines": {}, "near": {}, "documents": {"read": "x"}, "tokens": {}, "by_source": []}'],
)
def test_a_report_that_is_none_is_refused(tmp_path, content):
    """No JSON, no object, parts missing, and a text in the place of a number."""
    with pytest.raises(CurateError, match="no report of curate tokens"):
        compare("count-a", _broken(tmp_path, "count-a", "report.json", content))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda ledger: ledger.drop("rank"), "cannot be read"),
        (lambda ledger: ledger.with_columns(rank=pl.lit("first")), "is no ledger"),
        (lambda ledger: pl.concat([ledger, ledger]), "an id twice"),
        (lambda ledger: ledger.with_columns(id=pl.lit(None, pl.String)), "an id twice, or none"),
    ],
)
def test_a_ledger_that_is_none_is_refused(tmp_path, how, message):
    """A column missing or of another type, and ids that do not tell rows apart."""
    how(pl.read_parquet("a/ledger.parquet")).write_parquet(tmp_path / "changed")
    directory = _broken(tmp_path, "a", "ledger.parquet", (tmp_path / "changed").read_bytes())
    with pytest.raises(CurateError, match=message):
        compare("a", directory)
