"""The command line: what goes to stdout and stderr, exit codes, and what bad input is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from curate.cli import app
from curate.face import run
from curate.verify import TIMED

SAMPLE = Path(__file__).parents[1] / "pipelines/sample_pool.jsonl"
CURATE = [sys.executable, "-m", "curate.cli"]


def _pool(path: Path, n: int = 40) -> Path:
    rows = [{"instruction": f"Tell me {i} things about the number {i}.", "output": f"It is {i}."} for i in range(n)]
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return path


def test_result_on_stdout_messages_on_stderr(tmp_path, capsys):
    """The table alone is on stdout, fits 80 columns, and ends with where the rows are."""
    assert run(app, ["select", str(SAMPLE), "--count", "20", "--out", str(tmp_path / "out")]) == 0
    out, err = capsys.readouterr()
    assert f"20 rows in {tmp_path / 'out'}" in " ".join(out.split())
    assert all(len(line) <= 80 for line in out.splitlines() if str(tmp_path) not in line)
    assert all(line.startswith("curate: ") for line in err.splitlines())


def test_json_is_one_object(tmp_path, capsys):
    """--json prints one object with sorted keys that equals report.json in all but time and memory."""
    out = tmp_path / "out"
    assert run(app, ["select", str(SAMPLE), "--count", "20", "--out", str(out), "--json"]) == 0
    printed = orjson.loads(capsys.readouterr().out)
    written = orjson.loads((out / "report.json").read_bytes())
    assert list(printed) == sorted(printed)
    assert {**printed, **dict.fromkeys(TIMED)} == {**written, **dict.fromkeys(TIMED)}


def test_quiet_says_nothing_but_the_result(tmp_path, capsys):
    """--quiet leaves stderr empty."""
    assert run(app, ["select", str(_pool(tmp_path / "p.jsonl")), "--count", "3", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert "selected" in out
    assert err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["select", "POOL", "--fraction", "0"], "--fraction 0: should be above 0 and at most 1"),
        (["select", "POOL", "--fraction", "2"], "--fraction 2: should be above 0"),
        (["select", "POOL", "--fraction", "nan"], "--fraction nan: is not a finite number"),
        (["select", "POOL"], "how many rows to select is not said"),
        (["select", "POOL", "--count", "1", "--fraction", "1"], "exclude each other"),
        (["select", "--count", "1"], "no input is given"),
        (["select", "POOL", "--count", "1", "--embedder", "lexcal"], "unknown embedder 'lexcal'"),
        (["select", "POOL", "--count", "1", "--filters", "claen"], "unknown filter 'claen'"),
        (["select", "POOL", "--count", "1", "--tokenizer", "o200k_bse"], "no tokenizer 'o200k_bse'"),
        (["select", "POOL", "--count", "1e30"], "--count 1e30: should be at most 9,223,372,036,854,775,807"),
        (["select", "POOL", "--count", "1", "--seed", "1e30"], "--seed 1e30: should be at most"),
        (["select", "POOL", "--count", "1", "--seed", "x"], "--seed x: is not a number"),
        (["select", "POOL", "--count", "1", "--out", "."], "the directory you are in"),
        (["select", "POOL", "--count", "1", "--colour"], "No such option"),
        (["select", "POOL", "--count", "1", "--map", "q"], "--map"),
        (["select", "POOL", "--count", "1", "--scope", "task"], "--task-column"),
        (["select", "POOL", "--count", "1", "--clusters", "1000"], "at most the number of candidate rows"),
        (["selct"], "No such command"),
    ],
)
def test_wrong_usage_exits_2(arguments, message, tmp_path, capsys):
    """Wrong usage gets one message and exit code 2, on stderr; with --json the error is the one object on stdout."""
    pool = str(_pool(tmp_path / "p.jsonl"))
    arguments = [pool if part == "POOL" else part for part in arguments]
    assert run(app, arguments) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""
    if arguments[0] == "select" and "--colour" not in arguments:
        assert run(app, [*arguments, "--json"]) == 2
        assert message in orjson.loads(capsys.readouterr().out)["error"]["message"] + err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "empty"),
        (b"not json\nnor this\n", "no record can be read"),
        (b'{"text": "a document"}\n', "curate tokens"),
        (b'{"q": "a", "a": "b"}\n', "q"),
    ],
)
def test_bad_data_exits_1_or_2(content, message, tmp_path, capsys):
    """Input without one usable row is an error that says why; no output directory appears."""
    path = tmp_path / "pool.jsonl"
    if content is not None:
        path.write_bytes(content)
    assert run(app, ["select", str(path), "--count", "1", "--out", str(tmp_path / "out")]) in {1, 2}
    assert message in capsys.readouterr().err.lower()
    assert not (tmp_path / "out").exists()


def test_a_budget_larger_than_the_pool_names_the_filter(tmp_path, capsys):
    """The message tells how many are left and which rule took most."""
    path = _pool(tmp_path / "p.jsonl", 10)
    path.write_bytes(path.read_bytes() + b'\n{"instruction": "a?", "output": ""}' * 5)
    assert run(app, ["select", str(path), "--count", "11"]) == 1
    assert "11 rows are wanted, but 10 of 15 are left; clean.empty_answer took most (5)" in capsys.readouterr().err


def test_an_output_directory_in_use_is_kept(tmp_path, capsys):
    """A non-empty --out is refused before any work is done, and --force replaces it."""
    arguments = ["select", str(_pool(tmp_path / "p.jsonl")), "--count", "2", "--out", str(tmp_path / "out")]
    assert run(app, arguments) == 0
    before = (tmp_path / "out/manifest.json").read_bytes()
    assert run(app, [*arguments, "--seed", "5"]) == 2
    assert "not empty" in capsys.readouterr().err
    assert (tmp_path / "out/manifest.json").read_bytes() == before
    assert run(app, [*arguments, "--seed", "5", "--force"]) == 0


def test_strict_exits_3_and_keeps_the_output(tmp_path, capsys):
    """--strict turns a broken line into exit code 3; the result is there all the same, as one JSON object if asked."""
    path = _pool(tmp_path / "p.jsonl")
    arguments = ["select", str(path), "--count", "2", "--out", str(tmp_path / "out"), "--strict", "--force"]
    assert run(app, arguments) == 0  # that two rows are few is advice, and no fault of the input
    path.write_bytes(path.read_bytes() + b"\n{broken\n")
    assert run(app, arguments) == 3
    assert (tmp_path / "out/train.jsonl").exists()
    assert "--strict" in capsys.readouterr().err
    assert run(app, [*arguments, "--json"]) == 3
    assert orjson.loads(capsys.readouterr().out)["rows"]["unreadable"] == 1


@pytest.mark.parametrize("name", ["out[1]", "a[red]b", "[/]", "a b", os.fsdecode(b"caf\xe9")])
def test_any_name_is_printed_as_it_is(name, tmp_path, capsys, monkeypatch):
    """Brackets are no markup, and bytes that are no UTF-8 do no harm, on the screen or in the report."""
    monkeypatch.chdir(tmp_path)
    assert run(app, ["select", str(_pool(tmp_path / "p.jsonl")), "--count", "2", "--out", name]) == 0
    shown = name.encode("utf-8", "backslashreplace").decode()
    assert f"2 rows in {shown}/train.jsonl" in capsys.readouterr().out
    assert orjson.loads((tmp_path / name / "report.json").read_bytes())["config"]["out"] == shown


def test_a_run_without_out_says_that_nothing_was_written(tmp_path, capsys):
    """The table alone is easily taken for a result on disk."""
    assert run(app, ["select", str(_pool(tmp_path / "p.jsonl")), "--count", "2"]) == 0
    assert "no file was written: --out DIR writes the rows" in capsys.readouterr().err


def test_a_missing_pool_leaves_no_directories(tmp_path, capsys):
    """A misspelt input does not leave the parents of --out behind."""
    assert run(app, ["select", str(tmp_path / "pol.jsonl"), "--count", "2", "--out", str(tmp_path / "a/b/out")]) == 2
    assert "no such file" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def test_steps_that_take_over_a_second_show_a_bar():
    """On a terminal each slow step has a bar, told or moving; in a terminal that cannot draw there is none."""
    code = (
        "import time\nfrom curate.report.progress import Stages\nstages = Stages(bars=True, messages=True)\n"
        "with stages('silent'): time.sleep(1.3)\n"
        "with stages('told') as advance:\n    for i in range(14): advance(i, 20); time.sleep(.1)\n"
        "with stages('quick') as advance: advance(1, 2)\n"
        "stages.say('done')"
    )
    terminal = (
        "import os, pty, sys; os._exit(os.waitstatus_to_exitcode(pty.spawn([sys.executable, '-c', sys.argv[1]])))"
    )
    for term, drawn in (("xterm", True), ("dumb", False)):
        shown = subprocess.run(
            [sys.executable, "-c", terminal, code], env={**os.environ, "TERM": term}, capture_output=True, check=True
        ).stdout
        assert [word in shown for word in (b"silent", b"told", b"65%")] == [drawn] * 3
        assert b"quick" not in shown
        assert b"curate: done" in shown


def test_print_config_shows_value_and_origin(tmp_path, capsys, monkeypatch):
    """Flags, environment, file and default are told apart."""
    toml = tmp_path / "c.toml"
    toml.write_text("[select]\ntau = 3\nseed = 9\n")
    monkeypatch.setenv("CURATE_SEED", "4")
    arguments = ["select", "x", "--count", "5", "--config", str(toml), "--print-config", "--json"]
    assert run(app, arguments) == 0
    shown = orjson.loads(capsys.readouterr().out)
    assert shown["count"] == {"origin": "flag", "value": 5}
    assert shown["seed"] == {"origin": "environment", "value": 4}
    assert shown["tau"] == {"origin": str(toml), "value": 3.0}
    assert shown["core"]["origin"] == "default"


def test_print_config_needs_no_budget(capsys):
    """The defaults can be looked at before one knows how many rows to select."""
    assert run(app, ["select", "--print-config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "embedder" in [line.split()[0] for line in lines]
    assert len({line.rindex("default") for line in lines}) == 1  # in columns


def test_print_config_of_a_command_without_options(capsys):
    """There is nothing to show, and that is no error."""
    assert run(app, ["why", "sft/", "3f9ac1", "--print-config"]) == 0
    assert capsys.readouterr().out == ""


def test_stdin(tmp_path):
    """A dash reads JSON lines from stdin."""
    pool = _pool(tmp_path / "p.jsonl").read_bytes()
    done = subprocess.run(
        [*CURATE, "select", "-", "--count", "4", "--json"], input=pool, capture_output=True, check=True
    )
    assert orjson.loads(done.stdout)["rows"]["selected"] == 4


def test_interrupt_leaves_nothing_and_exits_130(tmp_path):
    """Ctrl-C in the middle exits with 130 and leaves no directory under the final name, nor a scratch one."""
    pool = _pool(tmp_path / "p.jsonl", 60_000)
    command = [*CURATE, "select", str(pool), "--count", "3000", "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".out.partial*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert b"interrupted" in err
    assert b"Traceback" not in err
    assert os.listdir(tmp_path) == ["p.jsonl"]


def test_import_and_help_are_light():
    """`import curate` and `curate --help` import neither torch nor sklearn, polars nor numpy."""
    code = (
        "import sys, curate\nfrom curate.cli import app\nfrom curate.face import run\n"
        "assert run(app, ['select', '--help']) == 0\n"
        "heavy = {'torch', 'sklearn', 'polars', 'numpy', 'numba', 'datasets', 'orjson', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_a_default_run_imports_neither_torch_nor_sklearn(tmp_path):
    """The default path works where torch and scikit-learn are missing or broken."""
    code = (
        "import sys\nsys.modules['torch'] = None\nsys.modules['sklearn'] = None\nsys.modules['datasets'] = None\n"
        "from curate.cli import app\nfrom curate.face import run\n"
        "sys.exit(run(app, ['select', sys.argv[1], '--count', '3']))"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(_pool(tmp_path / "p.jsonl"))], check=True, stdout=subprocess.DEVNULL
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell, capsys):
    """Each shell gets its script."""
    assert run(app, ["completion", shell]) == 0
    assert "_CURATE_COMPLETE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("sel", "plain,select"),
        ("select --embed-", "plain,--embed-text"),
        ("select --format a", "plain,alpaca"),
        ("select po", "file,po"),
        ("select --out ou", "file,ou"),
        ("select --config c", "file,c"),
    ],
)
def test_the_shell_completes_commands_options_choices_and_files(words, completed):
    """With completion on, names of files are still completed, for inputs and wherever an option names one."""
    count = len(words.split())
    done = subprocess.run(
        CURATE, env={**os.environ, "_CURATE_COMPLETE": "bash_complete", "COMP_WORDS": f"curate {words}",
                     "COMP_CWORD": str(count)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [completed]


def test_a_closed_pipe_is_quiet(tmp_path):
    """`curate ... | head -1` ends without a traceback."""
    pool = _pool(tmp_path / "p.jsonl")
    script = f"{' '.join(CURATE)} select {pool} --count 2 --json | head -c 1"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    assert b"Traceback" not in done.stderr


def test_errors_are_json_where_the_environment_asks_for_it(tmp_path, capsys, monkeypatch):
    """CURATE_JSON=1 is --json for errors too."""
    monkeypatch.setenv("CURATE_JSON", "1")
    assert run(app, ["select", str(tmp_path / "none.jsonl"), "--count", "1"]) == 2
    assert orjson.loads(capsys.readouterr().out)["error"]["code"] == 2


def test_absurd_numbers_of_workers_are_refused(tmp_path, capsys):
    """A slip of the finger starts no million processes."""
    assert run(app, ["select", str(_pool(tmp_path / "p.jsonl")), "--count", "1", "--workers", "1000000"]) == 2
    assert "should be at most 1024" in capsys.readouterr().err


def test_lexical_refuses_what_it_would_ignore(tmp_path, capsys):
    """Another device or precision than asked for is an error, not a silent substitution."""
    pool = str(_pool(tmp_path / "p.jsonl"))
    for options in (["--device", "cuda"], ["--dtype", "bf16"]):
        assert run(app, ["select", pool, "--count", "1", *options]) == 2
        assert "runs on the CPU in float32" in capsys.readouterr().err
