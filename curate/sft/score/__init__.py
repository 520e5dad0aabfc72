"""Scores of rows by a model, `--score ifd:FOLDER` or `reward:FOLDER`: the file name is the kind.

A module here has a function `load(folder, device=, workers=, on_progress=)` that returns a `Scorer`. Models are read
from a folder and never downloaded. They run as embedders do (`embed/_torch.py`): batches of one length, so that a score
depends on its row alone. Scores are not cached.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from curate.errors import CurateError, UsageError
from curate.report.progress import Advance
from curate.sft.embed._loading import Found, cannot_load, device_of, no_bars
from curate.sft.embed._torch import Forward, Tokenize, compute

KINDS = ("ifd", "reward")

F64 = npt.NDArray[np.float64]


class Model(NamedTuple):
    """A loaded model: `limit` is the tokens of its window, `about` what the report says of it."""

    model: Any
    tokenizer: Any
    limit: int
    about: dict[str, Any]


class Scores(NamedTuple):
    """values: (n,) larger is better, NaN where a row can have none. about: for the report. notes: for the user."""

    values: F64
    about: dict[str, Any]
    notes: list[str]


Scorer = Callable[[Sequence[str], Sequence[str]], Scores]
"""From prompts and answers, (n,) each, to scores."""


def load(name: str, *, device: str, workers: int, on_progress: Advance) -> Scorer:
    """Return the scorer for KIND:FOLDER. Raises UsageError for another kind and without such a folder."""
    kind, _, folder = name.partition(":")
    if kind not in KINDS or not os.path.isdir(folder) or not folder:
        missing = f"no such folder: {folder}" if folder else "no folder of a model is named"
        raise UsageError(
            f"--score {name}: {missing if kind in KINDS else f'no score of the kind {kind!r}'}",
            f"Give length, or one of {', '.join(KINDS)} with the folder of a model: --score ifd:./gpt2",
        )
    module = import_module(f"{__name__}.{kind}")
    scorer: Scorer = module.load(Path(folder), device=device, workers=workers, on_progress=on_progress)
    return scorer


def open_model(kind: str, folder: Path, auto: str, what: str, most_tokens: int, device: str) -> Model:
    """Load the model in `folder` by the class `auto` of transformers; `what` says in an error what it should be.

    Raises CurateError where it cannot be loaded or lacks weights, UsageError where the device is not there.
    """
    import transformers

    target = device_of(device)
    source = {"trust_remote_code": False, "local_files_only": True}
    with no_bars():
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **source)
            model, loading = getattr(transformers, auto).from_pretrained(
                folder, use_safetensors=True, dtype="float32", output_loading_info=True, **source
            )
        except Exception as error:
            raise cannot_load(str(folder), error, f"{what} with safetensors weights and a tokenizer") from error
    if loading["missing_keys"]:  # transformers draws them at random, and so would be the scores
        missing = ", ".join(sorted(loading["missing_keys"]))
        raise CurateError(f"{folder} has no weights for {missing}", f"It should be {what}.")
    window = getattr(model.config, "max_position_embeddings", None) or most_tokens
    limit = min(most_tokens, int(window), int(tokenizer.model_max_length))
    about = {"name": f"{kind}:{folder}", **Found(folder, "folder", None).about(), "device": target, "max_tokens": limit}
    return Model(model.eval().to(target), tokenizer, limit, about)


def run_model(
    texts: list[str], tokenize: Tokenize, forward: Forward, *, device: str, workers: int, on_progress: Advance
) -> tuple[F64, npt.NDArray[np.bool_]]:
    """Return the one number that `forward` gives for each text, NaN for one without tokens, and which were cut."""
    values, cut, done = np.full(len(texts), np.nan), np.zeros(len(texts), dtype=bool), 0

    def take(at: npt.NDArray[np.int64], truncated: npt.NDArray[np.bool_], found: npt.NDArray[np.float32]) -> None:
        nonlocal done
        values[at], cut[at] = found[:, 0], truncated
        done += len(at)
        on_progress(done, len(texts))

    compute(texts, take, tokenize=tokenize, forward=forward, device=device, bf16=False, threads=workers)
    return values, cut
