"""What a selection prints: names as they are, and at the end where things are."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from curate.cli import app
from curate.face import run


def test_the_last_line_opens_the_map(tmp_path, capsys, monkeypatch):
    """Pasted into a shell, it names the map that was written, on one line however long and odd the path is."""
    monkeypatch.chdir(tmp_path)
    Path("pool.jsonl").write_text(
        "".join(f'{{"instruction": "Tell me of {i}.", "output": "It is {i}."}}\n' for i in range(9))
    )
    out = f"it's {'long ' * 20}$HOME"
    assert run(app, ["select", "pool.jsonl", "--count", "2", "--out", out]) == 0
    said, _, command = capsys.readouterr().out.splitlines()[-1].partition(": ")
    words = shlex.split(command)
    assert said == "map"
    assert words == ["uvx", "embedding-atlas", words[2], "--x", "x", "--y", "y", "--text", "text"]
    assert Path(words[2]).name == "map.parquet"
    assert Path(words[2]).is_file()


def test_a_name_of_the_data_is_no_markup(tmp_path, capsys):
    """A column and its values stand on the console letter by letter, brackets and colons too, each value on a line."""
    rows = [{"instruction": f"Tell me of {i}.", "output": "So it is.", "[/]:x:": f"[red]\n{i % 2}"} for i in range(9)]
    (tmp_path / "pool.json").write_text(json.dumps(rows))
    assert run(app, ["select", str(tmp_path / "pool.json"), "--count", "4", "--balance", "[/]:x:"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["[/]:x:", "asked", "available", "given"] in lines
    assert ["[red]", "0", "2", "5", "2"] in lines


def test_one_row_is_one_row(tmp_path, capsys, monkeypatch):
    """Counts of one stand in the singular, in the card and on the page too."""
    monkeypatch.chdir(tmp_path)
    Path("pool.jsonl").write_text('{"instruction": "Tell me of it.", "output": "So it is."}\n')
    assert run(app, ["select", "pool.jsonl", "--count", "1", "--out", "out"]) == 0
    out = capsys.readouterr().out
    for said in ("1 by facility-location, from 1 cluster ", "measured on 1 row ", "\n1 row in out"):
        assert said in out
    card = Path("out/README.md").read_text()
    for said in ("# A fine-tuning set of 1 row\n", "from 1 row. ", "Measured on 1 row. "):
        assert said in card
    assert "Measured on 1 row. " in Path("out/report.html").read_text()
