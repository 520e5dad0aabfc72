"""How a dataclass of options becomes a command: flags, help, layers, printed configuration, and errors.

Everything comes from `curate.config.options`; a command in `curate.cli` is a function of (inputs, config, face).
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from curate.config import Option, as_text, environment, merge, option, options, resolve, toml_table
from curate.engine.memory import check_address_space
from curate.errors import ConditionNotMet, CurateError, UsageError
from curate.report.names import harmless


@dataclass(frozen=True)
class Face:
    """Options of every command that change what is shown, not what is done."""

    json: bool = option("print one JSON object instead of a table", flag=True)
    quiet: bool = option("print no progress and no messages", flag=True)
    config: str | None = option("TOML file with a table for the command", metavar="FILE.toml")
    print_config: bool = option("print every option with its value and origin, and stop", flag=True)


def command(
    app: click.Group, name: str, config: type, *, inputs: str = "PATH..."
) -> Callable[[Callable[..., None]], click.Command]:
    """Return a decorator that registers a command; its options are the fields of `config` and `Face`.

    `inputs` is the name of its arguments in the help; empty for a command without any.
    """

    def register(function: Callable[..., None]) -> click.Command:
        def run(inputs: Sequence[str] = (), **flags: Any) -> None:
            face, layers = _layers(name, config, flags)
            if face.print_config:
                _print_config(face, *merge(config, layers))
            else:
                function(list(inputs), resolve(config, layers)[0], face)

        run.__doc__ = function.__doc__
        built = click.Command(name, callback=run, help=inspect.cleandoc(function.__doc__ or ""), params=[])
        if inputs:
            built.params.append(click.Argument(["inputs"], metavar=inputs, nargs=-1, type=click.Path()))
        for cls in (config, Face):
            built.params.extend(_click_option(field, spec, cls) for field, spec in options(cls).items())
        app.add_command(built)
        return built

    return register


def run(app: click.Group, arguments: Sequence[str]) -> int:
    """Run the command line; return its exit code, with every error said in one way."""
    try:
        code = app.main(arguments, prog_name="curate", standalone_mode=False) or 0
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        code = UsageError.exit_code
    except click.ClickException as error:
        code = _fail(_from_click(error), arguments)
    except CurateError as error:
        code = _fail(error, arguments)
    except (KeyboardInterrupt, click.Abort):
        sys.stderr.write("curate: interrupted; no output was written or changed\n")
        code = 130
    except BrokenPipeError:
        _let_go_of_stdout()
        code = 1
    except OSError as error:
        if error.filename is None:  # stdout: its disk is full
            _let_go_of_stdout()
        where = as_text(str(error.filename or "stdout"))
        hint = "What a run had to write is there whole, or not at all."
        code = _fail(CurateError(f"{where}: {error.strerror or error}", hint), arguments)
    except MemoryError:
        code = _fail(
            CurateError("out of memory", "Close other programs, or select from a part of the pool."), arguments
        )
    return int(code)


def _let_go_of_stdout() -> None:
    """Let what is still to be written go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(error: CurateError, arguments: Sequence[str]) -> int:
    """Say what is wrong and what to type next: on stderr, and as the one JSON object where JSON was asked for."""
    wants_json = "--json" in arguments or environment(Face).get("json", "").lower() in {"1", "true", "yes", "on"}
    if wants_json and not isinstance(error, ConditionNotMet):  # after that the result is the one object
        print_json({"error": {"code": error.exit_code, "message": error.what, "hint": error.hint}})
    sys.stderr.write(f"curate: {harmless(error.what)}\n")
    if error.hint:
        sys.stderr.write(f"        {harmless(error.hint)}\n")
    return error.exit_code


def _from_click(error: click.ClickException) -> UsageError:
    where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "curate"
    return UsageError(error.format_message().replace("\n", " "), f"See {where} --help.")


def _layers(name: str, config: type, flags: Mapping[str, Any]) -> tuple[Face, list[tuple[str, dict[str, Any]]]]:
    """Return how to show the result, and what flags, environment and TOML say to one command, the strongest first."""

    def layers(cls: type) -> list[tuple[str, dict[str, Any]]]:
        given = {key: value for key, value in flags.items() if key in options(cls) and value is not None}
        return [("flag", given), ("environment", environment(cls))]

    face, _ = resolve(Face, layers(Face))
    table = toml_table(face.config, name, config) if face.config else {}
    return face, [*layers(config), (f"{face.config}", table)]


def _click_option(name: str, spec: Option, cls: type) -> click.Option:
    flag = f"--{name.replace('_', '-')}"
    if spec.flag:
        return click.Option([flag], is_flag=True, default=None, help=spec.help)
    shown = _default_text(cls, name)
    text = f"{spec.help} [default: {shown}]" if shown else spec.help
    if spec.many:
        return click.Option([flag], multiple=True, default=None, metavar=spec.metavar, help=text, callback=_joined)
    kind = click.Path() if spec.metavar.startswith(("DIR", "FILE")) else None  # the shell completes names of files
    return click.Option(
        [flag], default=None, metavar=spec.metavar, help=text, type=kind, shell_complete=_completed(spec.choices)
    )


def _completed(words: Sequence[str]) -> Callable[[click.Context, click.Parameter, str], list[Any]] | None:
    """Complete `words` in the shell; that the value is one of them is checked for every layer alike, in `resolve`."""
    return (lambda _, __, begun: [word for word in words if word.startswith(begun)]) if words else None


def _joined(_: click.Context, __: click.Parameter, value: tuple[str, ...] | None) -> str | None:
    return ",".join(value) if value else None


def _default_text(cls: type, name: str) -> str:
    default = as_text(cls.__dataclass_fields__[name].default)  # type: ignore[attr-defined]
    if default is None or default == []:
        return ""
    return ",".join(map(str, default)) if isinstance(default, list) else str(default)


def _print_config(face: Face, settings: Mapping[str, Any], origins: Mapping[str, str]) -> None:
    values = {name: as_text(value) for name, value in settings.items()}
    if face.json:
        print_json({name: {"value": value, "origin": origins[name]} for name, value in values.items()})
        return
    wide = max(map(len, values), default=0)
    for name, value in values.items():
        shown = ",".join(map(str, value)) if isinstance(value, list) else "" if value is None else value
        click.echo(f"{name:<{wide}} {shown!s:<40} {origins[name]}")


def print_json(document: Mapping[str, Any]) -> None:
    """Print the one JSON object of a run on stdout, its keys sorted."""
    import orjson

    sys.stdout.write(orjson.dumps(document, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2).decode() + "\n")


def result_console() -> Any:
    """Return the rich console for results: 80 columns wide where stdout is no terminal; names of data are no markup."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 80)


def limit_threads(workers: int) -> None:
    """Tell the libraries that read it from the environment, before they are imported, how many threads to use.

    Raises CurateError where a limit of the shell is too low for them to start.
    """
    check_address_space()
    for name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "RAYON_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, str(workers))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true" if workers > 1 else "false")
