"""Options: one frozen dataclass a command feeds the command line, the environment, TOML, the manifest and the docs.

A field is declared once with `option(...)`: its default, its help and the function that reads its value from text.
`resolve` merges layers (flags > `CURATE_*` environment > `--config FILE.toml` > preset > defaults) and remembers where
each value came from. Every layer goes through the same `parse`, so a bad value gets the same message wherever it stood.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

from curate.engine import ENGINES, LOCAL
from curate.errors import UsageError, unknown_name

T = TypeVar("T")

_NUMBER_UNITS = {"k": 3, "m": 6, "b": 9, "g": 9, "t": 12, "p": 15}
_BYTE_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
MAX_EXPAND = 200  # our choice: text unpacks to 3 to 14 bytes a byte, rows of one template to 32, zeros to 1,000
_LARGEST = 2**63 - 1  # what JSON writers, polars and numpy hold


@dataclass(frozen=True)
class Option:
    """How one field looks outside: `help` for people, `parse` from text, and `many` for comma-separated lists."""

    help: str
    parse: Callable[[str], Any]
    metavar: str
    choices: tuple[str, ...] = ()
    many: bool = False
    flag: bool = False


def option(
    help: str,
    *,
    default: Any = None,
    parse: Callable[[str], Any] = str,
    metavar: str = "TEXT",
    choices: tuple[str, ...] = (),
    many: bool = False,
    flag: bool = False,
) -> Any:
    """Declare a dataclass field that is an option of a command."""
    if choices:
        parse, metavar = _one_of(choices), "|".join(choices)
    if flag:
        parse, metavar, default = _boolean, "", bool(default)
    return field(default=default, metadata={"option": Option(help, parse, metavar, choices, many, flag)})


def options(cls: type) -> dict[str, Option]:
    """Return the options of a configuration class by field name, in order of declaration."""
    return {f.name: f.metadata["option"] for f in fields(cls) if "option" in f.metadata}


# -- Values ------------------------------------------------------------------------------------------------------------


def parse_number(text: str) -> Decimal:
    """Read `7B`, `1.5e9`, `20T` or `260` as an exact number; a unit is a power of ten (K, M, B or G, T, P)."""
    text = text.strip().replace("_", "")
    if not text[-1:].isalpha():
        return _decimal(text)
    value, unit = _decimal(text[:-1]), text[-1].lower()
    if unit not in _NUMBER_UNITS:
        raise ValueError(f"unit {text[-1]!r} is none of K, M, B, T, P")
    return value.scaleb(_NUMBER_UNITS[unit])


def parse_whole(text: str) -> int:
    """Read a whole number of at least 1; `20K` and `1e6` are fine."""
    return _whole(parse_number(text), 1)


def parse_workers(text: str) -> int:
    """Read a number of workers: a whole number from 1 to 1,024 (more would only start processes)."""
    value = parse_whole(text)
    if value > 1024:
        raise ValueError("should be at most 1024")
    return value


def parse_bytes(text: str) -> int:
    """Read `2GB`, `512MiB` or `1000000` as bytes; units are powers of 1,024."""
    body = text.strip().lower().removesuffix("b").removesuffix("i")
    unit = body[-1:] if body[-1:].isalpha() else ""
    if unit not in _BYTE_UNITS:
        raise ValueError("should be a size such as 512MB or 2GB")
    value = _decimal(body[: len(body) - len(unit)]) * 1024 ** _BYTE_UNITS[unit]
    return _whole(value.to_integral_value(ROUND_FLOOR), 1)


def parse_seed(text: str) -> int:
    """Read a seed: a whole number of at least 0."""
    return _whole(_decimal(text), 0)


def parse_positive(text: str) -> float:
    """Read a number above 0."""
    value = float(_decimal(text))
    if value <= 0:
        raise ValueError("should be above 0")
    return value


def parse_fraction(text: str) -> Decimal:
    """Read a share: above 0 and at most 1. It stays decimal, so that 0.005 of 500 rows is 2.5 and not a bit less."""
    value = _decimal(text)
    if not 0 < value <= 1:
        raise ValueError("should be above 0 and at most 1")
    return value


def parse_share(text: str) -> Decimal:
    """Read a share that may be nought: 0 to 1."""
    value = _decimal(text)
    if not 0 <= value <= 1:
        raise ValueError("should be 0 to 1")
    return value


def parse_pair(text: str) -> str:
    """Read NAME=VALUE and return it as it stands."""
    if "=" not in text.strip("="):
        raise ValueError("should be NAME=VALUE")
    return text


def _whole(value: Decimal, least: int) -> int:
    if value != value.to_integral_value():
        raise ValueError("should be a whole number")
    if not least <= value <= _LARGEST:
        raise ValueError(f"should be at least {least}" if value < least else f"should be at most {_LARGEST:,}")
    return int(value)


def _decimal(text: str) -> Decimal:
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        raise ValueError("is not a number") from None
    if not value.is_finite():
        raise ValueError("is not a finite number")
    return value


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"0", "false", "no", "off", ""}:
        return False
    raise ValueError("should be true or false")


def _one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"should be one of {', '.join(choices)}")
        return text

    return parse


# -- Layers ------------------------------------------------------------------------------------------------------------


def resolve(cls: type[T], layers: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[T, dict[str, str]]:
    """Merge `layers` (name, values), the strongest first, into a configuration and the origin of each value.

    Values may be text or already typed. Raises UsageError for a value that does not parse, naming layer and option.
    """
    values, origins = merge(cls, layers)
    return cls(**values), origins


def merge(cls: type, layers: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return every value that `layers` give to `cls`, defaults included, and its origin; as `resolve`, unchecked.

    Of the options in `cls.ONE_OF`, which exclude each other, only those of the strongest layer count. A value of
    `preset` names a further layer of `cls.PRESETS`, the weakest one.
    """
    known = options(cls)
    one_of = getattr(cls, "ONE_OF", ())
    defaults = {name: cls.__dataclass_fields__[name].default for name in known}  # type: ignore[attr-defined]
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}

    def take(origin: str, layer: Mapping[str, Any]) -> None:
        settled = one_of if any(name in values for name in one_of) else ()
        for name, raw in layer.items():
            if name not in known:
                raise unknown_name("option", name, known)
            if raw is not None and name not in values and name not in settled:
                values[name] = _parse(known[name], name, raw, origin)
                origins[name] = origin

    for origin, layer in layers:
        take(origin, layer)
    if preset := values.get("preset"):
        take(f"preset {preset}", cls.PRESETS[preset])  # type: ignore[attr-defined]
    return defaults | values, {name: origins.get(name, "default") for name in known}


