"""The laws as functions of their free parameters, with Jacobians: what `solve` fits.

Each returns the log of the loss, because the fit is on log loss. Positive parameters are fitted as logarithms; the
Chinchilla exponents are free, as in Hoffmann et al. 2022, so that a fit that wants a negative one shows.
"""

from __future__ import annotations

import numpy as np

from curate.budget import chinchilla
from curate.budget.law import Law
from curate.budget.solve import Array, Model

CHINCHILLA = ("E", "A", "B", "alpha", "beta")
KAPLAN = ("N_c", "alpha_N", "D_c", "alpha_D")
REPETITION = ("R_D_star", "R_N_star")
CURVE = ("E", "A", "alpha")


def _softmax(terms: Array) -> tuple[Array, Array]:
    """Return log-sum-exp over the first axis and the share of each term."""
    highest = terms.max(axis=0)
    parts = np.exp(terms - highest)
    total = parts.sum(axis=0)
    return highest + np.log(total), parts / total


def chinchilla_model(log_params: Array, log_tokens: Array) -> Model:
    """Return ln(exp(e) + exp(a - alpha ln N) + exp(b - beta ln D)) for theta = (e, a, b, alpha, beta)."""

    def model(theta: Array) -> tuple[Array, Array]:
        e, a, b, alpha, beta = (theta[:, [place]] for place in range(5))
        by_params, by_tokens = a - alpha * log_params, b - beta * log_tokens
        value, share = _softmax(np.stack([np.broadcast_to(e, by_params.shape), by_params, by_tokens]))
        columns = [share[0], share[1], share[2], -share[1] * log_params, -share[2] * log_tokens]
        return value, np.stack(columns, axis=-1)

    return model


def chinchilla_starts() -> Array:
    """Return the 4,500 starts of Hoffmann et al. 2022, section 3.3, in the order of the model's theta."""
    grid = np.meshgrid(
        np.arange(-1, 1.01, 0.5), np.arange(0, 26, 5), np.arange(0, 26, 5), np.arange(0, 2.01, 0.5),
        np.arange(0, 2.01, 0.5), indexing="ij",
    )  # fmt: skip
    return np.stack([axis.ravel() for axis in grid], axis=-1).astype(np.float64)


def chinchilla_values(theta: Array) -> Array:
    """Return (E, A, B, alpha, beta) of theta (..., 5)."""
    return np.concatenate([np.exp(theta[..., :3]), theta[..., 3:]], axis=-1)


def kaplan_model(log_params: Array, log_tokens: Array) -> Model:
    """Return alpha_D ln((N_c/N)^(alpha_N/alpha_D) + D_c/D), theta the logs of (N_c, alpha_N, D_c, alpha_D)."""

    def model(theta: Array) -> tuple[Array, Array]:
        log_n, log_d = theta[:, [0]] - log_params, theta[:, [2]] - log_tokens
        alpha_n, alpha_d = np.exp(theta[:, [1]]), np.exp(theta[:, [3]])
        power = alpha_n / alpha_d * log_n
        value, share = _softmax(np.stack([power, log_d]))
        columns = [
            alpha_n * share[0],
            alpha_n * share[0] * log_n,
            alpha_d * share[1],
            alpha_d * (value - share[0] * power),
        ]
        return alpha_d * value, np.stack(columns, axis=-1)

    return model


def kaplan_starts() -> Array:
    """Return 256 starts around what Kaplan et al. 2020 found (our choice; the paper states none)."""
    grid = np.meshgrid(
        np.linspace(22, 40, 4), np.log([0.03, 0.08, 0.2, 0.5]), np.linspace(22, 40, 4), np.log([0.03, 0.1, 0.25, 0.6]),
        indexing="ij",
    )  # fmt: skip
    return np.stack([axis.ravel() for axis in grid], axis=-1)


def repetition_model(params: Array, tokens: Array, unique: Array, surface: Law) -> Model:
    """Return ln L of the data-constrained law, theta = (ln R_D_star, ln R_N_star), the surface held."""
    unique = np.minimum(unique, tokens)
    scale = chinchilla.scale(surface)
    useful = np.minimum(params, (unique * scale) ** (surface["beta"] / surface["alpha"]) * scale)
    repeats, excess = tokens / unique - 1, np.maximum(params / useful - 1, 0.0)

    def saturate(base: Array, times: Array, log_star: Array) -> tuple[Array, Array]:
        star = np.exp(log_star)
        x = times / star
        return base * (1 + star * -np.expm1(-x)), base * star * (-np.expm1(-x) - x * np.exp(-x))

    def model(theta: Array) -> tuple[Array, Array]:
        data, data_slope = saturate(unique, repeats, theta[:, [0]])
        size, size_slope = saturate(useful, excess, theta[:, [1]])
        by_size, by_data = surface["A"] * size ** -surface["alpha"], surface["B"] * data ** -surface["beta"]
        loss = surface["E"] + by_size + by_data
        columns = [
            -surface["beta"] * by_data / data * data_slope / loss,
            -surface["alpha"] * by_size / size * size_slope / loss,
        ]
        return np.log(loss), np.stack(columns, axis=-1)

    return model


def repetition_starts() -> Array:
    """Return 96 starts over R_D_star 0.5 to 1000 and R_N_star 0.3 to 50.

    The authors' grid {0, 6.7, 13.3, 20} only found the local minimum at 15.4, so this one is wider.
    """
    grid = np.meshgrid(
        np.linspace(np.log(0.5), np.log(1e3), 12), np.linspace(np.log(0.3), np.log(50), 8), indexing="ij"
    )
    return np.stack([axis.ravel() for axis in grid], axis=-1)


def curve_model(log_steps: Array) -> Model:
    """Return ln(exp(e) + exp(a - alpha ln S)), theta = (e, a, ln alpha): L(N, S) of one model (Kaplan, eq 5.6)."""

    def model(theta: Array) -> tuple[Array, Array]:
        alpha = np.exp(theta[:, [2]])
        falling = theta[:, [1]] - alpha * log_steps
        value, share = _softmax(np.stack([np.broadcast_to(theta[:, [0]], falling.shape), falling]))
        return value, np.stack([share[0], share[1], -share[1] * alpha * log_steps], axis=-1)

    return model


def curve_starts(log_loss: Array, log_steps: Array) -> Array:
    """Return 60 starts: floors under the last loss, exponents 0.1 to 1.5, the term meeting the first loss."""
    floors = log_loss.min() + np.log([0.3, 0.6, 0.8, 0.9, 0.97])
    found = []
    for e in floors:
        for alpha in np.geomspace(0.1, 1.5, 12):
            gap = max(float(np.exp(log_loss[0]) - np.exp(e)), 1e-6)
            found.append((e, np.log(gap) + alpha * log_steps[0], np.log(alpha)))
    return np.array(found)
