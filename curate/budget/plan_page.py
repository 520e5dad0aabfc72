"""A plan as an HTML page; its two figures and its tables also stand in the report of a token count."""

from __future__ import annotations

from curate.budget import repetition, xue
from curate.budget.law import LawUse
from curate.budget.render import known, mark, render
from curate.budget.result import Plan
from curate.budget.series import optimal_line, penalty_curve
from curate.budget.words import number, percent, size
from curate.report.page import figures, folded, items, page, table, text
from curate.report.svg import Axis, Band, Dots, Line, Mark, Shape, chart


def plan_page(plan: Plan, law: str = "default") -> str:
    """Return the HTML page of a plan; `law` is what `--law` named."""
    told = dict(render(plan))
    sections = [
        ("", figures(penalty_figure(plan, law), optimal_figure(plan, law))),
        ("What to do", advice_list(plan)),
        ("Sizes", _lines(told, "Sizes") + text(*(f"Assumed: {one}." for one in plan.assumptions), soft=True)),
        ("Tokens wanted", wanted_table(plan)),
        ("Repetition", repetition_table(plan)),
        ("By source", sources_table(plan)),
        ("Best use of this compute", _best(plan)),
        ("Batch, steps, learning rate", _batch(plan)),
        ("Serving", _paragraph(told, "Serving")),
        ("Shape", _paragraph(told, "Shape")),
        ("Outside a fitted range", outside_list(plan)),
        ("Where the numbers come from", _laws(plan)),
    ]
    return page(f"Is the data enough for {size(plan.params)} parameters?", sections, plan.answer)


def plan_body(plan: Plan, law: str = "default") -> str:
    """Return the part of a plan that belongs into the report of a token count: answer, figures, tables, advice."""
    return "".join(
        (
            text(plan.answer),
            figures(penalty_figure(plan, law), optimal_figure(plan, law)),
            wanted_table(plan),
            repetition_table(plan),
            sources_table(plan),
            advice_list(plan),
            outside_list(plan),
        )
    )


def penalty_figure(plan: Plan, law: str = "default") -> str:
    """Return the loss above fresh data against epochs: the band, the measured runs, and this plan."""
    curve = penalty_curve(plan, law)
    runs = [run for run in repetition.MEASURED if run.epochs <= curve[-1].epochs]
    epochs, cost = max(1.0, plan.epochs), plan.loss_penalty_percent.mid
    here = Mark(f"this plan: {number(epochs)} epoch{'' if epochs == 1 else 's'}", epochs, cost if cost > 0 else None)
    shapes: list[Shape] = [
        Band([(one.epochs, one.low, one.high) for one in curve], "band of the law, R_D* as uncertain as it is"),
        Line([(one.epochs, one.mid) for one in curve if one.reliable], "law, published R_D*"),
        Line([(one.epochs, one.mid) for one in curve if not one.reliable], "beyond its evidence", dashed=True),
        Dots(
            [(run.epochs, 100 * run.penalty) for run in runs],
            "measured runs, 2.8B to 8.7B",
            2,
            [
                f"{size(run.params)} on {size(run.unique_tokens)} unique tokens, {number(run.epochs)} epochs: "
                f"{100 * run.penalty:+.2f} %"
                for run in runs
            ],
        ),
        here,
    ]
    return chart(
        f"What repeating costs, at {size(plan.training_tokens)} training tokens",
        shapes,
        Axis("epochs over the unique tokens", log=True, show=number),
        Axis("loss above fresh data, %", log=True, show=number, low=0.01),
    )


