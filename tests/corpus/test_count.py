"""The story of `curate tokens`: counts that add up, the same for any way of reading, on real and planted data."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pytest

from curate.corpus.count import count_tokens
from curate.data.tokenizer import Tokenizer, Verified
from curate.errors import CurateError, UsageError
from curate.verify import TIMED

VOLATILE = (*TIMED, "config", "versions")


def write(path: Path, records: list[dict]) -> str:
    path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
    return str(path)


def planted(seed: int = 0, documents: int = 120) -> list[dict]:
    """Documents of random words; some are copied exactly, with other white space, or with a few words exchanged."""
    rng = random.Random(seed)
    words = [f"word{i}" for i in range(2000)]
    records = []
    for i in range(documents):
        text = "\n".join(" ".join(rng.choices(words, k=12)) for _ in range(rng.randint(2, 12)))
        records.append({"id": f"d{i}", "text": text, "kind": "new"})
        if i % 6 == 0:
            records.append({"id": f"d{i}-exact", "text": text, "kind": "exact"})
        if i % 6 == 1:
            spaced = text.replace(" ", "  ").replace("\n", "\r\n")
            records.append({"id": f"d{i}-spaced", "text": spaced, "kind": "exact"})
        if i % 6 == 2:
            copied = text.split(" ")
            copied[rng.randrange(len(copied))] = "other"
            records.append({"id": f"d{i}-near", "text": " ".join(copied), "kind": "near"})
    records += [{"id": "empty", "text": " \n "}, {"id": "nothing", "text": ""}]
    return records


def count(inputs, **options):
    """Count without a tokenizer: most rules have nothing to do with it, and loading one takes a second."""
    return count_tokens(inputs, **({"tokenizer": "none"} | options))


def stable(report: dict) -> dict:
    return {key: value for key, value in report.items() if key not in VOLATILE}


def ledger(directory: Path) -> pl.DataFrame:
    return pl.read_parquet(directory / "ledger" / "*.parquet")


def test_every_record_is_accounted_for(tmp_path):
    """Read = unreadable + empty + exact + near + unique, in the report, by source, and row by row in the ledger."""
    path = tmp_path / "c.jsonl"
    write(path, planted())
    with path.open("ab") as file:
        file.write(b'{"text": 3}\nbroken\n')
    report = count_tokens(str(path), out=str(tmp_path / "out")).report
    documents = report["documents"]
    assert documents["unreadable"] == 2
    assert documents["empty"] == 2
    assert documents["duplicate_exact"] == 40
    assert documents["duplicate_near"] > 10
    assert documents["read"] == sum(count for name, count in documents.items() if name != "read") == 184
    rows = ledger(tmp_path / "out")
    assert rows.columns == ["id", "source", "line", "bytes", "n_tokens", "script", "cluster", "kept", "reason"]
    assert rows["line"].to_list() == list(range(1, 185))
    reasons = dict(rows.group_by("reason").len().iter_rows())
    assert reasons == {
        None: documents["unique"], "duplicate.exact": 40, "duplicate.near": documents["duplicate_near"], "empty": 2,
        "unreadable": 2,
    }  # fmt: skip
    assert (
        rows.filter("kept")["n_tokens"].sum() == report["tokens"]["unique"] == report["by_source"][0]["unique_tokens"]
    )
    assert rows["n_tokens"].sum() == report["tokens"]["total"]
    unreadable = [json.loads(line) for line in (tmp_path / "out/unreadable.jsonl").read_text().splitlines()]
    assert [(row["line"], row["reason"]) for row in unreadable] == [
        (183, "text is the number 3, not a text"), (184, "broken JSON: Expecting value at character 1"),
    ]  # fmt: skip


def test_each_cluster_has_one_survivor(tmp_path):
    """Duplicates share a cluster number, clusters are numbered by size, and one document of each is kept."""
    path = write(tmp_path / "c.jsonl", planted())
    report = count(path, out=str(tmp_path / "out")).report
    clusters = ledger(tmp_path / "out").filter(pl.col("cluster").is_not_null()).group_by("cluster").agg(
        pl.len(), pl.col("kept").sum()
    ).sort("cluster")  # fmt: skip
    assert clusters["kept"].to_list() == [1] * len(clusters)
    assert clusters["cluster"].to_list() == list(range(report["clusters"]["count"]))
    assert clusters["len"].is_sorted(descending=True)
    assert clusters["len"].min() >= 2
    kept = ledger(tmp_path / "out").filter(pl.col("cluster").is_null())
    assert kept["reason"].is_in([None, "empty"], nulls_equal=True).all()


@pytest.mark.parametrize("options", [{"workers": "1", "chunk_size": "1KB"}, {"workers": "3", "chunk_size": "7KB"}])
def test_workers_and_chunks_leave_no_trace(tmp_path, options):
    """Reports and every file written are the same, byte for byte."""
    path = write(tmp_path / "c.jsonl", planted())
    runs = []
    for name, chosen in (("a", {"workers": "2"}), ("b", options)):
        found = count(path, out=str(tmp_path / name), write="jsonl.zst", **chosen)
        runs.append((stable(found.report), files(tmp_path / name)))
    assert runs[0] == runs[1]


def files(directory: Path) -> dict[str, bytes]:
    volatile = {"report.json", "report.html", "manifest.json", "log.jsonl"}
    found = sorted(path for path in directory.rglob("*") if path.is_file() and path.name not in volatile)
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


@pytest.mark.parametrize("prefer", [None, "longest"])
def test_order_of_rows_and_files_leaves_no_trace(tmp_path, prefer):
    """Shuffled rows, spread over other files, keep the same documents and the same tokens."""
    records = planted()
    one = count(write(tmp_path / "one.jsonl", records), out=str(tmp_path / "a"), prefer=prefer)
    random.Random(1).shuffle(records)
    parts = [write(tmp_path / f"{name}.jsonl", records[i::3]) for i, name in enumerate("xyz")]
    other = count(parts[::-1], out=str(tmp_path / "b"), prefer=prefer)
    for key in ("documents", "tokens", "bytes", "characters", "by_script", "lines", "paragraphs", "near"):
        assert one.report[key] == other.report[key], key
    columns = ["id", "bytes", "n_tokens", "script", "cluster", "kept", "reason"]
    first, second = (ledger(tmp_path / name).select(columns).sort("id") for name in "ab")
    assert first.equals(second)


def test_levels_only_take_away(tmp_path):
    """Each level leaves no more than the one before; what is not asked for takes nothing."""
    path = write(tmp_path / "c.jsonl", planted())
    near = count_tokens(path).report["tokens"]
    assert near["total"] > near["after_exact"] > near["after_near"] == near["unique"]
    assert near["after_exact"] >= near["after_lines"]
    exact = count_tokens(path, dedup="exact").report
    assert exact["tokens"]["unique"] == exact["tokens"]["after_exact"] == near["after_exact"]
    assert exact["near"] is None
    none = count_tokens(path, dedup="none").report
    assert none["tokens"]["total"] == near["total"]
    assert {left for name, left in none["tokens"].items() if name != "total"} == {near["total"] - 2}  # white space goes
    assert none["documents"]["duplicate_exact"] == 0


def test_counts_are_those_of_the_reference(shared_data):
    """Total tokens of a real corpus equal the sum over its documents by tiktoken."""
    tiktoken = pytest.importorskip("tiktoken")
    from curate.data.encoders import reference
    from curate.data.vocabulary import find

    del tiktoken
    _, count = reference(find("o200k_base"), False)
    with gzip.open(shared_data / "formats/llamafactory_c4_demo.jsonl.gz") as file:
        texts = [orjson.loads(line)["text"] for line in file]
    report = count_tokens(shared_data / "formats/llamafactory_c4_demo.jsonl.gz", dedup="none").report
    assert report["tokens"]["total"] == int(count(texts).sum())
    assert report["characters"] == sum(map(len, texts))
    assert report["bytes"] == sum(len(text.encode()) for text in texts)


def test_real_duplicates(shared_data):
    """Known facts of the real corpora: distinct texts, and instructions that exact deduplication must not touch."""
    corpus = shared_data / "corpus"
    pages = count_tokens(corpus / "en_powershell_docs_3_versions.jsonl.gz", tokenizer="none").report["documents"]
    assert (pages["read"], pages["duplicate_exact"]) == (787, 2)
    licences = count_tokens(corpus / "spdx_licenses.jsonl.gz", tokenizer="none").report["documents"]
    assert (licences["read"], licences["read"] - licences["duplicate_exact"]) == (681, 638)
    alpaca = count_tokens(
        shared_data / "instruct/alpaca_data_52k.jsonl.gz", text_column="instruction", dedup="exact", tokenizer="none"
    ).report["documents"]
    assert (alpaca["read"], alpaca["unique"]) == (52_002, 52_002)


def test_no_tokenizer_counts_no_tokens(tmp_path):
    """--tokenizer none leaves tokens null and finds the same duplicates."""
    path = write(tmp_path / "c.jsonl", planted())
    without, with_ = (count_tokens(path, tokenizer=name).report for name in ("none", "o200k_base"))
    assert without["documents"] == with_["documents"]
    assert set(without["tokens"].values()) == {None}
    assert without["tokenizer"] is None


def test_tokenizers_side_by_side(tmp_path):
    """The first counts, all of them stand in bytes per token."""
    path = write(tmp_path / "c.jsonl", planted())
    report = count_tokens(path, tokenizer="o200k_base,cl100k_base").report
    assert [about["name"] for about in report["tokenizers"]] == ["o200k_base", "cl100k_base"]
    assert report["tokenizer"]["name"] == "o200k_base"
    assert set(report["by_source"][0]["bytes_per_token"]) == {"o200k_base", "cl100k_base"}


def test_eos_adds_one_token_for_each_document(tmp_path):
    """--eos is a token a document, no more."""
    path = write(tmp_path / "c.jsonl", planted())
    plain, ended = (count_tokens(path, dedup="none", eos=eos).report["tokens"]["total"] for eos in ("false", "true"))
    assert ended - plain == len(planted())


def test_prefer_names_the_survivor(tmp_path):
    """Of copies in several sources the one of the source named first stays."""
    text = " ".join(f"w{i}" for i in range(50))
    for name in ("web", "books", "forum"):
        write(tmp_path / f"{name}.jsonl", [{"id": name, "text": text}, {"id": f"{name}-own", "text": f"{name} {name}"}])
    for prefer, kept in (("books", "books"), ("forum,web", "forum"), ("web", "web")):
        count(str(tmp_path / "*.jsonl"), out=str(tmp_path / "out"), prefer=prefer, force="true")
        rows = ledger(tmp_path / "out").filter(pl.col("cluster") == 0)
        assert rows.filter("kept")["id"].to_list() == [kept]
    with pytest.raises(UsageError, match="unknown source in --prefer 'bokks'"):
        count(str(tmp_path / "*.jsonl"), prefer="bokks")


def test_repeated_lines_are_told_and_dropped(tmp_path):
    """A long line stays once, in a document that is kept; dropping it is counted again, and nothing else is lost."""
    shared = "This line stands in all of the documents here."
    records = [{"id": str(i), "text": f"{shared}\nonly in {i}: {'x' * 30}{i}\n}}\n"} for i in range(5)]
    path = write(tmp_path / "c.jsonl", records)
    report = count_tokens(path, dedup="exact").report
    assert (report["lines"]["read"], report["lines"]["repeated"]) == (10, 4)
    assert report["tokens"]["unique"] == report["tokens"]["total"] > report["tokens"]["after_lines"]
    found = count_tokens(path, dedup="exact", drop_lines="true", write="jsonl", out=str(tmp_path / "out"))
    written = [orjson.loads(line) for line in (tmp_path / "out/train-00000.jsonl").read_bytes().splitlines()]
    texts = {record["id"]: record["text"] for record in written}
    assert sum(shared in text for text in texts.values()) == 1
    assert all(f"only in {i}: " in texts[str(i)] and "}" in texts[str(i)] for i in range(5))
    again = count_tokens(str(tmp_path / "out/train-00000.jsonl"), dedup="none").report["tokens"]["total"]
    assert found.report["tokens"]["unique"] == found.report["tokens"]["after_lines"] == again


@pytest.mark.parametrize("form", ["jsonl", "jsonl.zst", "parquet"])
def test_what_is_written_is_what_is_kept(tmp_path, form):
    """Written documents are the kept ones, with every field, and counting them again drops nothing."""
    records = planted()
    path = write(tmp_path / "c.jsonl", records)
    report = count(path, out=str(tmp_path / "out"), write=form).report
    again = count(str(tmp_path / "out"), dedup="exact").report
    assert again["documents"]["unique"] == report["documents"]["unique"] == again["documents"]["read"]
    assert again["bytes"] == int(ledger(tmp_path / "out").filter("kept")["bytes"].sum())
    kept = set(ledger(tmp_path / "out").filter("kept")["id"])
    if form == "jsonl":
        lines = (tmp_path / "out/train-00000.jsonl").read_bytes().splitlines()
        assert lines == [orjson.dumps(record) for record in records if record["id"] in kept]
    if form == "parquet":
        rows = pl.read_parquet(tmp_path / "out/train-00000.parquet")
        assert rows.columns == ["id", "source", "line", "text", "fields"]
        assert set(rows["id"]) == kept
        kinds = {record["id"]: record["kind"] for record in records if "kind" in record}
        assert [orjson.loads(row) for row in rows["fields"]] == [{"kind": kinds[id]} for id in rows["id"]]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_shards_are_cut_between_records(tmp_path, monkeypatch, form):
    """A shard holds whole records up to its size, one at least, however the corpus was read; together they are all."""
    monkeypatch.setattr("curate.corpus.write.SHARD_BYTES", 2000)
    path = write(tmp_path / "c.jsonl", [*planted(), {"id": "long", "text": "long " * 1000}])
    runs = []
    for name, chunk in (("a", "1KB"), ("b", "1MB")):
        count(path, out=str(tmp_path / name), write=form, chunk_size=chunk)
        runs.append({k: v for k, v in files(tmp_path / name).items() if k.startswith("train")})
    assert runs[0] == runs[1]
    assert len(runs[0]) > 10
    kept = set(ledger(tmp_path / "a").filter("kept")["id"])
    if form == "jsonl":
        sizes = [len(shard) for shard in runs[0].values()]
        assert all(size <= 2000 for size in sizes[:-1])
        assert sizes[-1] > 5000
        ids = [orjson.loads(line)["id"] for line in b"".join(runs[0].values()).splitlines()]
        assert sorted(ids) == sorted(kept)
    else:
        assert set(pl.read_parquet(tmp_path / "a" / "train-*.parquet")["id"]) == kept


def test_written_directories_load_as_data_sets(tmp_path):
    """`datasets.load_dataset(DIR)` takes the documents and leaves ledger and report alone."""
    datasets = pytest.importorskip("datasets")
    path = write(tmp_path / "c.jsonl", planted())
    report = count(path, out=str(tmp_path / "out"), write="jsonl").report
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"].num_rows == report["documents"]["unique"]


def test_what_an_earlier_corpus_has_is_dropped(tmp_path):
    """--against drops exact and near copies of an earlier corpus, given as files or as a saved index."""
    records = planted()
    half = len(records) // 2
    old = write(tmp_path / "old.jsonl", records[:half])
    new = write(tmp_path / "new.jsonl", records[half // 2 :])
    count(old, save_index=str(tmp_path / "index"))
    by_files = count(new, against=old).report
    by_index = count(new, against=str(tmp_path / "index")).report
    for key in ("read", "empty", "unique"):  # what the earlier corpus dropped itself is near here, exact there
        assert by_files["documents"][key] == by_index["documents"][key]
    both = count([old, new]).report["documents"]
    alone = count(old).report["documents"]
    assert by_index["documents"]["unique"] == both["unique"] - alone["unique"]
    assert by_index["against"]["dropped_exact"] + by_index["against"]["dropped_near"] > 0
    count(new, against=str(tmp_path / "index"), save_index=str(tmp_path / "later"))
    assert count([old, new], against=str(tmp_path / "later")).report["documents"]["unique"] == 0


def test_documents_without_words_and_short_ones(tmp_path):
    """Short documents are compared by their whole text, documents of symbols exactly; none is lost."""
    texts = ["hi", "Hi!", "hi", "...", "...", "!!!", "one two", "ONE, TWO", "中文", "中文。"]
    path = write(tmp_path / "c.jsonl", [{"text": text} for text in texts])
    documents = count(path, out=str(tmp_path / "out")).report["documents"]
    assert (documents["duplicate_exact"], documents["duplicate_near"], documents["unique"]) == (2, 3, 5)
    assert ledger(tmp_path / "out")["id"].to_list() == [f"{path}:{i}" for i in range(1, 11)]


def test_same_ids_in_two_files_are_said(tmp_path):
    """Ids that name several documents are a note; nothing is dropped for it."""
    for name in "ab":
        write(tmp_path / f"{name}.jsonl", [{"id": "same", "text": f"text {name}"}, {"id": name, "text": name * 9}])
    report = count(str(tmp_path / "*.jsonl")).report
    assert report["documents"]["unique"] == 4
    assert any("1 ids name several documents each" in note for note in report["notes"])


def test_nothing_to_count_is_an_error(tmp_path):
    """An empty file, and one without any text, say so and what to do."""
    (tmp_path / "empty.jsonl").write_bytes(b"")
    with pytest.raises(CurateError, match="nothing to read"):
        count(str(tmp_path / "empty.jsonl"))
    with pytest.raises(CurateError, match="no document can be read"):
        count(write(tmp_path / "n.jsonl", [{"number": 1}]))
    with pytest.raises(UsageError, match="--text-column body: no record has it"):
        count(write(tmp_path / "t.jsonl", [{"text": "a"}]), text_column="body")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dedup": "none", "drop_lines": "true"}, "--drop-lines needs --dedup exact or near"),
        ({"dedup": "exact", "save_index": "x"}, "--save-index needs --dedup near"),
        ({"write": "jsonl"}, "--write needs --out DIR"),
        ({"sample": "0.1", "drop_lines": "true"}, "--sample counts a part"),
        ({"memory": "100MB"}, "below 1GB"),
        ({"chunk_size": "1GB"}, "not between 1KB and 64MB"),
        ({"ngram": "200"}, "--ngram 200"),
        ({"tokenizer": "none", "weights": "a=1"}, "--weights needs a tokenizer"),
        ({"prefer": "longest,web"}, "not both"),
        ({"tmp": "/no/such/directory"}, "--tmp /no/such/directory"),
    ],
)
def test_contradictions_are_refused(tmp_path, options, said):
    """Options that make no sense together say which, and what is needed."""
    path = write(tmp_path / "c.jsonl", [{"text": "a b c"}])
    with pytest.raises(CurateError, match=said):
        count_tokens(path, **options)


def test_a_file_that_changes_is_noticed(tmp_path):
    """What is written comes from a second pass; a file that changed in between ends the run."""
    path = write(tmp_path / "c.jsonl", planted())
    found = count_tokens(path, tokenizer="none")
    (tmp_path / "c.jsonl").write_bytes(b'{"text":"other"}\n')
    from curate.corpus.write import write_documents

    (tmp_path / "out").mkdir()
    with pytest.raises(CurateError, match="was changed while it was read"):
        write_documents(found.corpus, found.found, found.levels, None, "jsonl", tmp_path / "out", 1)


def test_a_budget_of_memory_changes_nothing(tmp_path):
    """A corpus whose signatures and lines go to disk gives the same report."""
    from curate.corpus import forecast

    path = write(tmp_path / "c.jsonl", planted(documents=600))
    roomy = stable(count_tokens(path, tokenizer="none").report)
    plan = forecast.Budget(chunk=1 << 14, document=1 << 20, duplicates=1 << 12, lines=1 << 12)
    spilled = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("curate.corpus.count.budget", lambda *_: plan)
        patch.setattr("curate.corpus.count.notes_on", lambda found, _: spilled.append(found.index.spilled) or [])
        tight = count_tokens(path, tokenizer="none")
    assert spilled[0] > 100_000
    assert stable(tight.report) == roomy


def test_a_full_disk_is_an_error_that_says_what_to_do(tmp_path):
    """Intermediate results that cannot be written end the run; nothing is left behind."""
    path = write(tmp_path / "c.jsonl", planted(documents=2000))
    (tmp_path / "tmp").mkdir()
    program = f"""
