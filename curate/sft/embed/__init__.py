"""Embedders: what turns a text into a vector, and how `--embedder NAME[:ARG]` is understood.

An embedder is a module with a function `load(argument, *, device, dtype, seed, workers, on_progress)` that returns an
object with `about` and `embed`. A module in this package is found by its name, a file of your own by its path:

    --embedder lexical                    a module here
    --embedder ./my_embedder.py:ARG       a file of yours; ARG goes to its load
    --embedder org/name                   a Hugging Face id, by sentence-transformers
    --embedder path/to/folder             a folder with a model, by sentence-transformers (or static)
    --embedder static:FOLDER_OR_ID        a static model, by model2vec
    --embedder hidden:FOLDER_OR_ID:LAYER  the mean hidden state of a language model

No other embedder than the one asked for is ever used. A module whose name begins with `_` is no embedder.
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Sequence
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import polars as pl

from curate.engine import LOCAL, RAY
from curate.errors import UsageError, unknown_name


class Embedder(Protocol):
    """What `load` of an embedder module returns."""

    about: dict[str, Any]
    """What made the vectors, as JSON can hold it (name, dimensions, dtype, device, ...); complete after `embed`.

    `notes`, where it is there, are sentences for the user."""

    def embed(self, texts: Sequence[str] | pl.Series) -> np.ndarray:
        """Return one unit row for each text: float32, C-contiguous, n × d."""
        ...


def load(name: str, *, engine: str = LOCAL, **options: Any) -> Embedder:
    """Return the embedder that `name` means; its model is with the workers where `engine` is ray.

    `options` are device ("auto", "cpu", "cuda"), dtype ("fp32", "bf16"), seed, workers and on_progress(done, total).
    Raises UsageError for an unknown name, with the nearest known ones, and what the embedder itself has to say.
    """
    module, argument = _find(name)
    if engine == RAY:
        return import_module(f"{__name__}._ray").load(module, argument, **options)  # type: ignore[no-any-return]
    embedder: Embedder = module.load(argument, **options)
    return embedder


def modules() -> list[str]:
    """Return the names of the embedders in this package."""
    return [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]


def _find(name: str) -> tuple[ModuleType, str | None]:
    """Return the module that `name` means and the argument for its `load`."""
    head, colon, rest = name.partition(":")
    argument = rest if colon else None
    if head.endswith(".py"):
        return _import_file(Path(head)), argument
    module = head.replace("-", "_")
    if module in modules():
        return import_module(f"{__name__}.{module}"), argument
    if os.path.isdir(name) and import_module(f"{__name__}.static").is_static(Path(name)):
        return import_module(f"{__name__}.static"), name
    transformers = import_module(f"{__name__}.sentence_transformers")
    if "/" in name or os.path.isdir(name) or name in transformers.PACKAGED:
        return transformers, name
    known = ["lexical", "static:MODEL", "hidden:MODEL", *transformers.PACKAGED, "./my_embedder.py"]
    raise unknown_name("embedder", name, known)


def _import_file(path: Path) -> ModuleType:
    if not os.path.isfile(path):
        raise UsageError(f"no such file: {path}", "Give a Python file with a function load(argument, **options).")
    spec = spec_from_file_location(f"curate_embedder_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file", "Give a file that ends in .py.")
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{path} cannot be imported: {error!r}", "Correct the file.") from error
    if not callable(getattr(module, "load", None)):
        raise UsageError(f"{path} has no function load", "Define load(argument, **options) that returns an embedder.")
    return module
