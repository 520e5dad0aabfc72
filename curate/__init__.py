"""Curate: count tokens, plan the training run, select the few examples worth fine-tuning on.

Names are loaded when they are first used, so that `import curate` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curate.budget.fit import fit_law
    from curate.budget.noise import GradientNoise
    from curate.budget.plan import make_plan
    from curate.corpus.count import count_tokens
    from curate.corpus.result import TokenReport
    from curate.errors import CurateError
    from curate.sft.estimators import (
        ClusterMedoids,
        FacilityLocation,
        KCenterGreedy,
        ProbCover,
        Random,
        ReprFilter,
        SphericalKMeans,
    )
    from curate.sft.select import select_rows
    from curate.sft.selection import Selection

__version__ = "0.1.0"
__all__ = [
    "ClusterMedoids",
    "CurateError",
    "FacilityLocation",
    "GradientNoise",
    "KCenterGreedy",
    "ProbCover",
    "Random",
    "ReprFilter",
    "Selection",
    "SphericalKMeans",
    "TokenReport",
    "__version__",
    "count_tokens",
    "fit_law",
    "make_plan",
    "select_rows",
]

_HOMES = {
    "ClusterMedoids": "curate.sft.estimators",
    "CurateError": "curate.errors",
    "FacilityLocation": "curate.sft.estimators",
    "GradientNoise": "curate.budget.noise",
    "KCenterGreedy": "curate.sft.estimators",
    "ProbCover": "curate.sft.estimators",
    "Random": "curate.sft.estimators",
    "ReprFilter": "curate.sft.estimators",
    "Selection": "curate.sft.selection",
    "SphericalKMeans": "curate.sft.estimators",
    "TokenReport": "curate.corpus.result",
    "count_tokens": "curate.corpus.count",
    "fit_law": "curate.budget.fit",
    "make_plan": "curate.budget.plan",
    "select_rows": "curate.sft.select",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'curate' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
