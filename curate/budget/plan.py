"""Story 2: is the data enough for the model? From a few sizes to a plan, each number from a named law.

Read top to bottom: sizes (`resolve`), tokens wanted (Hoffmann), what repetition costs (Muennighoff) and where it turns
(the overfit product), the best way to spend the compute, batch and steps (Step Law), serving (Sardana), words
(`advice`). Every law used is recorded with whether the question was inside its fitted range. Nothing here needs numpy:
a plan answers at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from curate.budget import advice, batch, chinchilla, hardware, kaplan, repetition, shapes, xue
from curate.budget.config import PlanConfig
from curate.budget.law import Law, LawUse, use
from curate.budget.lawset import LawSet, load_laws
from curate.budget.plan_batch import plan_batch
from curate.budget.repetition import Band
from curate.budget.resolve import Sizes, resolve
from curate.budget.result import (
    Best,
    Frontier,
    Hours,
    LawTokens,
    OverTraining,
    Plan,
    ProposedShape,
    Serving,
    SourcePlan,
    Wanted,
)
from curate.config import resolve as merge
from curate.errors import CurateError, UsageError

OVER_TRAINING = (100.0, 200.0, 1000.0)
FRONTIER_EPOCHS = (1.0, 2.0, 4.0, 8.0, 16.0)


class Source(NamedTuple):
    """One source of a corpus; `weight` is its share of the training tokens, None for its share of the unique ones."""

    name: str
    unique_tokens: float
    weight: float | None = None


def make_plan(sources: Sequence[Source] = (), **options: Any) -> Plan:
    """Return the plan for a model and its data; the Python face of `curate plan`.

    `options` are those of the command (`params="1.3B"`, `unique_tokens=5e9`, ...). With measured `sources` each gets
    its own epochs and warning, and their sum is U where `unique_tokens` is not given. Raises UsageError for sizes that
    none has, for too little to start from and for numbers that contradict each other; CurateError for a model config or
    law that cannot be read.
    """
    config, _ = merge(PlanConfig, [("argument", options)])
    return plan_for(config, sources)


def plan_for(config: PlanConfig, sources: Sequence[Source] = ()) -> Plan:
    """Return the plan that `config` asks for; errors as in `make_plan`."""
    laws = load_laws(config.law)
    weights = _weights(sources)
    if sources and config.unique_tokens is None:
        config = replace(config, unique_tokens=sum(source.unique_tokens for source in sources))
    try:
        return _make_plan(config, resolve(config, laws), laws, sources, weights)
    except (OverflowError, ZeroDivisionError):  # a fitted law can have any exponents
        raise CurateError(
            f"--law {config.law} gives numbers beyond all bounds for this plan",
            "Look at its exponents: curate fit tells how far they can be trusted. Or leave out --law.",
        ) from None


def _make_plan(
    config: PlanConfig, sizes: Sizes, laws: LawSet, sources: Sequence[Source], weights: Sequence[float]
) -> Plan:
    """Compute the plan. Prior validation of sizes and sources is assumed."""
    wanted = _wanted(sizes, laws)
    parts = [(weight * sizes.tokens, source.unique_tokens) for source, weight in zip(sources, weights, strict=True)]
    parts = parts or [(sizes.tokens, sizes.unique)]
    penalty = repetition.penalty(sizes.params, parts, laws.repetition, laws.repeated_surface)
    percent = Band(*(100 * rise for rise in penalty))
    product = repetition.overfit_product(sizes.params, sizes.tokens, sizes.unique)
    word = advice.verdict(sizes.epochs, product, sizes.tokens, wanted.low)
    level = advice.overfit_level(product, sizes.epochs)
    worth = repetition.mixture_worth(parts, laws.repetition)
    pace = plan_batch(sizes, laws, config.batch)
    return Plan(
        params=sizes.params,
        active_params=sizes.active,
        non_embedding_params=sizes.non_embedding,
        training_tokens=sizes.tokens,
        unique_tokens=sizes.unique,
        epochs=sizes.epochs,
        compute_flop=sizes.compute,
        tokens_per_param=sizes.tokens / sizes.active,
        given=sizes.given,
        assumptions=sizes.assumptions,
        compute_optimal=wanted,
        over_training=_over_training(sizes, wanted, laws),
        effective_tokens=worth,
        loss_penalty_percent=percent,
        measured=_measured(sizes.epochs),
        reliable=sizes.epochs <= repetition.RELIABLE_EPOCHS and level == "fine",
        overfit_product=product,
        overfit_level=level,
        verdict=word,
        answer=advice.answer(word, sizes.params, sizes.active, wanted, sizes.tokens, sizes.unique, percent),
        best_allocation=_best(sizes, laws) if "unique_tokens" in sizes.given or sources or config.epochs else None,
        one_epoch_tokens=sizes.tokens,
        missing_tokens=max(0.0, sizes.tokens - sizes.unique),
        stock_share=max(sizes.tokens, wanted.tokens) / xue.STOCK_TOKENS,
        expected_loss=_expected_loss(config, sizes, laws, penalty),
        batch_tokens=pace.tokens,
        batch_used=pace.used,
        batch_by_law=pace.by_law,
        batch_ceiling=pace.ceiling,
        batch_costs=pace.costs,
        steps=pace.steps,
        warmup_steps=pace.warmup,
        learning_rate=pace.rate,
        weight_decay=pace.decay,
        advice=advice.advice(word, sizes.tokens, sizes.unique, product, pace.used, pace.steps, wanted.tokens),
        known_batches=batch.KNOWN,
        serving=_serving(config, sizes, laws, worth.mid),
        shape=_shape(sizes, config.context),
        sources=_sources(sizes, sources, weights),
        hardware=_hours(config, sizes),
        laws=_laws_used(sizes, wanted, laws),
    )


def _weights(sources: Sequence[Source]) -> list[float]:
    """Return the share of each source in the training tokens, checked."""
    for source in sources:
        if not source.unique_tokens > 0:
            raise UsageError(f"source {source.name}: unique_tokens={source.unique_tokens:g} should be > 0")
        if source.weight is not None and not source.weight > 0:
            raise UsageError(f"source {source.name}: weight={source.weight:g} should be > 0")
    named = [source.name for source in sources if source.weight is not None]
    if named and len(named) < len(sources):
        missing = next(source.name for source in sources if source.weight is None)
        raise UsageError(f"weights name {', '.join(named)} but not {missing}", "Give each source a weight, or none.")
    raw = [source.unique_tokens if source.weight is None else source.weight for source in sources]
    return [one / sum(raw) for one in raw]


def _wanted(sizes: Sizes, laws: LawSet) -> Wanted:
    """Return the compute-optimal tokens, their band and what the other laws say."""
    tokens = laws.tokens_wanted(sizes.active)
    low, high = laws.wanted_band(sizes.active)
    by_law = [
        (law, chinchilla.line_tokens(sizes.active, law))
        for law in (chinchilla.APPROACH_1, chinchilla.APPROACH_2, chinchilla.APPROACH_3)
    ]
    surfaces = [chinchilla.BESIROGLU, chinchilla.MUENNIGHOFF]
    surfaces += [laws.surface] if laws.surface not in surfaces else []
    by_law += [(surface, chinchilla.tokens_for_params(sizes.active, surface)) for surface in surfaces]
    by_law += [(kaplan.SAFE_TOKENS, kaplan.safe_tokens(sizes.non_embedding))]
    rows = [LawTokens(law.name, one, one / sizes.active, _inside(law, sizes, one)) for law, one in by_law]
    inside = _inside(laws.line or laws.surface, sizes, tokens)
    return Wanted(tokens, tokens / sizes.active, low, high, inside, tuple(rows))


def _inside(law: Law, sizes: Sizes, tokens: float) -> bool | None:
    """Return whether the plan's model on so many tokens lies within the runs behind `law`."""
    at = {"params": sizes.active, "non_embedding_params": sizes.non_embedding, "tokens": tokens}
    return use(law, "", **at, tokens_per_param=tokens / sizes.active, compute=6 * sizes.active * tokens).inside_range


