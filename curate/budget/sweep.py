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
from curate.errors import CurateError, UsageError

SMALLEST_SIZE, LARGEST_SIZE, LARGEST_LOSS = 500.0, 1e17, 20.0
"""What can be a number of parameters or tokens (Kaplan et al. 2020 go down to 768), and a loss in nats (our choice)."""
MIN_RUNS, MIN_LEVELS, MIN_SPREAD, MIN_FALL = 8, 3, 0.1, 0.01
"""Fewest runs, distinct values of N, D and C, spread of ln D around a line in ln N, range of ln loss (our choice)."""


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
    runs = Runs(np.array(columns["line"], dtype=np.int64), params, tokens, unique, loss, (), columns)
    _check_units(path, runs, config)
    if "run" in columns:
        names = np.array(columns["run"])
        last = np.array([tokens[place] >= tokens[names == name].max() for place, name in enumerate(names)])
        runs = runs.only(last, "not the last point of its run")
    if config.drop_highest:
        if config.drop_highest >= len(runs.loss):
            raise UsageError(f"drop_highest={config.drop_highest} leaves none of the {len(runs.loss)} runs")
        order = np.argsort(-runs.loss, kind="stable")
        keep = np.ones(len(order), dtype=bool)
        keep[order[: config.drop_highest]] = False
        runs = runs.only(keep, f"one of the {config.drop_highest} highest losses")
    return runs


def _check_units(path: Path, runs: Runs, config: FitConfig) -> None:
    """Raise CurateError where a column can hardly be in parameters, tokens or nats, or two contradict each other."""
    for name, values in (("params", runs.params), ("tokens", runs.tokens), ("unique_tokens", runs.unique)):
        if values.min() < SMALLEST_SIZE:
            raise CurateError(
                f"{path}: line {runs.line[values.argmin()]} has {values.min():.4g} {name}; it should be >= "
                f"{SMALLEST_SIZE:g}",
                f"Is the column in millions or billions? Write {name} in full: 1.3e9, not 1.3.",
            )
        if values.max() > LARGEST_SIZE:
            raise CurateError(
                f"{path}: line {runs.line[values.argmax()]} has {values.max():.4g} {name}; it should be <= "
                f"{LARGEST_SIZE:g}",
                "Correct it, or leave the line out.",
            )
    ratio = float(np.median(runs.tokens / runs.params))
    if not 0.05 <= ratio <= 1e6:
        raise CurateError(
            f"{path}: half of the runs have {'fewer' if ratio < 1 else 'more'} than {ratio:.2g} tokens a parameter",
            "Are params and tokens swapped, or in different units? Name them: --map params=COLUMN,tokens=COLUMN",
        )
    if runs.loss.max() > LARGEST_LOSS:
        raise CurateError(
            f"{path}: line {runs.line[runs.loss.argmax()]} has a loss of {runs.loss.max():.4g}; it should be <= "
            f"{LARGEST_LOSS:g} nats a token",
            "Is the column a perplexity? Then its logarithm is the loss.",
        )
    _check_agreement(path, runs, config)


def _check_agreement(path: Path, runs: Runs, config: FitConfig) -> None:
    """Raise CurateError where compute contradicts params and tokens, or epochs contradict tokens and unique tokens."""
    columns, mapped = runs.columns, {pair.split("=", 1)[0] for pair in config.map}
    checks = []
    if "compute" in columns and "tokens" in columns and "tokens" not in mapped:
        checks.append(("compute", 6 * runs.params * runs.tokens, "6 * params * tokens", 2.0, "tokens"))
    if "epochs" in columns and "unique_tokens" in columns and "unique_tokens" not in mapped:
        checks.append(
            ("epochs", np.maximum(1, runs.tokens / runs.unique), "tokens / unique_tokens", 1.1, "unique_tokens")
        )
    for name, other, meaning, factor, choose in checks:
        given = np.array(columns[name])
        off = np.abs(np.log(np.maximum(given, 1.0 if name == "epochs" else 0.0) / other))
        worst = int(off.argmax())
        if off[worst] > math.log(factor):
            raise CurateError(
                f"{path}: line {runs.line[worst]} has {name} {given[worst]:.4g}, but {meaning} = {other[worst]:.4g}",
                f"Correct one, or say which to go by: --map {choose}=COLUMN",
            )


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
    if np.ptp(np.log(runs.loss)) < MIN_FALL:
        raise CurateError(
            f"the loss is {runs.loss.min():.4g} to {runs.loss.max():.4g} over all {len(runs.loss)} runs: nothing falls",
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
