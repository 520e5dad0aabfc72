"""The command line: options to a frozen dataclass to a story to print. No logic, and nothing heavy is imported.

stdout carries the result only; progress and messages go to stderr. Exit codes: `curate.errors`.
"""

from __future__ import annotations

import sys

import click

from curate import __version__
from curate.errors import ConditionNotMet, UsageError
from curate.face import Face, command, limit_threads, print_json, result_console, run
from curate.sft.config import SelectConfig


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(__version__, "-V", "--version", prog_name="curate")
def app() -> None:
    """Count tokens, plan the run, select the few examples worth training on.

    \b
    curate select pool.jsonl --fraction 0.005 --out sft/
    """


@command(app, "select", SelectConfig)
def select_command(inputs: list[str], config: SelectConfig, face: Face) -> None:
    """Select a small, diverse fine-tuning set from instruction data.

    PATH is a .json, .jsonl, .parquet or .arrow file (plain, .gz or .zst), a directory, a glob, - for stdin, or a
    Hugging Face data set id. Shapes (alpaca, sharegpt, messages, prompt/completion, ...) are recognised row by row.

    \b
    curate select pool.jsonl --fraction 0.005 --out sft/
    curate select a.json b.parquet --count 1000 --task-column task --out sft/
    curate select pool.jsonl --map instruction=q,output=a --count 500 --json
    """
    if not inputs:
        raise UsageError("no input is given", "Name a file: curate select pool.jsonl --fraction 0.005 --out sft/")
    limit_threads(config.workers)
    from curate.data.manifest import OutputDirectory
    from curate.report.progress import Stages
    from curate.sft.select import select

    quiet = face.quiet or face.json
    stages = Stages(bars=not quiet, messages=not face.quiet)
    if config.out is None:
        selection = select(inputs, config, stages)
    else:
        with OutputDirectory(config.out, force=config.force) as out:
            selection = select(inputs, config, stages)
            with stages("write"):
                selection.write_into(out.path)
    for note in selection.report["notes"]:
        stages.say(note)
    if face.json:
        print_json(selection.report)
    else:
        from curate.report.console import print_selection

        print_selection(selection.report, config.out, result_console())
    if config.strict and selection.report["notes"]:
        raise ConditionNotMet("--strict: something was said about the input (see above)", "The output is complete.")


@app.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion_command(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    eval "$(curate completion bash)"
    """
    from click.shell_completion import get_completion_class

    completion = get_completion_class(shell)
    if completion is None:
        raise UsageError(f"no completion for {shell}", "Use bash, zsh or fish.")
    click.echo(completion(app, {}, "curate", "_CURATE_COMPLETE").source())


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(app, sys.argv[1:]))


if __name__ == "__main__":
    main()
