"""The dataset card: what the set is, where it came from, how to load it, and what nobody has shown about it.

Plain Markdown, so that it reads on a hub, in an editor and in a terminal: bars are made of block characters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import Template
from typing import Any

import polars as pl

from curate.report.chance import beside_chance, measured_on
from curate.report.names import harmless_markup
from curate.report.numbers import counted, most_first
from curate.report.wording import pick_counts, would_drop

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

_MARKS = re.compile(r"[\\`*_~$&!|\[\]]")  # what means something within a line
_BAR, _SHOWN = 30, 5  # characters of the longest bar; licences of a source

_CARD = Template("""\
---
license: other
task_categories:
- text-generation
tags:
- sft
- data-selection
- curate
size_categories:
- $size
configs:
- config_name: default
  default: true
  data_files:
$files
---
# A fine-tuning set of $selected

Selected by `curate` $version from $read. `ledger.parquet` tells for every row of the pool why it is in or out;
`manifest.json` holds the configuration, the hashes of all inputs and outputs, and the versions.

$sources

$counts

$filters

$lengths

**Command.**

```bash
$command
```

**Method.** Embedder $embedder; $groups; $picks; seed $seed.

**Loading.** `datasets.load_dataset("path/to/this/directory")`. Rows are in the `$form` format, in pick order$prefix.
$llama_factory
axolotl reads `type: chat_template` for messages. TRL's `SFTTrainer` trains on the user's turns too when rows are plain
`messages`, unless `assistant_only_loss=True`; `--format prompt-completion` trains on the answers only.

**Training.** What LIMA did with 1,000 rows (arXiv 2305.11206; a 65B model): 15 epochs of AdamW (0.9, 0.95),
weight decay 0.1, no warm-up, learning rate 1e-5 falling linearly to 1e-6, batches of 32 rows (64 for smaller models),
rows cut at 2,048 tokens, an end-of-turn token after each turn. Perplexity rose while answers got better, so the
checkpoint was chosen by hand among epochs 5 to 10. One paper and one model: a starting point, not a rule.

**Beside chance.** Nobody has shown that this set trains a better model than a random one of the same size.

$chance

$measured

**Licence.** Inherited from the sources: $licence. Replace `license: other` before publishing.
""")


_PREFIX = ": a prefix\nis spread over the pool too"
_LLAMA_FACTORY = "LLaMA-Factory finds its entry in `dataset_info.json`;"
_NO_LLAMA_FACTORY = "LLaMA-Factory reads dialogues with tools as `--format sharegpt` only, and so not these rows;"


def dataset_card(report: Mapping[str, Any], selected: pl.DataFrame, *, validation: bool, llama_factory: bool) -> str:
    """Return the README.md of an output directory.

    selected: the selected rows of the ledger. llama_factory: whether dataset_info.json has an entry for them.
    """
    rows, clusters = report["rows"], report["clusters"]
    files = "  - split: train\n    path: train.jsonl"
    if validation:
        files += "\n  - split: validation\n    path: validation.jsonl"
    counts = {"read": rows["read"], "unreadable": rows["unreadable"], **rows["dropped"]}
    counts |= {"live": rows["live"], "selected": rows["selected"], "held out": rows["held_out"]}
    counts = {name: count for name, count in counts.items() if count}
    kinds = {"cluster": "K-means cluster", "task": "task", "global": "pool"}
    card = _CARD.substitute(
        size=next((name for limit, name in _SIZES if rows["selected"] < limit), "n>1M"),
        files=files,
        selected=counted(rows["selected"], "row"),
        read=counted(rows["read"], "row"),
        version=report["versions"]["curate"],
        sources=_table(
            ("source", "rows", "licence", "sha256"),
            [
                (source["path"], f"{source['records']:,}", _licences(source) or "not known", source["sha256"] or "–")
                for source in report["sources"]
            ],
        ),
        counts=_table(("rows", ""), [(name, f"{count:,}") for name, count in counts.items()]),
        filters=_filters(report),
        lengths=_lengths(selected),
        command=" ".join(report["command_line"].splitlines()),
        embedder=_code(report["embedder"]["name"]),
        groups=counted(clusters["count"], kinds[clusters["kind"]]),
        picks=pick_counts(report["picks"]),
        seed=report["config"]["seed"],
        form=report["config"]["format"],
        prefix=_PREFIX if report["picks"]["strategy"] in ("facility-location", "k-center", "task-center") else "",
        llama_factory=_LLAMA_FACTORY if llama_factory else _NO_LLAMA_FACTORY,
        chance=_table(*beside_chance(report)),
        measured=measured_on(report),
        licence=_licence(report["sources"]),
    )
    return harmless_markup(card)


def _filters(report: Mapping[str, Any]) -> str:
    """Say which filters ran, and what those that did not would have taken."""
    asked = ", ".join(_code(name) for name in report["config"]["filters"]) or "none"
    offered = (f"{_code(group)} {said}." for group, said in would_drop(report).items())
    return " ".join([f"**Filters.** {asked}; what each rule took stands in the table above.", *offered])


def _lengths(selected: pl.DataFrame) -> str:
    """Return how many rows there are of each length, by powers of two, as a table with bars."""
    name, lengths = "tokens of a row", selected["n_tokens"].drop_nulls()
    if lengths.is_empty():
        name = "characters of a row"
        lengths = selected["prompt"].str.len_chars() + selected["response"].str.len_chars()
    bins = [max(1, length).bit_length() - 1 for length in lengths.to_list()]
    counts = {power: bins.count(power) for power in range(min(bins), max(bins) + 1)}
    most = max(counts.values())
    rows = [
        (f"{2**power:,} to {2 ** (power + 1) - 1:,}", f"{count:,}", "█" * -(-_BAR * count // most))
        for power, count in counts.items()
    ]
    return _table((name, "rows", ""), rows)


def _licences(source: Mapping[str, Any]) -> str:
    """Name the licences that the rows of a source give, the most frequent first, each with its rows."""
    return ", ".join(f"{name}: {count:,}" for name, count in most_first(source["licences"])[:_SHOWN])


def _licence(sources: Sequence[Mapping[str, Any]]) -> str:
    silent = sum(source["records"] - sum(source["licences"].values()) for source in sources)
    if silent == sum(source["records"] for source in sources):
        return "not known, for neither a column `licence` or `license` nor the metadata of a data set names one"
    return "they are named above" + (f", and {silent:,} of the rows read name none of these" if silent else "")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([_cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """Return text of the data on one line that Markdown shows as it is: no table, image, link or tag comes of it."""
    return _MARKS.sub(r"\\\g<0>", " ".join(text.split())).replace("<", "&lt;")


def _code(text: str) -> str:
    """Return a name of the data as code; backticks in it, which would end the code, become apostrophes."""
    return "`" + " ".join(text.split()).replace("`", "'") + "`"
