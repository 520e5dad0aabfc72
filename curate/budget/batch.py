"""Batch, learning rate and weight decay: McCandlish et al. 2018 and the empirical laws of 2024 to 2026.

Two questions are answered apart: the batch of lowest loss (B_opt) and the largest batch without much waste (B_crit).

Decided here: Step Law gives the default batch, B = 0.58 D^0.571 tokens, with a band of x0.5 to x2, because Schaipp
2026 found nearly the same line independently and the near-optimal band is about four times wide. Others are shown
beside it. Kaplan's B_crit(L) needs a loss of its own corpus, so it is only a ceiling. What a batch too large costs
follows S = S_min (1 + B_noise/B) with two readings of B_noise: Kaplan's, and Zhang's, whose steps are fitted by the
same form. A prefactor that could not be checked is left out: Power Lines lends its timescale, not its batches. Each
law's units (sequences of 512, millions of parameters) are converted to tokens here and nowhere else.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from curate.budget.law import Constant, Law

MCCANDLISH = Law(
    "mccandlish2018.noise_scale",
    "B_simple = tr(Sigma)/|G|^2; S = S_min (1 + B_noise/B), E = E_min (1 + B/B_noise)",
    "McCandlish et al. 2018, arXiv:1812.06162",
    (),
    note="SGD mathematics; scale the learning rate by sqrt(k) for Adam",
)
STEP_LAW = Law(
    "steplaw2025",
    "B = b D^q tokens, lr = k N^m D^n, N without the vocabulary",
    "Li et al. 2025 (Step Law), arXiv:2503.04715",
    (
        Constant("b", 0.58, "tokens", where="released table, exp(-0.54354)"),
        Constant("q", 0.571, "", "0.5709 +- 0.019, 1,000 bootstraps", "eq of B(D)"),
        Constant("k", 1.79, where="eq of lr(N, D)"),
        Constant("m", -0.713, "", "-0.7129 +- 0.030, 1,000 bootstraps", "eq of lr(N, D)"),
        Constant("n", 0.307, "", "0.3075 +- 0.019, 1,000 bootstraps", "eq of lr(N, D)"),
    ),
    {"non_embedding_params": (2.147e8, 1.074e9), "tokens": (4e9, 1e11)},
    note="range of the released dense runs; a third party could not refit the constants from them: use the band",
)
STEP_LAW_BOOTSTRAP = {"lr_N": -0.7129222911869904, "lr_D": 0.30749095041206964, "batch_intercept": -0.54354}
"""Means of the 1,000 bootstraps in the released table: exponents of the learning rate, ln b of the batch."""

SCHAIPP = Law(
    "schaipp2026",
    "B = b D^q tokens",
    "Schaipp 2026, arXiv:2607.01487",
    (Constant("b", 0.667, "tokens (unit assumed)", where="as quoted"), Constant("q", 0.566, where="as quoted")),
    note="batches within 5 % of the best compute span a factor of 4",
)
DEEPSEEK = Law(
    "deepseek2024.batch",
    "lr = k C^m, B = b C^q tokens",
    "DeepSeek LLM 2024, arXiv:2401.02954",
    (
        Constant("k", 0.3118, where="eq 1"),
        Constant("m", -0.1250, where="eq 1"),
        Constant("b", 0.2920, "tokens", where="eq 1"),
        Constant("q", 0.3271, where="eq 1"),
    ),
    note="depends on compute; as quoted",
)
POWER_LINES = Law(
    "powerlines2025",
    "tau = B/(lr wd D) = t TPP^u; B_opt ~ D^q",
    "Bergsma et al. 2025 (Power Lines), arXiv:2505.13738",
    (
        Constant("t", 1.084, "epochs", where="tau"),
        Constant("u", -0.527, where="tau"),
        Constant("q", 0.383, where="B_opt"),
    ),
    note="as quoted; the factor before D^q could not be checked, so no batch is computed from it",
)
ZHANG = Law(
    "zhang2024",
    "CBS = z N^w sequences of 512, N in millions and 20 tokens a parameter; steps S(B) = a + b/B",
    "Zhang et al. 2024, arXiv:2410.21676",
    (
        Constant("z", 93.197, "sequences of 512", where="repository"),
        Constant("w", 0.46828, where="repository"),
        Constant("reference", 256.0, "sequences of 512", "exact", "definition of CBS"),
        Constant("overhead", 0.2, "", "exact", "definition of CBS"),
    ),
    {"params": (8.5e7, 1.2e9)},
    note="CBS: 20 % more steps than perfect scaling from 256 sequences; it scales with D, not with N, so N = D/20 here",
)


class KnownBatch(NamedTuple):
    """The batch that a published model was trained with, in tokens; `last` differs where it was raised on the way."""

    model: str
    first: float
    last: float
    source: str
    retelling: str


KNOWN = (
    KnownBatch("BERT base", 131_072, 131_072, "256 x 512; arXiv:1810.04805", "the paper rounds it to 128,000"),
    KnownBatch("T5 baseline", 65_536, 65_536, "128 x 512 packed; arXiv:1910.10683, section 3.1", "not 128 tokens"),
    KnownBatch("T5 final models", 1_048_576, 1_048_576, "2^11 x 512; arXiv:1910.10683, section 3.7", ""),
    KnownBatch("GPT-3 125M", 5e5, 5e5, "Table 2.1; arXiv:2005.14165", "not 3.2M, which is that of 175B only"),
    KnownBatch("GPT-3 1.3B", 1e6, 1e6, "Table 2.1; arXiv:2005.14165", ""),
    KnownBatch("GPT-3 6.7B", 2e6, 2e6, "Table 2.1; arXiv:2005.14165", ""),
    KnownBatch(
        "GPT-3 175B", 3.2e4, 3.2e6, "Table 2.1, App. B; arXiv:2005.14165", "raised over the first 4B to 12B tokens"
    ),
    KnownBatch("Chinchilla 70B", 1.5e6, 3e6, "Table 4; arXiv:2203.15556", "doubled midway, not 3M throughout"),
    KnownBatch("Gopher 280B", 3e6, 6e6, "Table 4; arXiv:2203.15556", "not 6M from the start"),
    KnownBatch("PaLM 540B", 1e6, 4e6, "512, 1,024, 2,048 x 2,048; arXiv:2204.02311", "4M only from step 115k on"),
    KnownBatch("LLaMA 7B to 65B", 4e6, 4e6, "Table 2; arXiv:2302.13971", ""),
    KnownBatch("Llama 3 405B", 4e6, 16e6, "4M, 8M, 16M; arXiv:2407.21783", "16M only after 2.87T tokens"),
    KnownBatch("OLMo 1B, warmed up", 4.2e6, 16.8e6, "1,024 to 4,096 x 4,096; arXiv:2505.23971", ""),
    KnownBatch(
        "DeepSeek-V3 671B",
        12.6e6,
        62.9e6,
        "3,072 to 15,360 x 4,096; arXiv:2412.19437",
        "the printed 3,072 to 15,360 are sequences",
    ),
)
"""Each checked against quotations of the table or sentence named; `retelling` says what is often told instead."""


def gradient_norm_squared(b_small: float, b_big: float, small: float, big: float) -> float:
    """Return the unbiased estimate of |G|^2 from squared gradient norms at two batch sizes (App. A.1)."""
    return (b_big * big - b_small * small) / (b_big - b_small)


def gradient_variance(b_small: float, b_big: float, small: float, big: float) -> float:
    """Return the unbiased estimate of tr(Sigma) from squared gradient norms at two batch sizes (App. A.1)."""
    return (small - big) / (1 / b_small - 1 / b_big)


def noise_scale(b_small: float, b_big: float, small: float, big: float) -> float:
    """Return B_simple = tr(Sigma)/|G|^2 in the unit of the batches; biased, as a ratio of estimates is."""
    variance = gradient_variance(b_small, b_big, small, big)
    return variance / gradient_norm_squared(b_small, b_big, small, big)


def optimal_step(largest: float, batch: float, noise: float) -> float:
    """Return the best learning rate, or the best loss change, at a batch: largest/(1 + B_noise/B) (eq 2.6, 2.7)."""
    return largest / (1 + noise / batch)


def steps_at(batch: float, min_steps: float, noise: float) -> float:
    """Return the steps to a fixed loss, S_min (1 + B_noise/B) (eq 2.11)."""
    return min_steps * (1 + noise / batch)


def examples_at(batch: float, min_examples: float, noise: float) -> float:
    """Return the examples to a fixed loss, E_min (1 + B/B_noise) (eq 2.11)."""
    return min_examples * (1 + batch / noise)


def examples_for_steps(steps: float, min_steps: float, min_examples: float) -> float:
    """Return the examples that reach the loss in S steps: (S/S_min - 1)(E/E_min - 1) = 1 (eq 2.11)."""
    return min_examples * (1 + 1 / (steps / min_steps - 1))


def step_law_batch(tokens: float, law: Law = STEP_LAW) -> float:
    """Return the batch of lowest loss in tokens; also Schaipp's line with `SCHAIPP`."""
    return float(law["b"] * tokens ** law["q"])