def _over_training(sizes: Sizes, wanted: Wanted, laws: LawSet) -> tuple[OverTraining, ...]:
    """Return what more tokens a parameter would buy, on fresh data."""
    base = chinchilla.loss(sizes.active, wanted.tokens, laws.surface)
    rows = []
    for ratio in OVER_TRAINING:
        tokens = ratio * sizes.active
        change = chinchilla.loss(sizes.active, tokens, laws.surface) - base
        inside = _inside(laws.surface, sizes, tokens) is not False
        rows.append(OverTraining(ratio, tokens, 6 * sizes.active * tokens, change, inside))
    return tuple(rows)


def _measured(epochs: float) -> tuple[repetition.Measured, ...]:
    """Return the measured runs whose epochs are within a factor of 1.5 of the plan's."""
    if epochs <= 1 + 1e-9:
        return ()
    return tuple(run for run in repetition.MEASURED if 1 / 1.5 <= run.epochs / epochs <= 1.5)


def _best(sizes: Sizes, laws: LawSet) -> Best:
    """Return the best (N, epochs) for the plan's compute and unique tokens, with the frontier."""
    law, surface = laws.repetition, laws.repeated_surface

    def inside(params: float, epochs: float) -> bool:
        return not (surface.outside(params=params) or law.outside(params=params, epochs=max(1.0, epochs)))

    best = repetition.best_allocation(sizes.compute, sizes.unique, law, surface)
    here = repetition.loss(sizes.active, sizes.tokens, sizes.unique, law, surface)
    frontier = []
    for epochs in FRONTIER_EPOCHS:
        params = sizes.compute / (6 * epochs * sizes.unique)
        one = repetition.allocation(params, sizes.compute, sizes.unique, law, surface)
        frontier.append(Frontier(epochs, params, one.tokens, one.loss - best.loss, inside(params, epochs)))
    product = repetition.overfit_product(best.params, best.tokens, sizes.unique)
    return Best(
        best.params,
        best.epochs,
        best.tokens,
        here - best.loss,
        tuple(frontier),
        repetition.largest_useful_compute(sizes.unique, law=law, surface=surface),
        best.epochs <= repetition.RELIABLE_EPOCHS and product < repetition.OVERFIT_PRODUCT,
        inside(best.params, best.epochs),
    )


