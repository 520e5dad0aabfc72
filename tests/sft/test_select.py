"""The selection from end to end: counts add up, results do not depend on order, workers or chunks, outputs load."""

from __future__ import annotations

import gzip
import os
import platform
import random
import shlex
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pytest

import curate
from curate.cli import app
from curate.errors import CurateError, UsageError
from curate.face import run
from curate.sft import ledger, select

SAMPLE = Path(__file__).parents[2] / "pipelines/sample_pool.jsonl"
CONTRACT = {
    "id", "source", "line", "task", "cluster", "drop_reason", "rank", "radius_at_pick", "nearest_selected", "distance",
    "n_tokens",
}  # fmt: skip


@pytest.fixture(scope="module")
def sample():
    return curate.select_rows(SAMPLE, fraction=0.05, task_column="topic", scope="cluster", workers=1)


def test_every_row_is_accounted_for(sample):
    """Rows read = live + unreadable + one count per reason; the ledger has one row for each."""
    rows = sample.report["rows"]
    assert rows["read"] == sum(1 for _ in SAMPLE.open()) == sample.ledger.height
    assert rows["read"] == rows["live"] + rows["unreadable"] + sum(rows["dropped"].values())
    assert rows["selected"] == sample.rows.height == round(Decimal("0.05") * rows["read"])
    assert sample.ledger["id"].n_unique() == sample.ledger.height


def test_rows_that_do_not_add_up_fail_the_run(monkeypatch):
    """A stage that loses a row ends the run: what the reader read is held against the ledger."""
    opened = ledger.open_ledger
    monkeypatch.setattr(ledger, "open_ledger", lambda *frames: opened(*frames)[1:])
    with pytest.raises(CurateError, match="rows do not add up: 30 read, 29 in the ledger"):
        curate.select_rows([{"instruction": f"Name {i}.", "output": f"It is {i}."} for i in range(30)], count=3)


def test_ranks_are_pick_order_of_live_rows(sample):
    """Ranks are 0 … k-1 without a gap, on live rows only, and a selected row is at distance 0."""
    assert sample.rows["rank"].to_list() == list(range(sample.rows.height))
    assert sample.rows["drop_reason"].null_count() == sample.rows.height
    assert sample.rows["distance"].max() == 0
    live = sample.ledger.filter(pl.col("drop_reason").is_null())
    assert live["distance"].null_count() == 0
    assert sample.report["coverage"]["radius"] == pytest.approx(live["distance"].max())


def test_planted_faults_are_dropped_with_their_reason(sample):
    """Every kind of fault planted in the sample pool shows up under its own reason."""
    reasons = set(sample.report["rows"]["dropped"])
    assert {"clean.empty_answer", "duplicate.exact", "clean.answer_is_prompt", "clean.repetition"} <= reasons
    assert any(reason.startswith("style.") for reason in reasons)
    assert sample.report["rows"]["unreadable"] == 2
    dropped = sample.ledger.filter(pl.col("drop_reason").is_not_null())
    assert dropped["evidence"].null_count() == 0
    assert all(reason in rules for reason, rules in dropped.select("drop_reason", "rules").iter_rows())


def _train(tmp_path: Path, name: str, inputs, **options) -> tuple[bytes, pl.DataFrame]:
    selection = curate.select_rows(inputs, fraction=0.05, task_column="topic", scope="cluster", **options)
    selection.write(tmp_path / name)
    ledger = pl.read_parquet(tmp_path / name / "ledger.parquet").drop("source", "line").sort("id")
    return (tmp_path / name / "train.jsonl").read_bytes(), ledger


def test_the_result_does_not_depend_on_order_workers_or_chunks(tmp_path):
    """train.jsonl is byte-identical, and the ledger identical by id, for shuffled lines, two workers, small chunks."""
    lines = SAMPLE.read_bytes().splitlines()
    random.Random(1).shuffle(lines)
    shuffled = tmp_path / "shuffled.jsonl.gz"
    shuffled.write_bytes(gzip.compress(b"\n".join(lines)))
    train, ledger = _train(tmp_path, "plain", SAMPLE, workers=1)
    for name, inputs, options in (
        ("again", SAMPLE, {"workers": 1}),
        ("two", SAMPLE, {"workers": 2, "chunk_size": 50_000}),
        ("shuffled", shuffled, {"workers": 1, "chunk_size": 7_000}),
    ):
        other_train, other_ledger = _train(tmp_path, name, inputs, **options)
        assert other_train == train, name
        assert other_ledger.equals(ledger), name


