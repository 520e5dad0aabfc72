"""The dataset card: what the set is, where it came from, how to load it, and what nobody has shown about it."""

from __future__ import annotations

from collections.abc import Mapping
from string import Template
from typing import Any

from curate.report.names import harmless_markup

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

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
# A fine-tuning set of $selected rows

Selected by `curate` $version from $read rows. `ledger.parquet` tells for every row of the pool why it is in or out;
`manifest.json` holds the configuration, the hashes of all inputs and outputs, and the versions.

| source | sha256 | rows |
|---|---|---|
$sources

| rows | |
|---|---|
$counts

**Command.**

```bash
$command
```

**Method.** Embedder `$embedder`; $groups; $picks; seed $seed.

**Loading.** `datasets.load_dataset("path/to/this/directory")`. Rows are in the `$form` format, in pick order$prefix.
$llama_factory
axolotl reads `type: chat_template` for messages. TRL's `SFTTrainer` trains on the user's turns too when rows are plain
`messages`, unless `assistant_only_loss=True`; `--format prompt-completion` trains on the answers only.

**Training.** What LIMA did with 1,000 rows (arXiv 2305.11206; a 65B model): 15 epochs of AdamW (0.9, 0.95),
weight decay 0.1, no warm-up, learning rate 1e-5 falling linearly to 1e-6, batches of 32 rows (64 for smaller models),
rows cut at 2,048 tokens, an end-of-turn token after each turn. Perplexity rose while answers got better, so the
checkpoint was chosen by hand among epochs 5 to 10. One paper and one model: a starting point, not a rule.

**What is not claimed.** That this set trains a better model than a random one of the same size. Distance to the
nearest selected row, mean over the pool: $mean here, $chance_mean ± $chance_sd over $selections random selections.

**Licence.** Inherited from the sources; `curate` does not know it. Replace `license: other` before publishing.
""")


_PREFIX = ": a prefix\nis spread over the pool too"
_LLAMA_FACTORY = "LLaMA-Factory finds its entry in `dataset_info.json`;"
_NO_LLAMA_FACTORY = "LLaMA-Factory reads dialogues with tools as `--format sharegpt` only, and so not these rows;"


def dataset_card(report: Mapping[str, Any], *, validation: bool, llama_factory: bool) -> str:
    """Return the README.md of an output directory; `llama_factory`: whether dataset_info.json has an entry for it."""
    rows, clusters, chance = report["rows"], report["clusters"], report["random"]["coverage"]["mean"]
    files = "  - split: train\n    path: train.jsonl"
    if validation:
        files += "\n  - split: validation\n    path: validation.jsonl"
    counts = {"read": rows["read"], "unreadable": rows["unreadable"], **rows["dropped"]}
    counts |= {"live": rows["live"], "selected": rows["selected"], "held out": rows["held_out"]}
    kinds = {"cluster": "K-means clusters", "task": "tasks", "global": "pool"}
    card = _CARD.substitute(
        size=next((name for limit, name in _SIZES if rows["selected"] < limit), "n>1M"),
        files=files,
        selected=f"{rows['selected']:,}",
        read=f"{rows['read']:,}",
        version=report["versions"]["curate"],
        sources="\n".join(
            f"| {_cell(source['path'])} | {source['sha256'] or '–'} | {source['records']:,} |"
            for source in report["sources"]
        ),
        counts="\n".join(f"| {_cell(name)} | {count:,} |" for name, count in counts.items()),
        command=" ".join(report["command_line"].splitlines()),
        embedder=_cell(report["embedder"]["name"]),
        groups=f"{clusters['count']:,} {kinds[clusters['kind']]}",
        picks=pick_counts(report["picks"]),
        seed=report["config"]["seed"],
        form=report["config"]["format"],
        prefix=_PREFIX if report["picks"]["strategy"] in ("facility-location", "k-center", "task-center") else "",
        llama_factory=_LLAMA_FACTORY if llama_factory else _NO_LLAMA_FACTORY,
        mean=f"{report['random']['selected']['mean']:.3f}",
        chance_mean=f"{chance['mean']:.3f}",
        chance_sd=f"{chance['sd']:.3f}",
        selections=report["random"]["selections"],
    )
    return harmless_markup(card)


def pick_counts(picks: Mapping[str, Any]) -> str:
    """Say how the selected rows were picked; the numbers add up to them."""
    if "by_rule" in picks:
        more = f", {picks['beyond_rule']:,} to make up the number" if picks["beyond_rule"] else ""
        return f"{picks['by_rule']:,} by {picks['strategy']}{more}"
    said = f"{picks['centre_samples']:,} centre samples, {picks['k_center']:,} by K-Center-Greedy"
    return said + (f", {picks['coincident']:,} that coincide with those" if picks["coincident"] else "")


def _cell(text: str) -> str:
    """Keep a name from breaking out of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
