"""Finished directories of strangers: `verify`, `diff` and `why` tell what is wrong, and read nothing outside."""

from __future__ import annotations

import io
import json
import shutil

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from curate.corpus.count import count_tokens
from curate.data.manifest import OutputDirectory
from curate.diff import compare
from curate.rebuild import rebuild
from curate.report.console import print_sections
from curate.report.diff import diff_page, print_diff
from curate.sft.select import select_rows
from curate.sft.why import life_of
from curate.sft.why import render as render_life
from curate.verify import VerifyConfig, verify_directory
from curate.verify import render as render_verified
from tests.fuzz.hostile import HERE, as_json, changed, damaged, fuzz, survives

STRANGE = (
    "../../etc/passwd",
    "/etc/passwd",
    "a/../../b",
    "\x1b[2J",
    "\u202ex",
    "<script>",
    "\0",
    "a\nb",
    "",
    ".",
    "link/x",
)
KEYS = ("outputs", "inputs", "config", "versions", "path", "sha256", "bytes", "command", "schema_version")


@pytest.fixture(scope="session")
def finished() -> dict[str, dict[str, bytes]]:
    """Return the small files of a selection and of a count, by name."""
    rows = [{"instruction": f"question number {n} of many?", "output": f"answer {n} is here."} for n in range(12)]
    pool = HERE / "pool.jsonl"
    pool.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("select", "tokens"):
        shutil.rmtree(HERE / name, ignore_errors=True)
    select_rows(str(pool), count=3, out=str(HERE / "select"))
    count_tokens(str(pool), out=str(HERE / "tokens"), dedup="exact", tokenizer="none")
    for name in ("select", "tokens"):
        assert compare(str(HERE / name), str(HERE / name))["command"] == name  # what is whole is no refusal
    assert life_of(str(HERE / "select"), pl.read_parquet(HERE / "select/ledger.parquet")["id"][0])["id"]
    return {
        name: {
            str(file.relative_to(HERE / name)): file.read_bytes()
            for file in sorted((HERE / name).rglob("*"))
            if file.is_file() and file.suffix != ".html"
        }
        for name in ("select", "tokens")
    }


def printed(sections):
    """Return what a person would be shown, and hold that a terminal shows it and does not obey it."""
    console = Console(file=io.StringIO(), width=80)
    if callable(sections):
        sections(console)
    else:
        print_sections(sections, console)
    text = console.file.getvalue()
    assert not [letter for letter in text if not (letter.isprintable() or letter in "\n\u3000\xa0")]
    return text


@fuzz
@given(st.data())
def test_directories(finished, data):
    """Whatever a manifest, a report or a ledger holds: a comparison, or a refusal with a message."""
    kind = data.draw(st.sampled_from(("select", "tokens")))
    files = finished[kind]
    at = HERE / "case"
    shutil.rmtree(at, ignore_errors=True)
    at.mkdir()
    target = data.draw(st.sampled_from(("manifest.json", "report.json", "ledger.parquet", "manifest.json")))
    for name, content in files.items():
        place = at / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if name == target:
            content = data.draw(_content(name, content))
        place.write_bytes(content)
    if data.draw(st.booleans()):
        (at / data.draw(st.sampled_from(("x\x1b[2J", "\u202efdp", "<b>", "link")))).symlink_to("/etc")
    verified = survives(lambda: verify_directory(str(at), VerifyConfig()))
    if verified is not None:
        orjson.dumps(verified)
        printed(render_verified(verified))
    survives(lambda: rebuild(str(at)))
    diff = survives(lambda: compare(str(HERE / kind), str(at)))
    if diff is not None:
        orjson.dumps(diff)
        printed(lambda console: print_diff(diff, console))
        assert "<script>" not in diff_page(diff)
    some = pl.read_parquet(finished["select"]["ledger.parquet"])["id"].to_list()
    for id in ("", data.draw(st.text(max_size=3)), data.draw(st.sampled_from(some))):
        life = survives(lambda id=id: life_of(str(at), id))
        if life is not None:
            orjson.dumps(life)
            printed(render_life(life))


def _other_columns(content: bytes) -> list[bytes]:
    """Return a ledger with each column in turn gone, of another type, and null."""
    ledger = pl.read_parquet(content)
    frames = [ledger.drop(name) for name in ledger.columns]
    frames += [
        ledger.with_columns(other.alias(name)) for name in ledger.columns for other in (pl.lit([1]), pl.lit(None))
    ]
    written = []
    for frame in frames:
        frame.write_parquet(file := io.BytesIO())
        written.append(file.getvalue())
    return written


def _content(name: str, content: bytes) -> st.SearchStrategy[bytes]:
    if name.endswith(".parquet"):
        return damaged([content]) | st.sampled_from(_other_columns(content))
    document = json.loads(content)
    if name == "manifest.json":
        odd = [{**document, "outputs": {**document["outputs"], key: {"sha256": "0", "bytes": 1}}} for key in STRANGE]
        odd += [{**document, "inputs": [{"path": key, "sha256": None, "bytes": None}]} for key in STRANGE]
        return (changed([document, *odd], *KEYS).map(as_json)) | damaged([content])
    return changed([document], "documents", "tokens", "by_source").map(as_json) | damaged([content])


@fuzz
@given(st.dictionaries(st.sampled_from(STRANGE) | st.text(max_size=3), st.just({"sha256": "", "bytes": 0}), max_size=3))
def test_what_force_may_delete(outputs):
    """--force replaces the files that a manifest names, and nothing that lies outside of the directory."""
    home = HERE / "home"
    shutil.rmtree(home, ignore_errors=True)
    (home / "out").mkdir(parents=True)
    (home / "precious").write_text("mine")
    (home / "out/link").symlink_to(home)
    named = {**outputs, "../precious": {}, "link": {}, "link/precious": {}, "../../home": {}}
    (home / "out/manifest.json").write_bytes(as_json({"outputs": named}))

    def replace() -> None:
        with OutputDirectory(home / "out", force=True) as out:
            (out.path / "new").write_text("x")

    survives(replace)
    assert (home / "precious").read_text() == "mine"
