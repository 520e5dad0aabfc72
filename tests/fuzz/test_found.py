"""What hostile input was found to break, each in its smallest form; every one ends in a message now."""

from __future__ import annotations

import io
import json

import polars as pl
import pyarrow as pa
import pytest

import curate
from curate.budget.architectures import read_shape
from curate.budget.fit import fit_law
from curate.budget.lawset import load_laws
from curate.budget.plan import make_plan
from curate.config import resolve, toml_table
from curate.data.chat_template import find_template
from curate.data.corpus import open_corpus
from curate.data.documents import read_parts
from curate.data.read import read_rows
from curate.data.tokenizer import load
from curate.errors import CurateError, UsageError
from curate.recipe import read_recipe
from curate.sft.config import SelectConfig
from curate.sft.ledger import read_ledger
from curate.sft.why import life_of, render
from tests.fuzz.hostile import survives
from tests.fuzz.test_scaling import RUNS


def documents(path, chunk_bytes=1 << 20):
    return [read_parts(bundle) for bundle in open_corpus([path], chunk_bytes=chunk_bytes).bundles()]


def test_offsets_that_point_outside_of_an_arrow_file(tmp_path):
    """They were followed by pyarrow, which ended the process."""
    table = pa.table({"text": ["some text", "and more of it"]})
    with pa.ipc.new_stream(file := io.BytesIO(), table.schema) as writer:
        writer.write_table(table)
    offsets = b"".join(n.to_bytes(4, "little") for n in (0, 9, 23))
    assert file.getvalue().count(offsets) == 1
    path = tmp_path / "x.arrow"
    path.write_bytes(file.getvalue().replace(offsets, offsets[:8] + (2**30).to_bytes(4, "little")))
    with pytest.raises(CurateError, match="cannot be read as arrow stream"):
        documents(path)


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        (pa.string_view(), ["t", None]),
        (pa.struct([("a", pa.string_view())]), [{"a": "t"}, {"a": None}]),
        (pa.large_list(pa.string_view()), [["t", None]]),
        (pa.list_(pa.string_view()), [["t", None]]),
        (pa.list_(pa.string_view(), 2), [["t", None]]),
    ],
)
def test_a_null_whose_text_would_stand_nowhere(tmp_path, kind, rows):
    """Arrow does not ask where views of nulls point; polars followed them, which ended the process."""
    table = pa.table({"text": pa.array(rows, kind), "other": ["a"] * len(rows)})
    with pa.ipc.new_stream(file := io.BytesIO(), table.schema) as writer:
        writer.write_table(table)
    views = (1).to_bytes(4, "little") + b"t" + bytes(11 + 16)
    assert file.getvalue().count(views) == 1
    path = tmp_path / "x.arrow"
    path.write_bytes(file.getvalue().replace(views, views[:16] + b"\xff" * 16))
    with pytest.raises(CurateError, match="a text that is null points out of the file"):
        documents(path)
    path.write_bytes(file.getvalue())
    assert documents(path)


@pytest.mark.parametrize("head", [b"\x1f\x8b\x08", b"x\x9c", b"(\xb5/\xfd"])
def test_a_line_that_begins_as_packed_files_do(tmp_path, head):
    """JSON lines were taken for a packed file by polars, and unpacked."""
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"text": "a"}\n' * 200 + head + b'\n{"text": "b"}\n')
    found = documents(path, chunk_bytes=2_900)
    assert sum(one.frame.height for one in found) == 201
    assert sum(one.unreadable.height for one in found) == 1


def test_what_is_kept_of_a_fault_does_not_depend_on_chunks(tmp_path):
    """The id of such a row is the hash of what is kept, and was another one for small chunks."""
    path = tmp_path / "x.json"
    path.write_text('[{"instruction": "a", "output": "b"}, ]]' + "x" * 5_000)
    whole, parts = read_rows([path]), read_rows([path], chunk_bytes=16)
    assert whole.unreadable.equals(parts.unreadable)
    assert len(whole.unreadable["text"][0]) > 2_000


_NUMBERS = {
    "0.0": "0", "-0.0": "0", "-0": "0", "5.0": "5", "5e0": "5", "1E5": "100000", "-12.0": "-12", "1e16": "1" + 16 * "0",
    "123456789012345678.0": "123456789012345680", "1e17": "1" + 17 * "0", "1e18": "1e+18", "1.5": "1.5", "1e-7": "1e-7",
    "999999999999999999": "999999999999999999", "12345678901234567890": "12345678901234567890", "1e30": "1e+30",
    "0.1": "0.1", "144115188075855872.0": "144115188075855870",
    "true": "true", "null": None, "[1.0]": "[1.0]", '"5.0"': "5.0", '"-0"': "-0",
}  # fmt: skip