import resource, signal
from curate.corpus.count import count_tokens
from curate.errors import CurateError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    count_tokens({path!r}, tokenizer="none", tmp={str(tmp_path / "tmp")!r})
except CurateError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "cannot keep intermediate results" in said
    assert "--tmp DIR" in said
    assert not list((tmp_path / "tmp").iterdir())


def test_a_tokenizer_that_is_caught_counts_again(tmp_path, monkeypatch):
    """When the fast engine is found to differ half-way, every document gets the count of the reference."""
    path = write(tmp_path / "c.jsonl", planted())
    right = count_tokens(path, dedup="none").report["tokens"]["total"]
    calls = []

    def wrong_at_first(self, texts):
        calls.append(len(texts))
        counts, verified = counted(self, texts)
        if self._fast is None:
            return counts, verified
        if len(calls) == 3:
            self.use_reference("it was wrong once")
        return counts + 1, Verified(1, int(len(calls) == 3))

    counted = Tokenizer.count_verified
    monkeypatch.setattr(Tokenizer, "count_verified", wrong_at_first)
    report = count_tokens(path, dedup="none", chunk_size="4KB", workers="1").report
    assert report["tokens"]["total"] == right
    assert any("all documents were counted again" in note for note in report["notes"])


def test_lengths_and_scripts(tmp_path):
    """Median, 95th percentile and longest are those of the documents; scripts are told by document."""
    sizes = list(range(1, 101))
    records = [{"text": " ".join(["word"] * n)} for n in sizes] + [{"text": "中文" * 40}, {"text": "Это по-русски"}]
    report = count_tokens(write(tmp_path / "c.jsonl", records), dedup="none").report
    latin = next(group for group in report["by_script"] if group["script"] == "Latin")
    assert latin["length"] == {"median": 50, "p95": 95, "longest": 100}
    assert {group["script"]: group["documents"] for group in report["by_script"]} == {
        "Latin": 100,
        "Han": 1,
        "Cyrillic": 1,
    }
    assert sum(b["documents"] for b in report["lengths"]["bins"]) == 102
    assert sum(b["sum"] for b in report["lengths"]["bins"]) == report["tokens"]["total"]
    assert np.isclose(latin["characters_per_token"], latin["characters"] / latin["tokens"], atol=1e-4)
