"""The engines that count tokens: the library that defines a tokenizer (`reference`), and gigatoken (`fast`).

The reference is tiktoken for rank files, `tokenizers` for tokenizer.json and `sentencepiece` for .model files. It
manages 3-16 MB/s. gigatoken gives the same counts at 120-250 MB/s once warm, for byte-pair encodings only. It reads
some tokenizer.json files wrongly without a word, so it is given only shapes that were held against `tokenizers` on
25,000 nasty and real documents.

What was found (gigatoken 0.10, tokenizers 0.23, tiktoken 0.14, sentencepiece 0.2):
- Equal: byte-level BPE with the regex of GPT-2 inside ByteLevel or a known one in Split, with NFC or without; the
  SentencePiece shapes with byte fallback (Prepend/Replace, Metaspace, Gemma's Split); added tokens with lstrip, rstrip.
- Wrong: ByteLevel(use_regex=false) alone, no pre-tokenizer, Split with another behaviour, Digits or a prefix space
  beside Split, added tokens with single_word; `{1,3}+` in a Split, which Oniguruma reads as a repeated group;
  SentencePiece models that normalise characters (nmt_nfkc) or remove extra white space.
- It takes special tokens in a text as such: they are left out of what it is given when text is text.
- SentencePiece puts its prefix space once before a text, gigatoken after each user-defined symbol too: texts with such
  a symbol go to the reference (`Fast.literals`).
- Its regexes follow Unicode 17, the references' Unicode 16. Over every code point in 14 contexts they differ on 4,699,
  all new in Unicode 17. Older versions of the references have the tables of Unicode 14, so texts with a code point
  that is newer go to the reference (`Fast.pattern`). The NFC of `tokenizers` is that of Unicode 9: newer marks go too.
- tiktoken panics on a run of 10^6 spaces with o200k_base (its regex engine's stack), gigatoken does not.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from curate.data.vocabulary import Vocabulary, parse_ranks
from curate.engine.memory import resident_bytes
from curate.errors import CurateError, MissingExtra

Counts = NDArray[np.int64]
Reference = Callable[[Sequence[str]], Counts]

FAILED = -1  # what a reference counts for a text that it cannot encode
CACHE_BYTES = 256 << 20  # our choice: two workers with full caches stay well under 1 GB

_NEWER = r"\P{Age=14.0}"
_NEWER_OR_MARK = r"[\P{Age=14.0}[\p{M}&&\P{Age=9.0}]]"
_SPACE_TO_BAR = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
_PREPEND = {"type": "Prepend", "prepend": "▁"}
_NFC = {"type": "NFC"}
_BYTE_NORMALIZERS = (None, _NFC)
_PIECE_NORMALIZERS = (
    None,
    _SPACE_TO_BAR,
    {"type": "Sequence", "normalizers": [_SPACE_TO_BAR]},
    {"type": "Sequence", "normalizers": [_PREPEND, _SPACE_TO_BAR]},
)
_SPLIT_ALL = {("Isolated", False), ("Removed", True)}  # the same when the pattern leaves no gap, as all known ones do


# -- References --------------------------------------------------------------------------------------------------------


def reference(vocabulary: Vocabulary, special_tokens: bool) -> tuple[str, Reference]:
    """Return the name and the counting function of the library that defines this kind of tokenizer.

    Raises MissingExtra when the library is not installed and CurateError when it refuses the vocabulary.
    """
    build = {"ranks": _tiktoken, "json": _tokenizers, "sentencepiece": _sentencepiece}[vocabulary.kind]
    return build(vocabulary, special_tokens)


def _tiktoken(vocabulary: Vocabulary, special_tokens: bool) -> tuple[str, Reference]:
    try:
        import tiktoken
    except ImportError:
        raise MissingExtra(f"the tokenizer {vocabulary.name}", "tiktoken", "offline") from None
    special = dict(vocabulary.special)
    try:
        with _panics_raised():
            encoding = tiktoken.Encoding(
                vocabulary.name,
                pat_str=vocabulary.pattern,
                mergeable_ranks=parse_ranks(vocabulary.data),
                special_tokens=special,
            )
    except Exception as error:
        raise _unusable(vocabulary, "tiktoken", error) from error
    allowed = frozenset(special) if special_tokens else frozenset()

    def count(texts: Sequence[str]) -> Counts:
        return np.array([_length(encoding, text, allowed) for text in texts], dtype=np.int64)

    return "tiktoken", count


def _length(encoding: Any, text: str, allowed: frozenset[str]) -> int:
    try:
        with _panics_raised():
            if allowed:
                return len(encoding.encode(text, allowed_special=allowed, disallowed_special=()))
            return len(encoding.encode_ordinary(text))
    except _PanicError:
        return FAILED


class _PanicError(Exception):
    """A panic in Rust, which is no Exception in Python."""


@contextmanager
def _panics_raised() -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise _PanicError(str(error)) from error


def _tokenizers(vocabulary: Vocabulary, special_tokens: bool) -> tuple[str, Reference]:
    import tokenizers

    document = orjson.loads(vocabulary.data)
    if document["model"].get("dropout"):
        document["model"]["dropout"] = None  # a regulariser of training: counts are those of inference
    try:
        with _panics_raised():
            tokenizer = tokenizers.Tokenizer.from_str(orjson.dumps(document).decode())
    except Exception as error:  # `tokenizers` raises bare Exception
        raise _unusable(vocabulary, f"tokenizers {tokenizers.__version__}", error) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = not special_tokens

    def count(texts: Sequence[str]) -> Counts:
        try:
            with _panics_raised():
                encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        except Exception as error:  # no token for a word, and none that stands for unknown ones
            raise _unusable(vocabulary, "tokenizers", error) from error
        return np.fromiter(map(len, encodings), dtype=np.int64, count=len(texts))

    return "tokenizers", count


def _sentencepiece(vocabulary: Vocabulary, special_tokens: bool) -> tuple[str, Reference]:
    """SentencePiece never takes control symbols out of a text, so `special_tokens` changes nothing."""
    try:
        import sentencepiece
    except ImportError:
        raise MissingExtra(f"the SentencePiece model {vocabulary.name}", "sentencepiece", "sentencepiece") from None
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=vocabulary.data)
    except Exception as error:
        raise _unusable(vocabulary, "sentencepiece", error) from error

    def count(texts: Sequence[str]) -> Counts:
        return np.fromiter(map(len, processor.encode(list(texts))), dtype=np.int64, count=len(texts))

    return "sentencepiece", count


def _unusable(vocabulary: Vocabulary, library: str, error: Exception) -> CurateError:
    reason = (str(error).splitlines() or [repr(error)])[0]
    return CurateError(f"{library} cannot use the tokenizer {vocabulary.name}: {reason}", "Fetch the file again.")


# -- gigatoken ---------------------------------------------------------------------------------------------------------


class NotApplicable(Exception):
    """gigatoken is not used for this tokenizer; the message says why."""


@dataclass
class Fast:
    """gigatoken with one tokenizer. `pattern` and `literals` find the texts that must go to the reference.

    gigatoken keeps every distinct piece of text that it has seen; with 20 million of them it holds 1.2 GB. It is built
    anew (0.3 s, and a cold cache) each time the process has grown by CACHE_BYTES while it was counting.
    """

    build: Callable[[], Any]
    pattern: str
    literals: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._encoder = self.build()
        self._grown = 0

    def count(self, texts: pl.Series) -> Counts:
        """Count the tokens of each text (no nulls); the ids are held for one call, 4 bytes a token."""
        import awkward as ak

        if self._grown > CACHE_BYTES:
            self._encoder = self.build()
            self._grown = 0
        before = resident_bytes()
        counts = np.asarray(ak.num(self._encoder.encode_batch(ak.from_arrow(texts.to_arrow()))), dtype=np.int64)
        self._grown += resident_bytes() - before  # the ids are gone again, the new pieces are not
        return counts

    def unsure(self, texts: pl.Series) -> NDArray[np.bool_]:
        """Return which texts hold something on which gigatoken and the references differ."""
        found = (texts.str.len_bytes() != texts.str.len_chars()).to_numpy(writable=True)
        if found.any():  # the pattern runs at 0.4 GB/s; ASCII is sure, and told at 10 GB/s
            found[found] = texts.filter(found).str.contains(self.pattern).to_numpy()
        if self.literals:
            found |= texts.str.contains_any(list(self.literals)).to_numpy()
        return found


def fast(vocabulary: Vocabulary, special_tokens: bool) -> Fast:
    """Return gigatoken for this tokenizer. Raises NotApplicable when it does not read it, or not surely rightly."""
    build = {"ranks": _fast_ranks, "json": _fast_json, "sentencepiece": _fast_sentencepiece}[vocabulary.kind]
    try:
        with _panics_raised():
            return build(vocabulary, special_tokens)
    except NotApplicable:
        raise
    except Exception as error:  # a damaged file may raise anything here; the reference says what is wrong with it
        reason = (str(error).splitlines() or [repr(error)])[0]
        raise NotApplicable(f"gigatoken refuses it: {reason}") from error


def _fast_ranks(vocabulary: Vocabulary, special_tokens: bool) -> Fast:
    import gigatoken

    if not vocabulary.scheme:
        raise NotApplicable("gigatoken does not know how this encoding splits a text")
    special = dict(vocabulary.special) if special_tokens else {}

    def build() -> Any:
        with tempfile.NamedTemporaryFile(suffix=".tiktoken") as file:  # it reads rank files by path only
            file.write(vocabulary.data)
            file.flush()
            return gigatoken.Tokenizer.from_tiktoken(file.name, vocabulary.scheme, special)

    return Fast(build, _NEWER)


def _fast_json(vocabulary: Vocabulary, special_tokens: bool) -> Fast:
    import gigatoken

    document = orjson.loads(vocabulary.data)
    added = document.get("added_tokens") or []
    document["added_tokens"] = [token for token in added if special_tokens or not token.get("special")]
    objection = _objection(document)
    if not objection and _overlap(document["added_tokens"], added):
        objection = "a special token and an added token share letters"
    if objection:
        raise NotApplicable(objection)
    data = orjson.dumps(document)
    return Fast(lambda: gigatoken.Tokenizer.from_json(data),
                _NEWER_OR_MARK if document.get("normalizer") == _NFC else _NEWER)  # fmt: skip


def _fast_sentencepiece(vocabulary: Vocabulary, _: bool) -> Fast:
    import gigatoken

    document = gigatoken.Tokenizer.from_sentencepiece(vocabulary.data)._hf_config()
    added = document["added_tokens"]
    document["added_tokens"] = []  # control symbols are text, and texts with user-defined ones go to the reference
    if objection := _objection(document):
        raise NotApplicable(objection)
    data = orjson.dumps(document)
    literals = {form for token in added if not token["special"]
                for form in (token["content"], token["content"].replace("▁", " "))}  # fmt: skip
    return Fast(lambda: gigatoken.Tokenizer.from_json(data), _NEWER, tuple(sorted(literals)))


def _objection(document: dict[str, Any]) -> str:
    """Say why gigatoken would not read this tokenizer.json as `tokenizers` does, or nothing when it does."""
    model, normalizer = document["model"], document.get("normalizer")
    pieces = bool(model.get("byte_fallback"))
    splits = _splits_pieces(document.get("pre_tokenizer")) if pieces else _splits_bytes(document.get("pre_tokenizer"))
    objections = {
        f"gigatoken has no {model.get('type')} model": model.get("type", "BPE") != "BPE" or "merges" not in model,
        "its model marks parts of words": bool(
            model.get("continuing_subword_prefix") or model.get("end_of_word_suffix")
        ),
        "its normalizer is not one that gigatoken is known to follow": normalizer
        not in (_PIECE_NORMALIZERS if pieces else _BYTE_NORMALIZERS),
        "its pre-tokenizer is not one that gigatoken is known to follow": not splits,
        "it has added tokens that match whole words only": any(t.get("single_word") for t in document["added_tokens"]),
    }
    return next((reason for reason, holds in objections.items() if holds), "")


def _splits_bytes(pre: dict[str, Any] | None) -> bool:
    """Whether a byte-level pre-tokenizer is ByteLevel alone, or Splits by regex and a bare ByteLevel after them."""
    if pre is None:
        return False
    if pre["type"] == "ByteLevel":
        return bool(pre.get("use_regex", True))
    if pre["type"] != "Sequence" or len(pre["pretokenizers"]) < 2:
        return False
    *splits, last = pre["pretokenizers"]
    bare = last["type"] == "ByteLevel" and not last.get("use_regex", True) and not last["add_prefix_space"]
    return bare and all(_is_plain_split(split) for split in splits)


def _is_plain_split(split: dict[str, Any]) -> bool:
    pattern = split.get("pattern", {}).get("Regex", "")
    plain = split["type"] == "Split" and (split["behavior"], split["invert"]) in _SPLIT_ALL
    return plain and bool(pattern) and not re.search(r"\d\}\+", pattern)


def _splits_pieces(pre: dict[str, Any] | None) -> bool:
    """Whether the pre-tokenizer of a SentencePiece-like BPE is none, Metaspace, or Gemma's Split at spaces."""
    if pre is None or (pre["type"] == "Metaspace" and pre["replacement"] == "▁"):
        return True
    at_spaces = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    return pre == at_spaces


def _overlap(kept: list[dict[str, Any]], added: list[dict[str, Any]]) -> bool:
    """Whether a special token that is left out could hide an added token that is kept, as it does in `tokenizers`."""
    inside = {token["content"] for token in kept}
    outside = {token["content"] for token in added} - inside

    def heads(tokens: set[str]) -> set[str]:
        return {token[:size] for token in tokens for size in range(1, len(token))}

    def tails(tokens: set[str]) -> set[str]:
        return {token[size:] for token in tokens for size in range(1, len(token))}

    meet = heads(inside) & tails(outside) or tails(inside) & heads(outside)
    return bool(meet) or any(a in b or b in a for a in inside for b in outside)