def _expected_loss(config: PlanConfig, sizes: Sizes, laws: LawSet, penalty: Band) -> float | None:
    """Return the loss in the user's own nats, None where no run of theirs places the law."""
    if not config.calibrate and not laws.own:
        return None
    surface = laws.surface
    if config.calibrate:
        params, tokens, observed = config.calibrate
        surface = chinchilla.calibrate(params, tokens, observed, surface)
    if surface["E"] <= 0:
        raise UsageError(
            f"calibrate={config.calibrate} puts the loss floor at {surface['E']:.3g} nats; it should be > 0",
            "Check the units: parameters, tokens, and the loss in nats a token.",
        )
    return chinchilla.loss(sizes.active, sizes.tokens, surface) * (1 + penalty.mid)


def _serving(config: PlanConfig, sizes: Sizes, laws: LawSet, worth: float) -> Serving | None:
    """Return the model of equal loss that costs least over training and serving; the plan has seen `worth` tokens."""
    if config.serve_tokens is None:
        return None
    target = chinchilla.loss(sizes.active, worth, laws.surface)
    row = chinchilla.serving_optimum(target, config.serve_tokens, laws.surface)
    return Serving(
        row.params,
        row.tokens,
        row.compute,
        row.compute + 2 * row.params * config.serve_tokens,
        sizes.compute + 2 * sizes.active * config.serve_tokens,
        row.tokens <= sizes.unique or "unique_tokens" not in sizes.given,
        not laws.surface.outside(
            params=row.params, tokens=row.tokens, tokens_per_param=row.tokens / row.params, compute=row.compute
        ),
    )


