"""Killed is not lost: after a kill at any moment `--resume` gives what an undisturbed run gives, byte for byte."""

from __future__ import annotations

import errno
import io
import multiprocessing
import os
import pty
import random
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pytest

from curate.cli import app
from curate.data import checkpoint, piece_file
from curate.data.lock import drop_lock, take_lock
from curate.data.manifest import OutputDirectory
from curate.data.sources import Extract
from curate.data.sources._output import OutputFile
from curate.data.tokenizer import Tokenizer, Verified
from curate.errors import AlreadyFinished, UsageError
from curate.face import run
from curate.sft import coverage
from curate.sft.select import select_rows
from tests.interrupted import files, half_written

KILLS = 5
CURATE = [sys.executable, "-m", "curate.cli"]
RECIPE = """
out = "out"
[[step]]
name = "rows"
run = "source stackexchange"
inputs = ["physics_Posts.xml"]
min_chars = 0
[[step]]
name = "count"
run = "tokens"
inputs = ["{rows}"]
tokenizer = "none"
chunk_size = "1KB"
[[step]]
run = "select"
inputs = ["{rows}"]
count = 5
"""
COMMANDS = {
    "tokens": ["tokens", "corpus.jsonl", "--tokenizer", "none", "--chunk-size", "8KB", "--write", "jsonl"],
    "select": ["select", "pool.jsonl", "--count", "20"],
    "source": ["source", "stackexchange", "physics_Posts.xml", "--min-chars", "0"],
    "run": ["run", "recipe.toml"],
}


