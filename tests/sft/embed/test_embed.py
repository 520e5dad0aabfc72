"""How `--embedder` is understood: names, files, folders, and what happens with anything else."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from curate.errors import UsageError
from curate.sft import embed

MINE = '''
"""Embeds a text by its length."""

import numpy as np


class ByLength:
    def __init__(self, argument, options):
        self.about = {"name": "by_length", "argument": argument, "seed": options["seed"]}

    def embed(self, texts):
        angle = np.array([len(text) for text in texts], dtype=np.float32)
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def load(argument, **options):
    return ByLength(argument, options)
'''


def test_a_module_of_the_package_is_loaded_by_its_name() -> None:
    """`lexical` is the module lexical; kernels are not offered as embedders."""
    assert embed.modules() == ["hidden", "lexical", "sentence_transformers", "static"]
    assert embed.load("lexical", seed=3, workers=1).embed(["a text"]).shape == (1, 256)


def test_a_new_embedder_is_one_new_file_in_the_package(tmp_path, monkeypatch) -> None:
    """A module that is put beside the others is found by its name, without an edit elsewhere."""
    (tmp_path / "by_length.py").write_text(MINE)
    monkeypatch.setattr(embed, "__path__", [*embed.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "curate.sft.embed.by_length", raising=False)
    assert embed.load("by-length:x", seed=1).about == {"name": "by_length", "argument": "x", "seed": 1}


@pytest.mark.parametrize(("suffix", "argument"), [("", None), (":", ""), (":model:7", "model:7")])
def test_an_embedder_may_be_a_file_of_ones_own(tmp_path, monkeypatch, suffix, argument) -> None:
    """`./my_embedder.py:ARG` loads that file and hands it the argument."""
    (tmp_path / "my_embedder.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    for name in (f"./my_embedder.py{suffix}", f"{tmp_path}/my_embedder.py{suffix}"):
        embedder = embed.load(name, seed=0)
        assert embedder.about["argument"] == argument
        np.testing.assert_allclose(np.linalg.norm(embedder.embed(["a", "bcd"]), axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file"), ("import nothing_of_that_name", "cannot be imported"), ("x = 1", "no function load")],
)
def test_a_file_that_is_no_embedder_is_refused(tmp_path, content, message) -> None:
    """A file that is missing, broken or without `load` is named in the error."""
    path = tmp_path / "mine.py"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=message) as caught:
        embed.load(str(path))
    assert "mine.py" in caught.value.what


@pytest.mark.parametrize(("name", "nearest"), [("lexcal", "lexical"), ("all-MiniLM", "all-MiniLM-L6-v2")])
def test_an_unknown_name_lists_the_nearest(name, nearest) -> None:
    """A name that is no module, file, folder or hub id is wrong usage, and known names are offered."""
    with pytest.raises(UsageError, match="unknown embedder") as caught:
        embed.load(name)
    assert nearest in caught.value.hint


def test_a_folder_goes_to_sentence_transformers(tmp_path, monkeypatch) -> None:
    """An existing folder is taken for a model, with or without a slash in its name."""
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("model", "./model"):
        module, argument = embed._find(name)
        assert (module.__name__, argument) == ("curate.sft.embed.sentence_transformers", name)


def test_importing_embedders_is_cheap() -> None:
    """Importing the embedders and resolving a name loads neither numba, torch, scipy nor scikit-learn."""
    code = (
        "import sys; from curate.sft import embed; embed.load('lexical', seed=0)\n"
        "embed._find('sentence-transformers/all-MiniLM-L6-v2')\n"
        "heavy = {'numba', 'torch', 'scipy', 'sklearn', 'transformers', 'sentence_transformers', 'pyarrow'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