def step_law_rate(non_embedding_params: float, tokens: float, law: Law = STEP_LAW) -> float:
    """Return the best peak learning rate; N without the vocabulary."""
    return float(law["k"] * non_embedding_params ** law["m"] * tokens ** law["n"])


def deepseek_batch(compute: float, law: Law = DEEPSEEK) -> float:
    """Return DeepSeek's batch in tokens for C FLOP."""
    return float(law["b"] * compute ** law["q"])


def deepseek_rate(compute: float, law: Law = DEEPSEEK) -> float:
    """Return DeepSeek's peak learning rate for C FLOP."""
    return float(law["k"] * compute ** law["m"])


def power_lines_tau(tokens_per_param: float, law: Law = POWER_LINES) -> float:
    """Return the best AdamW timescale tau = B/(lr wd D), in epochs."""
    return float(law["t"] * tokens_per_param ** law["u"])


def weight_decay(params: float, tokens: float, batch: float, rate: float) -> float:
    """Return the AdamW weight decay that gives the best timescale: B/(tau lr D) (Power Lines)."""
    return batch / (power_lines_tau(tokens / params) * rate * tokens)


def zhang_critical_for_params(params: float, law: Law = ZHANG) -> float:
    """Return the critical batch in sequences of 512 for a model at 20 tokens a parameter."""
    return float(law["z"] * (params / 1e6) ** law["w"])


