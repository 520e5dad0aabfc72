"""The cache of rule columns: the same bytes with and without it, and nothing read that was not written."""

from __future__ import annotations

import ast
import inspect
import json
import pickle
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest

import curate
from curate.sft import filters, measures
from curate.sft.measures import TEXTS, Measures

SAMPLE = Path(__file__).parents[2] / "pipelines/sample_pool.jsonl"
ROWS = [
    json.loads(line) for line in SAMPLE.read_text().splitlines()[:120] if line.startswith("{") and line.endswith("}")
]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Give a test an empty cache."""
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def computed(monkeypatch):
    """Return the names of the columns that are computed for whole pools from here on."""
    names: list[str] = []
    compute = filters.compute

    def recorded(frame, expressions):
        names.extend(expressions if frame.height == len(ROWS) else ())  # evidence is looked for in the rows dropped
        return compute(frame, expressions)

    monkeypatch.setattr(filters, "compute", recorded)
    return names


def pool(*answers):
    """Return a ledger as it was opened; None is an unreadable row."""
    texts = [None if answer is None else f"{answer} and more" for answer in answers]
    return pl.DataFrame(
        {"id": [str(i) for i in range(len(texts))], "chat": texts, "prompt": texts, "response": texts, "n_tokens": 9}
        | {"roles": "ua", "drop_reason": ["unreadable" if text is None else None for text in texts]}
    )


TABLE = pool("one", None, "three")
LENGTH = {"lima.length": pl.col("response").str.len_chars()}
KNOWN = {"lima.length": pl.col("nothing")}  # cannot be computed


def select(out, **options):
    """Return the bytes of the rows and of the ledger."""
    curate.select_rows(ROWS, count=5, workers=1, metrics="none", **options).write(out)
    return [(out / name).read_bytes() for name in ("train.jsonl", "ledger.parquet")]


def test_a_second_run_looks_at_no_text_and_gives_the_same_bytes(cache, computed, tmp_path, monkeypatch):
    """Also with other numbers and other rules: verdicts by numbers are made anew, from columns."""
    first = select(tmp_path / "first", filters=["strict", "lima.length=1:9K"])
    assert {"lima.length", "clean.cut_off", "quality.compression"} <= set(computed)
    computed.clear()
    assert select(tmp_path / "second", filters=["strict", "lima.length=1:9K"]) == first
    other = select(tmp_path / "other", filters=["clean", "quality.compression=2", "quality.tokens"])
    assert set(computed) == {"lima.length", "lima_zh.length", "quality.compression", "quality.tokens"}
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "none"))
    assert select(tmp_path / "without", filters=["clean", "quality.compression=2", "quality.tokens"]) == other


def test_columns_are_read_back(cache):
    """Numbers, truth and null; the rows are in their order."""
    opened = Measures(TABLE)
    wanted = LENGTH | {"style.refusal": pl.col("response") == "one and more"}
    found = opened.look(TABLE, wanted)
    assert opened.save() == []
    assert Measures(TABLE).look(TABLE, {name: pl.col("nothing") for name in wanted}).equals(found)
    assert found["lima.length"].to_list() == [12, None, 14]


@pytest.mark.parametrize("other", [pool("one", None, "four").with_columns(id=pl.Series(["0", "1", "3"])),
                                   TABLE.reverse(), TABLE.head(2), pool("one", "two", "three")])  # fmt: skip
def test_another_pool_has_its_own(cache, other):
    """Another row, another order, fewer rows, and a row that can be read where it could not."""
    opened = Measures(TABLE)
    opened.look(TABLE, LENGTH)
    opened.save()
    assert Measures(other).look(other, LENGTH)["lima.length"].to_list() == other["response"].str.len_chars().to_list()


def test_other_code_has_its_own(cache, monkeypatch):
    """A change in a rule, or another version of what runs it, is another file."""
    opened = Measures(TABLE)
    opened.look(TABLE, LENGTH)
    opened.save()
    monkeypatch.setattr(measures, "_versions", lambda: "later")
    assert Measures(TABLE).look(TABLE, {"lima.length": pl.lit(1)})["lima.length"].to_list() == [1, 1, 1]


def packed(frame):
    """Return the file of a frame."""
    file = BytesIO()
    frame.write_parquet(file)
    return sha256(file.getvalue()).digest() + file.getvalue()


class Bomb:
    """What must not be unpickled."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda held: b"",
        lambda held: held[:-1],
        lambda held: held[:20],
        lambda held: held[:-9] + bytes([held[-9] ^ 1]) + held[-8:],
        lambda held: held[32:],
        lambda held: pickle.dumps(Bomb()),
        lambda held: sha256(pickle.dumps(Bomb())).digest() + pickle.dumps(Bomb()),
        lambda held: packed(pl.DataFrame({"lima.length": [1, 2]})),
        lambda held: packed(pl.DataFrame({"lima.length": [1, 2, 3, 4]})),
    ],
)
def test_a_spoilt_file_is_computed_and_written_anew(cache, spoil):
    """Nothing, half a file, a flipped bit, bare parquet, a pickle, and too few or too many rows."""
    opened = Measures(TABLE)
    opened.look(TABLE, LENGTH)
    opened.save()
    (file,) = (cache / "columns").iterdir()
    whole = file.read_bytes()
    file.write_bytes(spoil(whole))
    again = Measures(TABLE)
    assert again.look(TABLE, LENGTH)["lima.length"].to_list() == [12, None, 14]
    again.save()
    assert file.read_bytes() == whole
    assert Measures(TABLE).look(TABLE, KNOWN)["lima.length"].to_list() == [12, None, 14]


def test_what_is_not_ours_or_not_of_texts_is_computed_every_time(cache):
    """A rule of the user's file may change; tokens depend on a tokenizer."""
    opened = Measures(TABLE)
    opened.look(TABLE, {"mine.rule": pl.col("response").is_null(), "quality.tokens": pl.col("n_tokens") > 2})
    assert opened.save() == []
    assert not cache.exists()


def test_a_disk_that_takes_nothing_is_said_and_the_run_goes_on(cache, tmp_path):
    """The note names the file."""
    cache.write_text("no folder")
    selection = curate.select_rows(ROWS, count=5, workers=1, metrics="none")
    assert [note for note in selection.report["notes"] if "columns of rules are not cached" in note]
    assert selection.rows.height == 5


def test_numbers_stand_in_no_column():
    """A rule of texts that takes numbers has a measure: its column would be another for other numbers."""
    for _, rule in filters.resolve(["strict", "lima", "lima-zh"]):
        made = rule()
        if inspect.signature(rule).parameters and TEXTS.issuperset(made.keep.meta.root_names()):
            assert made.measure is not None


def test_the_key_knows_the_code_of_the_rules():
    """Modules of filters import nothing of ours whose code would not be hashed, but for errors and options."""
    hashed = {"curate.data.lexicon", "curate.errors", "curate.config", "curate.sft.language"}
    for file in Path(filters.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            module = getattr(node, "module", None) or ""
            if module.startswith("curate") and not module.startswith("curate.sft.filters"):
                assert module in hashed, file.name
