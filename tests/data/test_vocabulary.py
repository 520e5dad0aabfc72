"""A tokenizer's vocabulary is found by name or path, and a damaged or foreign one is refused."""

from __future__ import annotations

import gzip
import hashlib
import inspect

import huggingface_hub.constants
import orjson
import pytest

from curate.data import vocabulary
from curate.data.vocabulary import ENCODINGS, find, parse_ranks
from curate.errors import CurateError, UsageError

tiktoken = pytest.importorskip("tiktoken")
pytest.importorskip("bpe_openai")


@pytest.mark.parametrize("name", ["o200k_base", "cl100k_base"])
def test_rank_files_of_the_wheel_are_those_of_tiktoken(name):
    """The ranks have the hash that stands in tiktoken's source, and its size of the vocabulary."""
    from tiktoken_ext import openai_public

    found = find(name)
    assert found.sha256 == hashlib.sha256(found.data).hexdigest()
    assert found.sha256 in inspect.getsource(openai_public)
    ranks = parse_ranks(found.data)
    assert sorted(ranks.values()) == list(range(len(ranks)))
    assert len(ranks) == {"o200k_base": 199_998, "cl100k_base": 100_256}[name]


def test_definitions_are_those_of_tiktoken():
    """Pattern and special tokens come from tiktoken unchanged, for every encoding that it defines."""
    from tiktoken_ext import openai_public

    assert set(ENCODINGS) == set(openai_public.ENCODING_CONSTRUCTORS)
    assert vocabulary._definition("r50k_base").pattern == openai_public.r50k_pat_str
    assert vocabulary._definition("p50k_edit").special["<|fim_suffix|>"] == 50283
    harmony = vocabulary._definition("o200k_harmony")
    assert harmony.special["<|call|>"] == 200012
    assert harmony.url.endswith("/o200k_base.tiktoken")
    assert vocabulary._definition("gpt2").url.endswith("/r50k_base.tiktoken")


def test_a_vocabulary_that_is_not_here_is_not_downloaded(monkeypatch, tmp_path):
    """Without permission to download, the error names the extra, the address and the place of the file."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    with pytest.raises(CurateError, match="p50k_base is not on this machine") as error:
        find("p50k_base")
    assert "curate[offline]" in error.value.hint
    assert "encodings/p50k_base.tiktoken" in error.value.hint
    assert str(tmp_path) in error.value.hint


def test_a_damaged_file_in_the_cache_is_an_error(monkeypatch, tmp_path):
    """A cached rank file with another hash is neither used nor silently replaced."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    path = vocabulary._cache_path(vocabulary._definition("r50k_base"))
    path.write_bytes(b"IQ== 0\n")
    with pytest.raises(CurateError, match="is damaged: its sha256 is"):
        find("r50k_base", allow_download=True)
    assert path.read_bytes() == b"IQ== 0\n"


def test_the_cache_of_tiktoken_is_used(monkeypatch, tmp_path):
    """A whole file at the place where tiktoken keeps it is found."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    definition = vocabulary._definition("cl100k_base")
    data = find("cl100k_base").data
    vocabulary._cache_path(definition).write_bytes(data)
    assert vocabulary._from_cache(definition) == data


def test_a_damaged_archive_is_an_error(tmp_path):
    """A rank file that does not inflate is reported by its path."""
    definition = vocabulary._definition("cl100k_base")
    broken = gzip.compress(b"IQ== 0\n" * 1000)[:-20]
    (tmp_path / "x.gz").write_bytes(broken)
    with pytest.raises(CurateError, match=r"cannot read .*x\.gz"):
        vocabulary._checked(tmp_path / "x.gz", definition)


def test_a_rank_file_is_known_by_its_hash(tmp_path):
    """Under any name a published rank file is recognised, and a changed one under its own name is damaged."""
    data = find("cl100k_base").data
    (tmp_path / "mine.model").write_bytes(data)
    found = find(str(tmp_path / "mine.model"))
    assert (found.kind, found.pattern) == ("ranks", find("cl100k_base").pattern)
    (tmp_path / "cl100k_base.tiktoken").write_bytes(data.replace(b"IQ== 0", b"IQ== 1", 1))
    with pytest.raises(CurateError, match="tiktoken expects 223921b76ee99bde"):
        find(str(tmp_path / "cl100k_base.tiktoken"))
    (tmp_path / "qwen.tiktoken").write_bytes(b"IQ== 0\nIg== 1\n")
    with pytest.raises(UsageError, match="does not say how a text is split"):
        find(str(tmp_path / "qwen.tiktoken"))


def test_what_a_file_holds_is_read_off_its_content(tmp_path):
    """The first bytes tell the kind of a file; a file of no kind, or a torn one, is refused with its path."""
    cases = {
        b'{"model": {"type": "BPE"}}': "json",
        b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02": "sentencepiece",
    }
    path = tmp_path / "tokenizer.model"
    for content, kind in cases.items():
        path.write_bytes(content)
        assert find(str(path)).kind == kind
        assert find(str(path)).folder == tmp_path
    path.write_bytes(b'{"model": {"type"')
    with pytest.raises(CurateError, match="is damaged"):
        find(str(path))
    path.write_bytes(b'{"a": 0, "b": 1}')
    with pytest.raises(UsageError, match="no `model`"):
        find(str(path))
    for content in (b"", b"a b\nc d\n", b"\x80\x04pickle"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"tokenizer\.model: neither"):
            find(str(path))


def test_a_tekken_file_that_lacks_a_part_is_damaged(tmp_path):
    """A tekken.json without its sizes or tokens is reported, not counted with."""
    path = tmp_path / "tekken.json"
    for config, entries in (({}, []), ({"default_vocab_size": 3, "default_num_special_tokens": 1}, [{"rank": 0}])):
        path.write_bytes(orjson.dumps({"config": {"pattern": ".", **config}, "vocab": entries}))
        with pytest.raises(CurateError, match="is damaged"):
            find(str(path))


def test_a_folder_is_searched(tmp_path):
    """Of a folder tokenizer.json is taken first; a folder without a tokenizer is refused with what to do."""
    with pytest.raises(UsageError, match="no tokenizer here") as error:
        find(str(tmp_path))
    assert "save_pretrained" in error.value.hint
    (tmp_path / "tokenizer.model").write_bytes(b"\n\x00")
    assert find(str(tmp_path)).kind == "sentencepiece"
    (tmp_path / "tokenizer.json").write_bytes(b'{"model": {}}')
    assert find(str(tmp_path)).kind == "json"


@pytest.mark.parametrize("name", ["o200kbase", "./no/such/tokenizer.json", "models/tokenizer.json", "", "a/b/c"])
def test_an_unknown_name_is_not_taken_to_the_network(name):
    """What cannot be a hub id is refused with the names that are known."""
    with pytest.raises(UsageError, match="no tokenizer") as error:
        find(name)
    assert "o200k_base" in error.value.hint
    assert "ORG/NAME" in error.value.hint


def test_a_model_of_the_hub_comes_from_the_cache_or_says_what_to_do(monkeypatch, tmp_path):
    """A cached model needs no network; one that is not there is an error with a way out."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CurateError, match="org/tiny is no file or folder here") as error:
        find("org/tiny")
    assert "give its path" in error.value.hint
    snapshot = tmp_path / "models--org--tiny/snapshots/abc"
    snapshot.mkdir(parents=True)
    (snapshot / "tokenizer.json").write_bytes(b'{"model": {}}')
    (tmp_path / "models--org--tiny/refs").mkdir()
    (tmp_path / "models--org--tiny/refs/main").write_text("abc")
    assert find("org/tiny").folder == snapshot
