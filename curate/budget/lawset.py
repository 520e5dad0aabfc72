"""Which laws a plan uses: the defaults, a paper's loss surface by name, or the user's own fit."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curate.budget import chinchilla, kaplan, repetition
from curate.budget.law import Constant, Law
from curate.errors import CurateError, UsageError, unknown_name

WRITE_ONE = "Write one: curate fit RUNS.csv --json > fitted.json"
LOW_RATIO, HIGH_RATIO = 15.0, 30.0
"""Tokens per parameter of the band around the compute-optimal line; Hoffmann et al. 2022 and its refits say about 20.
The width is our choice."""


@dataclass(frozen=True)
class LawSet:
    """The laws behind one plan."""

    surface: Law = chinchilla.BESIROGLU
    line: Law | None = chinchilla.APPROACH_1
    """None: the tokens wanted come from `surface`."""
    repetition: Law = repetition.REPETITION
    repeated_surface: Law = chinchilla.MUENNIGHOFF
    """The repetition constants were fitted on this surface; only a user's own fit replaces it."""
    joint: Law = kaplan.JOINT
    own: bool = False
    """The surface is a fit to the user's runs, so its levels mean something."""

    def tokens_wanted(self, params: float) -> float:
        """Return the compute-optimal tokens for N."""
        if self.line is not None:
            return chinchilla.line_tokens(params, self.line)
        return chinchilla.tokens_for_params(params, self.surface)

    def wanted_band(self, params: float) -> tuple[float, float]:
        """Return the band around the tokens wanted: 15 to 30 a parameter, or as wide around another law's own line."""
        if self.line is not None:
            return LOW_RATIO * params, HIGH_RATIO * params
        tokens = self.tokens_wanted(params)
        return LOW_RATIO / 20 * tokens, HIGH_RATIO / 20 * tokens

    def params_wanted(self, compute: float) -> float:
        """Return the compute-optimal N for C."""
        if self.line is not None:
            return chinchilla.line_params(compute, self.line)
        return chinchilla.optimal_params(compute, self.surface)


def load_laws(name: str) -> LawSet:
    """Return the laws for `--law`: "default", the name of a loss surface, or the path of a fit's JSON.

    Raises UsageError for an unknown name, CurateError for a file that is no fit of a law that a plan can use.
    """
    if name == "default":
        return LawSet()
    if name in chinchilla.SURFACES:
        return LawSet(surface=chinchilla.SURFACES[name], line=None)
    path = Path(name)
    if not os.path.isfile(name):  # Path.is_file raises where a name is too long
        raise unknown_name("law", name, ["default", *chinchilla.SURFACES, "FILE.json of curate fit"])
    return _own(load_fit(path), path)


def load_surface(name: str) -> Law:
    """Return the loss surface for `curate fit --law repetition --surface`: a name or the JSON of a Chinchilla fit."""
    if name in chinchilla.SURFACES:
        return chinchilla.SURFACES[name]
    if not os.path.isfile(name):
        raise unknown_name("surface", name, [*chinchilla.SURFACES, "FILE.json of curate fit"])
    fit = load_fit(Path(name))
    if fit["law"] != "chinchilla":
        raise UsageError(f"{name} is a fit of {fit['law']}, a surface needs --law chinchilla")
    return _law(fit, chinchilla.BESIROGLU, name)


def load_fit(path: Path) -> Mapping[str, Any]:
    """Return what `curate fit --json` wrote to `path`."""
    try:
        fit = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CurateError(f"cannot read the fitted law {path}: {error}", WRITE_ONE) from error
    if not isinstance(fit, dict) or not isinstance(fit.get("parameters"), dict) or "law" not in fit:
        raise CurateError(f"{path} is not the JSON of a fit", WRITE_ONE)
    return fit


def _own(fit: Mapping[str, Any], path: Path) -> LawSet:
    """Return the laws with the user's fit in its place."""
    law = fit["law"]
    if law == "chinchilla":
        own = _law(fit, chinchilla.BESIROGLU, str(path))
        return LawSet(surface=own, line=None, repeated_surface=own, own=True)
    if law == "kaplan":
        return LawSet(joint=_law(fit, kaplan.JOINT, str(path)))
    if law == "repetition":
        surface = fit.get("surface", "muennighoff2023.c4")
        if not isinstance(surface, str):
            raise CurateError(f"{path}: surface = {surface!r} should be a name", WRITE_ONE)
        own = _law(fit, repetition.REPETITION, str(path))
        bounds = fit["parameters"]["R_D_star"]
        low, high = _number(bounds, "low", str(path)), _number(bounds, "high", str(path))
        if low is not None:  # no upper end: a repeat may be worth a fresh token
            own = replace(own, fitted={**own.fitted, "R_D_star": (float(low), float(high or 1e9))})
        return LawSet(repetition=own, repeated_surface=load_surface(surface))
    raise UsageError(f"{path} is a fit of {law!r}; a plan uses chinchilla, kaplan or repetition")


def _number(entry: Mapping[str, Any], name: str, where: str) -> float | None:
    """Return an end of an interval, None where it has none."""
    value = entry.get(name)
    if value is None:
        return None
    if not isinstance(value, int | float) or not abs(value) < math.inf:
        raise CurateError(f"{where}: {name} = {value!r} should be a number", WRITE_ONE)
    return float(value)


def _law(fit: Mapping[str, Any], model: Law, where: str) -> Law:
    """Return `model` with the constants, errors and range of a fit."""
    constants = []
    for constant in model.constants:
        entry = fit["parameters"].get(constant.symbol)
        value = entry.get("value") if isinstance(entry, dict) else None
        if not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
            raise CurateError(f"{where}: parameter {constant.symbol} = {value!r} should be a number > 0")
        low, high = _number(entry, "low", where), _number(entry, "high", where)
        upper = "no upper end" if high is None else f"{high:.4g}"
        error = "no interval" if low is None else f"95 %: {low:.4g} to {upper}"
        constants.append(Constant(constant.symbol, float(value), constant.unit, error, where))
    try:
        fitted = {name: (float(low), float(high)) for name, (low, high) in fit.get("range", {}).items()}
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise CurateError(f"{where}: range should hold two numbers for each quantity", WRITE_ONE) from None
    return Law(f"own.{fit['law']}", model.formula, f"your runs ({where})", tuple(constants), fitted)