@pytest.mark.parametrize("chunk", [1, 64, 1 << 20])
@pytest.mark.parametrize("before", ["", "{}\n"])
def test_an_id_that_is_a_number_does_not_depend_on_chunks(tmp_path, chunk, before):
    """Whole chunks are read by another library than single lines, which wrote 0.0 otherwise."""
    path = tmp_path / "x.jsonl"
    path.write_text(before + "".join(f'{{"text": "a", "id": {number}}}\n' for number in _NUMBERS))
    read = [read_parts(bundle).frame for bundle in open_corpus([path], chunk_bytes=chunk).bundles()]
    assert pl.concat(read)["id"].to_list() == list(_NUMBERS.values())


@pytest.mark.parametrize(
    "text",
    [
        "set = 5\n[[step]]\nrun = 'tokens'", "step = [1]", "[[step]]\nrun = 'tokens'\ninputs = 5", "x = " + "[" * 3_000,
        "[[step]]\nrun = 'tokens'\ninputs = [1]", "x = " + "9" * 5_000,
        "[[step]]\nrun = 'select'\ncount = 5\nfilters = 5",
    ],
)  # fmt: skip
def test_recipes_of_other_types(tmp_path, text):
    """Values of types that nobody expects, numbers without an end and nesting without one."""
    path = tmp_path / "recipe.toml"
    path.write_text(f"out = 'out'\n{text}\n")
    if "filters" in text:
        assert read_recipe(path)[1][0].config.filters == ("5",)
        return
    with pytest.raises(UsageError):
        read_recipe(path)
    with pytest.raises(UsageError):
        resolve(SelectConfig, [("flag", {"count": 1}), (str(path), toml_table(str(path), "select", SelectConfig))])


def test_a_special_token_without_content(tmp_path):
    """`bos_token` as an object that lacks its text."""
    (tmp_path / "tokenizer_config.json").write_text('{"bos_token": {"name": null}}')
    with pytest.raises(CurateError, match=r"tokenizer_config\.json"):
        find_template(tmp_path)


def test_a_tokenizer_that_fails_when_it_counts(tmp_path):
    """A model of words without one for those that it does not know."""
    model = {"type": "WordLevel", "vocab": {}, "unk_token": "<unk>"}
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"added_tokens": [], "pre_tokenizer": {"type": "Whitespace"}, "model": model}))
    with pytest.raises(CurateError, match="cannot use the tokenizer"):
        load(str(path)).count(pl.Series(["a b"]))


def test_a_vocabulary_in_which_two_tokens_are_one(tmp_path):
    """It makes tiktoken panic, and a panic in Rust is no Exception."""
    pytest.importorskip("tiktoken")
    config = {"pattern": ".", "default_vocab_size": 3, "default_num_special_tokens": 0}
    entries = [{"rank": rank, "token_bytes": token} for rank, token in ((0, "YQ=="), (1, "Yg=="), (1, "Yw=="))]
    path = tmp_path / "tekken.json"
    path.write_text(json.dumps({"config": config, "vocab": entries}))
    with pytest.raises(CurateError, match="tiktoken cannot use the tokenizer"):
        load(str(path))


LLAMA = {"model_type": "llama", "num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4,
         "intermediate_size": 512, "vocab_size": 1000}  # fmt: skip
MOE = {**LLAMA, "model_type": "qwen2_moe", "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 64,
       "shared_expert_intermediate_size": 128}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({**LLAMA, "model_type": []}), "[" * 5_000, json.dumps({**LLAMA, "hidden_size": 10**30}),
        json.dumps({**MOE, "num_hidden_layers": 10**18}), json.dumps({**MOE, "decoder_sparse_step": 0}),
        json.dumps({**MOE, "num_experts": "x"}),
    ],
)  # fmt: skip
def test_models_of_no_size(tmp_path, text):
    """Sizes that no model has: some were counted one by one."""
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(CurateError):
        read_shape(path)


@pytest.mark.parametrize(
    "change",
    [
        {"low": []}, {"high": "x"}, {"range": 5}, {"range": {"params": [1]}}, {"surface": [], "law": "repetition"},
        {"surface": "x" * 300, "law": "repetition"},
    ],
)  # fmt: skip
def test_fits_of_other_types(tmp_path, change):
    """Intervals, ranges and surfaces that are none."""
    symbols = ("R_D_star", "R_N_star") if "law" in change else ("E", "A", "B", "alpha", "beta")
    ends = {name: value for name, value in change.items() if name in ("low", "high")}
    fit = {"law": "chinchilla", "parameters": {name: {"value": 1.0, "low": 0.5, **ends} for name in symbols}, **change}
    path = tmp_path / "fit.json"
    path.write_text(json.dumps(fit))
    with pytest.raises(CurateError):
        load_laws(str(path))