def _out(command: str) -> list[str]:
    return [] if command == "run" else ["--out", "out.jsonl" if command == "source" else "out"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Make a directory with something for each command, and go there."""
    monkeypatch.chdir(tmp_path)
    _write_inputs()
    return tmp_path


def _write_inputs():
    draw = random.Random(0)
    words = [f"{a}{b}" for a in ("ka", "lo", "mi", "ne", "tu") for b in ("ra", "se", "vi", "po", "dan", "gil", "st")]
    texts = [" ".join(draw.choices(words, k=60)) for _ in range(600)]
    _write_lines("corpus.jsonl", [{"id": f"d{i}", "text": text} for i, text in enumerate([*texts, *texts[:50]])])
    _write_lines("pool.jsonl", [{"instruction": f"Tell {t[:40]}.", "output": f"It is {t}."} for t in texts[:300]])
    posts = [
        f'<row Id="{2 * i + 1}" PostTypeId="1" Score="{i % 9}" Title="What is {t[:30]}?" Body="Tell." />\n'
        f'<row Id="{2 * i + 2}" PostTypeId="2" ParentId="{2 * i + 1}" Score="{i % 30}" Body="It is {t}." />'
        for i, t in enumerate(texts)
    ]
    Path("physics_Posts.xml").write_text("<posts>\n" + "\n".join(posts) + "\n</posts>\n")
    Path("recipe.toml").write_text(RECIPE)


def _write_lines(path, records):
    Path(path).write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))


def _start(arguments):
    """Run a command in a process of its own that has imported everything before; `exec` is what every process has."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["curate.cli", "curate.corpus.count", "curate.sft.select", "numba"])
    code = (
        "import os, sys\nfrom curate.cli import app\nfrom curate.face import run\n"
        f"os.chdir({os.getcwd()!r})\nsys.stdout = sys.stderr = open(os.devnull, 'w')\nsys.exit(run(app, {arguments!r}))"
    )
    process = context.Process(target=exec, args=(code,))
    process.start()
    return process


@pytest.mark.parametrize("command", COMMANDS)
def test_a_kill_at_any_moment_loses_nothing(command, place):
    """SIGKILL, then --resume: the same bytes; before it nothing half-written, after it nothing left over."""
    arguments = [*COMMANDS[command], *_out(command)]
    before = set(os.listdir())

    def started() -> float:
        start = time.monotonic()
        process = _start(arguments)
        process.join()
        assert process.exitcode == 0
        return time.monotonic() - start

    def clear() -> None:
        subprocess.run(["rm", "-rf", *(p for p in os.listdir() if p not in before)], check=True)

    started()
    clear()
    seconds = started()
    wanted = files(before)
    draw = random.Random(command)
    for number in range(KILLS):
        clear()
        process = _start(arguments)
        process.join(seconds * (number + draw.random()) / KILLS)
        process.kill()
        process.join()
        assert half_written(command, files(before), wanted) == []
        resumed = _start([*arguments, "--resume"])
        resumed.join()
        assert resumed.exitcode == 0
        assert files(before) == wanted


def test_what_is_half_written_is_seen():
    """What the tests with kills would find: parts, other bytes, an order that is not kept, strange names."""
    select = {"out/ledger.parquet": b"1", "out/.key.json": b""}
    assert half_written("select", {}, select) == half_written("select", select | {".out.lock": b""}, select) == []
    for shown in ({"out/ledger.parquet": b"1"}, select | {"out/ledger.parquet": b"2"}, select | {"out/a": b""}):
        assert half_written("select", shown, select) == ["out"]
    assert half_written("select", select | {"out-1/a": b""}, select) == ["out-1/a"]
    source = {"out.jsonl": b"1", "out.report.json": b"2", ".out.jsonl.key.json": b""}
    assert half_written("source", {"out.report.json": b"2"}, source) == []
    assert half_written("source", {"out.jsonl": b"1"}, source) == ["out.jsonl"]
    recipe = {"out/rows.report.json": b"1", "out/rows.jsonl": b"2", "out/count/report.json": b"3", "out/select/a": b""}
    state = {"out/run.json": b'{"rows": "", "count": ""}'}
    assert half_written("run", {name: recipe[name] for name in list(recipe)[:3]} | state, recipe) == []
    assert half_written("run", {name: recipe[name] for name in list(recipe)[:2]} | state, recipe) == ["out/count"]


# -- What is kept ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Interrupt a selection after its vectors, clusters and picks."""
    place = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        _write_inputs()
        patch.setattr(checkpoint, "_SHARE", 1e9)
        patch.setattr(coverage, "nearest_selected", _interrupt)
        assert run(app, _select()) == 130
    assert len(_pieces(place / ".out.checkpoint")) >= 2
    assert not (place / "out").exists()
    return place


@pytest.fixture
def interrupted(stopped, tmp_path, monkeypatch):
    """Go to a copy of what the interrupted selection left; the times of the files are the same."""
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _pieces(directory):
    return {name for path in directory.glob("pieces/*.pieces") for name in piece_file.scan(path)}


def _interrupt(*_, **__):
    raise KeyboardInterrupt


def _select(*more):
    return ["select", "pool.jsonl", "--count", "20", "--out", "out", *more]


def test_finished_pieces_are_not_computed_again(interrupted, capsys, monkeypatch):
    """The embedder and K-means stay untouched, and the checkpoint goes with the result."""
    monkeypatch.setattr("curate.sft.select.group_rows", _interrupt)
    monkeypatch.setattr("curate.sft.embed.lexical.Lexical.embed", _interrupt)
    assert run(app, _select("--resume")) == 0
    assert "resumes an interrupted run; kept from it:" in capsys.readouterr().err
    assert not [name for name in os.listdir() if name.startswith(".")]


COUNTS = {
    "near": ["--tokenizer", "o200k_base", "--drop-lines"],
    "exact": ["--tokenizer", "o200k_base", "--eos", "--dedup", "exact"],
    "none": ["--tokenizer", "o200k_base", "--dedup", "none"],
}


@pytest.mark.parametrize("spare", [0, 1], ids=["only what is dear", "all pieces"])
@pytest.mark.parametrize("dedup", COUNTS)
def test_a_count_goes_on_from_every_chunk(dedup, spare, place, monkeypatch):
    """No text is tokenized again, no cluster and no repeated line looked for; the bytes are those of a whole run."""
    arguments = ["tokens", "corpus.jsonl", *COUNTS[dedup], "--chunk-size", "8KB", "--out", "out", "--write", "jsonl"]
    before = set(os.listdir())
    assert run(app, arguments) == 0
    wanted = files(before)
    shutil.rmtree("out")
    monkeypatch.setattr(checkpoint, "_SHARE", 1e9)
    monkeypatch.setattr(checkpoint, "_SPARE", spare)
    with monkeypatch.context() as patch:
        patch.setattr("curate.corpus.result.TokenReport.write_into", _interrupt)
        assert run(app, arguments) == 130
    kept = _pieces(Path(".out.checkpoint"))
    chunks = {name for name in kept if name.startswith("scan-") and not name.endswith("-rest")}
    assert len(chunks) > 10
    assert {f"{name}-rest" for name in chunks} & kept == ({f"{name}-rest" for name in chunks} if spare else set())
    monkeypatch.setattr("curate.data.tokenizer.Tokenizer.count_verified", _interrupt)
    monkeypatch.setattr("curate.corpus.clusters.DuplicateIndex.clusters", _interrupt)
    monkeypatch.setattr("curate.corpus.lines.LineIndex.repeated", _interrupt)
    if spare:
        monkeypatch.setattr("curate.corpus.measure.Measure.documents", _interrupt)
    assert run(app, [*arguments, "--resume"]) == 0
    assert files(before) == wanted


def _change(corpus):
    """Give a file other texts, and leave its size and time."""
    before = os.stat(corpus)
    records = Path(corpus).read_bytes().splitlines(keepends=True)
    Path(corpus).write_bytes(b"".join([*records[1:], records[0].swapcase()]))
    os.utime(corpus, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("dedup", COUNTS)
def test_a_text_that_changed_within_its_size_and_time_is_told(dedup, place, capsys, monkeypatch):
    """What was kept of another text is not mixed with this one."""
    arguments = ["tokens", "corpus.jsonl", *COUNTS[dedup], "--chunk-size", "8KB", "--out", "out"]
    monkeypatch.setattr(checkpoint, "_SHARE", 1e9)
    monkeypatch.setattr(checkpoint, "_SPARE", 0)
    with monkeypatch.context() as patch:
        patch.setattr("curate.corpus.result.TokenReport.write_into", _interrupt)
        assert run(app, arguments) == 130
    _change("corpus.jsonl")
    assert run(app, [*arguments, "--resume"]) == 2
    assert "the input has changed since, though neither its size nor its time has" in capsys.readouterr().err


@pytest.mark.parametrize("changed", ["corpus.jsonl", "earlier.jsonl"])
def test_clusters_and_lines_of_other_texts_are_not_taken(changed, place, monkeypatch):
    """Where chunks are cut elsewhere, and measured again, clusters and lines are those of the texts that were read."""
    records = [orjson.loads(line) for line in Path("corpus.jsonl").read_bytes().splitlines()]
    _write_lines("earlier.jsonl", [{"text": record["text"].replace("ka", "KA")} for record in records[::3]])
    arguments = ["tokens", "corpus.jsonl", *COUNTS["near"], "--against", "earlier.jsonl", "--out", "out"]
    before = set(os.listdir())
    monkeypatch.setattr(checkpoint, "_SHARE", 1e9)
    with monkeypatch.context() as patch:
        patch.setattr("curate.corpus.result.TokenReport.write_into", _interrupt)
        assert run(app, [*arguments, "--chunk-size", "8KB"]) == 130
    _change(changed)
    assert run(app, [*arguments, "--chunk-size", "9KB", "--resume"]) == 0
    resumed = files(before)
    shutil.rmtree("out")
    assert run(app, [*arguments, "--chunk-size", "9KB"]) == 0
    assert files(before) == resumed


def test_chunks_on_which_engines_differ_are_counted_again(place, monkeypatch):
    """A run that goes on sees for itself that the fast engine differs, and leaves all to the reference."""
    arguments = ["tokens", "corpus.jsonl", *COUNTS["near"], "--chunk-size", "8KB", "--out", "out"]
    monkeypatch.setattr(checkpoint, "_SHARE", 1e9)
    monkeypatch.setattr("curate.corpus.result.TokenReport.write_into", _interrupt)
    count = Tokenizer.count_verified
    monkeypatch.setattr(
        Tokenizer, "count_verified", lambda self, texts: (count(self, texts)[0], Verified(documents=1, mismatches=1))
    )
    run(app, arguments)
    chunks = {name for name in _pieces(Path(".out.checkpoint")) if name.startswith("scan-")}
    assert len(chunks) > 10
    assert all(name.endswith("-rest") for name in chunks)


@pytest.mark.parametrize(
    ("source", "dump", "passes"),
    [
        ("stackexchange", "physics_Posts.xml", ("_find_top_answers", "_judge", "_fetch")),
        ("reddit", "RS_2019.jsonl", ("_best_submissions",)),
    ],
)
def test_passes_over_dumps_are_not_made_again(source, dump, passes, place, monkeypatch):
    """A source takes what each pass found from the interrupted run, and gives the same rows and the same report."""
    posts = [{"id": f"a{i}", "subreddit": "AskReddit", "score": i, "title": f"Why is it {i}?"} for i in range(99)]
    _write_lines("RS_2019.jsonl", posts)
    arguments = ["source", source, dump, "--out", "out.jsonl"]
    arguments += ["--subreddit", "AskReddit"] if source == "reddit" else ["--min-chars", "0"]
    assert run(app, arguments) == 0
    wanted = {name: Path(name).read_bytes() for name in ("out.jsonl", "out.report.json")}
    monkeypatch.setattr(checkpoint, "_SHARE", 1e9)
    with monkeypatch.context() as patch:
        patch.setattr(Extract, "write_into", _interrupt)
        assert run(app, [*arguments, "--force"]) == 130
    for name in passes:
        monkeypatch.setattr(f"curate.data.sources.{source}.{name}", _interrupt)
    assert run(app, [*arguments, "--resume"]) == 0
    assert {name: Path(name).read_bytes() for name in wanted} == wanted
    assert not Path(".out.jsonl.checkpoint").exists()


def test_an_interrupt_tells_how_to_go_on(place, capsys, monkeypatch):
    """Ctrl-C says that --resume goes on; the log that stays beside the target tells why the run ended."""
    monkeypatch.setattr(checkpoint, "_SHARE", 1e9)
    monkeypatch.setattr(coverage, "nearest_selected", _interrupt)
    run(app, _select())
    assert "--resume goes on from there" in capsys.readouterr().err
    assert _log(".out.checkpoint")[-2]["level"] == "error"


def test_a_run_without_resume_starts_anew(interrupted, capsys):
    """What an interrupted run left goes when a run starts without --resume."""
    assert run(app, _select()) == 0
    assert "resumes" not in capsys.readouterr().err
    assert not Path(".out.checkpoint").exists()


@pytest.mark.parametrize(
    ("change", "more", "said"),
    [
        (lambda: os.utime("pool.jsonl"), [], "the input has changed since: pool.jsonl"),
        (lambda: None, ["--tau", "3"], "--tau was 1.0, is 3.0"),
        (lambda: None, ["--map", "instruction=q"], "--map was"),
    ],
)
def test_another_run_is_not_resumed(interrupted, change, more, said, capsys):
    """Changed input and options are refused with the reason, and what was kept stays."""
    change()
    assert run(app, _select("--resume", *more)) == 2
    assert said in capsys.readouterr().err
    assert Path(".out.checkpoint/key.json").exists()


@pytest.mark.parametrize("output", [OutputDirectory, OutputFile])
def test_a_refused_run_leaves_what_an_interrupted_one_kept(interrupted, output):
    """A run of stdin has no key and counts no pieces: what it did not begin is not its own to remove."""
    Path("out").touch()
    before = files(set())
    with pytest.raises(UsageError), output("out"):
        pass
    assert files(set()) == before


def test_another_version_does_not_resume(interrupted, capsys, monkeypatch):
    """What another version of a library computed is not mixed with what this one does."""
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.1")
    assert run(app, _select("--resume")) == 2
    assert "is 0.1" in capsys.readouterr().err


def test_options_that_change_no_result_may_differ(interrupted, capsys):
    """Workers and memory are free."""
    assert run(app, _select("--resume", "--workers", "1")) == 0
    assert "resumes" in capsys.readouterr().err


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:-99] + bytes(99), lambda data: b""])
def test_a_damaged_piece_is_computed_again(damage, interrupted):
    """A piece that a power cut has left without its end, or with zeros there, is passed over."""
    for piece in Path(".out.checkpoint").rglob("*.pieces"):
        piece.write_bytes(damage(piece.read_bytes()))
    assert run(app, _select("--resume")) == 0
    kept = Path("out/train.jsonl").read_bytes()
    assert run(app, _select("--force")) == 0
    assert Path("out/train.jsonl").read_bytes() == kept


