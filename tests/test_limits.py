"""Limits are real: a full disk, no memory, no file left to open, an input that goes away. One error, nothing half done.

Each command runs in a process of its own, under limits that the kernel keeps.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

ENVIRONMENT = os.environ | {"CURATE_WORKERS": "1", "OMP_NUM_THREADS": "1"}


def row(n: int, words: int = 60) -> str:
    said = " ".join(f"word{n * j % 991}" for j in range(words))
    return json.dumps({"instruction": f"Question number {n}: what about topic {n % 37}?", "output": f"It is {said}."})


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    path = tmp_path_factory.mktemp("pool") / "pool.jsonl"
    path.write_text("".join(row(n) + "\n" for n in range(1500)))
    return path


def curate(*words, cwd, limits=(), environment=()):
    """Run a command under `limits` (of `resource`) and return (exit code, stderr)."""

    def limit():
        for name, value in limits:
            resource.setrlimit(name, (value, value))

    command = [sys.executable, "-m", "curate.cli", *map(str, words)]
    done = subprocess.run(
        command,
        cwd=cwd,
        env=ENVIRONMENT | dict(environment),
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stderr


def is_one_error(result, said):
    """Hold that a command ended in one error with a hint, and not in a traceback."""
    code, stderr = result
    assert code in (1, 2), stderr
    assert "Traceback" not in stderr
    assert sum(line.startswith("curate: ") for line in stderr.splitlines()) == 1, stderr
    assert said in stderr


def below(path: Path) -> dict[str, bytes]:
    """Return what stands below a directory, but for what --resume would go on from."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    }


SELECT = ("select", "--count", "1000", "--metrics", "none", "--strategy", "random", "--filters", "none", "--quiet")
TOKENS = ("tokens", "--dedup", "exact", "--tokenizer", "none", "--quiet")


def test_a_full_disk_leaves_what_was_there(pool, tmp_path):
    """Where a file cannot grow any further the run ends in an error, and the earlier result stays as it was."""
    assert curate(*SELECT, pool, "--count", 5, "--out", "sft", cwd=tmp_path)[0] == 0
    before = below(tmp_path)
    full = [(resource.RLIMIT_FSIZE, 100_000)]
    is_one_error(
        curate(*SELECT, pool, "--out", "sft", "--force", cwd=tmp_path, limits=full), "cannot write sft: File too"
    )
    is_one_error(curate(*TOKENS, pool, "--write", "jsonl", "--out", "t", cwd=tmp_path, limits=full), "File too large")
    is_one_error(
        curate("source", "wikihow", _articles(tmp_path), "--out", "w.jsonl", cwd=tmp_path, limits=full), "w.jsonl"
    )
    (tmp_path / "articles.jsonl").unlink()
    assert below(tmp_path) == before


def _articles(place):
    path = place / "articles.jsonl"
    path.write_text("".join(json.dumps({"title": f"How to {n}", "text": "Do it. " * 300}) + "\n" for n in range(300)))
    return path