@pytest.mark.parametrize("change", [{"alpha": 1e-3, "beta": 1e-3}, {"A": 1e-300}, {"B": 1e300, "beta": 1e-2}])
def test_fits_of_no_bounds(tmp_path, change):
    """Constants by which a size wants more tokens than there are numbers."""
    constants = {"E": 1.8, "A": 480, "B": 2080, "alpha": 0.35, "beta": 0.37} | change
    fit = {"law": "chinchilla", "parameters": {name: {"value": value} for name, value in constants.items()}}
    path = tmp_path / "fit.json"
    path.write_text(json.dumps(fit))
    with pytest.raises(CurateError, match="beyond all bounds"):
        make_plan(params="1.3B", unique_tokens="8B", epochs=4, law=str(path))


@pytest.mark.parametrize(
    "asked",
    [
        lambda name: make_plan(params="1.3B", unique_tokens="8B", law=name),
        lambda name: make_plan(model=name, unique_tokens="8B"),
        lambda name: curate.count_tokens(name),
        lambda name: curate.count_tokens([{"text": "a"}], tokenizer=name),
        lambda name: curate.count_tokens([{"text": "a"}], tokenizer="none", against=[name]),
        lambda name: curate.select_rows([{"instruction": "a", "output": "b"}], count=1, embedder=name),
        lambda name: curate.select_rows([{"instruction": "a", "output": "b"}], count=1, embedder=f"./{name}.py"),
        lambda name: curate.select_rows([{"instruction": "a", "output": "b"}], count=1, vectors=name),
        lambda name: curate.select_rows([{"instruction": "a", "output": "b"}], count=1, filters=f"./{name}.py"),
        lambda name: curate.select_rows([{"instruction": "a", "output": "b"}], count=1, have=[name]),
    ],
)
def test_names_that_are_too_long(asked):
    """The system refuses to look for a file of such a name."""
    with pytest.raises(CurateError):
        asked("x" * 300)


def test_runs_of_no_bounds(tmp_path):
    """A size that no run has; its square was infinite, and the fit ended in the logarithm of 0."""
    path = tmp_path / "runs.csv"
    path.write_text(RUNS.replace("1e+07,1e+10", "1e308,1e+10"))
    with pytest.raises(CurateError, match=r"line 3 has 1e\+308 params"):
        fit_law(path, bootstrap=0)


def test_a_ledger_that_asks_for_memory(tmp_path):
    """Where a length is wrong polars asked for exabytes, and the process ended; every byte is flipped once."""
    pl.DataFrame({"id": ["a", None], "rank": [1, None]}).write_parquet(file := io.BytesIO())
    data = file.getvalue()
    for at in range(len(data)):
        (tmp_path / "ledger.parquet").write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert survives(lambda: read_ledger(tmp_path)) is None  # it lacks columns, if it can be read


def test_dates_that_python_does_not_have(tmp_path):
    """A date in the year 93838 is a text."""
    path = tmp_path / "x.parquet"
    far = pl.Series([0, 33_554_432]).cast(pl.Date)
    pl.DataFrame({"instruction": ["a", "b"], "output": ["c", "d"], "when": far}).write_parquet(path)
    assert read_rows([path], task_column="when").frame["task"].to_list() == ["1970-01-01", "+93838-12-01"]
    assert documents(path)[0].frame.height == 2


def test_a_column_whose_name_is_no_text(tmp_path):
    """The name of a column of an Arrow file may be any bytes."""
    with pa.ipc.new_stream(file := io.BytesIO(), pa.schema({"prompt": pa.string(), "response": pa.string()})) as writer:
        writer.write_table(pa.table({"prompt": ["a"], "response": ["b"]}))
    path = tmp_path / "x.arrow"
    path.write_bytes(file.getvalue().replace(b"prompt", b"\x80rompt"))
    with pytest.raises(CurateError, match="cannot be read as arrow stream"):
        read_rows([path])


def test_a_parquet_column_whose_name_is_no_text(tmp_path):
    """The question how much a file holds, which comes before it is read, failed on such a name."""
    pl.DataFrame({"text": ["a"], "né": ["b"]}).write_parquet(path := tmp_path / "x.parquet")
    path.write_bytes(path.read_bytes().replace("né".encode(), b"n\xef\xa9"))
    with pytest.raises(CurateError, match="cannot be read as parquet"):
        documents(path)


@pytest.mark.parametrize("column", ["prompt", "distance"])
def test_a_ledger_without_what_is_told_of_a_row(tmp_path, column):
    """A ledger may lack the prompt of the nearest selected row, or the distance to it."""
    rows = [{"instruction": f"Tell me of the number {n}, please.", "output": f"It is {n}."} for n in range(9)]
    curate.select_rows(rows, count=2, filters=["none"], out=str(tmp_path / "sft"))
    path = tmp_path / "sft/ledger.parquet"
    ledger = pl.read_parquet(path).with_columns(pl.lit(None, float if column == "distance" else str).alias(column))
    ledger.write_parquet(path)
    for row in ledger["id"]:
        life = life_of(str(tmp_path / "sft"), row)
        assert life["nearest"] is None
        assert render(life)
