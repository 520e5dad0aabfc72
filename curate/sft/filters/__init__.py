"""Filters: which rows a rule would drop, and why; discovery by name and application to the ledger.

A filter is a function that returns a `Rule`: a Boolean expression `keep` over the ledger's columns and an expression
`evidence`, the span that triggered it. Nothing is registered: a module in this package, or a file given by its path,
lists its filters in `FILTERS`, and `module.function` is the name in the ledger and in `--filters`. Its arguments are
numbers with defaults; `lima.length=500:2000` gives others, in order, and `lima.length=:8000` only the second. Or it is
one text, colons and all: `language.answer=de:fr`.

    import polars as pl
    from curate.sft.filters import Rule

    def no_urls() -> Rule:
        '''Kept when: the answer has no URL.'''
        url = pl.col("response").str.extract(r"(https?://\\S+)")
        return Rule(keep=pl.col("response").is_not_null() & url.is_null(), evidence=url)

    FILTERS = (no_urls,)

Rows are marked, never removed. A filter looks at one row at a time, so that the result does not depend on the order
of rows or of filters; a null `keep` counts as not kept, because a rule that cannot be checked has not been passed.
All `keep` columns are computed in one pass; `evidence` only on the rows that a rule dropped, which are few. What a rule
here computes on texts is kept on disk and read back (docs/select.md); a file of one's own is computed every time.
"""

from __future__ import annotations

import inspect
import os
import pkgutil
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import polars as pl

from curate.config import parse_number
from curate.errors import CurateError, MissingExtra, UsageError, unknown_name

PRESETS = {"strict": ("clean", "style", "quality")}  # every rule that is bound to no source
EVIDENCE_CHARS = 200
UNREADABLE = "unreadable"
_READABLE = pl.col("drop_reason").ne_missing(UNREADABLE)


class Rule(NamedTuple):
    """What a filter says about a row: `keep` (Boolean) and `evidence` (text, cut at 200 characters).

    A rule with numbers puts what does not depend on them into `measure`; the two others see it as `MEASURE`. So other
    numbers need not look at the texts again.
    """

    keep: pl.Expr
    evidence: pl.Expr
    measure: pl.Expr | None = None


MEASURE = pl.col("measure")


Filter: TypeAlias = Callable[..., Rule]
Compute: TypeAlias = Callable[[pl.DataFrame, dict[str, pl.Expr]], pl.DataFrame]
"""From a ledger and expressions to their columns, by name."""


def resolve(names: Sequence[str]) -> list[tuple[str, Filter]]:
    """Return the filters that `names` mean, with their dotted names, in the order asked and each once.

    A name is a preset (`strict`), a group (`clean`, `lima-zh`), one filter (`clean.empty_answer`), a file of filters
    (`./rules.py`), one filter of it (`./rules.py:no_urls`), or `none`, which stands alone. Numbers may follow one
    filter (`lima.length=500:2000`); they count wherever it is asked for. Raises UsageError for anything else.
    """
    if "none" in names and set(names) != {"none"}:
        raise UsageError(f"--filters none contradicts {', '.join(n for n in names if n != 'none')}", "Leave one out.")
    files: dict[Path, dict[str, Filter]] = {}
    chosen: dict[str, Filter] = {}
    numbers: dict[str, str] = {}
    for name in _unpacked(names):
        name, given = _split(name)
        named = _named(name, files)
        if given is not None and (name in _modules() or len(named) > 1):
            raise UsageError(f"{name}={given}: {name} is a group of filters", "Numbers follow one filter.")
        for dotted, rule in named.items():
            if chosen.setdefault(dotted, rule) is not rule:
                raise UsageError(f"two files define the filter {dotted}", "Rename one of the files.")
            if given is not None and numbers.setdefault(dotted, given) != given:
                raise UsageError(f"{dotted} is given twice: ={numbers[dotted]} and ={given}", "Leave one out.")
    return [(name, _with_numbers(name, rule, numbers[name]) if name in numbers else rule)
            for name, rule in chosen.items()]  # fmt: skip


def _unpacked(names: Sequence[str]) -> Iterator[str]:
    """Yield `names`, a preset as the groups that it stands for."""
    for name in names:
        if name != "none":
            yield from PRESETS.get(name, (name,))


def _split(name: str) -> tuple[str, str | None]:
    """Split NAME=NUMBERS; a path may hold an equals sign too."""
    match = re.fullmatch(r"(.+)=([^=/\\]*)", name)
    return (name, None) if match is None or name.endswith(".py") else (match[1], match[2])


