"""Names of sources are cut at a folder, never inside a name; what data holds is shown, and never obeyed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from curate.report.names import below_common_folder, harmless, harmless_markup, harmless_values


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["/data/web/a.jsonl", "/data/web/ab.jsonl"], ["a.jsonl", "ab.jsonl"]),
        (["/data/web/a.jsonl", "/data/wiki/a.jsonl"], ["web/a.jsonl", "wiki/a.jsonl"]),
        (["books/a.txt"], ["a.txt"]),
        (["-", "a.txt"], ["-", "a.txt"]),
        ([], []),
    ],
)
def test_the_shared_folder_goes(names, short):
    """What is left tells the sources apart."""
    assert below_common_folder(names) == short


HOSTILE = "a\x1b]0;title\x07\x1b[31m\u202etxt.exe\u2066\x9b\x7f"


def test_nothing_of_a_text_is_obeyed():
    """On a terminal every control and format character is replaced; a page keeps what joins letters and emoji."""
    assert harmless(HOSTILE).isprintable()
    assert harmless_values({HOSTILE: [HOSTILE, 1, None]}) == {harmless(HOSTILE): [harmless(HOSTILE), 1, None]}
    emoji = "\U0001f469\u200d\U0001f467 \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645\r\n\t"
    assert harmless_markup(emoji) == emoji
    assert harmless_markup(HOSTILE).count("\ufffd") == 7


def test_what_people_see_of_hostile_names(tmp_path):
    """Names and values of the data reach tables, messages, pages and the card without control or bidi characters."""
    name = "\x1b[31m\u202epool.jsonl"
    rows = [
        {"instruction": f"Tell me {n} things, please.", "output": f"{HOSTILE} {n}", "task": HOSTILE} for n in range(20)
    ]
    (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"\\u001b[2J\\u202e": 1}\n{"a\n')
    for command in (
        ["select", name, "--count", "3", "--task-column", "task", "--balance", "task", "--filters", "none",
         "--out", "o"],
        ["tokens", name, "--out", "t", "--write", "jsonl"], ["source", "superni", name],
        ["verify", "o"], ["diff", "o", "o", "--html", "d.html"], ["why", "o", "0"], ["select", f"{name}x"],
    ):  # fmt: skip
        run = subprocess.run(
            [sys.executable, "-m", "curate.cli", *command],
            cwd=tmp_path,
            capture_output=True,
            env=os.environ | {"CURATE_WORKERS": "1"},
        )
        assert run.returncode in (0, 1, 2), run.stderr
        text = (run.stdout + run.stderr).decode()
        assert not [letter for letter in text if not letter.isprintable() and letter != "\n"], (command, text)
    for file in ("o/report.html", "o/README.md", "t/report.html", "d.html"):
        assert not re.search("[\0-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", (tmp_path / file).read_text())
