"""The dataset card: what it tells, and that a hub can read it."""

from __future__ import annotations

import re
from itertools import pairwise

import datasets
import orjson
import polars as pl
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

import curate
from curate.report.card import dataset_card

HOSTILE = (
    "a|b\n| c | <script>x</script>", "![x](http://evil/p.png)", "[click](http://evil)<http://evil>",
    "`x` ``y` \\| \\` &lt;", "*e* __s__ ~~d~~ $m$ \r# h",
)  # fmt: skip


def _rows(n: int, **more: object) -> list[dict[str, object]]:
    return [{"instruction": f"Tell {i} tales of {i % 7}.", "output": "One. " * 3 ** (i % 5), **more} for i in range(n)]


def _card(tmp_path, inputs, **options) -> str:
    curate.select_rows(inputs, out=tmp_path / "sft", count=10, workers=1, **options)
    return (tmp_path / "sft/README.md").read_text()


def _tables(card: str) -> list[list[list[str]]]:
    """Return the cells of each table, line by line."""
    return [
        [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()]
        for table in re.findall(r"(?:^\|.*\|\n)+", card, re.M)
    ]


def _inline(card: str, parent: str) -> list[Token]:
    """Return what a reader of Markdown makes of the text in cells (`td`) or paragraphs (`p`)."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(card.split("---\n", 2)[2])
    return [
        one
        for before, token in pairwise(tokens)
        if before.tag == parent and token.type == "inline"
        for one in token.children or []
    ]


def test_the_card_tells_counts_lengths_and_the_comparison(tmp_path):
    """Rows add up; the bars count the selected rows; every metric stands beside chance and the longest."""
    card = _card(tmp_path, [*_rows(60), {"instruction": "Eh?", "output": ""}])
    sources, counts, lengths, chance = _tables(card)
    report = orjson.loads((tmp_path / "sft/report.json").read_bytes())
    told = {name: int(count) for name, count in counts[2:]}
    assert told["read"] == 61 == told["live"] + sum(report["rows"]["dropped"].values())
    assert sum(int(rows) for _, rows, _ in lengths[2:]) == told["selected"] == 10
    longest = max(lengths[2:], key=lambda line: int(line[1]))
    assert max(len(bar) for *_, bar in lengths[2:]) == len(longest[2]) == 30
    assert all((bar == "") == (rows == "0") for _, rows, bar in lengths[2:])
    assert chance[0] == ["", "selected", "random × 5", "difference", "longest"]
    assert len(chance) - 2 == len(report["metrics"])
    assert sources[2][1:3] == ["61", "not known"]
    assert "**Filters.** `clean`, `style`;" in card
    assert "Nobody has shown that this set trains a better model" in card


@pytest.mark.parametrize("metrics", ["none", "all"])
def test_every_level_of_metrics_has_its_table(tmp_path, metrics):
    """Without metrics the coverage beside chance; with all of them NovelSum and Vendi too."""
    card = _card(tmp_path, _rows(60), metrics=metrics)
    names = [line[0] for line in _tables(card)[-1][2:]]
    assert ("NovelSum" in names) is (metrics == "all")
    assert "mean of that distance" in names


def test_licences_are_those_that_the_rows_name(tmp_path):
    """A column `licence` or `license`, by source; rows that name none are counted."""
    for name, rows in {
        "a": [*_rows(20, licence="CC BY-SA 4.0"), *_rows(25, license=["CC BY-SA 3.0"])[20:]],
        "b": _rows(40)[30:],
    }.items():
        (tmp_path / f"{name}.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    card = _card(tmp_path, [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")])
    assert [line[2] for line in _tables(card)[0][2:]] == ["CC BY-SA 4.0: 20, CC BY-SA 3.0: 5", "not known"]
    assert "named above, and 10 of the rows read name none of these" in card


def test_the_licence_of_a_data_set_counts_for_its_rows(tmp_path):
    """What `datasets` knows of a data set as a whole."""
    data = datasets.Dataset.from_list(_rows(30), info=datasets.DatasetInfo(license="mit"))
    assert _tables(_card(tmp_path, data))[0][2][2] == "mit: 30"


def test_without_tokens_lengths_are_characters():
    """No tokens were counted: the histogram says what it counts."""
    selection = curate.select_rows(_rows(30), count=10, workers=1)
    rows = selection.rows.with_columns(n_tokens=pl.lit(None, pl.Int64))
    lengths = _tables(dataset_card(selection.report, rows, validation=False, llama_factory=True))[2]
    assert lengths[0][0] == "characters of a row"
    assert sum(int(line[1]) for line in lengths[2:]) == 10


def test_hostile_names_and_licences_stay_in_their_cells(tmp_path):
    """No name of a file, task or licence breaks a table or brings markup; the hub's reader takes the directory."""
    pool = tmp_path / "x|y <b>.jsonl"
    rows = [{**row, "license": HOSTILE[i % 5]} for i, row in enumerate(_rows(40))]
    pool.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    card = _card(tmp_path, str(pool), holdout=0.1)
    assert {len(line) for line in _tables(card)[0]} == {4}
    assert "<script>" not in card
    assert "\r" not in card
    cells = _inline(card, "td")
    assert {cell.type for cell in cells} == {"text"}
    licences = ", ".join(f"{' '.join(name.split())}: 8" for name in sorted(HOSTILE))
    assert [cell.content for cell in cells[:3]] == [str(pool), "40", licences]
    loaded = datasets.load_dataset(str(tmp_path / "sft"), cache_dir=str(tmp_path / "cache"))
    held = orjson.loads((tmp_path / "sft/report.json").read_bytes())["rows"]["held_out"]
    assert {name: len(part) for name, part in loaded.items()} == {"train": 10, "validation": held}


def test_hostile_names_of_models_and_filters_stay_code():
    """A backtick ends no code, so that nothing after it is read as Markdown."""
    selection = curate.select_rows(_rows(30), count=10, workers=1)
    config = {**selection.report["config"], "filters": HOSTILE}
    offered = {name: {"rows": 1} for name in HOSTILE}
    report = {**selection.report, "config": config, "would_drop": offered, "embedder": {"name": HOSTILE[3]}}
    said = _inline(dataset_card(report, selection.rows, validation=False, llama_factory=True), "p")
    shown = [" ".join(name.split()).replace("`", "'") for name in (*HOSTILE, *HOSTILE, HOSTILE[3])]
    assert [one.content for one in said if one.type == "code_inline" and one.content in shown] == shown
    assert {one.type for one in said} == {"text", "softbreak", "strong_open", "strong_close", "code_inline"}