def test_a_disk_that_takes_no_pieces_ends_the_keeping_alone(place, capsys, monkeypatch):
    """The run goes on, says so, and leaves the room to its result."""
    monkeypatch.setattr(checkpoint, "_SHARE", 1e9)
    append = checkpoint.append

    def on_a_full_disk(_, *piece):
        with open("/dev/full", "wb") as file:
            return append(file, *piece)

    monkeypatch.setattr(checkpoint, "append", on_a_full_disk)
    assert run(app, _select()) == 0
    assert "nothing is kept for --resume any more: No space left" in capsys.readouterr().err


def test_what_was_kept_gives_its_room_back(tmp_path, monkeypatch):
    """Once a disk is full no file of pieces stays open or counts, whichever thread was writing one."""
    monkeypatch.setattr(checkpoint, "_SHARE", 1e9)
    kept = checkpoint.Checkpoint(tmp_path / "kept", {"a": 1})
    kept.begin(resume=False)
    kept.once("before", int)
    append, opened = checkpoint.append, []

    def slow(file, name, piece):
        opened.append(file)
        place = append(file, name, piece)
        kept._give_up(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        return place

    monkeypatch.setattr(checkpoint, "append", slow)
    kept.once("slow", int)
    kept.once("after", int)
    assert opened
    assert all(file.closed for file in opened)
    assert kept.count() == 0
    kept.end(keep=True)
    assert not (tmp_path / "kept").exists()


def test_threads_and_runs_share_a_checkpoint(tmp_path, monkeypatch):
    """Pieces that many threads keep, in run after run, are all there, each as it was, and none is computed twice."""
    import numpy as np

    monkeypatch.setattr(checkpoint, "_SHARE", 1e9)
    computed, size = [], 0
    for number in range(1, 4):
        kept = checkpoint.Checkpoint(tmp_path / "kept", {"a": 1})
        kept.begin(resume=number > 1)
        assert kept.count() == size

        def once(i, kept=kept):
            return kept.once(f"p{i}", lambda: (computed.append(i), np.full(5000 + i, i))[1])

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(once, range(60 * number)))
        assert all((array == i).all() and len(array) == 5000 + i for i, array in enumerate(found))
        size = kept.count()
        kept.end(keep=True)
    assert sorted(computed) == list(range(180))


