"""The options of `curate select`, each declared once."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from curate.config import (
    address_option,
    engine_option,
    force_option,
    map_option,
    max_expand_option,
    option,
    options,
    parse_bytes,
    parse_fraction,
    parse_positive,
    parse_share,
    parse_whole,
    resume_option,
    seed_option,
    strict_option,
    workers_option,
)
from curate.errors import UsageError

# Options that change no row by themselves.
_SAME_ROWS = {
    "workers", "engine", "address", "chunk_size", "memory", "max_expand", "metrics", "force", "strict", "preset",
}  # fmt: skip
LEVELS = ("none", "exact", "near")
METRICS = ("none", "fast", "all")
FORMATS = ("messages", "alpaca", "sharegpt", "prompt-completion")
LEXICAL = "lexical"
FACILITY_LOCATION = "facility-location"  # the default strategy: docs/evidence.md tells why
K_CENTER = "k-center"
TASK_CENTER = "task-center"
REPR_FILTER = "repr-filter"
LENGTH = "length"  # the score that needs no model and no column
PRESETS = {"paper": {"fraction": "0.005", "strategy": TASK_CENTER, "embed_text": "both"}}  # docs/half_percent.md
CLUSTER = "cluster"
CORE = 0.25  # the quarter of a cluster nearest its centre
LANGUAGE = "language"
BALANCED = ("source", "script", LANGUAGE, "length", "task", CLUSTER)  # --balance knows them: curate/sft/shares.py
IN_CLUSTERS = (FACILITY_LOCATION, K_CENTER, TASK_CENTER)  # the strategies that know K-means clusters


def _clusters(text: str) -> str | int:
    return text if text in {"auto", "sqrt"} else parse_whole(text)


def _named_share(text: str) -> str:
    name, given, share = text.rpartition("=")
    if not (name and given):
        raise ValueError("should be VALUE=SHARE, such as stackexchange=0.4")
    parse_fraction(share)
    return text


def _listed(flags: Sequence[str]) -> str:
    return f"{' and '.join(flags)} {'is' if len(flags) == 1 else 'are'}"


@dataclass(frozen=True)
class WhyConfig:
    """`curate why` has no options of its own."""


@dataclass(frozen=True)
class SelectConfig:
    """What `curate select` can be told. Exactly one of fraction, count and budget_tokens is wanted."""

    ONE_OF: ClassVar = ("fraction", "count", "budget_tokens")
    PRESETS: ClassVar = PRESETS

    fraction: Decimal | None = option(
        "share of the rows read to select, such as 0.005", parse=parse_fraction, metavar="F"
    )
    count: int | None = option("number of rows to select", parse=parse_whole, metavar="K")
    budget_tokens: int | None = option("tokens to select: as many rows as fit", parse=parse_whole, metavar="T")
    preset: str | None = option("defaults by name; paper: the recipe of arXiv 2305.09246", choices=tuple(PRESETS))
    out: str | None = option("directory to write; it appears when the run is complete", metavar="DIR")
    format: str = option("row format of train.jsonl", default="messages", choices=FORMATS)
    holdout: Decimal = option(
        "share of the live rows to keep out as validation.jsonl", default=Decimal(0), parse=parse_share, metavar="F"
    )
    map: tuple[str, ...] = map_option()
    task_column: str | None = option("column that names a row's task: pick within tasks, not clusters", metavar="NAME")
    join_tasks: str | None = option(
        "records of tasks; the Definition of its task is the instruction of a row without one", metavar="FILE"
    )
    one_prompt_per_task: str | None = option(
        "column that names a row's prompt template: of each task only rows of the commonest are used", metavar="NAME"
    )
    filters: tuple[str, ...] = option(
        "filters or groups of them, with numbers such as lima.length=500:2000, or a file of your own; none for no "
        "filter",
        default=("clean", "style"), many=True, metavar="NAMES",
    )  # fmt: skip
    dedup: str = option("duplicates to drop: none, exact, or exact and near", default="exact", choices=LEVELS)
    semantic_dedup: Decimal | None = option(
        "drop rows whose vectors have this cosine or more with one that stays, such as 0.95", parse=parse_fraction,
        metavar="COSINE",
    )  # fmt: skip
    decontaminate: tuple[str, ...] = option(
        "evaluation files or directories; rows that hold one of their items are dropped and listed", default=(),
        many=True, metavar="EVAL",
    )  # fmt: skip
    embedder: str = option(
        "lexical, a Hugging Face id or a folder of a model, static:MODEL, or hidden:MODEL[:LAYER]", default=LEXICAL,
        metavar="NAME",
    )  # fmt: skip
    vectors: str | None = option(
        "vectors of your own instead of an embedder: .npy with a row for each record, or .parquet", metavar="FILE"
    )
    center: bool = option("subtract the mean of all vectors from each, then scale to unit norm", flag=True)
    embed_text: str = option("what is embedded: the prompt, or prompt and answer", default="prompt",
                             choices=("prompt", "both"))  # fmt: skip
    device: str = option("where models run", default="auto", choices=("auto", "cpu", "cuda"))
    dtype: str = option("precision of a transformer; bf16 is faster on a GPU, and changes picks", default="fp32",
                        choices=("fp32", "bf16"))  # fmt: skip
    strategy: str = option(
        "facility-location, k-center, task-center, prob-cover, cluster-medoids, repr-filter, longest, or random",
        default=FACILITY_LOCATION, metavar="NAME",
    )  # fmt: skip
    trim_outliers: Decimal = option(
        "share of the live rows to leave out before clustering: those farthest from their 10th nearest neighbour",
        default=Decimal(0), parse=parse_share, metavar="F",
    )  # fmt: skip
    clusters: str | int = option(
        "clusters of K-means: auto is half the budget (task-center: sqrt), sqrt the root of half the rows",
        default="auto", parse=_clusters, metavar="auto|sqrt|N",
    )  # fmt: skip
    core: Decimal | None = option(
        "share of each cluster, nearest its centre, to pick from; a quarter for k-center and with --quality-weight, "
        "else 1, whole clusters",
        parse=parse_fraction, metavar="F",
    )  # fmt: skip
    scope: str = option("pick within clusters, within tasks, or from one pool; auto is tasks where they are named",
                        default="auto", choices=("auto", "cluster", "task", "global"))  # fmt: skip
    tau: float = option(
        "flatten quotas: a group's share is size^(1/tau)", default=1.0, parse=parse_positive, metavar="T"
    )
    have: str | None = option(
        "rows that were chosen before: they are not picked again, and new picks go on from them", metavar="FILE"
    )
    balance: str | None = option(
        "share the budget over the values of this first: source, script, language, length, task, cluster, or a column",
        metavar="NAME",
    )
    shares: tuple[str, ...] = option(
        "parts of the budget for values of --balance, such as a=0.2,b=0.3; the others share the rest by size",
        default=(), many=True, parse=_named_share, metavar="VALUE=SHARE",
    )  # fmt: skip
    floor: int | None = option("rows that each value of --balance gives at least", parse=parse_whole, metavar="N")
    cap: int | None = option("rows that each value of --balance gives at most", parse=parse_whole, metavar="N")
    score: str = option(
        "quality of a row, for repr-filter and --quality-weight: the answer's length, ifd:FOLDER or reward:FOLDER of a "
        "model", default=LENGTH, metavar="NAME",
    )  # fmt: skip
    score_column: str | None = option(
        "column with the quality of a row as a number, instead of --score", metavar="NAME"
    )
    quality_weight: Decimal = option(
        "weight of quality against nearness to the centre where cores are chosen, and first picks of k-center and "
        "task-center; 1 is quality alone",
        default=Decimal(0), parse=parse_share, metavar="W",
    )  # fmt: skip
    tokenizer: str = option("tokenizer for token counts", default="o200k_base", metavar="NAME")
    max_tokens: int = option(
        "rows longer than this are counted and named", default=4096, parse=parse_whole, metavar="N"
    )
    metrics: str = option(
        "what is compared with random selections: none is coverage alone, all adds NovelSum and Vendi", default="fast",
        choices=METRICS,
    )  # fmt: skip
    chunk_size: int = option("bytes read at a time; results do not depend on it", default=16 << 20, parse=parse_bytes,
                             metavar="SIZE")  # fmt: skip
    memory: int | None = option(
        "most memory to use, such as 4GB; a pool that needs more is refused before it is embedded", parse=parse_bytes,
        metavar="SIZE",
    )  # fmt: skip
    max_expand: int = max_expand_option()
    workers: int = workers_option()
    engine: str = engine_option()
    address: str | None = address_option()
    seed: int = seed_option()
    force: bool = force_option()
    resume: bool = resume_option()
    strict: bool = strict_option()

    def __post_init__(self) -> None:
        if self.workers is None:
            object.__setattr__(self, "workers", os.cpu_count() or 1)
        asked = [name for name in self.ONE_OF if getattr(self, name) is not None]
        if len(asked) != 1:
            flags = " and ".join(f"--{name.replace('_', '-')}" for name in asked)
            raise UsageError(
                f"{flags} exclude each other" if asked else "how many rows to select is not said",
                "Give one of --fraction 0.005, --count 260 or --budget-tokens 100K.",
            )
        if self.scope == "task" and self.task_column is None:
            raise UsageError("--scope task needs to know the task of a row", "Add --task-column NAME.")
        if self.vectors is not None and self.embedder != LEXICAL:
            raise UsageError(f"--vectors and --embedder {self.embedder} exclude each other", "Leave one of them out.")
        self._refuse_clusters()
        self._check_columns()
        self._check_have()
        self._check_balance()

    def _refuse_clusters(self) -> None:
        refused, why = tuple[str, ...](), f"not for --strategy {self.strategy}, which picks "
        if self.strategy not in IN_CLUSTERS:
            refused, why = ("clusters", "core"), why + "from one pool or in tasks"
        elif self.strategy == TASK_CENTER:
            refused, why = ("core",), why + "from whole tasks or clusters"
        elif self.scope == "global":
            refused = ("clusters",) if self.has_core else ("clusters", "core")
            why = "for clusters, and --scope global has none"
        elif self.task_column and self.scope != "cluster":
            refused, why = ("clusters",), "for clusters, and rows are picked within tasks"
        default = {name: self.__dataclass_fields__[name].default for name in refused}
        asked = [f"--{name}" for name, value in default.items() if getattr(self, name) != value]
        if self.scope == "cluster" and self.strategy not in IN_CLUSTERS:
            asked.append("--scope cluster")
        if asked:
            raise UsageError(f"{_listed(asked)} {why}", "Leave it out." if len(asked) == 1 else "Leave them out.")

    def _check_columns(self) -> None:
        for name in ("join_tasks", "one_prompt_per_task"):
            if getattr(self, name) is not None and self.task_column is None:
                raise UsageError(
                    f"--{name.replace('_', '-')} needs to know the task of a row", "Add --task-column NAME."
                )
        if self.quality_weight and self.strategy not in IN_CLUSTERS:
            raise UsageError(
                f"--quality-weight is not for --strategy {self.strategy}, which knows no centres", "Leave it out."
            )
        if self.score_column and self.score != LENGTH:
            raise UsageError(f"--score-column and --score {self.score} exclude each other", "Leave one of them out.")
        if self.scored and not self.quality_weight and self.strategy != REPR_FILTER:
            raise UsageError(
                "--score-column alone changes nothing"
                if self.score_column
                else f"--score {self.score} alone changes nothing",
                f"Add --quality-weight 0.5, or --strategy {REPR_FILTER}.",
            )

    def _check_have(self) -> None:
        if self.have is None:
            return
        if self.strategy not in IN_CLUSTERS:
            raise UsageError(
                f"--have is not for --strategy {self.strategy}, which knows no rows chosen before", "Leave it out."
            )
        other = "--vectors" if self.vectors is not None else "--balance" if self.balance is not None else ""
        if other:
            raise UsageError(f"--have and {other} exclude each other", "Leave one of them out.")

    def _check_balance(self) -> None:
        asked = [f"--{name}" for name in ("shares", "floor", "cap") if getattr(self, name)]
        if asked and self.balance is None:
            raise UsageError(f"{_listed(asked)} for the values of --balance", "Add --balance NAME.")
        clustered = self.scope == "cluster" or (self.scope == "auto" and self.task_column is None)
        if self.balance == CLUSTER and not (clustered and self.strategy in IN_CLUSTERS):
            raise UsageError("--balance cluster needs K-means clusters", "Add --scope cluster, or leave it out.")
        if self.balance is not None and self.budget_tokens is not None:
            raise UsageError("--balance shares out rows, and --budget-tokens counts tokens", "Give --count instead.")
        total = sum(Decimal(pair.rpartition("=")[2]) for pair in self.shares)
        if total > 1:
            raise UsageError(f"--shares add up to {total}, more than 1", "Give parts of the whole, such as a=0.2.")

    def command_line(self, paths: Sequence[str]) -> str:
        """Return the command that selects the same rows from `paths`: what differs from the defaults, however set."""
        words = ["curate", "select", *paths]
        for name, spec in options(type(self)).items():
            value = getattr(self, name)
            if name not in _SAME_ROWS and value != self.__dataclass_fields__[name].default:
                words.append(f"--{name.replace('_', '-')}")
                words += [] if spec.flag else [",".join(value) if spec.many else str(value)]
        return shlex.join(words)

    @property
    def columns(self) -> dict[str, str]:
        """The mapping of --map: canonical field to column name."""
        return dict(pair.split("=", 1) for pair in self.map)

    @property
    def has_core(self) -> bool:
        """Whether a part of each group can be picked from: of one pool it is the best one, or there is none."""
        if self.scope == "global":
            return self.strategy == FACILITY_LOCATION and bool(self.quality_weight)
        return self.strategy in (FACILITY_LOCATION, K_CENTER)

    @property
    def core_share(self) -> float:
        """The share of each group to pick from: --core, or what it is where nobody said."""
        if self.core is not None:
            return float(self.core)
        return CORE if self.has_core and (self.quality_weight or self.strategy == K_CENTER) else 1.0

    @property
    def scored(self) -> bool:
        """Whether rows have a score in the ledger, of a model or a column."""
        return self.score_column is not None or self.score != LENGTH

    @property
    def kept_columns(self) -> dict[str, str]:
        """The columns of the records that the ledger keeps, by the names that they have there."""
        balance = None if self.balance in BALANCED else self.balance
        kept = {"template": self.one_prompt_per_task, "balance": balance, "score": self.score_column}
        return {name: column for name, column in kept.items() if column is not None}

    @property
    def named_shares(self) -> dict[str, float]:
        """The parts of --shares by value."""
        return {name: float(share) for name, _, share in (pair.rpartition("=") for pair in self.shares)}
