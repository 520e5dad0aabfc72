"""The static embedder, on a tiny model2vec folder made on the spot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from curate.errors import CurateError, MissingExtra, UsageError
from curate.sft import embed

WORDS = ["[UNK]", *"abcdefgh"]
VECTORS = np.random.default_rng(0).standard_normal((len(WORDS), 16), dtype=np.float32)
TEXTS = ["a b", "h", "c c d " * 300, "?", "a b"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that model2vec saved."""
    model2vec = pytest.importorskip("model2vec", reason='not installed (pip install "curate[static]")')
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    path = tmp_path_factory.mktemp("models") / "static"
    model2vec.StaticModel(VECTORS, tokenizer, config={"normalize": False}).save_pretrained(path)
    return path


def test_a_vector_is_the_mean_of_its_tokens(folder) -> None:
    """Rows are the unit mean of the token vectors, however long the text; an unknown text is a zero row, and said."""
    embedder = embed.load(f"static:{folder}", seed=0, workers=2)
    vectors = embedder.embed(TEXTS)
    means = [VECTORS[[WORDS.index(word) for word in text.split()]].mean(axis=0) for text in TEXTS if text != "?"]
    expected = np.stack([mean / np.linalg.norm(mean) for mean in means])
    np.testing.assert_allclose(vectors[[0, 1, 2, 4]], expected, atol=1e-6)
    assert not vectors[3].any()
    assert embedder.about["notes"] == [f"1 text holds nothing that static:{folder} knows: a zero vector"]
    assert json.loads(json.dumps(embedder.about))["dimensions"] == 16


def test_neighbours_change_no_bit_and_known_texts_are_read_back(folder, monkeypatch, tmp_path) -> None:
    """A text has the same vector beside any other texts, and the cached vector is that one."""
    expected = embed.load(f"static:{folder}").embed(TEXTS)
    cached = embed.load(f"static:{folder}")
    assert cached.embed(TEXTS[::-1])[::-1].tobytes() == expected.tobytes()
    assert cached.about["cached_texts"] == 4
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "another"))
    assert embed.load(f"static:{folder}").embed(TEXTS[2:3]).tobytes() == expected[2:3].tobytes()


def test_a_folder_is_known_as_static_by_what_it_holds(folder) -> None:
    """A bare path to a static model is read as such."""
    assert embed.load(str(folder)).about["name"] == f"static:{folder}"


def test_another_folder_is_refused(tmp_path) -> None:
    """A folder without a static model is one clear error."""
    pytest.importorskip("model2vec")
    with pytest.raises(CurateError, match="cannot be loaded"):
        embed.load(f"static:{tmp_path}")


@pytest.mark.parametrize("options", [{"device": "cuda"}, {"dtype": "bf16"}])
def test_it_runs_on_the_cpu_in_float32(folder, options) -> None:
    """What it cannot do is wrong usage."""
    with pytest.raises(UsageError, match="static models run on the CPU"):
        embed.load(f"static:{folder}", **options)


def test_without_model2vec_the_extra_is_named(monkeypatch) -> None:
    """The error says what to install."""
    monkeypatch.setattr("curate.sft.embed.static.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="static") as caught:
        embed.load("static:./folder")
    assert "curate[static]" in str(caught.value.hint)


def test_torch_is_not_loaded(folder, tmp_path) -> None:
    """A static model needs no torch."""
    code = (
        "import sys; from curate.sft import embed; "
        f"embed.load({f'static:{folder}'!r}).embed(['a']); print('torch' in sys.modules)"
    )
    environment = {"PATH": "", "CURATE_CACHE": str(tmp_path), "PYTHONPATH": str(Path(embed.__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "False"
