"""What SECURITY.md promises and no other test holds: see there for what is trusted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import zstandard

from curate.cli import app
from curate.data import files
from curate.data.corpus import open_corpus
from curate.data.read import read_rows
from curate.errors import CurateError
from curate.face import run

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "curate").rglob("*.py"))
ROWS = [
    {"instruction": f"Tell me about number {n}, please.", "output": f"Number {n} is what it is."} for n in range(40)
]
RUNS = "params,tokens,loss\n" + "".join(
    f"{n:g},{d:g},{1.7 + 400 / n**0.34 + 410 / d**0.28:.4f}\n" for n in (1e7, 4e7, 2e8, 1e9) for d in (2e9, 1e10, 5e10)
)
NORMS = "step,b_small,b_big,g2_small,g2_big\n" + "".join(f"{n},64,1024,{1.5 + n % 3 / 9},0.7\n" for n in range(30))
RECIPE = 'out = "r"\n[[step]]\nrun = "select"\ninputs = ["pool.jsonl"]\ncount = 5\n'


def lines(*values) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def test_nothing_asks_the_network(tmp_path):
    """Commands whose inputs and models are here look up no host and open no connection."""
    for name, text in {"pool.jsonl": lines(*ROWS), "runs.csv": RUNS, "log.csv": NORMS, "r.toml": RECIPE}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "a.jsonl").write_text(lines({"title": "How to Sit", "text": "Sit down."}))
    commands = [
        "tokens pool.jsonl --out t --write jsonl", "plan --params 1B", "fit runs.csv --bootstrap 0", "noise log.csv",
        "select pool.jsonl --count 5 --decontaminate a.jsonl --out s", "source wikihow a.jsonl --out w.jsonl",
        "run r.toml", "verify s --replay", "diff s s --html d.html", "report s", "completion bash", "why s 0",
    ]  # fmt: skip
    code = f"""
