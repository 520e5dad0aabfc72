"""What `curate run` prints: a line for each step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from curate.recipe import Done


def print_run(steps: Sequence[Done], console: Console) -> None:
    """Print each step: whether it ran, how long that took, its result, and where all of it is."""
    from rich.table import Table
    from rich.text import Text

    from curate.report.names import harmless

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("output", "", "result"):
        table.add_column(name, overflow="fold")
    for step in steps:
        time = f"{step.seconds:.1f} s" if step.ran else "as before"
        table.add_row(*(Text(harmless(cell)) for cell in (Path(step.out).name, time, step.said)))
    console.print(table)
    console.print(f"\nin {harmless(str(Path(steps[0].out).parent))}", soft_wrap=True)