def test_the_first_fault_is_the_one_that_is_told(tmp_path, monkeypatch):
    """A full disk takes all pieces with it, and another thread that writes one then finds its directory gone."""
    kept = checkpoint.Checkpoint(tmp_path / "kept", {"a": 1})
    kept.begin(resume=False)

    def write(_, name, *__):
        if name == "slow":
            kept.once("quick", int)
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint, "_SHARE", 1e9)
    monkeypatch.setattr(checkpoint, "append", write)
    kept.once("slow", int)
    assert kept.fault == "nothing is kept for --resume any more: No space left on device"


def test_keeping_has_a_budget(tmp_path):
    """A piece that would take longer to write than a share of the work is not kept; a small one is.

    What can be had again quickly leaves some of the time to what cannot.
    """
    import numpy as np

    kept = checkpoint.Checkpoint(tmp_path / "kept", {"a": 1})
    kept.begin(resume=False)
    kept.once("small", int)
    kept.once("large", lambda: np.zeros(10_000_000))
    kept.once("medium, to spare", lambda: np.zeros(2_100_000), spare=True)
    kept.once("medium", lambda: np.zeros(2_100_000))
    kept.end(keep=True)
    assert _pieces(tmp_path / "kept") == {"medium", "small"}


def test_pieces_come_back_as_they_were(tmp_path):
    """Arrays keep type, shape and how they lie, texts and floats every bit; tuples are lists."""
    import numpy as np

    arrays = [
        np.arange(6, dtype=np.int8).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(12, dtype=">u2")[::2], np.empty((0, 4), np.float32), np.array([True, False]), np.array(7.5),
        np.array(["2026-01-01", "NaT"], "M8[D]"), np.array(["a", "é"]),
    ]  # fmt: skip
    value = {
        "a": arrays,
        "b": b"\xff\x00",
        "c": [0.1, float("nan"), None, "é", (1,)],
    }
    for _ in range(2):
        kept = checkpoint.Checkpoint(tmp_path / "kept", {"a": 1})
        kept.begin(resume=(tmp_path / "kept").exists())
        found = kept.once("piece", lambda: (time.sleep(0.1), value)[1])
        kept.end(keep=True)
    for there, here in zip(found["a"], arrays, strict=True):
        assert (there.dtype, there.shape, there.flags.fnc) == (here.dtype, here.shape, here.flags.fnc)
        np.testing.assert_array_equal(there, here)
    assert found["b"] == b"\xff\x00"
    assert repr(found["c"]) == "[0.1, nan, None, 'é', [1]]"


