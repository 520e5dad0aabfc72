"""What a plan says in words: the verdict, the one-line answer, and what to do, each with its evidence.

The wording of each stretch of epochs follows the measured penalties of Muennighoff et al. 2023 (`repetition.MEASURED`).
The order of the mitigations is ours. Two papers disagree about the first regulariser: in Xue et al. 2023 dropout was
the one that helped and weight decay diverged, Kim et al. 2025 find that weight decay far above the usual wins on small
corpora. Both stand in the list with the sizes they were seen at; neither was measured at the size of a large run.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from curate.budget import repetition, xue
from curate.budget.repetition import Band
from curate.budget.result import Advice, Wanted
from curate.budget.words import percent, size


class Stretch(NamedTuple):
    """A stretch of epochs: its verdict, where it ends, the largest penalty measured in it, and that in words."""

    verdict: str
    epochs: float
    percent: float
    text: str


STRETCHES = (
    Stretch("free", 2.0, 0.3, "Repeating so often is free: runs were at most 0.3 % worse than on fresh data."),
    Stretch("near_free", 4.0, 1.0, "Repeating so often is near free: runs were at most 1 % worse than on fresh data."),
    Stretch("useful", 8.0, 3.0, "Repeating so often is useful: runs were 1 to 3 % worse than on fresh data."),
    Stretch(
        "last_resort",
        16.0,
        6.0,
        "Do this only if there is no other data: raise weight decay first, then dropout, and watch held-out loss.",
    ),
    Stretch(
        "outside_evidence",
        math.inf,
        math.inf,
        "That is outside the reliable evidence: stop at the validation minimum, shrink the model, or change the "
        "objective.",
    ),
)
VERDICTS = ("enough", "short", *(one.verdict for one in STRETCHES), "caution", "overfit")
MIN_STEPS = 2000
"""Our floor: under it a run has too few updates for any batch law (Kaplan's fits broke at 40 steps an epoch)."""


def overfit_level(product: float, epochs: float) -> str:
    """Return fine, caution or overfit for (N/U) * epochs; one epoch cannot overfit by repetition."""
    if epochs <= 1 or product <= repetition.CAUTION_PRODUCT:
        return "fine"
    return "caution" if product < repetition.OVERFIT_PRODUCT else "overfit"


def stretch(epochs: float) -> Stretch:
    """Return the stretch that so many epochs lie in."""
    return next(one for one in STRETCHES if epochs <= one.epochs * (1 + 1e-9))


def verdict(epochs: float, product: float, tokens: float, low: float) -> str:
    """Return one word of `VERDICTS`: whether the data is enough for the model."""
    level = overfit_level(product, epochs)
    if level == "overfit":
        return level
    if epochs > repetition.RELIABLE_EPOCHS:
        return "outside_evidence"
    if level == "caution":
        return level
    if epochs > 1 + 1e-9:
        return stretch(epochs).verdict
    return "enough" if tokens >= low else "short"


def answer(word: str, params: float, active: float, wanted: Wanted, tokens: float, unique: float, penalty: Band) -> str:
    """Return the plan's one-paragraph answer."""
    epochs = tokens / unique
    name = f"{size(params)} parameters" + (f" ({size(active)} active)" if active != params else "")
    wants = f"{name} want about {size(wanted.tokens)} tokens ({size(wanted.low)} to {size(wanted.high)})"
    wants += ", beyond the runs behind that law." if wanted.inside_range is False else "."
    if epochs <= 1 + 1e-9:
        seen = f"Training sees {size(tokens)} tokens" + (
            ", each once." if epochs > 1 - 1e-9 else f" of {size(unique)}."
        )
        rest = "That is too few for this size: a smaller model reaches the same loss with less compute."
        if word == "enough":
            rest = "That is enough, with no repetition."
        if tokens > wanted.high * (1 + 1e-9):
            rest += " It is more than compute-optimal, which pays where the model serves a lot."
        return f"{wants} {seen} {rest}"
    seen = f"Training sees {size(tokens)} tokens: {epochs:.3g} epochs over {size(unique)} unique ones."
    product = repetition.overfit_product(params, tokens, unique)
    if word == "overfit":
        rest = f"Expect the loss to rise: (N/U) * epochs = {size(product)}, and runs turned at 44 to 164."
    elif word == "caution":
        rest = f"Caution, the loss may turn: (N/U) * epochs = {size(product)}. By epochs alone: {stretch(epochs).text}"
    else:
        rest = stretch(epochs).text
    if (
        word != "overfit" and penalty.low > stretch(epochs).percent
    ):  # a model far from compute-optimal, which the measured ones were not
        rest += f" For this model the law says {percent(penalty.low)} to {percent(penalty.high)}."
    short = " It is also fewer tokens than this size wants: a smaller model would use them better."
    return f"{wants} {seen} {rest}" + (short if tokens < wanted.low * (1 - 1e-9) else "")


def advice(
    word: str, tokens: float, unique: float, product: float, batch: float, steps: int, wanted: float
) -> tuple[Advice, ...]:
    """Return what to do, in order: the data and the model first, then the regularisers, then the batch."""
    epochs = tokens / unique
    found: list[Advice] = []
    if epochs > 1 + 1e-9:
        found += [_more_data(tokens, unique)]
    if word == "short":
        found += [_smaller_model("too few tokens for this size")]
    elif epochs > 4 or product > repetition.CAUTION_PRODUCT:
        found += [_smaller_model("repetition hurts large models first")]
    if epochs > 2:
        found += [_shuffle()]
    if epochs > 4 or product > repetition.CAUTION_PRODUCT:
        found += _regularise()
    if max(tokens, wanted) > xue.STOCK_TOKENS:
        found += [_stock(tokens, wanted)]
    if unique < tokens or batch * 100 > unique or steps < MIN_STEPS:
        found += _batch(batch, unique, steps)
    return tuple(found)


def source_warning(name: str, epochs: float, whole: float) -> str:
    """Return what is wrong with repeating one source so often; empty where nothing is."""
    if epochs <= 4:
        return ""
    text = f"{name} is seen {epochs:.3g} times. {stretch(epochs).text}"
    if epochs > 2 * whole:
        text += " Repeating one part of the data is worse than repeating all (Hernandez et al. 2022)."
    return text


def _more_data(tokens: float, unique: float) -> Advice:
    return Advice(
        "more unique tokens",
        f"{size(tokens - unique)} more make it one epoch. Deduplicate less strictly where clusters are under 100 "
        "copies, add code up to half of the mix, rewrite what the filters discard.",
        "code fill-in is free for text tasks up to 50 % (Muennighoff et al. 2023, section 7); clusters under 100 "
        "copies may be signal (FineWeb, arXiv:2406.17557); rewritten pages +1.0 to +2.5 points (ReWire, "
        "arXiv:2506.04689)",
        "code: 2.8B and 4.2B; rewriting: 1B, 3B, 7B",
    )


def _smaller_model(why: str) -> Advice:
    return Advice(
        "a smaller model",
        f"Spend compute on epochs before parameters: {why}.",
        "27 % fewer parameters than Chinchilla's choice won at 9.3e21 FLOP on 25B unique tokens (Muennighoff et al. "
        f"2023, section 5); T5-Large on four times the data beats T5-XL ({xue.SOURCE})",
        "6.3B against 8.7B; 784M against 2.8B",
    )


def _shuffle() -> Advice:
    return Advice(
        "repeat the whole set",
        "Shuffle the whole set each epoch; never repeat a small slice many times.",
        "10 % of the FLOP on the worst repeat count cost a third of all (Chudnovsky et al. 2026, "
        "arXiv:2606.24998); 0.1 % of the data seen 100 times degrades a model (Hernandez et al. 2022, "
        "arXiv:2205.10487)",
        "344M; 800M",
    )


def _regularise() -> list[Advice]:
    return [
        Advice(
            "weight decay",
            "Sweep it from the usual 0.1 up to 3. Newer work puts it first; with Xue et al. it diverged.",
            "on 200M unique tokens the best weight decay was over 30 times the usual, and loss fell again with size "
            "(Kim et al. 2025, arXiv:2509.14786); 1.0 cuts the overfitting term by 70 % (Lovelace et al. 2026, "
            "arXiv:2605.01640). Against it: on top of dropout, DropPath and label smoothing it diverged "
            f"({xue.SOURCE}, Table 4)",
            "corpora of 50M to 6B tokens and models of 15M to 1B; T5-Base",
        ),
        Advice(
            "dropout",
            "0.1 to 0.3, from the second epoch on; tune it again at size. The one that helped Xue et al.",
            "the one regulariser that helped, 61.7 to 63.0 % accuracy at 256 epochs; switched on late it does as well; "
            f"at 2.8B accuracy still drops late ({xue.SOURCE}, insights 9 to 11)",
            "T5-Base, less at T5-XL",
        ),
        Advice(
            "early stop",
            "Hold out data that is repeated nowhere, and stop at its lowest loss.",
            "past the turn the loss explodes: +28 to +33 % at 44 epochs (Muennighoff et al. 2023, run table)",
            "2.8B and 4.2B",
        ),
        Advice(
            "a proxy sweep",
            "Tune regularisers on a mixture of experts with as many parameters: 0.3 to 0.4 times the FLOP.",
            f"701M MoE stands for 784M dense at 0.39x, 2.4B for 2.8B at 0.32x ({xue.SOURCE}, insight 7)",
            "T5-Large and XL",
        ),
        Advice(
            "ensemble or self-distil",
            "Train several models on the same data; distil them into one.",
            "asymptotes 3.43 regularised, 3.34 ensemble, 3.17 both; distilling keeps 83 % of the gain (Kim et al. "
            "2025, arXiv:2509.14786)",
            "200M unique tokens",
        ),
        Advice(
            "masked inputs",
            "Mask part of the input as an auxiliary loss, on top of strong weight decay.",
            "worth about 1.3 times the unique data (Xu et al. 2026, arXiv:2606.06888)",
            "small corpora",
        ),
    ]


def _stock(tokens: float, wanted: float) -> Advice:
    """Return the warning that the tokens trained on, or only those that the size wants, are more than there are."""
    what = f"{size(tokens)} tokens" if tokens > xue.STOCK_TOKENS else f"The {size(wanted)} tokens that this size wants"
    return Advice(
        "more than there is",
        f"{what} exceed the good text there was in 2023 (about {size(xue.STOCK_TOKENS)}, growing 4 to 5 % a year): "
        "plan for repetition, code, other languages or a smaller model.",
        f"estimate quoted by {xue.SOURCE}",
        "the world's text",
    )


def _batch(batch: float, unique: float, steps: int) -> list[Advice]:
    """Return warnings about too few steps in the run or in an epoch."""
    if steps >= MIN_STEPS and batch * 100 <= unique:
        return []
    what = f"{steps:,} steps in all" if steps < MIN_STEPS else f"{unique / batch:.0f} steps an epoch"
    return [
        Advice(
            "a smaller batch",
            f"{what} are few: with the epochs fixed, a large batch leaves too few updates.",
            "fits broke at epochs of 40 steps (Kaplan et al. 2020, App. C); our floors: 2,000 steps, 100 an epoch",
            "up to 1.5B",
        )
    ]
