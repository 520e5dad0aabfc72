"""Xue et al. 2023, "To Repeat or Not To Repeat" (arXiv:2305.13230): what repetition did to T5 models, as measured.

Encoder-decoder T5 1.1 (Base, Large 784M, XL 2.8B) with masked spans on C4, 2^27, 2^29 or 2^35 unique tokens and up to
2^8 epochs; C4 validation accuracy and SQuAD. No law comes out of it: it is a table that the advice of a plan draws on.
Numbers are quoted from the paper's tables by a secondary reading; only its abstract was checked at the source.
"""

from __future__ import annotations

from typing import NamedTuple

SOURCE = "Xue et al. 2023, arXiv:2305.13230"
UNIQUE_TOKENS = 2**27
EPOCHS = 2**8


class Effect(NamedTuple):
    """A score after one pass over 2^35 fresh tokens, and after 2^8 epochs over 2^27 tokens, in points."""

    model: str
    data: str
    objective: str
    metric: str
    fresh: float
    repeated: float

    @property
    def change(self) -> float:
        """Points won or lost by repeating."""
        return round(self.repeated - self.fresh, 10)


EFFECTS = (
    Effect("T5-Base", "C4", "masked spans", "c4_val_acc", 64.6, 61.7),  # Table 1
    Effect("T5-Base", "C4", "masked spans", "squad_em", 82.4, 79.9),
    Effect("T5-Base", "C4", "masked spans", "squad_f1", 90.0, 88.1),
    Effect("T5-Base", "Wikipedia", "masked spans", "squad_em", 82.4, 79.4),  # insight 5
    Effect("T5-Base", "Wikipedia", "masked spans", "squad_f1", 89.9, 87.6),
    Effect("T5-Base", "C4", "UL2", "squad_em", 82.5, 79.6),  # insight 8
    Effect("T5-Base", "C4", "UL2", "squad_f1", 90.1, 87.6),
)

REGULARISATION = {  # T5-Base, 2^27 tokens, 2^8 epochs: C4 validation accuracy in % (Table 4); None = diverged
    "none": 61.7,
    "dropout": 63.0,
    "dropout+droppath": 62.9,
    "dropout+droppath+label_smoothing": 62.6,
    "dropout+droppath+label_smoothing+weight_decay": None,
}


class Finding(NamedTuple):
    """One of the paper's eleven insights: what was found, at which size, and what a plan does about it."""

    number: int
    found: str
    seen_at: str
    used: str


FINDINGS = (
    Finding(
        1,
        "repeating overfits: 2^27 tokens seen 2^8 times lose 2.9 points of validation accuracy and 2.5 points of "
        "SQuAD exact match against 2^35 fresh tokens",
        "T5-Base, 256 epochs",
        "past 16 epochs a plan calls its law unreliable",
    ),
    Finding(
        2,
        "data beats size: T5-XL on 2^27 tokens loses to T5-Large on four times the data",
        "784M and 2.8B",
        "a smaller model is advised before more epochs",
    ),
    Finding(
        3,
        "the data needed grows linearly with the parameters, for encoder-decoder as for decoder-only models",
        "T5-Base to XL",
        "tokens per parameter is the unit of the answer",
    ),
    Finding(
        4,
        "the size of the set decides: 2^27 tokens degrade where 2^29 at equal steps do not",
        "T5-Base",
        "the warning is about U, not about epochs alone",
    ),
    Finding(
        5,
        "better text does not repeat better: Wikipedia loses 3.0 points of exact match, C4 2.5",
        "T5-Base",
        "a plan promises nothing for clean data",
    ),
    Finding(
        6,
        "parameters matter, FLOP do not: MoE (more parameters at equal FLOP) does worse, shared parameters do better",
        "T5-Base and MoE",
        "the overfit product counts N/U; for MoE it uses the total parameters",
    ),
    Finding(
        7,
        "a small MoE predicts a large dense model: 701M MoE stands for 784M dense at 0.39x the FLOP, 2.4B for 2.8B "
        "at 0.32x",
        "0.7B and 2.4B MoE",
        "a proxy sweep is among the mitigations",
    ),
    Finding(
        8,
        "a mixture of denoising objectives memorises faster: UL2 loses 2.9 points of exact match, masked spans 2.5",
        "T5-Base",
        "keep one objective when data repeats",
    ),
    Finding(
        9,
        "dropout is the one regulariser that helped (61.7 to 63.0 % accuracy); with stochastic depth 62.9, with label "
        "smoothing 62.6, and weight decay diverged",
        "T5-Base",
        "dropout is a mitigation; what newer work finds about weight decay stands beside it",
    ),
    Finding(
        10,
        "dropout switched on late equals dropout all along; at XL size accuracy with dropout still drops late",
        "T5-Base, XL",
        "dropout is advised from the second epoch, to be tuned again at size",
    ),
    Finding(
        11,
        "a MoE sweep over dropout 0.1 to 0.5 picks 0.2 to 0.3, the same as for dense XL, at 0.48x the cost",
        "2.4B MoE for 2.8B dense",
        "the range of the dropout sweep",
    ),
)

STOCK_TOKENS = 9e12
"""Good text there is, tokens, estimated in 2023 and growing 4 to 5 % a year (as quoted by the paper)."""