# -- Nothing to resume -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["tokens", "select", "source"])
def test_what_is_finished_is_said_to_be(command, place, capsys):
    """--resume on a finished result of the same run exits 0; of another run it is refused; without it too."""
    arguments = [*COMMANDS[command], *_out(command)]
    assert run(app, [*arguments, "--resume"]) == 0
    assert "nothing to resume; starts from the beginning" in capsys.readouterr().err
    before = files(set())
    assert run(app, [*arguments, "--resume"]) == 0
    assert "is finished already" in capsys.readouterr().err
    assert run(app, [*arguments, "--resume", "--json"]) == 0
    assert orjson.loads(capsys.readouterr().out)["command"].startswith(command)
    assert run(app, arguments) == 2
    assert run(app, [*arguments, "--resume", "--seed", "7"]) == 2
    assert "--seed was 0, is 7" in capsys.readouterr().err
    assert files(set()) == before


@pytest.mark.parametrize(("command", "lost"), [("tokens", "out/train-00000.jsonl"), ("select", "out/ledger.parquet")])
def test_what_has_lost_a_part_is_not_finished(command, lost, place, capsys):
    """A file that is gone, or cut: --resume says so, and with --force makes all of it anew."""
    arguments = [*COMMANDS[command], *_out(command)]
    assert run(app, arguments) == 0
    wanted = Path(lost).read_bytes()
    for damage in (Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-9])):
        damage(Path(lost))
        damaged = files(set())
        assert run(app, [*arguments, "--resume"]) == 2
        assert "has lost a part since" in capsys.readouterr().err
        assert files(set()) == damaged
        assert run(app, [*arguments, "--resume", "--force"]) == 0
        assert Path(lost).read_bytes() == wanted


