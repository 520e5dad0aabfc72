"""Robust least squares from many starts at once: sum of Huber terms on log loss, in batches of numpy arrays.

Hoffmann et al. 2022 fit their law by L-BFGS from 4,500 starts, and averaged the Huber terms, so that the optimiser met
its tolerance far from the minimum (Besiroglu et al. 2024). Here the terms are summed and every start (or bootstrap
draw) takes the same damped Gauss-Newton steps with weights delta/|r| outside delta, all at once: 4,500 starts on 240
runs and 1,000 bootstrap draws take seconds. The objective never rises, and its fixed points are those of the Huber
sum.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Model = Callable[[Array], tuple[Array, Array]]
"""theta (starts, parameters) -> predicted log loss (starts, runs), its Jacobian (starts, runs, parameters)."""

DELTA = 1e-3
"""Where Huber turns from square to linear, in log loss (Hoffmann et al. 2022, section 3.3)."""
_CELLS = 2_000_000


def huber(residual: Array, weights: Array, delta: float = DELTA) -> Array:
    """Return the weighted sum of Huber terms over the last axis."""
    size = np.abs(residual)
    terms = np.where(size <= delta, 0.5 * residual**2, delta * (size - 0.5 * delta))
    return np.asarray((weights * terms).sum(axis=-1))


def huber_reference(residual: list[float], weights: list[float], delta: float = DELTA) -> float:
    """Return what `huber` returns for one row, term by term."""
    total = 0.0
    for r, w in zip(residual, weights, strict=True):
        total += w * (0.5 * r * r if abs(r) <= delta else delta * (abs(r) - 0.5 * delta))
    return total


def minimise(
    model: Model,
    starts: Array,
    target: Array,
    weights: Array,
    iterations: int,
    free: NDArray[np.bool_] | None = None,
) -> tuple[Array, Array]:
    """Return the parameters (starts, p) that each start reaches, and their objectives (starts,).

    `target` is the log loss and `weights` the weight of each run, (runs,) or (starts, runs) where each start has its
    own (bootstrap draws). Parameters whose `free` is False stay as they are. Rows are independent of each other, so
    chunks change nothing.
    """
    step = max(1, _CELLS // (target.shape[-1] * starts.shape[1]))
    found = [
        _minimise(
            model,
            starts[at : at + step],
            target[at : at + step] if target.ndim == 2 else target[None],
            weights[at : at + step] if weights.ndim == 2 else weights[None],
            iterations,
            np.ones(starts.shape[1]) if free is None else free.astype(np.float64),
        )
        for at in range(0, len(starts), step)
    ]
    return np.concatenate([theta for theta, _ in found]), np.concatenate([value for _, value in found])


def _minimise(
    model: Model, theta: Array, target: Array, weights: Array, iterations: int, free: Array
) -> tuple[Array, Array]:
    """Run damped, reweighted Gauss-Newton steps on one chunk. Prior validation of data is assumed."""
    damping = np.full(len(theta), 1e-2)
    eye = np.eye(theta.shape[1])
    with np.errstate(all="ignore"):
        predicted, jacobian = model(theta)
        residual = predicted - target
        value = huber(residual, weights)
        for _ in range(iterations):
            inlier = weights * np.minimum(1.0, DELTA / np.maximum(np.abs(residual), 1e-300))
            gradient = np.einsum("snp,sn->sp", jacobian, inlier * residual) * free
            hessian = np.matmul((jacobian * inlier[..., None]).transpose(0, 2, 1), jacobian) * free[:, None] * free
            diagonal = np.einsum("spp->sp", hessian)
            ridge = damping[:, None] * diagonal + 1e-14 * diagonal.max(axis=1, keepdims=True) + 1e-30
            moved = theta - np.linalg.solve(hessian + ridge[:, :, None] * eye, gradient[..., None])[..., 0]
            predicted, moved_jacobian = model(moved)
            moved_residual = predicted - target
            moved_value = huber(moved_residual, weights)
            better = moved_value < value  # False for NaN, so a step out of the domain is undone
            theta = np.where(better[:, None], moved, theta)
            residual = np.where(better[:, None], moved_residual, residual)
            jacobian = np.where(better[:, None, None], moved_jacobian, jacobian)
            value = np.where(better, moved_value, value)
            damping = np.clip(np.where(better, damping / 5, damping * 5), 1e-10, 1e10)
    return theta, value


def best_of(model: Model, starts: Array, target: Array, weights: Array) -> tuple[Array, float]:
    """Return the best parameters over all starts and their objective.

    Every start takes 10 steps, the best 500 take 40 more, the best 50 another 120, and the best one is polished. On the
    240 points of Hoffmann et al. 2022 that ends where running all 4,500 starts three times as long ends.
    """
    theta = starts
    for iterations, keep in ((10, 500), (40, 50), (120, 1), (400, 1)):
        theta, value = minimise(model, theta, target, weights, iterations)
        value = np.where(np.isfinite(value), value, np.inf)
        order = np.argsort(value, kind="stable")[:keep]
        theta, value = theta[order], value[order]
    return theta[0], float(value[0])
