"""Runs of the user from a csv: columns found by their usual names or mapped, every row checked.

Two columns that could both be the loss are a question to the user, not a choice of ours. A run whose loss is no number
above zero is an error that names the row: left out in silence it would bend the fit.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curate.errors import CurateError, UsageError, unknown_name

NAMES = {
    "params": ("params", "n", "model_size", "parameters", "n_params", "num_params"),
    "tokens": ("tokens", "d", "training_tokens", "n_tokens", "num_tokens", "tokens_seen"),
    "compute": ("compute", "c", "flop", "flops", "training_flop", "training_flops", "compute_flop"),
    "loss": ("loss", "l", "val_loss", "validation_loss", "eval_loss", "test_loss", "final_loss"),
    "unique_tokens": ("unique_tokens", "u", "unique"),
    "epochs": ("epochs", "epoch"),
    "run": ("run", "run_id"),
    "step": ("step", "steps", "iteration", "iter"),
    "b_small": ("b_small", "batch_small"),
    "b_big": ("b_big", "batch_big"),
    "g2_small": ("g2_small", "grad_sq_small", "grad_norm_sq_small"),
    "g2_big": ("g2_big", "grad_sq_big", "grad_norm_sq_big"),
    "lr": ("lr", "learning_rate"),
}
Columns = dict[str, list[float]]


def read_columns(
    path: Path,
    wanted: Sequence[str],
    optional: Sequence[str],
    mapping: Sequence[str],
    zero: Sequence[str] = ("step", "lr"),
) -> Columns:
    """Return the columns of a csv as numbers; `run` as the number of the run in order of appearance, `line` as it says.

    `mapping` holds QUANTITY=COLUMN pairs. Only the quantities in `zero` may be 0: a log may start at step 0, and a
    schedule at rate 0.

    Raises CurateError where the file cannot be read, has no rows, lacks a wanted column or holds a value that is no
    finite number; UsageError for a mapping that names an unknown quantity or a column that is not there.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header = [name for name in reader.fieldnames or [] if name]
            numbered = [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise CurateError(f"cannot read {path}: {error.strerror}", "Name a csv file.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise CurateError(f"{path} is no csv in UTF-8: {error}", "Save the table as csv.") from error
    lines, rows = [line for line, _ in numbered], [row for _, row in numbered]
    if not rows:
        raise CurateError(f"{path} has no rows", "The first line names the columns, each further line is a run.")
    _check_table(path, header, lines, rows)
    found = _find(path, header, [*wanted, *optional], dict(pair.split("=", 1) for pair in mapping))
    missing = [name for name in wanted if name not in found]
    if missing:
        hint = f"Map one: --map {missing[0]}=COLUMN"
        if len(header) == 1 and re.search(r"[;\t|]", header[0]):
            hint = "Separate the columns by commas."
        raise CurateError(f"{path} has no column for {', '.join(missing)}; its columns are {', '.join(header)}", hint)
    columns = {name: _numbers(path, name, column, lines, rows, name in zero) for name, column in found.items()}
    return {**columns, "line": [float(line) for line in lines]}


def _check_table(path: Path, header: Sequence[str], lines: Sequence[int], rows: Sequence[Mapping[Any, Any]]) -> None:
    """Raise CurateError for a column that is there twice, and for a row with more fields than there are columns."""
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise CurateError(f"{path} has two columns named {', '.join(twice)}", "Rename or remove one of them.")
    wide = [line for line, row in zip(lines, rows, strict=True) if None in row]
    if wide:
        raise CurateError(
            f"{path}: line {wide[0]} has more fields than the {len(header)} columns",
            "Write 1300000000 or 1.3e9, without commas inside a number.",
        )


def _find(path: Path, header: Sequence[str], quantities: Sequence[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """Return the column of each quantity that has one."""
    for quantity, column in mapping.items():
        if quantity not in NAMES:
            raise unknown_name("quantity in --map", quantity, NAMES)
        if column not in header:
            raise unknown_name(f"column of {path.name}", column, header)
    found = {}
    for quantity in quantities:
        if quantity in mapping:
            found[quantity] = mapping[quantity]
            continue
        match = [name for name in header if _plain(name) in NAMES[quantity] and name not in mapping.values()]
        if len(match) > 1:
            raise UsageError(
                f"{path} has {len(match)} columns that could be {quantity}: {', '.join(match)}",
                f"Say which: --map {quantity}={match[0]}",
            )
        if match:
            found[quantity] = match[0]
    return found


def _plain(name: str) -> str:
    """Return a column name in lower case with underscores."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _numbers(
    path: Path, quantity: str, column: str, lines: Sequence[int], rows: Sequence[Mapping[str, str]], zero: bool
) -> list[float]:
    """Return a column as finite numbers above zero, or not below it; names of runs as their order."""
    if quantity == "run":
        order: dict[str, int] = {}
        return [float(order.setdefault(row[column] or "", len(order))) for row in rows]
    values, wrong = [], []
    for line, row in zip(lines, rows, strict=True):
        try:
            value = float(row[column])
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
            wrong.append(f"line {line}: {row[column]!r}")
        values.append(value)
    if wrong:
        listed = ", ".join(wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        raise CurateError(
            f"{path}: column {column} ({quantity}) should hold numbers > 0; {listed}",
            "Remove these rows, or correct them.",
        )
    return values
