"""The options of `curate plan`, `fit` and `noise`; sizes are plain numbers in tokens, parameters and FLOP."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curate.config import option, parse_number, parse_pair, parse_seed, parse_whole, seed_option


def _size(text: str) -> float:
    """Read a size such as 1.3B or 1e22; whether it makes sense as one is for the plan to say."""
    if re.fullmatch(r"\s*[\d._]+\s*[kmgtp]i?b(ytes?)?\s*", text.lower()):
        raise ValueError("is a size in bytes, and a number is wanted: 2B for 2 billion; curate tokens counts tokens")
    return float(parse_number(text))


def _html(text: str) -> str:
    """Read the name of a page to write; another ending is more likely a slip that would overwrite data."""
    if not text.lower().endswith((".html", ".htm")):
        raise ValueError("should end in .html")
    if not os.path.isdir(Path(text).parent):
        raise ValueError("should be in a directory that exists")
    return text


def _map_option() -> Any:
    """Declare --map with names that a fit and a measurement know."""
    return option("column names of your own: params=N,loss=final_loss", default=(), many=True, parse=parse_pair,
                  metavar="QUANTITY=COLUMN")  # fmt: skip


def html_option() -> Any:
    """Declare --html."""
    return option("also write the result with its figures as one HTML page", parse=_html, metavar="FILE.html")


@dataclass(frozen=True)
class PlanConfig:
    """Question 2: is the data enough for the model? Give parameters or compute; the rest follows."""

    params: float | None = option("parameters of the model, embeddings included", parse=_size, metavar="N")
    model: str | None = option("config.json of a model, instead of --params", metavar="PATH")
    active_params: float | None = option(
        "parameters used by one token, for a mixture of experts", parse=_size, metavar="N"
    )
    compute: float | None = option("training compute in FLOP", parse=_size, metavar="C")
    gpu: str | None = option("GPU model, for --gpu-hours or the hours of the plan: h100, a100, ...", metavar="NAME")
    gpu_hours: float | None = option("training compute in GPU-hours, with --gpu", parse=_size, metavar="H")
    mfu: float = option("share of the GPU's peak that training reaches", default=0.4, parse=_size, metavar="F")
    unique_tokens: float | None = option("distinct tokens there are, after deduplication", parse=_size, metavar="U")
    tokens: float | None = option("tokens to train on, repeats included", parse=_size, metavar="D")
    epochs: float | None = option("passes over the unique tokens", parse=_size, metavar="E")
    batch: float | None = option("tokens a step [default: by Step Law]", parse=_size, metavar="B")
    context: int = option("tokens a sequence", default=2048, parse=parse_whole, metavar="T")
    vocab: int = option("entries of the vocabulary, for the proposed shape", default=32_000, parse=parse_whole,
                        metavar="V")  # fmt: skip
    serve_tokens: float | None = option(
        "tokens the model will read and write once trained: sizes it for both", parse=_size, metavar="T"
    )
    law: str = option("loss surface: default, a paper's such as hoffmann2022, or the JSON of curate fit",
                      default="default", metavar="NAME|FILE")  # fmt: skip
    calibrate: tuple[float, ...] = option(
        "one finished run of yours: places the loss for your data and tokenizer", default=(), many=True, parse=_size,
        metavar="N,D,LOSS",
    )  # fmt: skip
    explain: bool = option("print formula, constants and source of every number", flag=True)
    html: str | None = html_option()


@dataclass(frozen=True)
class FitConfig:
    """Fit a law to finished runs, or to one training curve."""

    law: str = option("the law to fit", default="chinchilla", choices=("chinchilla", "kaplan", "repetition", "curve"))
    map: tuple[str, ...] = _map_option()
    drop_highest: int = option("leave out so many runs of highest loss", default=0, parse=parse_seed, metavar="K")
    bootstrap: int = option("bootstrap draws for the intervals; 0 for none", default=1000, parse=parse_seed,
                            metavar="K")  # fmt: skip
    surface: str = option("loss surface under --law repetition: a name or the JSON of curate fit",
                          default="muennighoff2023.c4", metavar="NAME|FILE")  # fmt: skip
    until: float = option("share of the curve to fit; the rest checks the forecast", default=0.8, parse=_size,
                          metavar="F")  # fmt: skip
    to: float | None = option("step to forecast a curve at [default: its last]", parse=_size, metavar="STEP")
    html: str | None = html_option()
    seed: int = seed_option()


@dataclass(frozen=True)
class NoiseConfig:
    """Gradient noise scale and critical batch from logged gradient norms."""

    map: tuple[str, ...] = _map_option()
    b_small: float | None = option("small batch, where the log has no column for it", parse=_size, metavar="B")
    b_big: float | None = option("big batch, where the log has no column for it", parse=_size, metavar="B")
    windows: int = option("stretches of training to report", default=10, parse=parse_whole, metavar="K")
    bootstrap: int = option("bootstrap draws for the intervals", default=1000, parse=parse_whole, metavar="K")
    seed: int = seed_option()