@pytest.mark.parametrize("lost", ["out.jsonl", "out.report.json"])
def test_rows_or_a_report_alone_are_not_finished(lost, place):
    """A source is finished when both are there."""
    assert run(app, [*COMMANDS["source"], *_out("source")]) == 0
    Path(lost).unlink()
    assert run(app, [*COMMANDS["source"], *_out("source"), "--resume"]) == 2


def test_a_step_that_has_lost_a_part_is_run_again(place):
    """With --resume too, where the key of its output says that it was made from the same."""
    assert run(app, ["run", "recipe.toml", "--quiet"]) == 0
    wanted = files(set())
    Path("out/select/ledger.parquet").unlink()
    assert run(app, ["run", "recipe.toml", "--quiet", "--resume"]) == 0
    assert files(set()) == wanted


def test_a_kill_after_the_last_rename_leaves_a_finished_result(interrupted, capsys):
    """Where the result is there, what is kept beside it is of no use, and goes."""
    shutil.copytree(".out.checkpoint", "kept")
    assert run(app, _select("--resume")) == 0
    shutil.move("kept", ".out.checkpoint")
    assert run(app, _select("--resume")) == 0
    assert "is finished already" in capsys.readouterr().err
    assert not Path(".out.checkpoint").exists()


def test_python_is_told_what_is_finished(place):
    """From Python a finished result is an exception that names its report."""
    options = {"count": 20, "filters": "none", "out": "out", "resume": True}
    assert select_rows("pool.jsonl", **options).rows.height == 20
    with pytest.raises(AlreadyFinished) as told:
        select_rows("pool.jsonl", **options)
    assert told.value.report == Path("out/report.json")