def _with_numbers(name: str, rule: Filter, given: str) -> Filter:
    """Give `rule` its numbers; say what it takes where they do not fit."""
    takes = list(inspect.signature(rule).parameters.values())
    words = any(isinstance(parameter.default, str) for parameter in takes)
    parts = [given] if words else given.split(":")
    usage = f"{name}={':'.join(str(parameter.default) for parameter in takes)} is the default." if takes else ""
    if len(parts) > len(takes):
        what = " and ".join(parameter.name for parameter in takes) or "no numbers"
        raise UsageError(f"{name}={given}: {name} takes {what}", usage or f"Write {name} alone.")
    numbers: dict[str, Any] = {}
    try:
        for parameter, part in zip(takes, parts, strict=False):
            if part:
                numbers[parameter.name] = part if words else _number(part, type(parameter.default))
    except ValueError as error:
        raise UsageError(f"{name}={given}: {part} {error}", usage) from None
    with_numbers = partial(rule, **numbers)
    _rule(f"{name}={given}", with_numbers)
    return with_numbers


def _number(text: str, kind: type[int] | type[float]) -> float:
    value = parse_number(text)
    if kind is int and value != int(value):
        raise ValueError("should be a whole number")
    return kind(value)


def compute(frame: pl.DataFrame, expressions: dict[str, pl.Expr]) -> pl.DataFrame:
    """Compute the expressions in one eager pass; raises CurateError that names the filter that fails."""
    try:
        return frame.with_columns(**expressions).select(expressions.keys())
    except Exception as error:
        for name, expression in expressions.items():
            try:
                frame.with_columns(expression.alias(name))
            except Exception as cause:
                raise CurateError(
                    f"the filter {name} failed: {str(cause).splitlines()[0]}",
                    f"It sees the columns {', '.join(frame.columns)}.",
                ) from cause
        raise CurateError(f"the filters failed: {error}") from error


def apply(frame: pl.DataFrame, filters: Sequence[tuple[str, Filter]], look: Compute = compute) -> pl.DataFrame:
    """Mark the rows that `filters` drop in `drop_reason`, `rules` and `evidence`; no row is removed or moved.

    The first filter that fires gives an alive row its `drop_reason` and `evidence`; all that fire stand in `rules`, of
    rows dropped earlier too. Unreadable rows are left alone. `look` computes columns, or knows them. Raises CurateError
    when a filter cannot be computed.
    """
    blank = {"drop_reason": pl.String(), "rules": pl.List(pl.String), "evidence": pl.String()}
    missing = [pl.lit(None, kind).alias(name) for name, kind in blank.items() if name not in frame.columns]
    rules = {name: _rule(name, rule) for name, rule in filters}
    return _apply(frame.with_columns(missing), rules, look) if rules else frame.with_columns(missing)


def note(frame: pl.DataFrame, filters: Sequence[tuple[str, Filter]], look: Compute = compute) -> pl.DataFrame:
    """Add the column `would_drop`: the filters that fire on a row, without a mark for it; null for unreadable rows."""
    rules = {name: _rule(name, rule) for name, rule in filters}
    listed = (
        _verdicts(_fired(frame, rules, _look(frame, rules, look)))["all"] if rules else pl.lit([], pl.List(pl.String))
    )
    return frame.with_columns(would_drop=pl.when(_READABLE).then(listed))


def _apply(frame: pl.DataFrame, rules: dict[str, Rule], look: Compute) -> pl.DataFrame:
    """Mark `frame` by `rules`. Prior validation is assumed."""
    columns = _look(frame, rules, look)
    verdict = _verdicts(_fired(frame, rules, columns))
    newly = pl.select(pl.when(frame["drop_reason"].is_null()).then(verdict["first"])).to_series()

    evidence = frame["evidence"]
    for name, rule in rules.items():
        rows = (newly == name).arg_true()
        if len(rows):
            hit = frame[rows].with_columns(measure=columns[name][rows])
            spans = compute(hit, {name: rule.evidence}).to_series().cast(pl.String)
            evidence = evidence.scatter(rows, spans.str.slice(0, EVIDENCE_CHARS))
    return frame.with_columns(
        drop_reason=pl.coalesce("drop_reason", newly),
        rules=pl.concat_list(frame["rules"].fill_null([]), verdict["all"]).list.unique(maintain_order=True),
        evidence=evidence,
    )


