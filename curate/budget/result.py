"""What a plan holds: plain records, and their JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, NamedTuple

from curate.budget.batch import KnownBatch
from curate.budget.law import LawUse
from curate.budget.repetition import Band, Measured

SCHEMA_VERSION = 1


class LawTokens(NamedTuple):
    """The tokens that one law wants for the model."""

    law: str
    tokens: float
    tokens_per_param: float
    inside_range: bool | None


class Wanted(NamedTuple):
    """The compute-optimal tokens, their band, and what other laws say."""

    tokens: float
    tokens_per_param: float
    low: float
    high: float
    inside_range: bool | None
    """Whether the law of `tokens` was fitted on such sizes."""
    by_law: tuple[LawTokens, ...]


class OverTraining(NamedTuple):
    """A model trained past its compute-optimal tokens."""

    tokens_per_param: float
    tokens: float
    compute_flop: float
    loss_change: float
    """Nats a token against the compute-optimal tokens; negative is better."""
    inside_range: bool


class Frontier(NamedTuple):
    """One way to spend the same compute on the same unique tokens."""

    epochs: float
    params: float
    tokens: float
    loss_change: float
    """Nats a token against the best way."""
    inside_range: bool


class Best(NamedTuple):
    """The best way to spend this compute on these unique tokens, by the repetition law."""

    params: float
    epochs: float
    tokens: float
    loss_change: float
    """Nats a token of the plan against the best way."""
    frontier: tuple[Frontier, ...]
    largest_useful_compute: float
    reliable: bool
    """False where the best way lies past 16 epochs, or where the overfit product says that the law cannot be right."""
    inside_range: bool


class LawBatch(NamedTuple):
    """What one law says about the batch, in tokens."""

    law: str
    kind: str
    """lowest loss, or critical: 20 % more steps than perfect scaling."""
    tokens: float
    inside_range: bool | None


class BatchCost(NamedTuple):
    """A batch at the same number of tokens: fewer steps, and tokens that no longer help."""

    batch_tokens: float
    steps: int
    tokens_lost_percent: Band
    loss_change: Band
    """Nats a token against the recommended batch."""


class Advice(NamedTuple):
    """One thing to do, why, and where it was seen to work."""

    title: str
    text: str
    evidence: str
    seen_at: str


class Serving(NamedTuple):
    """The smaller model that reaches the same loss and costs least in training and serving together."""

    params: float
    tokens: float
    training_flop: float
    total_flop: float
    plan_total_flop: float
    enough_unique_tokens: bool
    """Whether the plan's unique tokens are that many: `tokens` are fresh ones."""
    inside_range: bool


class SourcePlan(NamedTuple):
    """One source of the corpus under this plan."""

    name: str
    unique_tokens: float
    weight: float
    tokens: float
    epochs: float
    verdict: str
    warning: str


class ProposedShape(NamedTuple):
    """A shape for the model and its counts."""

    layers: int
    width: int
    heads: int
    ff: int
    vocab: int
    params: int
    non_embedding_params: int
    six_nd_ratio: float
    """Training FLOP with attention and output head, over 6 N D."""
    read_from_config: bool


class Hours(NamedTuple):
    """How long the compute takes."""

    gpu: str
    mfu: float
    gpu_hours: float
    peak_flop_per_second: float


@dataclass(frozen=True)
class Plan:
    """The answer to "is the data enough for my model?"; every figure in tokens, FLOP, steps or nats a token."""

    params: float
    active_params: float
    non_embedding_params: float
    training_tokens: float
    unique_tokens: float
    epochs: float
    compute_flop: float
    tokens_per_param: float
    given: tuple[str, ...]
    assumptions: tuple[str, ...]
    compute_optimal: Wanted
    over_training: tuple[OverTraining, ...]
    effective_tokens: Band
    loss_penalty_percent: Band
    measured: tuple[Measured, ...]
    """Measured runs at about these epochs."""
    reliable: bool
    """False where the repetition law is outside its evidence."""
    overfit_product: float
    overfit_level: str
    verdict: str
    answer: str
    best_allocation: Best | None
    one_epoch_tokens: float
    missing_tokens: float
    stock_share: float
    """The larger of the tokens wanted and the tokens trained on, over the good text there was in 2023."""
    expected_loss: float | None
    """Nats a token; only with a calibration run or a law fitted to the user's own runs."""
    batch_tokens: Band
    batch_used: float
    batch_by_law: tuple[LawBatch, ...]
    batch_ceiling: float
    batch_costs: tuple[BatchCost, ...]
    steps: int
    warmup_steps: tuple[int, int]
    learning_rate: float
    """Peak, for `batch_used`: Step Law's, times the square root of the ratio to Step Law's own batch."""
    weight_decay: float
    advice: tuple[Advice, ...]
    known_batches: tuple[KnownBatch, ...]
    serving: Serving | None
    shape: ProposedShape | None
    sources: tuple[SourcePlan, ...]
    hardware: Hours | None
    laws: tuple[LawUse, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the plan as `curate plan --json` prints it: numbers as numbers, null instead of NaN or infinity."""
        found = plain(self)
        assert isinstance(found, dict)
        return {"schema_version": SCHEMA_VERSION, **found}


def plain(value: Any) -> Any:
    """Return records as dicts, tuples as lists, and None for numbers that JSON has not."""
    if isinstance(value, LawUse):
        return plain(value.to_json())
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: plain(one) for name, one in value._asdict().items()}
    if isinstance(value, dict):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