def optimal_figure(plan: Plan, law: str = "default") -> str:
    """Return the compute-optimal line with its band, this plan, and the unique tokens that there are."""
    line = optimal_line(plan, law)
    shapes: list[Shape] = [
        Band([(one.params, one.low, one.high) for one in line], "band around it"),
        Line([(one.params, one.tokens) for one in line], "tokens wanted"),
        Mark(f"{size(plan.training_tokens)} trained on", plan.active_params, plan.training_tokens),
    ]
    if abs(plan.epochs - 1) > 1e-9:
        shapes.append(Mark(f"{size(plan.unique_tokens)} unique tokens", y=plan.unique_tokens, colour=2))
    name = "active parameters" if plan.active_params != plan.params else "parameters"
    return chart(
        "Tokens wanted by a model",
        shapes,
        Axis(name, log=True, show=size),
        Axis("tokens", log=True, show=size),
    )


def wanted_table(plan: Plan) -> str:
    """Return what each law wants, what there is, and what training longer would buy."""
    best = plan.compute_optimal
    rows = [(row.law, size(row.tokens), number(row.tokens_per_param), _range(row.inside_range)) for row in best.by_law]
    there = [
        ("wanted", size(best.tokens), number(best.tokens_per_param), _range(best.inside_range)),
        ("band", f"{size(best.low)} to {size(best.high)}", "", ""),
        ("trained on", size(plan.training_tokens), number(plan.tokens_per_param), ""),
        ("unique tokens there are", size(plan.unique_tokens), number(plan.unique_tokens / plan.active_params), ""),
        ("missing for one epoch", size(plan.missing_tokens), "", ""),
    ]
    longer = [
        (
            f"{one.tokens_per_param:.0f} a parameter",
            size(one.tokens),
            f"{one.loss_change:+.3f}",
            _range(one.inside_range),
        )
        for one in plan.over_training
    ]
    said = text(
        f"Good text in 2023: about {size(xue.STOCK_TOKENS)} tokens, growing 4 to 5 % a year ({xue.SOURCE}).", soft=True
    )
    return (
        table(("", "tokens", "a parameter", "range of the law"), there)
        + table(("law", "tokens", "a parameter", "range of the law"), rows, "By law")
        + table(("", "tokens", "loss, nats a token", "range of the law"), longer, "Trained longer, on fresh data")
        + (said if plan.stock_share > 0.1 else "")
    )


def advice_list(plan: Plan) -> str:
    """Return the mitigations in order, each with its evidence and the sizes it was seen at."""
    rows = [
        (f"{_capital(one.title)}.", one.text, f"{_capital(one.evidence)}. Seen at: {one.seen_at}.")
        for one in plan.advice
    ]
    return items(rows, ordered=True)


def repetition_table(plan: Plan) -> str:
    """Return what the repeats are worth and cost, with the overfit product; "" for a single epoch."""
    if plan.epochs <= 1 + 1e-9:
        return ""
    worth, cost = plan.effective_tokens, plan.loss_penalty_percent
    rows = [
        ("fresh tokens that the training tokens are worth", *(size(value) for value in worth)),
        ("loss above fresh data", *(percent(value) for value in cost)),
    ]
    told = (
        f"(N/U) · epochs = {number(plan.overfit_product)}: {plan.overfit_level}. Caution from 10, overfitting from 40: "
        "our thresholds, read off few and widely spaced runs.",
    )
    unsafe = (
        "Past 16 epochs this is outside reliable evidence: at 44 epochs the law says +14 % where +28 to +33 % was "
        "measured.",
    )
    far = plan.epochs > repetition.RELIABLE_EPOCHS
    return table(("", "low", "middle", "high"), rows) + text(*told, *(unsafe if far else ()))


def _best(plan: Plan) -> str:
    best = plan.best_allocation
    if best is None:
        return ""
    rows = [(f"{row.epochs:.0f}", row) for row in best.frontier]
    cells = [
        (name, size(row.params), size(row.tokens), f"{row.loss_change:+.3f}", _range(row.inside_range))
        for name, row in rows
    ]
    top = (number(best.epochs), size(best.params), size(best.tokens), "+0.000", _range(best.inside_range))
    here = (number(plan.epochs), size(plan.active_params), size(plan.training_tokens), f"{best.loss_change:+.3f}", "")
    cells = [(f"{top[0]} (best)", *top[1:]), (f"{here[0]} (this plan)", *here[1:]), *cells]
    care = () if best.reliable else ("Take it with care: the best way lies where the law cannot see overfitting.",)
    return table(("epochs", "parameters", "tokens", "loss, nats a token", "range of the law"), cells) + text(
        f"Past {best.largest_useful_compute:.2g} FLOP these unique tokens gain under 0.005 nats a factor e of compute, "
        "by a law that never sees overfitting.",
        *care,
    )


