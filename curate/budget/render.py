"""A plan in words: a list of (heading, lines) at most 78 columns wide, for the console and the report.

With `explain` every section ends with the formula, the constants and the source of its numbers.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import zip_longest

from curate.budget import repetition, shapes, xue
from curate.budget.law import LawUse
from curate.budget.result import Plan
from curate.budget.words import number, percent, size

WIDTH = 78
Section = tuple[str, list[str]]


def render(plan: Plan, explain: bool = False) -> list[Section]:
    """Return the plan as sections; with `explain` a last one lists formula, constants and source of each law."""
    found = [
        ("Answer", wrap(plan.answer) + [line for text in plan.assumptions for line in item(f"Assumed: {text}.")]),
        ("Sizes", _sizes(plan)),
        ("Tokens wanted", _wanted(plan)),
        ("Repetition", _repetition(plan)),
        ("Best use of this compute", _best(plan)),
        ("Batch, steps, learning rate", _batch(plan)),
        ("Batches of known models, in tokens", _known(plan, explain)),
        ("Serving", _serving(plan)),
        ("Shape", _shape(plan)),
        ("By source", _sources(plan)),
        ("What to do", _advice(plan)),
        ("Outside a fitted range", _outside(plan.laws)),
    ]
    if explain:
        found += [("Where the numbers come from", _laws(plan.laws)), ("Our own choices", _choices(plan))]
    return [(heading, lines) for heading, lines in found if lines]


def _sizes(plan: Plan) -> list[str]:
    hours = plan.hardware
    rows = [
        ("parameters", f"{size(plan.params)}, {size(plan.non_embedding_params)} without embeddings"),
        ("active parameters", size(plan.active_params) if plan.active_params != plan.params else ""),
        ("training tokens", f"{size(plan.training_tokens)}, {number(plan.tokens_per_param)} a parameter"),
        ("unique tokens", f"{size(plan.unique_tokens)}, seen {_times(plan.epochs)}"),
        ("compute", f"{plan.compute_flop:.3g} FLOP (6 N D)"),
        (
            "GPU-hours",
            f"{size(hours.gpu_hours)} of {hours.gpu} at {hours.mfu:.0%} of {hours.peak_flop_per_second:.3g} FLOP/s"
            if hours
            else "",
        ),
        ("expected loss", f"{plan.expected_loss:.3f} nats a token, on your scale" if plan.expected_loss else ""),
    ]
    return [f"{name:<18} {text}" for name, text in rows if text] + _beyond(plan, "expected loss")


def _times(epochs: float) -> str:
    return "once" if abs(epochs - 1) < 1e-9 else f"{number(epochs)} times"


def _wanted(plan: Plan) -> list[str]:
    best = plan.compute_optimal
    lines = [f"{size(best.tokens)} (band {size(best.low)} to {size(best.high)}){mark(best.inside_range)}, by law:"]
    for row in best.by_law:
        each = f"{size(row.tokens):>8} {number(row.tokens_per_param):>7} a parameter"
        lines.append(f"  {row.law:<27} {each}{mark(row.inside_range)}")
    lines.append("Trained longer, on fresh data, against the compute-optimal tokens:")
    for more in plan.over_training:
        lines.append(
            f"  {more.tokens_per_param:>5.0f} a parameter {size(more.tokens):>8} tokens "
            f"{more.loss_change:+.3f} nats a token{mark(more.inside_range)}"
        )
    if plan.stock_share > 0.1:
        what = "The tokens wanted" if best.tokens > plan.training_tokens else "The tokens trained on"
        lines += wrap(
            f"{what} are {percent(100 * plan.stock_share)} of the good text there was in 2023, about "
            f"{size(xue.STOCK_TOKENS)} tokens, growing 4 to 5 % a year ({xue.SOURCE})."
        )
    return lines


def _repetition(plan: Plan) -> list[str]:
    if plan.epochs <= 1 + 1e-9:
        return []
    worth, cost = plan.effective_tokens, plan.loss_penalty_percent
    lines = [
        f"{size(plan.training_tokens)} tokens seen are worth {size(worth.low)} to {size(worth.high)} fresh ones "
        f"(middle {size(worth.mid)}).",
        f"Loss above fresh data: {percent(cost.low)} to {percent(cost.high)} (middle {percent(cost.mid)}).",
    ]
    lines += _beyond(plan, "loss penalty")
    if plan.epochs > repetition.RELIABLE_EPOCHS:
        lines += wrap(
            "Past 16 epochs this is outside reliable evidence: at 44 epochs the law says +14 % where +28 to "
            "+33 % was measured."
        )
    for run in plan.measured:
        seeds = f" ({run.seeds} seeds)" if run.seeds > 1 else ""
        lines.append(
            f"  measured: {number(run.epochs):>5} epochs, {size(run.params):>6} on {size(run.unique_tokens):>6} "
            f"unique: {100 * run.penalty:+.2f} %{seeds}"
        )
    if plan.measured:
        lines += wrap(f"Measured: run table of {repetition.SOURCE}.")
    lines += wrap(
        f"(N/U) * epochs = {number(plan.overfit_product)}: {plan.overfit_level}. Caution from 10, overfitting from 40: "
        "our thresholds, read off few and widely spaced runs."
    )
    lines += wrap(f"One epoch would take {size(plan.missing_tokens)} more unique tokens.")
    return lines


def _best(plan: Plan) -> list[str]:
    best = plan.best_allocation
    if best is None:
        return []
    outside = "" if best.inside_range else " It lies outside the range of the law's runs."
    lines = wrap(
        f"{size(best.params)} parameters, {number(best.epochs)} epochs ({size(best.tokens)} tokens); this plan is "
        f"{best.loss_change:.3f} nats a token above it.{outside}"
    )
    lines.append("At the same compute:")
    for row in best.frontier:
        each = f"{size(row.params):>8} parameters {row.loss_change:+.3f} nats a token"
        lines.append(f"  epochs {row.epochs:>3.0f} {each}{mark(row.inside_range)}")
    if not best.reliable:
        lines += wrap("Take it with care: the best way lies where the law cannot see overfitting.")
    lines += wrap(
        f"Past {best.largest_useful_compute:.2g} FLOP these unique tokens gain under 0.005 nats a factor e of compute "
        "(by a law that never sees overfitting)."
    )
    return lines


def _batch(plan: Plan) -> list[str]:
    band, (low, high) = plan.batch_tokens, plan.warmup_steps
    lines = [
        f"batch              {size(plan.batch_used)} tokens (band {size(band.low)} to {size(band.high)})",
        f"steps              {plan.steps:,}, warm-up {low:,} to {high:,}, cosine over all of them",
        f"learning rate      {number(plan.learning_rate)}, weight decay {number(plan.weight_decay)}",
        f"ceiling            {size(plan.batch_ceiling)} tokens (Kaplan's B_crit at the loss of its own corpus)",
    ]
    lines += _beyond(plan, "learning rate") + _beyond(plan, "ceiling")
    for row in plan.batch_by_law:
        lines.append(f"  {row.law:<20} {row.kind:<12} {size(row.tokens):>8}{mark(row.inside_range)}")
    lines.append("A larger batch at the same tokens:")
    for cost in plan.batch_costs:
        lost, change = cost.tokens_lost_percent, cost.loss_change
        worse = f"{change.low:+.3f} to {change.high:+.3f} nats" if change.high else "recommended"
        lines.append(
            f"  {size(cost.batch_tokens):>6} {cost.steps:>9,} steps, {lost.low:.0f} to {lost.high:.0f} % of the tokens "
            f"lost, {worse}"
        )
    return lines


def _serving(plan: Plan) -> list[str]:
    best = plan.serving
    if best is None:
        return []
    text = (
        f"{size(best.params)} parameters on {size(best.tokens)} fresh tokens reach the same loss for "
        f"{best.total_flop:.3g} FLOP in training and serving together; this plan takes {best.plan_total_flop:.3g} "
        "(6 N D + 2 N served, Sardana et al. 2024, arXiv:2401.00448)."
    )
    if not best.enough_unique_tokens:
        text += f" There are only {size(plan.unique_tokens)} unique ones, so this corpus cannot give them."
    return wrap(text + ("" if best.inside_range else " Outside the range of the law's runs."))


def _shape(plan: Plan) -> list[str]:
    shape = plan.shape
    if shape is None:
        return []
    dense = " as a dense model" if plan.active_params != plan.params else ""
    origin = "read from the config" if shape.read_from_config else f"proposed{dense}"
    lines = wrap(
        f"{shape.layers} layers of width {shape.width:,}, {shape.heads} heads, feed-forward {shape.ff:,}, vocabulary "
        f"{shape.vocab:,} ({origin}): {size(shape.params)} parameters, {size(shape.non_embedding_params)} without "
        "embeddings."
    )
    if abs(shape.six_nd_ratio - 1) > 0.05:
        lines += wrap(f"With attention and output head it takes {shape.six_nd_ratio:.2f} times 6 N D.")
    return lines + ([] if shape.read_from_config else wrap(shapes.SHAPE_HARDLY_MATTERS))


def _sources(plan: Plan) -> list[str]:
    lines = []
    for row in plan.sources:
        seen = f"{size(row.unique_tokens):>7} unique {row.weight:>6.1%} {number(row.epochs):>6} epochs"
        lines.append(f"{row.name[:24]:<24} {seen}  {row.verdict}")
        lines += item(row.warning) if row.warning else []
    return lines


def _advice(plan: Plan) -> list[str]:
    lines = []
    for place, one in enumerate(plan.advice, 1):
        lines += item(f"{place}. {one.title}: {one.text}", "   ")
        lines += item(f"   Why: {one.evidence}. Seen at: {one.seen_at}.", "   ")
    return lines


def _outside(laws: Sequence[LawUse]) -> list[str]:
    return [line for one in laws if one.outside for line in item(f"{one.law.name}: {'; '.join(one.outside)}")]


def known(first: float, last: float) -> str:
    """Return the batch of a known model: one number, or from which to which it was raised."""
    return size(first) + (f" to {size(last)}" if last != first else "")


def _known(plan: Plan, explain: bool) -> list[str]:
    rows = [f"{row.model:<18} {known(row.first, row.last):<15}" for row in plan.known_batches]
    if not explain:  # two columns
        half = -(-len(rows) // 2)
        return [f"{left}    {right}".rstrip() for left, right in zip_longest(rows[:half], rows[half:], fillvalue="")]
    lines = []
    for text, row in zip(rows, plan.known_batches, strict=True):
        lines += [text.rstrip()]
        lines += item(f"  {row.source}" + (f"; {row.retelling}" if row.retelling else ""), "    ")
    return lines


def mark(inside: bool | None) -> str:
    """Return the words behind a number whose law was not fitted on such sizes."""
    return "  outside its range" if inside is False else ""


def _beyond(plan: Plan, number: str) -> list[str]:
    """Return a line where a law behind one of the plan's numbers is outside its range."""
    laws = {one.law.name: one for one in plan.laws if number in one.used_for}
    far = [name for name, one in laws.items() if one.inside_range is False]
    shown = number != "expected loss" or plan.expected_loss is not None
    return [f"  ({number}: outside the range of {name}, see below)" for name in far if shown]


