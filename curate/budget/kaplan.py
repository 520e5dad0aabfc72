"""Kaplan et al. 2020, "Scaling Laws for Neural Language Models" (arXiv:2001.08361).

WebText2, BPE with 50,257 tokens, context 1,024, N from 768 to 1.5e9 **without embeddings**, D from 22M to 23B tokens,
Adam, 2.5e5 steps of 524,288 tokens; the L(N, D) runs used 10 % dropout and early stopping, so their D may be seen
several times. The paper prints no standard errors.

Decided here: the constants of Table 5 (one variable at a time) and of Table 2 (the joint fit) differ and are never
mixed, hence one `Law` each. Of the exponents that contradict each other inside the paper (N ~ C^0.73 fitted, 0.71 in
eq 6.5, 0.684 from the printed constants) the fitted one is used. Eq 6.7 prints D = 4e10 C^0.26, but its own formula
gives 2.2e10: Table 6 (2e10 C^0.27) is used. Compute is in FLOP here; the paper's PF-days are converted once.
"""

from __future__ import annotations

import math

from curate.budget.law import Constant, Law

SOURCE = "Kaplan et al. 2020, arXiv:2001.08361"
PF_DAY = 8.64e19
"""FLOP of one petaflop/s-day, 1e15 * 86,400 (section 1.3)."""

_RUNS = {"non_embedding_params": (768.0, 1.5e9), "tokens": (2.2e7, 2.3e10)}

LOSS_PARAMS = Law(
    "kaplan2020.loss_params",
    "L(N) = (N_c/N)^alpha_N",
    SOURCE,
    (
        Constant("N_c", 8.8e13, "params, no embeddings", where="Table 5"),
        Constant("alpha_N", 0.076, where="eq 1.1, Table 5"),
    ),
    {"non_embedding_params": (768.0, 1.5e9)},
)
LOSS_TOKENS = Law(
    "kaplan2020.loss_tokens",
    "L(D) = (D_c/D)^alpha_D, early stopped",
    SOURCE,
    (Constant("D_c", 5.4e13, "tokens", where="Table 5"), Constant("alpha_D", 0.095, where="eq 1.2, Table 5")),
    {"tokens": (2.2e7, 2.3e10)},
)
LOSS_COMPUTE = Law(
    "kaplan2020.loss_compute",
    "L(C_min) = (C_c/C_min)^alpha_C",
    SOURCE,
    (
        Constant("C_c", 3.1e8 * PF_DAY, "FLOP", where="Table 5: 3.1e8 PF-days"),
        Constant("alpha_C", 0.050, where="eq 1.3; 0.052 in App. B, 0.054 in eq 6.4"),
    ),
    {"compute": (0.0, 1e4 * PF_DAY)},
    note="undercuts L(D) above about 1e4 PF-days (section 6.3), where it cannot hold any more",
)
LOSS_COMPUTE_NAIVE = Law(
    "kaplan2020.loss_compute_naive",
    "L(C) = (C_c/C)^alpha_C at a fixed batch",
    SOURCE,
    (
        Constant("C_c", 1.6e7 * PF_DAY, "FLOP", where="Table 5: 1.6e7 PF-days"),
        Constant("alpha_C", 0.057, where="eq 3.3, Table 5"),
    ),
    note="the paper itself advises against extrapolating it",
)
JOINT = Law(
    "kaplan2020.loss",
    "L(N, D) = [(N_c/N)^(alpha_N/alpha_D) + D_c/D]^alpha_D",
    SOURCE,
    (
        Constant("alpha_N", 0.076, where="eq 1.5, Table 2"),
        Constant("alpha_D", 0.103, where="eq 1.5, Table 2"),
        Constant("N_c", 6.4e13, "params, no embeddings", where="Table 2"),
        Constant("D_c", 1.8e13, "tokens", where="Table 2"),
    ),
    _RUNS,
    note="data of an epoch of 40 steps or less fit poorly (App. C)",
)
SAFE_TOKENS = Law(
    "kaplan2020.safe_tokens",
    "D >= k * N^p keeps the overfitting penalty under 2 %",
    SOURCE,
    (
        Constant("k", 5e3, "tokens", "Table 2 gives 5,519", "eq 4.4"),
        Constant("p", 0.74, where="eq 4.4"),
    ),
    _RUNS,
    note="2 % is the noise between seeds",
)
BATCH = Law(
    "kaplan2020.critical_batch",
    "B_crit(L) = B_star / L^(1/alpha_B)",
    SOURCE,
    (
        Constant("B_star", 2e8, "tokens", "Table 5 prints 2.1e8", "eq 1.4"),
        Constant("alpha_B", 0.21, where="eq 1.4, 5.3"),
    ),
    note="the authors do not trust it far from their losses (App. C)",
)
STEPS = Law(
    "kaplan2020.loss_steps",
    "L(N, S_min) = (N_c/N)^alpha_N + (S_c/S_min)^alpha_S",
    SOURCE,
    (
        Constant("alpha_N", 0.077, where="eq 5.6, Table 3"),
        Constant("alpha_S", 0.76, where="eq 5.6, Table 3"),
        Constant("N_c", 6.5e13, "params, no embeddings", where="Table 3"),
        Constant("S_c", 2.1e3, "steps", where="Table 3"),
    ),
    {"non_embedding_params": (768.0, 1.5e9)},
)
ALLOCATION = Law(
    "kaplan2020.allocation",
    "N = N_e C^p_N, B = B_e C^p_B, S = S_e C^p_S, D = D_e C^p_D with C in PF-days",
    SOURCE,
    (
        Constant("N_e", 1.3e9, "params, no embeddings", where="Table 6"),
        Constant("p_N", 0.73, "", "0.71 in eq 6.5, 0.684 from the printed constants", "Table 6"),
        Constant("B_e", 2.0e6, "tokens", where="Table 6"),
        Constant("p_B", 0.24, where="Table 6"),
        Constant("S_e", 5.4e3, "steps", where="Table 6"),
        Constant("p_S", 0.03, where="Table 6"),
        Constant("D_e", 2e10, "tokens", "eq 6.7 prints 4e10, its formula gives 2.2e10", "Table 6"),
        Constant("p_D", 0.27, where="Table 6"),
    ),
    note="C is C_min: what training at batches far under B_crit would take; at B = B_crit it is half of what is spent",
)