def _batch(plan: Plan) -> str:
    band, (low, high) = plan.batch_tokens, plan.warmup_steps
    rows = [
        ("batch, tokens", f"{size(plan.batch_used)} (band {size(band.low)} to {size(band.high)})"),
        ("steps", f"{plan.steps:,}"),
        ("warm-up, steps", f"{low:,} to {high:,}"),
        ("peak learning rate", number(plan.learning_rate)),
        ("weight decay", number(plan.weight_decay)),
        ("ceiling of the batch, tokens", size(plan.batch_ceiling)),
    ]
    laws = [(row.law, row.kind, size(row.tokens), _range(row.inside_range)) for row in plan.batch_by_law]
    costs = [
        (
            size(one.batch_tokens),
            f"{one.steps:,}",
            f"{one.tokens_lost_percent.low:.0f} to {one.tokens_lost_percent.high:.0f} %",
            f"{one.loss_change.low:+.3f} to {one.loss_change.high:+.3f}" if one.loss_change.high else "recommended",
        )
        for one in plan.batch_costs
    ]
    models = [
        (row.model, known(row.first, row.last), row.source + (f"; {row.retelling}" if row.retelling else ""))
        for row in plan.known_batches
    ]
    return (
        table(("", ""), rows)
        + table(("batch", "steps", "tokens lost", "loss, nats a token"), costs, "A larger batch at the same tokens")
        + table(("law", "kind", "tokens", "range of the law"), laws, "By law")
        + folded("Batches of known models", items([(f"{name}:", batch, source) for name, batch, source in models]))
    )


def sources_table(plan: Plan) -> str:
    """Return each source with its own epochs and its own warning; "" without sources."""
    rows = [
        (row.name, size(row.unique_tokens), f"{row.weight:.1%}", number(row.epochs), row.verdict.replace("_", " "))
        for row in plan.sources
    ]
    warnings = [("", row.warning, "") for row in plan.sources if row.warning]
    return table(("source", "unique tokens", "weight", "epochs", ""), rows) + items(warnings)


def outside_list(plan: Plan) -> str:
    """Return each law that the plan leaves the range of, and how."""
    return items([(f"{one.law.name}:", "; ".join(one.outside), "") for one in plan.laws if one.outside])


def _laws(plan: Plan) -> str:
    rows = []
    for one in plan.laws:
        constants = "; ".join(
            f"{c.symbol} = {c.value:.6g}{f' {c.unit}' if c.unit else ''} ({c.error}; {c.where})"
            for c in one.law.constants
        )
        said = f"{one.used_for} ({_inside(one)}). {one.law.formula}"
        more = f"{one.law.source}. {constants}{'. ' + one.law.note if one.law.note else ''}"
        rows.append((f"{one.law.name}:", said, more))
    return folded(f"{len(rows)} laws with formula, constants and source", items(rows))


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _inside(one: LawUse) -> str:
    return {True: "inside its range", False: "outside its range", None: "no range stated"}[one.inside_range]


def _range(inside: bool | None) -> str:
    return mark(inside).strip().replace(" its range", "")


def _lines(told: dict[str, list[str]], heading: str) -> str:
    """Return a section of the console, name and value, as a table."""
    rows = [(line[:18].strip(), line[18:].strip()) for line in told.get(heading, []) if not line.startswith(" ")]
    return table(("", ""), rows)


def _paragraph(told: dict[str, list[str]], heading: str) -> str:
    """Return a section of the console as one paragraph."""
    return text(" ".join(told[heading])) if heading in told else ""
