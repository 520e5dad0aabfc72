"""The command line: options to a frozen dataclass to a story to print. No logic, and nothing heavy is imported.

stdout carries the result only; progress and messages go to stderr. Exit codes: `curate.errors`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from curate import __version__
from curate.budget.config import FitConfig, NoiseConfig, PlanConfig
from curate.config import as_text
from curate.corpus.config import TokensConfig
from curate.data import sources
from curate.diff import DiffConfig, compare
from curate.errors import AlreadyFinished, ConditionNotMet, UsageError
from curate.face import Face, command, limit_threads, print_json, result_console, run
from curate.rebuild import PAGE, ReportConfig, rebuild
from curate.rebuild import render as render_rebuilt
from curate.recipe import RunConfig, run_recipe
from curate.report.names import printable
from curate.sft.config import SelectConfig, WhyConfig
from curate.terminal import outlive_terminal
from curate.verify import VerifyConfig, verify_directory
from curate.verify import render as render_verified

_PLAN_IN_SHORT = ("Answer", "Sizes", "Repetition", "By source", "What to do", "Outside a fitted range")


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
    _need_input(inputs, "curate select pool.jsonl --fraction 0.005 --out sft/")
    limit_threads(config.workers)
    from curate.report.console import print_selection
    from curate.sft.select import select

    _run_story(select, inputs, config, face, lambda result, *at: print_selection(result.report, *at))
    if config.out is None and not face.quiet:
        click.echo("curate: no file was written: --out DIR writes the rows", err=True)


@command(app, "why", WhyConfig, inputs="DIR ID")
def why_command(inputs: list[str], _: WhyConfig, face: Face) -> None:
    """Tell the life of one row of a selection: what dropped it, or what was picked instead.

    DIR is what `curate select --out DIR` wrote; ID is a row's id in its ledger, or the beginning of one.

    \b
    curate why sft/ 3f9ac1
    """
    if len(inputs) != 2:
        raise UsageError("a directory and the id of a row are wanted", "For example: curate why sft/ 3f9ac1")
    from curate.sft.why import life_of, render

    life = life_of(*inputs)
    _print_result(life, face, lambda: render(life))


@command(app, "tokens", TokensConfig)
def tokens_command(inputs: list[str], config: TokensConfig, face: Face) -> None:
    """Count the tokens of a corpus, and what is left of them without duplicates.

    PATH is a .jsonl, .json, .parquet, .arrow, .txt or .md file (plain, .gz or .zst), a directory, a glob, - for stdin,
    or an hf:// or s3:// URL.

    \b
    curate tokens corpus/ --out report/
    curate tokens corpus/ --tokenizer meta-llama/Llama-3.1-8B --dedup exact
    curate tokens corpus/ --params 1.3B
    curate tokens web/ books/ --weights web=0.6,books=0.4 --max-epochs 4 --json
    """
    _need_input(inputs, "curate tokens corpus/")
    limit_threads(config.workers)
    from curate.corpus.count import count
    from curate.report.tokens import print_tokens

    def show(result: Any, out: str | None, console: Any) -> None:
        print_tokens(result.report, out, console, explain=config.explain)
        if result.plan is not None:
            from curate.budget.render import render
            from curate.report.console import print_sections

            console.print()
            print_sections([part for part in render(result.plan) if part[0] in _PLAN_IN_SHORT], console)

    _run_story(count, inputs, config, face, show)


@command(app, "plan", PlanConfig, inputs="")
def plan_command(_: list[str], config: PlanConfig, face: Face) -> None:
    """Tell whether the data is enough for a model, without reading any data.

    Give parameters, a config.json, or compute; with tokens, unique tokens or epochs the rest follows.

    \b
    curate plan --params 1.3B --unique-tokens 8B
    curate plan --compute 1e22 --unique-tokens 25B --explain
    curate plan --gpu h100 --gpu-hours 5000 --json
    """
    from curate.budget.plan import plan_for
    from curate.budget.plan_page import plan_page
    from curate.budget.render import render

    plan = plan_for(config)
    _write_page(config.html, face, lambda: plan_page(plan, config.law))
    _print_result(plan.to_json(), face, lambda: render(plan, config.explain))


@command(app, "fit", FitConfig, inputs="RUNS.csv")
def fit_command(inputs: list[str], config: FitConfig, face: Face) -> None:
    """Fit a scaling law to runs of your own, with intervals.

    RUNS.csv has a row for each finished run (parameters, tokens or FLOP, loss), or for --law curve a row for each step.

    \b
    curate fit runs.csv --law chinchilla
    curate fit runs.csv --map params=N,tokens=D,loss=final_loss --json > own.json
    curate fit log.csv --law curve --until 0.5
    """
    from curate.budget.fit import fit_runs
    from curate.budget.fit_page import fit_page
    from curate.budget.render_fit import render_fit

    fit = fit_runs(_one_file(inputs, "curate fit runs.csv --law chinchilla"), config)
    _write_page(config.html, face, lambda: fit_page(fit))
    _print_result(fit.to_json(), face, lambda: render_fit(fit))


@command(app, "noise", NoiseConfig, inputs="LOG.csv")
def noise_command(inputs: list[str], config: NoiseConfig, face: Face) -> None:
    """Estimate gradient noise scale and critical batch from logged gradient norms.

    LOG.csv has the squared gradient norm at two batch sizes for each step (docs/scaling.md shows how to log them).

    \b
    curate noise log.csv --b-small 64 --b-big 1024
    """
    from curate.budget.noise import noise_of
    from curate.budget.render_fit import render_noise

    noise = noise_of(_one_file(inputs, "curate noise log.csv --b-small 64 --b-big 1024"), config)
    _print_result(noise.to_json(), face, lambda: render_noise(noise))


@app.group("source")
def source_group() -> None:
    """Turn raw dumps into instruction rows by the recipe of LIMA.

    \b
    curate source stackexchange physics/Posts.xml cooking/Posts.xml --out se.jsonl
    """


def _add_source(name: str) -> None:
    """Register the command of a source, which a module in `curate/data/sources/` tells all about."""
    source = sources.load(name)

    def run_source(inputs: list[str], config: sources.Output, face: Face) -> None:
        _need_input(inputs, f"curate source {name} DUMP --out {name}.jsonl")
        from curate.data.sources._output import OutputFile
        from curate.report.source import print_source

        _run_story(source.extract, inputs, config, face, print_source, OutputFile)

    run_source.__doc__ = source.Config.__doc__
    command(source_group, name, source.Config, inputs="DUMP...")(run_source)


for _name in sources.names():
    _add_source(_name)


@command(app, "run", RunConfig, inputs="RECIPE.toml")
def run_command(inputs: list[str], config: RunConfig, face: Face) -> None:
    """Run the steps of a recipe; those that are finished are not run again.

    RECIPE.toml names steps, their commands and their options; the folder pipelines/ has some to start from.

    \b
    curate run pipelines/before_finetuning.toml --set pool=pool.jsonl
    curate run recipe.toml --set select.count=500 --set out=out/second
    """
    recipe = _one_file(inputs, "curate run pipelines/before_finetuning.toml")
    limit_threads(os.cpu_count() or 1)
    from curate.report.progress import Stages
    from curate.report.run import print_run

    outlive_terminal()
    steps = run_recipe(recipe, config, Stages(bars=not (face.quiet or face.json), messages=not face.quiet))
    if face.json:
        print_json({"steps": [step._asdict() for step in steps]})
    else:
        print_run(steps, result_console())


@command(app, "report", ReportConfig, inputs="DIR")
def report_command(inputs: list[str], config: ReportConfig, face: Face) -> None:
    """Make the page of a finished directory anew, and open it.

    DIR is what `curate select --out DIR` or `curate tokens --out DIR` wrote. Nothing is measured again, and the
    manifest gets the hash of the new report.html.

    \b
    curate report sft/ --open
    """
    import webbrowser

    directory = _one_file(inputs, "curate report sft/ --open", "directory")
    limit_threads(os.cpu_count() or 1)
    result = rebuild(str(directory))
    _print_result(result, face, lambda: render_rebuilt(result))
    if config.open and not webbrowser.open((directory / PAGE).resolve().as_uri()):
        sys.stderr.write(f"curate: no browser is found here: open {printable(result['page'])} where there is one\n")


@command(app, "verify", VerifyConfig, inputs="DIR")
def verify_command(inputs: list[str], config: VerifyConfig, face: Face) -> None:
    """Check a finished directory against its manifest.

    DIR is what `curate select --out DIR` or `curate tokens --out DIR` wrote: outputs, inputs and configuration are
    looked at. The exit code is 1 where something does not match.

    \b
    curate verify sft/
    curate verify sft/ --replay
    """
    directory = _one_file(inputs, "curate verify sft/", "directory")
    limit_threads(os.cpu_count() or 1)
    from curate.report.progress import Stages

    result = verify_directory(str(directory), config, Stages(bars=not (face.quiet or face.json)))
    _print_result(result, face, lambda: render_verified(result))
    if not result["matches"]:
        raise click.exceptions.Exit(1)


@command(app, "diff", DiffConfig, inputs="A B")
def diff_command(inputs: list[str], config: DiffConfig, face: Face) -> None:
    """Tell what changed from one selection, or token count, to another.

    A and B are what `curate select --out DIR` wrote, or both what `curate tokens --out DIR` wrote. Rows are joined by
    their id, sources by their name; options, inputs and versions that differ stand below.

    \b
    curate diff sft/ sft-lima/
    curate diff report/ report-cleaned/ --html diff.html
    """
    if len(inputs) != 2:
        raise UsageError("two directories are wanted", "For example: curate diff sft/ sft-lima/")
    limit_threads(os.cpu_count() or 1)
    diff = compare(*inputs)
    from curate.report.diff import diff_page, print_diff

    _write_page(config.html, face, lambda: diff_page(diff))
    if face.json:
        print_json(diff)
    else:
        print_diff(diff, result_console())


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


def _need_input(inputs: list[str], example: str) -> None:
    if not inputs:
        raise UsageError("no input is given", f"Name a file: {example}")


def _run_story(
    story: Callable[..., Any],
    inputs: list[str],
    config: Any,
    face: Face,
    show: Callable[..., None],
    output: Callable[..., Any] | None = None,
) -> None:
    """Run a story that reads data: its output (a directory, if `output` is None), messages, result and --strict."""
    from curate.data.manifest import OutputDirectory
    from curate.data.produce import produce
    from curate.report.progress import Stages

    stages = Stages(bars=not (face.quiet or face.json), messages=not face.quiet)
    if config.out is not None:
        outlive_terminal()
    try:
        result = produce(story, inputs, config, stages, output or OutputDirectory)
    except AlreadyFinished as finished:
        stages.say(finished.what)
        if face.json:
            click.echo(finished.report.read_text(encoding="utf-8"), nl=False)
        return
    for note in [*result.report["notes"], *result.report.get("advice", ())]:
        stages.say(note)
    if face.json:
        print_json(result.report)
    else:
        show(result, as_text(config.out), result_console())
    if config.strict and result.report["notes"]:
        raise ConditionNotMet("--strict: something was said about the input (see above)", "The output is complete.")


def _one_file(inputs: list[str], example: str, what: str = "file") -> Path:
    if len(inputs) != 1:
        raise UsageError(f"one {what} is wanted, not {len(inputs)}", f"For example: {example}")
    return Path(inputs[0])


def _write_page(path: str | None, face: Face, page: Callable[[], str]) -> None:
    """Write the page that --html asks for."""
    if path is None:
        return
    from curate.report.page import write_page

    write_page(Path(path), page())
    if not face.quiet:
        sys.stderr.write(f"curate: wrote {path}\n")


def _print_result(
    document: dict[str, Any], face: Face, sections: Callable[[], Sequence[tuple[str, list[str]]]]
) -> None:
    if face.json:
        print_json(document)
        return
    from curate.report.console import print_sections

    print_sections(sections(), result_console())


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(app, sys.argv[1:]))


if __name__ == "__main__":
    main()