def test_a_small_disk(pool, tmp_path):
    """The same on a disk that is really full: output, and intermediate results in --tmp."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "none", disk], capture_output=True).returncode
    ):
        pytest.skip("a small disk cannot be mounted here")
    try:
        is_one_error(curate(*SELECT, pool, "--out", disk / "sft", cwd=tmp_path), "No space left on device")
        is_one_error(curate(*TOKENS, pool, "--tmp", disk, "--drop-lines", cwd=tmp_path), "No space left on device")
        assert not below(disk)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_place_that_cannot_be_written(pool, tmp_path):
    """An output where nothing can be written is told before the work, and so is a --tmp that is not there."""
    is_one_error(curate(*SELECT, pool, "--out", "/proc/sft", cwd=tmp_path), "cannot write /proc/sft")
    is_one_error(curate(*TOKENS, pool, "--tmp", tmp_path / "none", cwd=tmp_path), "--tmp")
    is_one_error(
        curate("plan", "--params", "1B", "--html", "/proc/plan.html", cwd=tmp_path), "cannot write /proc/plan.html"
    )


def test_a_full_stdout(tmp_path):
    """A result that cannot be written is an error, too."""
    for more in ((), ("--json",)):
        command = [sys.executable, "-m", "curate.cli", "plan", "--params", "1B", *more]
        with open("/dev/full", "w") as full:
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        is_one_error((done.returncode, done.stderr), "stdout: No space left on device")


def test_many_inputs_and_few_open_files(pool, tmp_path):
    """Files are opened one after the other: 200 inputs need no more than 40 open files, with two workers as well."""
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    for n in range(200):
        (inputs / f"{n}.jsonl").write_text(row(n) + "\n")
    few = [(resource.RLIMIT_NOFILE, 40)]
    out = ("--out", "sft", "--count", 20, "--workers", 2)
    assert curate(*SELECT, inputs, *out, cwd=tmp_path, limits=few) == (0, "")
    assert curate(*TOKENS, inputs, "--workers", 2, cwd=tmp_path, limits=few) == (0, "")


def test_an_input_that_goes_away(pool, tmp_path):
    """A file that is there when the run begins, and gone when its turn comes, ends it; nothing is written."""
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    os.mkfifo(first)
    for command in (SELECT, TOKENS):
        shutil.copy(pool, second)

        def feed() -> None:
            with first.open("w") as pipe:  # waits until the run reads its first input
                second.unlink()
                pipe.write(row(1) + "\n")

        feeder = threading.Thread(target=feed)
        feeder.start()
        is_one_error(
            curate(*command, first, second, "--out", "out", cwd=tmp_path), "b.jsonl: cannot be read: No such file"
        )
        feeder.join()
        assert not (tmp_path / "out").exists()


def test_little_memory(pool, tmp_path):
    """Too small a `ulimit -v` is told before libraries crash on it, and under one that is enough a run ends well."""
    small, enough = [(resource.RLIMIT_AS, 1 << 30)], [(resource.RLIMIT_AS, 4 << 30)]
    for command in (SELECT, TOKENS):
        is_one_error(curate(*command, pool, "--out", "out", cwd=tmp_path, limits=small), "ulimit -v allows 1.0 GB")
        assert not (tmp_path / "out").exists()
    assert curate(*TOKENS, pool, "--out", "out", cwd=tmp_path, limits=enough) == (0, "")


def test_little_memory_for_a_recipe_and_a_source(tmp_path):
    """A recipe is refused as its steps would be; a source, which asks these libraries for nothing, runs."""
    small = [(resource.RLIMIT_AS, 1 << 30)]
    (tmp_path / "recipe.toml").write_text('out = "out"\n[[step]]\nrun = "tokens"\ninputs = ["pool.jsonl"]\n')
    is_one_error(curate("run", "recipe.toml", cwd=tmp_path, limits=small), "ulimit -v allows 1.0 GB")
    assert not (tmp_path / "out").exists()
    (tmp_path / "physics_Posts.xml").write_text(
        '<row Id="1" PostTypeId="1" Score="5" Title="What is it?" Body="Tell." />\n'
        '<row Id="2" PostTypeId="2" ParentId="1" Score="9" Body="It is that." />\n'
    )
    source = ("source", "stackexchange", "physics_Posts.xml", "--min-chars", 0, "--min-score", 1, "--quiet")
    assert curate(*source, "--out", "rows.jsonl", cwd=tmp_path, limits=small) == (0, "")


def test_memory_that_a_selection_would_not_have(pool, tmp_path):
    """--memory refuses a pool before it is embedded."""
    is_one_error(curate(*SELECT, pool, "--memory", "1MB", "--out", "out", cwd=tmp_path), "--memory")
    assert not (tmp_path / "out").exists()


def test_a_clock_that_jumps(pool, tmp_path):
    """Seconds in a report come from a clock that only goes forward; results depend on no clock."""
    for name, ahead in (("back", -(10**9)), ("ahead", 10**9)):
        code = (
            "import itertools, time\n"
            f"real, jumps = time.time, itertools.count()\n"
            f"time.time = lambda: real() + {ahead} * (next(jumps) % 2)\n"
            f"time.time_ns = lambda: int(time.time() * 10**9)\n"
            "from curate.cli import main\n"
            "main()\n"
        )
        command = [sys.executable, "-c", code, *map(str, (*SELECT, pool, "--out", name))]
        subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, check=True, capture_output=True, timeout=120)
    report = json.loads((tmp_path / "back/report.json").read_bytes())
    assert all(0 <= seconds < 120 for seconds in report["seconds"].values())
    for file in ("train.jsonl", "ledger.parquet"):
        assert (tmp_path / "back" / file).read_bytes() == (tmp_path / "ahead" / file).read_bytes()


def test_workers_are_no_more_than_asked(pool, tmp_path):
    """--workers 2 reads a large input with two processes beside the first (and the one that tracks them)."""
    large = tmp_path / "large.jsonl"
    large.write_bytes(pool.read_bytes() * 4)
    command = [sys.executable, "-m", "curate.cli", *SELECT, str(large), "--workers", "2", "--chunk-size", "256KB"]
    run = subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    most = 0
    while run.poll() is None:
        most = max(most, len(Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()))
        time.sleep(0.02)
    assert run.returncode == 0
    assert most in (2, 3)
