"""The runs behind a fit: N, D, U and the final loss of each, and whether they can carry a law.

A law of five numbers needs runs that differ in size and in data apart from each other: a published community fit on
six models along one line found exponents .332 and .654. Such runs are refused, with what to run next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curate.budget.config import FitConfig
from curate.budget.fitted import LeftOut
from curate.budget.runs import Columns, read_columns
from curate.budget.solve import Array
from curate.budget.words import size
from curate.errors import CurateError

MIN_RUNS, MIN_LEVELS, MIN_SPREAD = 8, 3, 0.1
"""Fewest runs, distinct values of N, D and C, and spread of ln D around a line in ln N (our choice)."""


@dataclass(frozen=True)
class Runs:
    """The final point of each run, in file order."""

    line: NDArray[np.int64]
    params: Array
    tokens: Array
    unique: Array
    loss: Array
    left_out: tuple[LeftOut, ...]
    columns: Columns

    def only(self, keep: NDArray[np.bool_], reason: str) -> Runs:
        """Return the runs of `keep`; the others are left out with `reason`."""
        gone = tuple(LeftOut(int(line), reason) for line in self.line[~keep])
        return Runs(
            self.line[keep],
            self.params[keep],
            self.tokens[keep],
            self.unique[keep],
            self.loss[keep],
            self.left_out + gone,
            self.columns,
        )


def read_runs(path: Path, config: FitConfig) -> Runs:
    """Return N, D, U and the final loss of each run; D from compute/(6 N), U from D/epochs where they are missing."""
    wanted = ["params", "loss"]
    columns = read_columns(path, wanted, ["tokens", "compute", "unique_tokens", "epochs", "run"], config.map)
    params, loss = np.array(columns["params"]), np.array(columns["loss"])
    if "tokens" in columns:
        tokens = np.array(columns["tokens"])
    elif "compute" in columns:
        tokens = np.array(columns["compute"]) / (6 * params)
    else:
        raise CurateError(f"{path} has a column for neither tokens nor compute", "Map one: --map tokens=COLUMN")
    unique = tokens
    if "unique_tokens" in columns:
        unique = np.minimum(np.array(columns["unique_tokens"]), tokens)
    elif "epochs" in columns:
        unique = tokens / np.maximum(1.0, np.array(columns["epochs"]))
    runs = Runs(np.arange(2, len(loss) + 2), params, tokens, unique, loss, (), columns)
    if "run" in columns:
        names = np.array(columns["run"])
        last = np.array([tokens[place] >= tokens[names == name].max() for place, name in enumerate(names)])
        runs = runs.only(last, "not the last point of its run")
    if config.drop_highest:
        order = np.argsort(-runs.loss, kind="stable")
        keep = np.ones(len(order), dtype=bool)
        keep[order[: config.drop_highest]] = False
        runs = runs.only(keep, f"one of the {config.drop_highest} highest losses")
    return runs


def levels(values: Array) -> int:
    """Return how many values differ by more than 2 %."""
    if not len(values):
        return 0
    return 1 + int((np.diff(np.sort(np.log(values))) > 0.02).sum())


def check_spread(runs: Runs) -> None:
    """Raise CurateError where too few runs, or runs on one line, cannot carry a law of N and D."""
    compute = 6 * runs.params * runs.tokens
    if len(runs.loss) < MIN_RUNS:
        raise CurateError(f"{len(runs.loss)} runs; the law needs >= {MIN_RUNS}", next_runs(runs))
    for name, values in (("params", runs.params), ("tokens", runs.tokens), ("compute", compute)):
        if levels(values) < MIN_LEVELS:
            raise CurateError(
                f"{name} takes {levels(values)} different values over {len(values)} runs; the law needs >= "
                f"{MIN_LEVELS}",
                next_runs(runs),
            )
    spread = math.sqrt(max(0.0, np.linalg.eigvalsh(np.cov(np.log(runs.params), np.log(runs.tokens)))[0]))
    if spread < MIN_SPREAD:
        raise CurateError(
            f"params and tokens move together over all {len(runs.loss)} runs (spread {spread:.3f} across the line, the "
            f"law needs >= {MIN_SPREAD}): what size does and what data does cannot be told apart",
            next_runs(runs),
        )


def next_runs(runs: Runs) -> str:
    """Return what to run next."""
    small, large = float(runs.params.min()), float(runs.params.max())
    middle = math.sqrt(small * large) if large > 1.5 * small else 3 * small
    sizes = ", ".join(size(n) for n in (small, middle, max(large, 9 * small)))
    return f"Next: train {sizes} parameters on 5, 20 and 80 tokens a parameter each."
