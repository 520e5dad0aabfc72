"""What `curate run` prints: a line for each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from curate.recipe import Done


def print_run(steps: Sequence[Done], console: Console) -> None:
    """Print each step: whether it ran, how long that took, its result and where it is."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("step", "", "result", "output"):
        table.add_column(name, overflow="fold")
    for step in steps:
        time = f"{step.seconds:.1f} s" if step.ran else "as before"
        table.add_row(*map(Text, (step.name, time, step.said, step.out)))
    console.print(table)
