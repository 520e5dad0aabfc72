"""From a story to its output: the output is reserved first and appears when it is complete; what is kept meanwhile.

A story is `curate tokens`, `curate select` or a source: a function of inputs, options and stages, whose result writes
itself. This is how the command line, Python and a recipe run it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from curate.data.checkpoint import Checkpoint, key_of
from curate.data.manifest import OutputDirectory
from curate.errors import UsageError
from curate.report.progress import Stages

Story = Callable[[Any, Any, Stages], Any]


def produce(
    story: Story, inputs: Any, config: Any, stages: Stages | None = None, output: Callable[..., Any] = OutputDirectory
) -> Any:
    """Return what `story` gives, written to `config.out` if that is given.

    `output` is the context manager of the output. Raises what story and output raise.
    """
    stages = stages or Stages()
    if config.out is None:
        if config.resume:
            raise UsageError("--resume needs the output of the interrupted run", "Add its --out.")
        return story(inputs, config, stages)
    key = key_of(inputs, config)
    with output(config.out, force=config.force, resume=config.resume, key=key) as out:
        stages.begin(out.kept)
        try:
            _tell(stages, out.kept, resume=config.resume)
            result = story(inputs, replace(config, resume=False), stages)  # it tells no interruptions
            with stages("write"):
                result.write_into(out.path)
            for note in result.report["notes"]:
                stages.log("warning", note)
        except BaseException as error:
            stages.log("error", str(error) or type(error).__name__)
            if out.kept.count():
                stages.say("what was finished is kept: the same command with --resume goes on from there")
            raise
        finally:
            if out.kept.fault:
                stages.say(out.kept.fault)
            stages.end()
    return result


def _tell(stages: Stages, kept: Checkpoint, *, resume: bool) -> None:
    """Say where a run starts."""
    pieces = kept.count()
    if not resume:
        stages.log("info", "starts")
    elif pieces:
        stages.say(f"resumes an interrupted run; kept from it: {pieces:,} {'piece' if pieces == 1 else 'pieces'}")
    elif kept.key is None:
        stages.say("nothing to resume: what is no local file may have changed; starts from the beginning")
    else:
        stages.say("nothing to resume; starts from the beginning")
