"""Super-NaturalInstructions: which tasks, which example, and what a row is."""

from __future__ import annotations

import json


def task(category="Summarization", language="English", instances=None, **about):
    if instances is None:
        instances = [{"id": f"i{n}", "input": f"in {n}", "output": [f"out {n}"]} for n in range(5)]
    return {
        "Definition": ["Shorten the text."],
        "Categories": [category],
        "Input_language": [language],
        "Output_language": ["English"],
        "Instruction_language": ["English"],
        "Instance License": ["MIT"],
        "Instances": instances,
        **about,
    }


def write(folder, **tasks):
    folder.mkdir(exist_ok=True)
    for name, content in tasks.items():
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2))
    return folder


def test_a_row_is_definition_input_and_first_output(extract, tmp_path):
    """Upstream's files, one task each, are named by their file."""
    instances = [{"id": "i1", "input": " A long text. ", "output": ["Text.", "Short text."]}]
    (row,) = extract("superni", write(tmp_path / "tasks", task001_short=task(instances=instances))).rows
    assert row == {
        "messages": [
            {"role": "user", "content": "Shorten the text.\n\nA long text."},
            {"role": "assistant", "content": "Text."},
        ],
        "id": "superni:i1",
        "source": "superni",
        "task": "task001_short",
        "category": "Summarization",
        "licence": "MIT",
    }


def test_tasks_are_shared_out_over_categories_and_give_one_example(extract, tmp_path):
    """Categories give the same number of tasks; which, and which example, depends on the seed alone."""
    tasks = {f"task{n:03}": task("Summarization" if n < 6 else "Paraphrasing") for n in range(8)}
    folder = write(tmp_path / "tasks", **tasks)
    result = extract("superni", folder, count=4)
    assert [row["category"] for row in result.rows] == ["Paraphrasing"] * 2 + ["Summarization"] * 2
    assert len({row["task"] for row in result.rows}) == 4
    assert result.report["dropped"] == {"instance.not_drawn": 16, "task.over_quota": 20}
    turned = {name: content | {"Instances": content["Instances"][::-1]} for name, content in tasks.items()}
    assert extract("superni", write(tmp_path / "turned", **turned), count=4).rows == result.rows
    assert extract("superni", folder, count=4, seed=1).rows != result.rows


def test_every_instance_is_accounted_for(extract, tmp_path):
    """Other categories and languages, classification, empty instances, and what is no record."""
    same = [{"id": f"i{n}", "input": f"in {n}", "output": ["yes" if n % 2 else "no"]} for n in range(5)]
    bad = [{"input": "x", "output": []}, {"output": ["y"]}, "none", {"input": "x", "output": "z"}]
    folder = write(
        tmp_path / "tasks",
        a=task("Text Categorization"), b=task(language="Polish"), c=task(instances=same), d=task(instances=bad), e=[1],
        f=task(Definition=[]),
    )  # fmt: skip
    report = extract("superni", folder).report
    assert (report["read"], report["used"], report["rows"]) == (25, 1, 1)
    assert report["dropped"] == {
        "instance.empty": 2, "task.classifies": 5, "task.no_generation": 5, "task.not_english": 5, "task.unknown": 5,
        "unreadable": 2,
    }  # fmt: skip


def test_categories_of_ones_own(extract, tmp_path):
    """--categories replaces our list."""
    folder = write(tmp_path / "tasks", a=task("Text Categorization"), b=task())
    assert [row["task"] for row in extract("superni", folder, categories="Text Categorization").rows] == ["a"]


def test_what_gives_no_row_is_said(extract, tmp_path):
    """A category that no task has, and instances without the file of their tasks."""
    folder = write(tmp_path / "tasks", task001_short=task())
    made = extract("superni", folder, categories=["Sumarization"])
    assert made.report["notes"] == ["no task has the category 'Sumarization'"]
    alone = tmp_path / "instances.jsonl"
    alone.write_text('{"_task": "task001_short", "input": "in", "output": ["out"]}\n')
    assert extract("superni", alone).report["notes"] == ["no task has a definition: name the file of the tasks too"]


def test_real_tasks_and_instances(extract, shared_data):
    """Two files of JSON lines, joined by _task, give 50 tasks of one example each."""
    files = [shared_data / "instruct" / f"superni_en_{kind}.jsonl.gz" for kind in ("instances", "tasks")]
    result = extract("superni", files)
    assert result.report["read"] == 21_391
    assert len({row["task"] for row in result.rows}) == len(result.rows) == 50
    assert "task361_spolin_yesand_prompt_response_classification" not in {row["task"] for row in result.rows}
    assert extract("superni", files[::-1]).rows == result.rows