import sys
asked = []
def watch(event, details):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        asked.append((event, details))
sys.addaudithook(watch)
from curate.cli import app
from curate.face import run
codes = [run(app, command.split()) for command in {commands!r}]
print(codes, asked, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.stderr.splitlines()[-1] == f"{[0] * len(commands)} []", done.stderr


def test_no_code_of_data_or_models_is_run():
    """Nothing unpickles (but what our own Ray workers send), evaluates or starts a shell; remote code is refused."""
    danger = re.compile(
        r"(?<!\.)\b(?:eval|exec|os\.system|os\.popen)\(|pickle\.loads?\(|torch\.load\(|allow_pickle=True|shell=True"
    )
    remote = re.compile(r"""trust_remote_code["']?\s*[=:]\s*(\w+)""")
    found = set()
    for path in SOURCES:
        text = path.read_text()
        assert not danger.search(text) or path.name in {"ray.py", "ray_actors.py"}, path
        found |= set(remote.findall(text))
    assert found == {"False"}


DEEP = '{"instruction": "a", "output": ' + "[" * 100_000 + "]" * 100_000 + "}"


def test_deep_json_is_one_unreadable_row(tmp_path):
    """A record nested 100,000 deep is unreadable, in lines and in an array, and the rows beside it are used."""
    good = json.dumps(ROWS[0])
    for text in (f"{good}\n{DEEP}\n{good}\n", f"[{good},\n{DEEP},\n{good}]"):
        path = tmp_path / "deep.json"
        path.write_text(text)
        rows = read_rows([path])
        assert rows.frame["error"].null_count() == 2
        assert rows.unreadable["reason"].to_list() == ["nested too deeply"]
        assert run(app, ["tokens", str(path), "--tokenizer", "none", "--quiet"]) == 0


def test_a_document_without_an_end(tmp_path):
    """A text that goes on and on is an error that says how to cut it, not memory without a bound."""
    path = tmp_path / "endless.txt"
    path.write_bytes(b"x" * (4 << 20))
    for unit in ("file", "line", "paragraph"):
        with pytest.raises(CurateError, match="over 1,048,576 bytes") as caught:
            list(open_corpus([path], document=unit, chunk_bytes=1 << 16, most=1 << 20).bundles())
        assert ("--document line" in caught.value.hint) == (unit != "line")


def test_a_document_that_fits_is_not_refused(tmp_path):
    """What stands before it, and how the file is cut, do not count, but a document of over `most` bytes."""
    path = tmp_path / "long.txt"
    for unit, end in (("line", b"\n"), ("paragraph", b"\n\n")):
        path.write_bytes(b"short" + end + b"x" * 100_000 + end + b"short" + end)
        for chunk in (1000, 50_000, 99_999, 1 << 20):
            found = list(open_corpus([path], document=unit, chunk_bytes=chunk, most=101_000 + chunk).bundles())
            assert sum(part.size for bundle in found for part in bundle) == path.stat().st_size


def test_a_document_that_memory_has_no_room_for(tmp_path, capsys):
    """It is told before it is counted; cut into lines, or with more memory, the same file is counted."""
    path = tmp_path / "log.txt"
    path.write_bytes(b"a line of a log that nobody has cut into documents\n" * 330_000)
    command = ["tokens", str(path), "--tokenizer", "none", "--dedup", "none", "--workers", "2", "--memory"]
    assert run(app, [*command, "1GB"]) == 1
    said = capsys.readouterr().err
    assert "log.txt: a document of over 14,365,491 bytes, from line 1 on" in said
    assert "--document line" in said and "--memory" in said  # noqa: PT018
    assert run(app, [*command, "1GB", "--document", "line"]) == 0
    assert run(app, [*command, "2GB"]) == 0
    (tmp_path / "a.txt").write_bytes(b"a text that comes first")
    with pytest.raises(CurateError, match=r"log\.txt: a document of over"):  # before anything is read
        open_corpus([tmp_path], most=1 << 20)


def test_bombs_are_told_by_every_command(tmp_path, capsys):
    """300 MB of one letter in 10 kB, and a parquet file with a thousand million values, are refused by name."""
    bomb = tmp_path / "bomb.jsonl.zst"
    bomb.write_bytes(zstandard.compress(b"a" * (300 << 20)))
    for command in (["tokens"], ["select", "--count", "1"], ["source", "wikihow"]):
        assert run(app, [*command, str(bomb), "--quiet"]) == 1
        said = capsys.readouterr().err
        assert "bomb.jsonl.zst: unpacks to over 200 bytes for each of its own" in said
        assert "--max-expand" in said


def test_a_table_that_is_a_bomb(tmp_path, monkeypatch):
    """A parquet file says at its end how much it holds; that is looked at before it is read."""
    monkeypatch.setattr(files, "FREE_BYTES", 1 << 20)
    monkeypatch.setattr("curate.data.tables.FREE_BYTES", 1 << 20)
    path = tmp_path / "bomb.parquet"
    pl.DataFrame({"text": ["a"]}).select(pl.col("text").repeat_by(3_000_000).explode()).write_parquet(path)
    for read in (lambda: read_rows([path]), lambda: list(open_corpus([path]).bundles())):
        with pytest.raises(CurateError, match=r"bomb\.parquet: unpacks to over 200"):
            read()


def test_links_in_circles_and_pipes_are_left_aside(tmp_path):
    """A directory or glob with links back to itself is read once; a pipe in a directory is named, not waited for."""
    place = tmp_path / "data"
    place.mkdir()
    (place / "a.jsonl").write_text(lines(*ROWS))
    for name in ("x", "y"):
        (place / name).symlink_to(place)
    os.mkfifo(place / "pipe.jsonl")
    items, notes = files.resolve([place])
    assert [item.name for item in items] == [str(place / "a.jsonl")]
    assert notes == [f"{place}/pipe.jsonl: left aside, neither file nor directory"]
    assert [item.name for item in files.resolve([f"{place}/**/a.jsonl"])[0]] == [str(place / "a.jsonl")]
