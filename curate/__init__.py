"""Curate: count tokens, plan the training run, select the few examples worth fine-tuning on.

Names are loaded when they are first used, so that `import curate` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.errors import CurateError
    from curate.sft.select import select_rows
    from curate.sft.selection import Selection

__version__ = "0.1.0"
__all__ = ["CurateError", "Selection", "__version__", "select_rows"]

_HOMES = {
    "CurateError": "curate.errors",
    "Selection": "curate.sft.selection",
    "select_rows": "curate.sft.select",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'curate' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