def test_a_finished_recipe_runs_nothing(place, capsys):
    """Steps that were finished before the state was saved are finished; --force and --resume exclude each other."""
    assert run(app, ["run", "recipe.toml", "--quiet"]) == 0
    Path("out/run.json").unlink()
    capsys.readouterr()
    assert run(app, ["run", "recipe.toml", "--resume", "--json"]) == 0
    assert run(app, ["run", "recipe.toml", "--resume", "--force"]) == 2


def _index(corpus, *more):
    return ["tokens", corpus, "--tokenizer", "none", "--save-index", "index", *more]


def test_an_index_of_another_run_is_not_replaced(place, capsys, monkeypatch):
    """It is refused before the corpus is read, and --resume, which has nothing to go on from, does not help."""
    shutil.copy("pool.jsonl", "other.jsonl")
    assert run(app, _index("corpus.jsonl")) == 0
    before = files(set())
    monkeypatch.setattr("curate.corpus.count.scan", _interrupt)
    for more in ([], ["--resume"]):
        assert run(app, _index("other.jsonl", "--text-column", "output", "--out", "out", *more)) == 2
        assert "Give another --save-index, or --force" in capsys.readouterr().err
    assert files(set()) == before


def test_an_index_of_the_interrupted_run_is_not_written_again(place, capsys, monkeypatch):
    """Interrupted after its index was written, a run goes on and leaves it; one that another run put there stays."""
    monkeypatch.setattr(checkpoint, "_SHARE", 1e9)
    arguments = _index("corpus.jsonl", "--chunk-size", "8KB", "--out", "out")
    with monkeypatch.context() as patch:
        patch.setattr("curate.corpus.result.TokenReport.write_into", _interrupt)
        assert run(app, arguments) == 130
    written = Path("index/manifest.json").stat().st_mtime_ns
    assert run(app, [*arguments, "--resume"]) == 0
    assert "resumes an interrupted run" in capsys.readouterr().err
    assert Path("index/manifest.json").stat().st_mtime_ns == written
    shutil.rmtree("out")
    with monkeypatch.context() as patch:
        patch.setattr("curate.corpus.result.TokenReport.write_into", _interrupt)
        assert run(app, [*arguments, "--force"]) == 130
    shutil.rmtree("index")
    assert run(app, _index("pool.jsonl", "--text-column", "output")) == 0
    theirs = Path("index/manifest.json").read_bytes()
    assert run(app, [*arguments, "--resume"]) == 2
    assert Path("index/manifest.json").read_bytes() == theirs