@pytest.mark.skipif(platform.machine() != "x86_64", reason="kernels of x86 processors are asked for by name")
def test_another_processor_gives_the_same_rows(tmp_path):
    """Numpy's BLAS has other last bits on a processor without AVX; train.jsonl is the same."""
    trains = []
    for kernels in ("Prescott", "Haswell"):
        command = ["select", str(SAMPLE), "--fraction", "0.05", "--out", str(tmp_path / kernels), "--metrics", "all"]
        environment = os.environ | {"OPENBLAS_CORETYPE": kernels}
        subprocess.run([sys.executable, "-m", "curate.cli", *command], env=environment, check=True, capture_output=True)
        trains.append((tmp_path / kernels / "train.jsonl").read_bytes())
    vectors = [pl.read_parquet(tmp_path / kernels / "map.parquet")["x"] for kernels in ("Prescott", "Haswell")]
    assert not vectors[0].equals(vectors[1])  # or both ran the same kernels, and nothing was tried
    assert trains[0] == trains[1]


@pytest.mark.parametrize("form", ["messages", "alpaca", "sharegpt", "prompt-completion"])
def test_the_directory_loads_with_datasets(form, tmp_path):
    """`datasets.load_dataset(DIR)` gives the selected rows in every format."""
    import datasets

    # Dialogues with tools do not fit alpaca, so this pool is single-turn.
    rows = [
        {"instruction": f"Name {i} animals that live in place {i % 7}.", "output": f"Animal {i}."} for i in range(60)
    ]
    selection = curate.select_rows(rows, count=12, format=form)
    selection.write(tmp_path / "out")
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"].num_rows == 12
    assert loaded["train"]["id"][:] == selection.rows["id"].to_list()
    assert selection.to_dataset().num_rows == 12


TOOLS = [
    [
        {"type": "function", "function": {"name": name, "description": name, "parameters": {"type": "object",
         "properties": {argument: {"type": "string"}}}}}
    ]
    for name, argument in (("search", "words"), ("weather", "place"))
]  # fmt: skip


def _chats(n: int) -> list[dict]:
    """Make plain chats and, every third, a chat with tools whose calls differ in their arguments."""
    rows = []
    for i in range(n):
        turns = [{"role": "user", "content": f"Question {i} about {i % 7}?"}]
        if i % 3 == 0:
            tool = TOOLS[i % 2][0]["function"]
            argument = next(iter(tool["parameters"]["properties"]))
            call = {"type": "function", "function": {"name": tool["name"], "arguments": {argument: f"x{i}"}}}
            turns += [{"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "content": f"{i}"}]
        rows.append({"messages": [*turns, {"role": "assistant", "content": f"It is {i}."}]})
        if i % 3 == 0:
            rows[-1]["tools"] = TOOLS[i % 2]
    return rows


@pytest.mark.parametrize("form", ["messages", "sharegpt", "prompt-completion"])
def test_to_dataset_holds_what_the_file_holds(form, tmp_path):
    """Tools are not lost when the first row has none, and no call gets the arguments of another."""
    import datasets

    selection = curate.select_rows(_chats(40), count=20, format=form, out=tmp_path / "out")
    written = [orjson.loads(line) for line in (tmp_path / "out/train.jsonl").read_bytes().splitlines()]
    assert len({"tools" in row for row in written}) == 2
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))["train"]
    for made in (selection.to_dataset(), loaded):
        assert [{key: value for key, value in row.items() if value is not None} for row in made] == written


