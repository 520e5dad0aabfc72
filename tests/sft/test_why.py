"""`curate why`: the life of a row, told from the output directory."""

from __future__ import annotations

import json

import polars as pl
import pytest

import curate
from curate.cli import app
from curate.errors import CurateError, UsageError
from curate.face import run
from curate.sft.why import life_of, render


@pytest.fixture(scope="module")
def chosen(tmp_path_factory) -> tuple[str, pl.DataFrame]:
    """Return a small selection's directory and its ledger."""
    rows = [{"instruction": f"Say {word}.", "output": f"It is {word}, as you know."} for word in map(str, range(40))]
    rows += [{"instruction": "Say nothing.", "output": ""}, {"instruction": "Say I.", "output": "I think so."}, rows[0]]
    out = tmp_path_factory.mktemp("why") / "out"
    curate.select_rows(rows, count=5, holdout=0.1, out=out, workers=1)
    return str(out), pl.read_parquet(out / "ledger.parquet")


def test_every_row_has_one_fate(chosen):
    """Each row of the ledger is dropped by a named rule, selected, held out, or alive, and the page says which."""
    directory, ledger = chosen
    fates = {"dropped": 0, "selected": 0, "held out": 0, "alive": 0}
    for row in ledger.iter_rows(named=True):
        life = life_of(directory, row["id"])
        fates[next(kind for kind in fates if life["fate"].startswith(kind))] += 1
        assert render(life)[0][0] == life["fate"]
        assert {name: life[name] for name in row} == row
    assert fates == {"dropped": 2, "selected": 5, "held out": 4, "alive": 32}


def test_a_dropped_row_names_rule_and_span(chosen):
    """The rule, what it fired on, and the rules that nobody asked for."""
    directory, ledger = chosen
    life = life_of(directory, ledger.filter(prompt="Say nothing.")["id"].item())
    assert life["fate"] == "dropped: clean.empty_answer"
    assert "evidence   no text in an assistant turn" in render(life)[0][1]
    life = life_of(directory, ledger.filter(prompt="Say I.")["id"].item())
    assert life["would_drop"] == ["lima.length", "lima.first_person"]


def test_a_row_that_was_not_picked_names_the_nearest_one(chosen):
    """The nearest selected row stands there with its pick, its distance and its prompt."""
    directory, ledger = chosen
    row = ledger.filter(pl.col("rank").is_null() & pl.col("drop_reason").is_null() & pl.col("split").is_null())[0]
    nearest = ledger.filter(id=row["nearest_selected"].item())
    life = life_of(directory, row["id"].item())
    assert life["nearest"]["prompt"] == nearest["prompt"].item()
    (_, (where, prompt)) = next(section for section in render(life) if section[0] == "nearest selected row")
    assert (
        where == f"{nearest['id'].item()}, pick {nearest['rank'].item() + 1}, at distance {row['distance'].item():.3f}"
    )
    assert prompt == nearest["prompt"].item()


def test_an_id_may_be_cut_short(chosen):
    """The beginning of an id is enough where one row has it; a copy's id begins with the first one's, which wins."""
    directory, ledger = chosen
    copy = ledger.filter(pl.col("id").str.ends_with("-1"))["id"].item()
    assert life_of(directory, copy)["fate"] == "dropped: duplicate.exact"
    assert life_of(directory, copy.removesuffix("-1"))["id"] == copy.removesuffix("-1")
    other = ledger.filter(prompt="Say nothing.")["id"].item()
    assert life_of(directory, other[:20])["id"] == other


@pytest.mark.parametrize(("row_id", "message"), [("", "43 rows"), ("xyz", "0 rows")])
def test_an_id_that_names_no_row_or_several_is_refused(chosen, row_id, message):
    """The error counts the rows."""
    with pytest.raises(UsageError, match=message):
        life_of(chosen[0], row_id)


def test_a_directory_without_a_ledger_is_refused(tmp_path):
    """No ledger, and one that is broken."""
    with pytest.raises(UsageError, match="No such file"):
        life_of(str(tmp_path), "0")
    (tmp_path / "ledger.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(CurateError, match="cannot be read"):
        life_of(str(tmp_path), "0")


def test_a_text_does_not_act_on_the_terminal(tmp_path, capsys):
    """Control characters of a prompt are shown and not obeyed; its lines, tabs and wide spaces stay."""
    rows = [{"instruction": "\u3000Say:\n\tone\x1b[2J\x9b31m\r\u202e", "output": "It is one, as you know."}]
    ledger = curate.select_rows(rows, count=1, filters="none", out=tmp_path / "out", workers=1).ledger
    assert run(app, ["why", str(tmp_path / "out"), ledger["id"][0]]) == 0
    printed = capsys.readouterr().out
    assert "\u3000Say:\n        one\ufffd[2J" in printed
    assert all(letter.isprintable() or letter in "\n\u3000" for letter in printed)


def test_the_command_prints_a_page_or_json(chosen, capsys):
    """`curate why DIR ID`, with and without --json; one argument is not enough."""
    directory, ledger = chosen
    row_id = ledger["id"][0]
    assert run(app, ["why", directory, row_id]) == 0
    assert row_id in capsys.readouterr().out
    assert run(app, ["why", directory, row_id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["id"] == row_id
    assert run(app, ["why", directory]) == 2
    assert "curate why sft/" in capsys.readouterr().err