def _look(frame: pl.DataFrame, rules: dict[str, Rule], look: Compute) -> pl.DataFrame:
    """Return a column per rule: its measure, or whether it fires."""
    return look(frame, {name: _fires(rule) if rule.measure is None else rule.measure for name, rule in rules.items()})


def _fired(frame: pl.DataFrame, rules: dict[str, Rule], columns: pl.DataFrame) -> pl.DataFrame:
    """Return a Boolean column per rule: whether it fires on a row that could be read."""
    for name, rule in rules.items():
        if rule.measure is not None:
            judged = compute(frame.with_columns(measure=columns[name]), {name: _fires(rule)})
            columns = columns.with_columns(judged.to_series())
    return columns.select(pl.all() & frame.select(_READABLE).to_series())


def _verdicts(fired: pl.DataFrame) -> pl.DataFrame:
    """Return the `first` filter that fired on each row, and `all` of them; there are few combinations, so each once."""
    names = [pl.when(name).then(pl.lit(name)) for name in fired.columns]
    kinds = fired.unique().with_columns(first=pl.coalesce(names), all=pl.concat_list(names).list.drop_nulls())
    return fired.join(kinds, on=fired.columns, how="left", maintain_order="left").select("first", "all")


def _fires(rule: Rule) -> pl.Expr:
    return rule.keep.fill_null(False).not_()


def _rule(name: str, rule: Filter) -> Rule:
    """Call the filter and check that it answers with a Rule."""
    try:
        made = rule()
    except MissingExtra:
        raise
    except CurateError as error:
        raise UsageError(f"{name}: {error.what}", error.hint) from None
    except Exception as error:
        raise CurateError(f"the filter {name} failed: {error!r}", "Its arguments need defaults.") from error
    if not isinstance(made, Rule):
        raise UsageError(
            f"the filter {name} returned {type(made).__name__}, not a Rule",
            "Return curate.sft.filters.Rule(keep, evidence).",
        )
    return made


def _named(name: str, files: dict[Path, dict[str, Filter]]) -> dict[str, Filter]:
    """Return the filters that one name means, by their dotted names."""
    location, colon, function = name.rpartition(":")
    if name.endswith(".py"):
        location, function = name, ""
    elif not (colon and location.endswith(".py")):
        return _built_in(name)
    path = Path(location).resolve()
    if path not in files:
        files[path] = _load(path)
    found = files[path]
    dotted = f"{path.stem}.{function}"
    if function and dotted not in found:
        raise unknown_name("filter", name, [f"{location}:{known.rpartition('.')[2]}" for known in found])
    return {dotted: found[dotted]} if function else found


def _built_in(name: str) -> dict[str, Filter]:
    """Return a group of this package, or one filter of it."""
    known_as = name.replace("-", "_")
    groups = {group: _listed(import_module(f"{__name__}.{group}"), group) for group in _modules()}
    every = {dotted: rule for filters in groups.values() for dotted, rule in filters.items()}
    if groups.get(known_as):
        return groups[known_as]
    if known_as in every:
        return {known_as: every[known_as]}
    if "(" in name:
        raise UsageError(f"unknown filter {name!r}", "Numbers follow an equals sign: lima.length=500:2000.")
    known = [*(group for group in groups if groups[group]), *PRESETS, *every, "none", "./rules.py"]
    raise unknown_name("filter", name, known)


def _load(path: Path) -> dict[str, Filter]:
    """Import the file at `path` and return its filters."""
    if not os.path.isfile(path):
        raise UsageError(f"no such file of filters: {path}", "Give a Python file that ends with FILTERS = (name, ...).")
    if path.stem in _modules():
        raise UsageError(f"{path.name} has the name of a built-in module of filters", "Rename the file.")
    spec = spec_from_file_location(f"curate_filters_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file", "Give a file that ends in .py.")
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"{path} cannot be imported: {error!r}", "Correct the file.") from error
    try:
        found = _listed(module, path.stem)
    except (AttributeError, TypeError):
        found = {}
    if not found:
        raise UsageError(f"{path} lists no functions in FILTERS", "End it with FILTERS = (name, ...), a tuple.")
    return found


def is_built_in(name: str) -> bool:
    """Return whether the filter of this dotted name is one of this package."""
    return name.partition(".")[0] in _modules()


def _modules() -> list[str]:
    return [module.name for module in pkgutil.iter_modules(__path__)]


def _listed(module: ModuleType, group: str) -> dict[str, Filter]:
    return {f"{group}.{rule.__name__}": rule for rule in getattr(module, "FILTERS", ())}
