"""Columns of one's own: definitions of tasks, prompt templates, scores."""

from __future__ import annotations

import numpy as np
import orjson
import polars as pl
import pytest

import curate
from curate.data.tasks import read_definitions
from curate.errors import UsageError
from curate.sft.own_columns import mix


@pytest.fixture
def definitions(tmp_path):
    tasks = [
        {"name": "sum", "Definition": ["Add the two numbers."]},
        {"name": "up", "definition": "Write in capitals."},
    ]
    path = tmp_path / "tasks.jsonl"
    path.write_bytes(b"".join(orjson.dumps(task) + b"\n" for task in tasks))
    return str(path)


POOL = [
    *({"name": "sum", "input": f"{i} and {i + 1}", "output": [f"{2 * i + 1}"]} for i in range(9)),
    {"name": "up", "input": "a b", "output": "A B"},
    {"name": "up", "instruction": "Shout.", "input": "c d", "output": "C D"},
    {"name": "other", "input": "x", "output": "y, and more"},
]


def test_the_definition_of_its_task_is_the_instruction(definitions):
    """Rows without an instruction get that of their task; where there is none, the run says so."""
    got = curate.select_rows(
        POOL, count=5, task_column="name", join_tasks=definitions, filters="none", workers=1
    )  # fmt: skip
    prompts = dict(got.ledger.select("line", "prompt").iter_rows())
    assert prompts[1] == "Add the two numbers.\n0 and 1"
    assert prompts[10] == "Write in capitals.\na b"
    assert prompts[11] == "Shout.\nc d"
    assert prompts[12] == "x"
    assert any("no definition of the task of 1 row" in note for note in got.report["notes"])
    assert any("no instruction in 1 row:" in note for note in got.report["notes"])


def test_definitions_that_are_none(tmp_path, definitions):
    """A wrong key, a file that is not there, and two definitions of one task are named."""
    with pytest.raises(UsageError, match="no record has both task and Definition"):
        read_definitions(definitions, "task")
    with pytest.raises(UsageError, match=r"none\.jsonl"):
        read_definitions(str(tmp_path / "none.jsonl"), "name")
    with open(definitions, "a") as file:
        file.write('{"name": "sum", "Definition": "Subtract."}\n')
    with pytest.raises(UsageError, match="line 3: a second definition of the task sum"):
        read_definitions(definitions, "name")
    with pytest.raises(UsageError, match="--join-tasks needs to know the task of a row"):
        curate.select_rows(POOL, count=5, join_tasks=definitions)


def test_one_prompt_per_task():
    """Of each task the commonest template stays, the first by name on ties; the others say which one it was."""
    kinds = [("nli", "Does it follow", 3), ("nli", "True or false", 5), ("wic", "b", 2), ("wic", "a", 2)]
    pool = [
        {"instruction": f"{words} {i}?", "output": f"It is {i}.", "task": task, "template": words}
        for task, words, count in kinds
        for i in range(count)
    ]
    got = curate.select_rows(pool, count=4, task_column="task", one_prompt_per_task="template", workers=1)
    assert got.report["rows"]["dropped"] == {"template.other": 5}
    dropped = got.ledger.filter(pl.col("drop_reason") == "template.other")
    assert set(dropped.select("task", "evidence").iter_rows()) == {("nli", "True or false"), ("wic", "a")}
    with pytest.raises(UsageError, match="--one-prompt-per-task needs to know the task"):
        curate.select_rows(pool, count=4, one_prompt_per_task="template")


SCORED = [
    {"instruction": f"Question {i} about {'sea' if i % 2 else 'land'}?", "output": f"Answer {i}.", "rating": i % 10}
    for i in range(60)
]


def test_a_score_of_ones_own_orders_repr_filter():
    """The best rated rows come first; a row without a number is dropped with a reason."""
    pool = [*SCORED, {"instruction": "Unrated?", "output": "Yes, it is.", "rating": "9"}]
    got = curate.select_rows(pool, count=6, strategy="repr-filter", score_column="rating", workers=1)
    assert got.report["rows"]["dropped"] == {"score.missing": 1}
    assert got.rows["score"].to_list()[0] == 9
    assert got.rows["score"].is_sorted(descending=True) or got.report["picks"]["beyond_rule"]


def test_quality_alone_chooses_the_core():
    """With weight 1 the core is the best rated quarter of each group, and the picks are spread over that."""
    one_pool = {"score_column": "rating", "quality_weight": 1, "scope": "global", "workers": 1}
    assert curate.select_rows(SCORED, count=6, **one_pool).rows["score"].min() >= 7
    assert curate.select_rows(SCORED, count=6, strategy="k-center", **one_pool).rows["score"][0] == 9


def test_the_best_part_of_one_pool_has_a_size():
    """--core is the share of the best rows to pick from; a quarter is what it is where nobody said."""
    one_pool = {"count": 6, "score_column": "rating", "quality_weight": 1, "scope": "global", "workers": 1}
    ids = {
        core: curate.select_rows(SCORED, core=core, **one_pool).rows["id"].to_list() for core in ("0.1", "0.25", "1")
    }
    assert curate.select_rows(SCORED, **one_pool).rows["id"].to_list() == ids["0.25"]
    assert curate.select_rows(SCORED, core="0.1", **one_pool).rows["score"].min() == 9
    assert ids["1"] != ids["0.25"]


@pytest.mark.parametrize("strategy", ["facility-location", "k-center"])
def test_quality_alone_chooses_the_core_of_clusters(strategy):
    """With weight 1 no pick is below the best rated quarter of its cluster; without, others are picked."""
    options = {"count": 6, "clusters": 2, "strategy": strategy, "workers": 1}
    by_cluster = curate.select_rows(SCORED, score_column="rating", quality_weight=1, **options)
    plain = curate.select_rows(SCORED, **options)
    assert by_cluster.rows["score"].min() >= 6
    assert plain.rows["id"].to_list() != by_cluster.rows["id"].to_list()


def test_ranks_are_mixed_within_groups():
    """Equal values have equal ranks; 0 keeps the order of nearness, 1 that of the score."""
    similarity = np.array([0.9, 0.5, 0.7, 0.2, 0.3], np.float32)
    scores, labels = np.array([1, 3, 3, 10, 0]), np.array([0, 0, 0, 1, 1])
    assert mix(similarity, scores, labels, 0).tolist() == pytest.approx([1, 1 / 3, 2 / 3, 0.5, 1])
    assert mix(similarity, scores, labels, 1).tolist() == pytest.approx([1 / 3, 2.5 / 3, 2.5 / 3, 1, 0.5])
    assert mix(similarity, scores, labels, 0.5).tolist() == pytest.approx([2 / 3, 3.5 / 6, 4.5 / 6, 0.75, 0.75])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"score_column": "rating"}, "--score-column alone changes nothing"),
        ({"quality_weight": 0.5, "strategy": "longest"}, "--quality-weight is not for --strategy longest"),
        ({"score_column": "stars", "quality_weight": 0.5}, "--score-column stars: no record has the column stars"),
    ],
)
def test_scores_without_use_are_refused(options, said):
    """An option that would change nothing, or means a column that is not there, is an error."""
    with pytest.raises(UsageError, match=said):
        curate.select_rows(SCORED, count=5, workers=1, **options)