def test_the_card_tells_the_command(tmp_path):
    """The dataset card and the report hold the command that gives the same rows, however the options were set."""
    pool = tmp_path / "a pool.jsonl"
    pool.write_bytes(b"\n".join(orjson.dumps({"q": f"Name {i}.", "a": f"It is {i}."}) for i in range(30)))
    columns = {"instruction": "q", "output": "a"}
    made = curate.select_rows(pool, fraction=0.1, map=columns, out=tmp_path / "out", filters="none", workers=2)
    command = made.report["command_line"]
    assert command in (tmp_path / "out/README.md").read_text()
    arguments = shlex.split(command)
    assert arguments[3:] == ["--fraction", "0.1", "--out", str(tmp_path / "out"), "--map", "instruction=q,output=a",
                             "--filters", "none"]  # fmt: skip
    again = arguments[1:]
    again[again.index("--out") + 1] = str(tmp_path / "again")
    assert run(app, again) == 0
    assert (tmp_path / "again/train.jsonl").read_bytes() == (tmp_path / "out/train.jsonl").read_bytes()


def test_out_in_use_is_refused_before_the_work(tmp_path, monkeypatch):
    """From Python, too, a directory that holds files is refused before anything is read."""
    (tmp_path / "thesis.tex").write_text("precious")
    monkeypatch.setattr(select, "read_rows", lambda *_, **__: pytest.fail("something was read"))
    with pytest.raises(UsageError, match="not empty"):
        curate.select_rows([{"instruction": "Name one.", "output": "It is 1."}], count=1, out=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"filters": "claen"}, "unknown filter"),
        ({"embedder": "lexcal"}, "unknown embedder"),
        ({"tokenizer": "o200k_bse"}, "no tokenizer 'o200k_bse'"),
    ],
)
def test_names_are_checked_before_the_reading(options, message, monkeypatch):
    """An unknown filter, embedder or tokenizer is told before a large pool is read; none is replaced by another."""
    monkeypatch.setattr(select, "read_rows", lambda *_, **__: pytest.fail("something was read"))
    with pytest.raises(UsageError, match=message):
        curate.select_rows("pool.jsonl", count=1, **options)


