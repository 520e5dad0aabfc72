"""`docs/scaling.md` names the laws and files that exist."""

from __future__ import annotations

import re
from pathlib import Path

from curate.budget.plan import make_plan

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")


def test_files_named_in_the_page_exist():
    """Every file that the page points to is there."""
    named = set(re.findall(r"`(curate/[\w/]+\.py)`", PAGE))
    assert len(named) >= 7
    assert all((ROOT / name).is_file() for name in named)


def test_every_law_of_a_plan_is_in_the_page():
    """The page says for each law behind a plan what it is used for."""
    missing = [one.law.name for one in make_plan(params="1.3B").laws if f"`{one.law.name}`" not in PAGE]
    assert not missing


def test_code_of_the_page_runs():
    """The helper in a training loop works as the page shows it, and measures a noise scale above zero."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 1
    space = {}
    exec(compile(blocks[0], "docs/scaling.md", "exec"), space)
    assert space["b_simple"] > 0


def test_numbers_of_the_page_are_those_of_the_tool():
    """The tokens that 1.3B wants, by each law of the page's first table, are what a plan prints."""
    rows = {row.law: row.tokens for row in make_plan(params="1.3B").compute_optimal.by_law}
    for law in ("hoffmann2022.approach1", "hoffmann2022.approach2", "hoffmann2022.approach3", "besiroglu2024"):
        assert f"{rows[law] / 1e9:.1f}B" in PAGE