def pf_days_to_flop(pf_days: float) -> float:
    """Return FLOP for a number of petaflop/s-days."""
    return pf_days * PF_DAY


def loss_params(params: float, law: Law = LOSS_PARAMS) -> float:
    """Return L(N) for N without embeddings, data and training unlimited (eq 1.1)."""
    return math.exp(law["alpha_N"] * (math.log(law["N_c"]) - math.log(params)))


def loss_tokens(tokens: float, law: Law = LOSS_TOKENS) -> float:
    """Return L(D) of a large model stopped early (eq 1.2)."""
    return float((law["D_c"] / tokens) ** law["alpha_D"])


def loss_compute(compute: float, law: Law = LOSS_COMPUTE) -> float:
    """Return L(C_min) of compute in FLOP (eq 1.3), or L(C) with `LOSS_COMPUTE_NAIVE` (eq 3.3)."""
    return float((law["C_c"] / compute) ** law["alpha_C"])


def loss(params: float, tokens: float, law: Law = JOINT) -> float:
    """Return L(N, D) for N without embeddings, stopped early (eq 1.5)."""
    by_params = (law["N_c"] / params) ** (law["alpha_N"] / law["alpha_D"])
    return float((by_params + law["D_c"] / tokens) ** law["alpha_D"])


def overfit(params: float, tokens: float, law: Law = JOINT) -> float:
    """Return the relative penalty L(N, D)/L(N, inf) - 1 of finite data (eq 4.2, 4.3)."""
    ratio = (params / law["N_c"]) ** (law["alpha_N"] / law["alpha_D"]) * law["D_c"] / tokens
    return math.expm1(law["alpha_D"] * math.log1p(ratio))


def safe_tokens(params: float, law: Law = SAFE_TOKENS) -> float:
    """Return the tokens that keep the overfitting penalty under 2 %, as printed (eq 4.4)."""
    return float(law["k"] * params ** law["p"])