def test_the_files_of_the_contract(sample, tmp_path):
    """The output directory holds the files and columns that other people's scripts rely on."""
    sample.write(tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {
        "train.jsonl", "ledger.parquet", "report.json", "manifest.json", "README.md", "dataset_info.json",
        "unreadable.jsonl", "report.html", "map.parquet",
    }  # fmt: skip
    assert set(pl.read_parquet(tmp_path / "out/ledger.parquet").columns) >= CONTRACT | {"prompt", "response"}
    report = orjson.loads((tmp_path / "out/report.json").read_bytes())
    wanted = {"rows", "embedder", "clusters", "coverage", "random", "seconds", "peak_memory_bytes"}
    assert wanted <= set(report)
    assert {"radius", "p95", "mean"} <= set(report["random"]["coverage"])
    unreadable = [orjson.loads(line) for line in (tmp_path / "out/unreadable.jsonl").read_bytes().splitlines()]
    lines = SAMPLE.read_bytes().split(b"\n")
    for entry in unreadable:
        assert lines[entry["line"] - 1].decode() == entry["text"]
        assert SAMPLE.read_bytes()[entry["byte_offset"] :].startswith(lines[entry["line"] - 1])


def test_llama_factory_finds_its_columns(tmp_path):
    """dataset_info.json names only columns that the rows have, and never the formatting that adds a system prompt."""
    rows = [{"instruction": f"Say {i}.", "output": f"It is {i}."} for i in range(30)]
    curate.select_rows(rows, count=5, holdout=0.1, out=tmp_path / "out")
    info = orjson.loads((tmp_path / "out/dataset_info.json").read_bytes())
    row = orjson.loads((tmp_path / "out/train.jsonl").read_bytes().split(b"\n")[0])
    assert set(info) == {"curated", "curated_validation"}
    for entry in info.values():
        assert (tmp_path / "out" / entry["file_name"]).exists()
        assert entry["formatting"] == "sharegpt"
        assert set(entry["columns"].values()) <= set(row)


@pytest.mark.parametrize(("form", "told"), [("messages", False), ("sharegpt", True), ("prompt-completion", False)])
def test_llama_factory_gets_no_entry_for_rows_it_would_misread(form, told, tmp_path):
    """Calls in `messages` are empty answers to it, and turns as prompts no text: no entry, and the card says so."""
    curate.select_rows(_chats(30), count=20, format=form, out=tmp_path / "out")
    info = orjson.loads((tmp_path / "out/dataset_info.json").read_bytes())
    assert bool(info) == told
    assert ("finds its entry in `dataset_info.json`" in (tmp_path / "out/README.md").read_text()) == told


def test_rows_that_a_trainer_would_skip_are_told():
    """Two results in two turns of their own are skipped by LLaMA-Factory; the report says how many rows that hits."""
    call = {"type": "function", "function": {"name": "f", "arguments": {}}}
    rows = [
        {"messages": [
            {"role": "user", "content": f"Question {i}?"},
            {"role": "assistant", "content": "", "tool_calls": [call] * 2},
            {"role": "tool", "content": "1"}, {"role": "tool", "content": "2"},
            {"role": "assistant", "content": f"It is {i}."},
        ]}
        for i in range(5)
    ]  # fmt: skip
    plain = [{"instruction": f"Name {i}.", "output": f"It is {i}."} for i in range(5)]
    advice = curate.select_rows(rows + plain, count=10).report["advice"]
    assert any("skips 5 of the selected rows" in line for line in advice)
    assert not any("skips" in line for line in curate.select_rows(plain, count=5).report["advice"])


def test_holdout_is_never_selected(tmp_path):
    """validation.jsonl has the asked share of the live rows, none of them in train.jsonl, whatever the input order."""
    rows = [{"instruction": f"Tell me about number {i}.", "output": f"It is {i}."} for i in range(200)]
    first = curate.select_rows(rows, count=20, holdout=0.05)
    again = curate.select_rows(rows[::-1], count=20, holdout=0.05)
    held = first.ledger.filter(pl.col("split") == "validation")
    assert held.height == 10
    assert held["rank"].null_count() == 10
    assert held["id"].to_list() == again.ledger.filter(pl.col("split") == "validation")["id"].to_list()


@pytest.mark.parametrize(
    ("n", "fraction", "wanted"), [(500, "0.005", 3), (300, "0.005", 2), (100, "0.005", 1), (10, "0.01", 1), (8, "1", 8)]
)
def test_the_budget_is_exact(n, fraction, wanted):
    """The budget is max(1, fraction × rows read), rounded half up in decimal arithmetic, delivered exactly."""
    rows = [{"instruction": f"Question {i}?", "output": f"Answer {i}."} for i in range(n)]
    assert curate.select_rows(rows, fraction=fraction).rows.height == wanted


def test_a_token_budget_is_filled_and_not_exceeded():
    """--budget-tokens takes the longest prefix of the pick order that fits."""
    rows = [{"instruction": f"Question number {i}?", "output": "word " * (1 + i % 50)} for i in range(300)]
    rows = [{**row, "output": row["output"] + str(i)} for i, row in enumerate(rows)]
    selection = curate.select_rows(rows, budget_tokens=1000, filters="none")
    total = selection.rows["n_tokens"].sum()
    assert total <= 1000
    assert total + selection.ledger["n_tokens"].max() > 1000
    assert sum(quota["given"] for quota in selection.report["clusters"]["quotas"]) == selection.rows.height
    with pytest.raises(CurateError, match="holds not one row"):
        curate.select_rows(rows, budget_tokens=1, filters="none")


def test_one_row_and_identical_rows():
    """One row is selected as it is; of identical rows one is left, and wanting more names the rule."""
    row = {"instruction": "What is the capital of France?", "output": "Paris."}
    assert curate.select_rows([row], count=1).rows.height == 1
    same = curate.select_rows([row] * 5, count=1)
    assert same.report["rows"]["dropped"] == {"duplicate.exact": 4}
    with pytest.raises(CurateError, match=r"duplicate\.exact took most") as caught:
        curate.select_rows([row] * 5, count=2)
    assert caught.value.hint == "Ask for fewer: --count 1."  # no filter can be left out to get more


@pytest.mark.parametrize(
    ("rows", "options", "message", "hint"),
    [
        (["GOOD", "GOOD", {"foo": 1}], {"count": 3}, "2 of 3 are left; 1 cannot be read", "Ask for fewer: --count 2."),
        (["GOOD", "GOOD"], {"count": 3}, "2 of 2 are left; nothing was dropped", "Ask for fewer: --count 2."),
        (["GOOD"] * 9, {"count": 9, "holdout": 0.3}, "6 of 9 are left.*--holdout 0.3", "Ask for fewer: --count 6."),
        (["GOOD"] * 9, {"count": 1, "holdout": 1}, "--holdout 1 takes all 9 rows", "Hold out less."),
        ([{"instruction": "x?", "output": ""}], {"count": 1}, "no row is left alive of 1 read; clean.empty_answer",
         "--filters"),
    ],
)  # fmt: skip
def test_too_few_rows_name_the_reason_and_what_helps(rows, options, message, hint):
    """The message names what took most, unreadable rows and the holdout too, and the hint only what would help."""
    made = [{"instruction": f"Q {i}?", "output": f"A {i}."} if row == "GOOD" else row for i, row in enumerate(rows)]
    with pytest.raises(CurateError, match=message) as caught:
        curate.select_rows(made, **options)
    assert hint in caught.value.hint


def test_identical_prompts_with_different_answers_are_delivered():
    """Rows at the same place in the embedding still fill the budget, lowest id first, and are counted as repeated."""
    rows = [{"instruction": "Write a line.", "output": f"Line number {i}."} for i in range(9)]
    selection = curate.select_rows(rows, count=4)
    assert selection.rows.height == 4
    assert selection.report["coverage"]["radius"] == 0


def test_tasks_share_the_budget():
    """With --task-column each task gets a row first, the rest by size, and the ledger names the task."""
    rows = [
        {"instruction": f"Task {t} question {i}?", "output": f"Answer {t} {i}.", "kind": t}
        for t, n in (("big", 60), ("mid", 30), ("small", 10))
        for i in range(n)
    ]
    selection = curate.select_rows(rows, count=10, task_column="kind")
    given = {quota["name"]: quota["given"] for quota in selection.report["clusters"]["quotas"]}
    assert given == dict(selection.rows["task"].value_counts().iter_rows())
    assert sum(given.values()) == 10
    assert given["big"] > given["mid"] > given["small"] >= 1
    with pytest.raises(UsageError, match="kind"):
        curate.select_rows(rows, count=10, task_column="kin")


def test_clusters_fitted_on_a_sample_are_said(monkeypatch):
    """Where K-means sees a part of the rows, a note says of how many; where it sees all, there is none."""
    monkeypatch.setattr("curate.sft.kmeans._FIT_ALL", 100)
    monkeypatch.setattr("curate.sft.kmeans._ROWS_PER_CENTER", 10)
    report = curate.select_rows(SAMPLE, count=60, workers=1).report
    assert report["clusters"]["fitted_rows"] == 300
    assert sum("fitted on a sample of 300 of 562 rows" in note for note in report["notes"]) == 1
    monkeypatch.undo()
    assert not any("sample of" in note for note in curate.select_rows(SAMPLE, count=60, workers=1).report["notes"])


@pytest.mark.parametrize("options", [{"core": 0.25}, {"core": 1}, {"scope": "global"}])
def test_scopes_deliver_the_budget(sample, options):
    """One pool or clusters, core or whole: the budget is delivered, by the default and by k-center."""
    default = curate.select_rows(SAMPLE, count=40, workers=1, **options)
    assert default.rows.height == 40 == default.report["picks"]["by_rule"]
    selection = curate.select_rows(SAMPLE, count=40, strategy="k-center", workers=1, **options)
    picks = selection.report["picks"]
    assert selection.rows.height == 40 == sum(picks[name] for name in ("centre_samples", "k_center", "coincident"))
    assert picks["k_center"] > 0


def test_a_filter_file_of_ones_own(tmp_path):
    """A rule is one new file: its name becomes the drop reason."""
    (tmp_path / "mine.py").write_text(
        "import polars as pl\nfrom curate.sft.filters import Rule\n\n"
        "def no_digits() -> Rule:\n"
        '    """Kept when: the answer has no digit."""\n'
        '    hit = pl.col("response").str.contains(r"\\d")\n'
        '    return Rule(~hit, pl.col("response").str.extract(r"(\\d+)"))\n\n'
        "FILTERS = (no_digits,)\n"
    )
    rows = [{"instruction": f"Q {i}?", "output": f"Number {i}" if i % 2 else f"Word {chr(97 + i)}"} for i in range(20)]
    selection = curate.select_rows(rows, count=3, filters=f"clean,{tmp_path}/mine.py")
    assert selection.report["rows"]["dropped"] == {"mine.no_digits": 10}


def test_an_embedder_file_of_ones_own(tmp_path):
    """An embedder is one new file too."""
    (tmp_path / "length.py").write_text(
        "import numpy as np\n\n"
        "class Length:\n"
        "    about = {'name': 'length', 'dimensions': 2}\n"
        "    def embed(self, texts):\n"
        "        angle = np.array([len(t) for t in texts], dtype=np.float32) / 100\n"
        "        return np.ascontiguousarray(np.stack([np.cos(angle), np.sin(angle)], axis=1), dtype=np.float32)\n\n"
        "def load(argument, **options):\n    return Length()\n"
    )
    rows = [{"instruction": "x" * i, "output": f"y {i}"} for i in range(1, 60)]
    selection = curate.select_rows(rows, count=5, embedder=f"{tmp_path}/length.py")
    assert selection.report["embedder"]["name"] == "length"
    assert selection.rows.height == 5


def test_coverage_stands_beside_random(sample):
    """The report holds radius, 95th percentile and mean for the selection and for five random ones of its size."""
    chance = sample.report["random"]
    assert chance["selections"] == 5
    for name in ("radius", "p95", "mean"):
        assert chance["coverage"][name]["sd"] >= 0
        assert np.isfinite(chance["coverage"][name]["mean"])


@pytest.mark.parametrize(
    ("names", "read", "selected"),
    [
        (["alpaca_data_52k.jsonl.gz"], 52002, 260),
        (["alpaca_zh.jsonl.gz"], 20277, 101),
        (["alpaca_data_52k.jsonl.gz", "alpaca_zh.jsonl.gz"], 72279, 361),
        (["superni_en_instances.jsonl.gz"], 21391, 107),
    ],
)
def test_real_pools(names, read, selected, shared_data, tmp_path):
    """The main job on real input: half a per cent of public pools, with default settings."""
    inputs = [shared_data / "instruct" / name for name in names]
    selection = curate.select_rows(inputs, fraction=0.005, out=tmp_path / "out")
    assert selection.report["rows"]["read"] == read
    assert sum(1 for _ in (tmp_path / "out/train.jsonl").open()) == selected == selection.rows.height


def test_a_real_pool_shuffled_gives_the_same_bytes(shared_data, tmp_path):
    """Alpaca with its lines shuffled, two workers against one, other chunks: the same train.jsonl and ledger."""
    source = shared_data / "instruct/alpaca_data_52k.jsonl.gz"
    lines = gzip.decompress(source.read_bytes()).splitlines()
    random.Random(7).shuffle(lines)
    (tmp_path / "shuffled.jsonl").write_bytes(b"\n".join(lines))
    results = []
    for inputs, workers, chunk in ((source, 1, 16 << 20), (tmp_path / "shuffled.jsonl", 2, 3 << 20)):
        out = tmp_path / f"out{workers}"
        curate.select_rows(inputs, fraction=0.005, workers=workers, chunk_size=chunk, out=out)
        ledger = pl.read_parquet(out / "ledger.parquet").drop("source", "line").sort("id")
        results.append(((out / "train.jsonl").read_bytes(), ledger))
    assert results[0][0] == results[1][0]
    assert results[0][1].equals(results[1][1])
