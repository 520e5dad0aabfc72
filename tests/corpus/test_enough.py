"""`curate tokens --params`: the plan for a model with the unique tokens that were measured."""

from __future__ import annotations

import json

import pytest

from curate.budget.plan import make_plan
from curate.corpus.count import count_tokens
from curate.errors import UsageError


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Two sources, one with every document twice."""
    folder = tmp_path_factory.mktemp("corpus")
    for name, copies, start in (("web", 2, 0), ("books", 1, 1000)):
        rows = [{"text": f"Document {start + i} tells of {i * 7} things and {i} more."} for i in range(200)]
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows * copies))
    return folder


def test_the_plan_uses_the_measured_unique_tokens(corpus):
    """The plan is the one that `make_plan` gives for the unique tokens of the report."""
    found = count_tokens(str(corpus), params="10M", dedup="exact")
    unique = found.report["tokens"]["unique"]
    assert unique < found.report["tokens"]["total"]
    assert found.report["plan"]["unique_tokens"] == unique
    assert found.report["plan"]["epochs"] == pytest.approx(make_plan(params="10M", unique_tokens=unique).epochs)


def test_each_source_has_its_own_epochs(corpus):
    """With weights a small source that is seen often has more epochs than the whole."""
    web, books = str(corpus / "web.jsonl"), str(corpus / "books.jsonl")
    options = {"weights": f"{web}=0.1,{books}=0.9", "train_tokens": 20_000, "dedup": "exact"}
    plan = count_tokens([web, books], params="1M", **options).report["plan"]
    epochs = {source["name"]: source["epochs"] for source in plan["sources"]}
    assert plan["training_tokens"] == 20_000
    assert epochs[books] > plan["epochs"] > epochs[web]


def test_the_page_holds_the_plan(corpus, tmp_path):
    """report.html answers whether the tokens are enough, and what each level leaves of those wanted."""
    count_tokens(str(corpus), params="10M", dedup="exact", out=tmp_path / "out")
    page = (tmp_path / "out/report.html").read_text()
    assert "Is it enough?" in page
    assert "against tokens wanted" in page


def test_without_params_there_is_no_plan(corpus):
    """The place of the plan is empty where nobody asked."""
    assert count_tokens(str(corpus), dedup="none").report["plan"] is None


def test_a_plan_needs_counted_tokens(corpus):
    """--tokenizer none and --params contradict each other."""
    with pytest.raises(UsageError, match="--params needs"):
        count_tokens(str(corpus), params="10M", tokenizer="none")