def _choices(plan: Plan) -> list[str]:
    """Return the numbers that are no paper's."""
    said = (
        "Tokens wanted: the band is three quarters to one and a half times the usual 20 a parameter.",
        f"(N/U) * epochs: caution from {repetition.CAUTION_PRODUCT:g}, overfitting from "
        f"{repetition.OVERFIT_PRODUCT:g}, read off few and widely spaced runs of {repetition.SOURCE}.",
        f"Repetition: the band is R_D* = {repetition.LOW:g} (5th percentile of our bootstrap of its 182 runs), "
        f"{repetition.MID:.3g} (published) and {repetition.HIGH:g} (a lower minimum of the same objective); the words "
        "for each stretch of epochs follow its measured table.",
        "Largest useful compute: under 0.005 nats a factor e; seeds of the 2.8B runs of that paper spread by 0.002 "
        "nats, of the 4.2B runs by 0.01.",
        "Batch: the band is half to double; steps under 2,000, or under 100 an epoch, are called few; warm-up over 1 "
        "to 2 % of the steps (1 %: Muennighoff et al. 2023, App. S).",
        "Weight decay and learning rate for a batch of your own: the rate moves with the square root of the batch.",
        "The order of the advice; the shape: width over depth as in GPT-3 (Brown et al. 2020, Table 2.1).",
        *(["GPU-hours: dense BF16 peak of the maker's data sheet."] if plan.hardware else []),
    )
    return [line for one in said for line in item(one)]


def _laws(laws: Sequence[LawUse]) -> list[str]:
    lines = []
    for one in laws:
        inside = {True: "inside its range", False: "OUTSIDE its range", None: "no range stated"}[one.inside_range]
        lines += item(f"{one.law.name}: {one.used_for} ({inside})")
        lines += item(f"  {one.law.formula}", "    ") + item(f"  {one.law.source}", "    ")
        for constant in one.law.constants:
            unit = f" {constant.unit}" if constant.unit else ""
            lines += item(
                f"  {constant.symbol} = {constant.value:.6g}{unit}; {constant.error}; {constant.where}", "    "
            )
        lines += item(f"  Note: {one.law.note}", "    ") if one.law.note else []
    return lines


def wrap(text: str) -> list[str]:
    """Return a paragraph in lines."""
    return textwrap.wrap(text, WIDTH)


def item(text: str, indent: str = "  ") -> list[str]:
    """Return a point of a list in lines, all but the first indented."""
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, drop_whitespace=True)