def tokens_for_overfit(params: float, threshold: float = 0.02, law: Law = JOINT) -> float:
    """Return the tokens at which the overfitting penalty is `threshold`, from eq 4.3; at N = 1 this is k of eq 4.4."""
    ratio = math.expm1(math.log1p(threshold) / law["alpha_D"])
    return float((params / law["N_c"]) ** (law["alpha_N"] / law["alpha_D"]) * law["D_c"] / ratio)


def critical_batch(loss: float, law: Law = BATCH) -> float:
    """Return B_crit in tokens at a loss (eq 1.4): above it more batch saves little time and wastes compute."""
    return float(law["B_star"] / loss ** (1 / law["alpha_B"]))


def min_steps(steps: float, batch: float, critical: float) -> float:
    """Return S_min, the steps that the same loss takes at a very large batch (eq 5.4)."""
    return steps / (1 + critical / batch)


def min_compute(compute: float, batch: float, critical: float) -> float:
    """Return C_min, the compute that the same loss takes at a very small batch (eq 5.5)."""
    return compute / (1 + batch / critical)


def loss_steps(params: float, steps: float, law: Law = STEPS) -> float:
    """Return L(N, S_min): the loss of a model after S_min steps, data unlimited (eq 5.6)."""
    return float((law["N_c"] / params) ** law["alpha_N"] + (law["S_c"] / steps) ** law["alpha_S"])


def stop_step(params: float, tokens: float, law: Law = JOINT, steps: Law = STEPS) -> float:
    """Return the lower bound of the step at which training on finite data should stop early (eq 5.7)."""
    gap = loss(params, tokens, law) - (law["N_c"] / params) ** law["alpha_N"]
    return float(steps["S_c"] / gap ** (1 / steps["alpha_S"]))


def optimal_params(compute: float, law: Law = ALLOCATION) -> float:
    """Return the best N without embeddings for C_min in FLOP (Table 6)."""
    return float(law["N_e"] * (compute / PF_DAY) ** law["p_N"])


def optimal_batch(compute: float, law: Law = ALLOCATION) -> float:
    """Return the critical batch in tokens at the loss that C_min reaches (Table 6); train well under it."""
    return float(law["B_e"] * (compute / PF_DAY) ** law["p_B"])


def optimal_steps(compute: float, law: Law = ALLOCATION) -> float:
    """Return S_min for C_min in FLOP (Table 6), a lower bound of the steps."""
    return float(law["S_e"] * (compute / PF_DAY) ** law["p_S"])


def optimal_tokens(compute: float, law: Law = ALLOCATION) -> float:
    """Return the tokens of one epoch for C_min in FLOP (Table 6)."""
    return float(law["D_e"] * (compute / PF_DAY) ** law["p_D"])


def compute_exponent(alpha_s: float, alpha_b: float, alpha_n: float) -> float:
    """Return alpha_C = 1/(1/alpha_S + 1/alpha_B + 1/alpha_N) (App. B.2)."""
    return 1 / (1 / alpha_s + 1 / alpha_b + 1 / alpha_n)


def converged_ratios(
    short: float, long: float, alpha_n: float = 0.076, alpha_s: float = STEPS["alpha_S"]
) -> tuple[float, float, float]:
    """Return (params, steps, compute) of stopping `short` above the converged loss, over stopping `long` above it.

    App. B.3: training to 10 % above the converged loss instead of 2 % takes 2.7 times the parameters, 7.7 times fewer
    steps and 65 % less compute.
    """
    params = ((1 + short) / (1 + long)) ** (1 / alpha_n)
    steps = ((1 + 1 / short) / (1 + 1 / long)) ** (1 / alpha_s)
    return params, steps, params * steps


def wrong_size_ratios(ratio: float, alpha_n: float = 0.076, alpha_s: float = STEPS["alpha_S"]) -> tuple[float, float]:
    """Return (compute, steps) of a model `ratio` times the best size, over those of the best size (App. B.4)."""
    steps = (1 + alpha_s / alpha_n * (1 - ratio**-alpha_n)) ** (-1 / alpha_s)
    return ratio * steps, steps
