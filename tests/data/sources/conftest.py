"""How a source is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from curate.config import resolve
from curate.data.sources import Extract, load
from curate.report.progress import Stages


@pytest.fixture
def extract() -> Callable[..., Extract]:
    """Return a function that runs a source by its name on files, with options."""

    def run(source: str, inputs: Any, **options: Any) -> Extract:
        module = load(source)
        given = inputs if isinstance(inputs, list) else [inputs]
        config, _ = resolve(module.Config, [("argument", options)])
        return module.extract([str(path) for path in given], config, Stages())

    return run