def _shape(sizes: Sizes, context: int) -> ProposedShape | None:
    """Return the model's shape with its counts."""
    if sizes.shape is None:
        return None
    shape, counts = sizes.shape, shapes.count(sizes.shape)
    ratio = shapes.six_nd_ratio(shape, context)
    return ProposedShape(
        shape.layers,
        shape.width,
        shape.heads,
        shape.expert_ff or shape.ff,
        shape.vocab,
        counts.total,
        counts.non_embedding,
        ratio,
        sizes.shape_read,
    )


def _sources(sizes: Sizes, sources: Sequence[Source], weights: Sequence[float]) -> tuple[SourcePlan, ...]:
    """Return the epochs and the warning of each source."""
    rows = []
    for source, weight in zip(sources, weights, strict=True):
        tokens, epochs = weight * sizes.tokens, weight * sizes.tokens / source.unique_tokens
        word = advice.stretch(epochs).verdict if epochs > 1 + 1e-9 else "enough"
        warning = advice.source_warning(source.name, epochs, sizes.epochs)
        rows.append(SourcePlan(source.name, source.unique_tokens, weight, tokens, epochs, word, warning))
    return tuple(rows)


def _hours(config: PlanConfig, sizes: Sizes) -> Hours | None:
    """Return the GPU-hours of the plan's compute."""
    if config.gpu is None:
        return None
    per_hour = hardware.flop_per_hour(config.gpu, config.mfu)
    return Hours(config.gpu, config.mfu, sizes.compute / per_hour, per_hour / 3600 / config.mfu)


def _laws_used(sizes: Sizes, wanted: Wanted, laws: LawSet) -> tuple[LawUse, ...]:
    """Return every law behind the plan's numbers with whether the question was inside its range."""
    at = {
        "params": sizes.active,
        "non_embedding_params": sizes.non_embedding,
        "tokens": sizes.tokens,
        "tokens_per_param": sizes.tokens / sizes.active,
        "compute": sizes.compute,
        "epochs": max(1.0, sizes.epochs),
        "unique_tokens": sizes.unique,
    }
    best = at | {"tokens": wanted.tokens, "tokens_per_param": wanted.tokens_per_param}
    best["compute"] = 6 * sizes.active * wanted.tokens
    floor = at | {"tokens": kaplan.safe_tokens(sizes.non_embedding)}
    found = [
        use(laws.line or laws.surface, "tokens wanted", **best),
        use(laws.surface, "over-training, batch cost, serving, expected loss", **at),
        use(laws.repetition, "effective tokens, loss penalty, best allocation", **at),
        use(laws.repeated_surface, "the surface under the repetition law", **at),
        use(kaplan.SAFE_TOKENS, "a floor for the tokens", **floor),
        use(laws.joint, "the loss under the batch ceiling", **at),
        use(kaplan.BATCH, "batch ceiling", **at),
        use(batch.STEP_LAW, "batch, steps, learning rate", **at),
        use(batch.SCHAIPP, "batch, beside", **at),
        use(batch.POWER_LINES, "weight decay", **at),
        use(batch.DEEPSEEK, "batch, beside", **at),
        use(batch.ZHANG, "critical batch, beside; what a batch too large costs", params=sizes.tokens / 20),
        use(batch.MCCANDLISH, "what a batch too large costs", **at),
        use(shapes.KAPLAN_COUNT, "compute and 6 N D", **at),
    ]
    return tuple(found)