def environment(cls: type, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the values that `CURATE_*` variables give to the options of `cls`."""
    environ = os.environ if environ is None else environ
    return {name: environ[key] for name in options(cls) if (key := f"CURATE_{name.upper()}") in environ}


def toml_table(path: str, command: str, known: type) -> dict[str, Any]:
    """Read the table of a command from a TOML file; keys may be written with `-` or `_`."""
    try:
        with Path(path).open("rb") as file:
            document = tomllib.load(file, parse_float=Decimal)
    except OSError as error:
        raise UsageError(f"--config {path}: {error.strerror}", "Give the path of a TOML file.") from None
    except (ValueError, RecursionError) as error:  # broken TOML or UTF-8, a number of 5,000 digits, nested too deeply
        raise UsageError(f"--config {path} is not valid TOML: {error}", "Mend the file at the place named.") from None
    table = document.get(command)
    outside = [key for key, value in document.items() if not isinstance(value, dict)]
    if outside or table is None:
        what = f"{outside[0]} stands outside of a table" if outside else f"there is no table [{command}]"
        raise UsageError(f"--config {path}: {what}", f"Write [{command}] on a line above its options.")
    named = {key.replace("-", "_"): value for key, value in table.items()}
    for name in named:
        if name not in options(known):
            raise unknown_name(f"option in {path} [{command}]", name, options(known))
    return named


def _parse(spec: Option, name: str, raw: Any, origin: str) -> Any:
    try:
        if spec.many:
            if isinstance(raw, Mapping):
                raw = [f"{key}={value}" for key, value in raw.items()]
            parts = list(raw) if isinstance(raw, Iterable) and not isinstance(raw, str) else str(raw).split(",")
            return tuple(spec.parse(str(part).strip()) for part in parts if str(part).strip())
        return spec.parse(str(raw))
    except (ValueError, ArithmeticError) as error:
        flag = f"--{name.replace('_', '-')}"
        where = "" if origin in {"flag", "argument"} else f" (from {origin})"
        raise UsageError(f"{flag} {raw}: {error}{where}", f"{flag}: {spec.help}") from None


def as_text(value: Any) -> Any:
    """Return a configuration value as JSON can hold it: decimals as numbers, tuples as lists, text as UTF-8."""
    if isinstance(value, str):  # a path may hold bytes that are no UTF-8
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, tuple):
        return [as_text(part) for part in value]
    return value


# Options that change nothing in a result: by what means it is made; and besides where it goes, and what is refused.
OF_THE_MACHINE = frozenset({"workers", "address", "memory", "tmp", "chunk_size"})
NO_CHANGE = OF_THE_MACHINE | {"out", "force", "resume", "strict", "max_expand"}


# Options that mean the same in every command.
def workers_option() -> Any:
    """Declare --workers."""
    return option("processes and threads to use; results do not depend on it [default: all cores]", parse=parse_workers,
                  metavar="N")  # fmt: skip


def engine_option() -> Any:
    """Declare --engine."""
    return option("where the work runs: on this machine, or on a Ray cluster (docs/scale.md)", default=LOCAL,
                  choices=ENGINES)  # fmt: skip


def address_option() -> Any:
    """Declare --address."""
    return option(
        "Ray cluster to use: auto, or HOST:PORT [default: one of --workers CPUs, started here for this run]",
        metavar="ADDRESS",
    )


def seed_option() -> Any:
    """Declare --seed."""
    return option(
        "seed of everything random; stages draw from it independently", default=0, parse=parse_seed, metavar="N"
    )


def force_option() -> Any:
    """Declare --force."""
    return option("replace what an earlier run left in --out", flag=True)


def resume_option() -> Any:
    """Declare --resume."""
    return option("go on from where an interrupted run of the same command stopped; docs/resume.md", flag=True)


def max_expand_option() -> Any:
    """Declare --max-expand."""
    return option(
        "refuse a packed file that unpacks to over N bytes for each of its own; up to 256 MB are always read",
        default=MAX_EXPAND, parse=parse_whole, metavar="N",
    )  # fmt: skip


def strict_option() -> Any:
    """Declare --strict."""
    return option("exit with 3 when something was said about the input, such as unreadable rows", flag=True)


def map_option() -> Any:
    """Declare --map."""
    return option("column names of your own: instruction=q,output=a", default=(), many=True, parse=parse_pair,
                  metavar="FIELD=COLUMN")  # fmt: skip