@pytest.mark.parametrize(("index", "out"), [("out/index", "out"), ("index", "index/out"), ("out", "out")])
def test_an_index_and_an_output_one_in_the_other_are_refused(index, out, place, capsys):
    """Either replaces what is there as a whole, and the other would go with it."""
    before = files(set())
    assert run(app, ["tokens", "corpus.jsonl", "--tokenizer", "none", "--save-index", index, "--out", out]) == 2
    assert "Give each a place of its own" in capsys.readouterr().err
    assert files(set()) == before


def test_stdin_is_not_resumed(place, capsys, monkeypatch):
    """What is no file cannot be told to be the same: nothing is kept, and --resume says so."""
    pool = Path("pool.jsonl").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(pool)))
    assert run(app, ["select", "-", "--count", "3", "--out", "out", "--resume"]) == 0
    assert "what is no local file may have changed" in capsys.readouterr().err


def test_resume_needs_an_output(place, capsys):
    """Without --out nothing was kept."""
    assert run(app, ["select", "pool.jsonl", "--count", "3", "--resume"]) == 2
    assert "--resume needs" in capsys.readouterr().err


# -- One run at a time -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_two_runs_at_once_are_refused(command, place, capsys):
    """The second run into one output ends before it reads anything; a lock that a killed run left holds nobody up."""
    name = "out.jsonl" if command == "source" else "out"
    lock = take_lock(Path(f".{name}.lock"), name)
    assert run(app, [*COMMANDS[command], *_out(command)]) == 2
    assert "another run is writing this" in capsys.readouterr().err
    drop_lock(lock)
    Path(f".{name}.lock").touch()
    assert run(app, [*COMMANDS[command], *_out(command)]) == 0


# -- The log, and a terminal that is closed ----------------------------------------------------------------------------


def _log(directory):
    return [orjson.loads(line) for line in (Path(directory) / "log.jsonl").read_bytes().splitlines()]


def test_the_log_tells_stages_notes_and_interruptions(interrupted, capsys):
    """log.jsonl holds both processes of a run; verify finds nothing wrong with it, and nothing when it has gone."""
    assert run(app, _select("--resume")) == 0
    log = _log("out")
    assert all(set(line) == {"time", "level", "stage", "message", "seconds"} for line in log)
    assert log[0]["message"] == "starts"
    assert [line["message"] for line in log if line["level"] == "error"] == ["KeyboardInterrupt"]
    assert [line["stage"] for line in log if line["message"] == "done"].count("write") == 1
    assert orjson.loads(Path("out/manifest.json").read_bytes())["log"] == "log.jsonl"
    assert run(app, ["verify", "out"]) == 0
    Path("out/log.jsonl").unlink()
    assert run(app, ["verify", "out"]) == 0


def test_notes_and_progress_stand_in_the_log(place, monkeypatch):
    """What is said about the input is a warning, how far a stage is a line for those who look closely."""
    monkeypatch.setattr("curate.report.progress._LOG_EVERY_SECONDS", 0)
    with Path("pool.jsonl").open("ab") as file:
        file.write(b"{broken\n")
    assert run(app, _select("--quiet")) == 0
    assert any("cannot be read" in line["message"] for line in _log("out") if line["level"] == "warning")
    assert any(line["stage"] == "read" for line in _log("out") if line["level"] == "debug")


def test_a_closed_terminal_does_not_end_a_run(place):
    """The terminal goes away in the middle: hangup signal, and nobody to write to. The result comes all the same."""
    arguments = [*CURATE, *COMMANDS["tokens"], "--out", "out"]
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, arguments)
    while not Path(".out.checkpoint").exists():
        time.sleep(0.01)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert Path("out/train-00000.jsonl").exists()


def test_messages_that_nobody_reads_do_not_end_a_run(place):
    """A pipe for messages whose reader has ended is no failure."""
    reader, writer = os.pipe()
    os.close(reader)
    arguments = [*CURATE, *COMMANDS["tokens"], "--out", "out", "--resume"]  # says something at once
    assert subprocess.run(arguments, stderr=writer, stdout=subprocess.DEVNULL, check=False).returncode == 0
    os.close(writer)
    assert Path("out/manifest.json").exists()