def zhang_critical(tokens: float, law: Law = ZHANG) -> float:
    """Return the critical batch in tokens for D training tokens: that of the model that D suits, N = D/20."""
    return 512 * zhang_critical_for_params(tokens / 20, law)


def zhang_noise(tokens: float, law: Law = ZHANG) -> float:
    """Return B_noise = b/a in tokens for D training tokens, from the critical batch; 0 where that is too small to tell.

    S(B) = a + b/B is S_min (1 + B_noise/B) of McCandlish et al. 2018 with S_min = a, so the definition of the critical
    batch, CBS = (1 + overhead) reference + overhead b/a, gives b/a.
    """
    excess = zhang_critical_for_params(tokens / 20, law) - (1 + law["overhead"]) * law["reference"]
    return 512 * max(0.0, excess) / law["overhead"]


def zhang_from_steps(a: float, b: float, reference: float = 256, overhead: float = 0.2) -> float:
    """Return the batch where steps S(B) = a + b/B exceed perfect scaling from `reference` by `overhead`."""
    return ((1 + overhead) * reference * a + overhead * b) / a


def nanochat_batch(tokens_ratio: float, reference: float = 524_288) -> int:
    """Return nanochat's batch for D relative to its reference run, rounded to a power of two (base_train.py)."""
    return int(2 ** round(math.log2(reference * tokens_ratio ** POWER_LINES["q"])))


def steps(tokens: float, batch: float) -> int:
    """Return the optimiser steps for D tokens at B tokens a step, rounded up."""
    return math.ceil(tokens / batch)


def sequences(tokens: float, length: int) -> float:
    """Return how many sequences of `length` hold so many tokens."""
    return tokens / length
