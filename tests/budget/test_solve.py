"""The batched solver and the models against slow twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.budget import chinchilla, kaplan, models, repetition
from curate.budget.solve import best_of, huber, huber_reference, minimise

GENERATOR = np.random.default_rng(0)
PARAMS, TOKENS = np.exp(GENERATOR.uniform(16, 22, 30)), np.exp(GENERATOR.uniform(20, 26, 30))
UNIQUE = TOKENS / np.exp(GENERATOR.uniform(0, 4, 30))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 5)), min_size=1, max_size=20))
def test_huber_is_its_reference(rows):
    """The array form is the term-by-term form."""
    residual, weights = [r for r, _ in rows], [w for _, w in rows]
    assert float(huber(np.array(residual), np.array(weights))) == pytest.approx(huber_reference(residual, weights))


MODELS = {
    "chinchilla": (
        models.chinchilla_model(np.log(PARAMS), np.log(TOKENS)),
        np.array([0.6, 6.2, 7.6, 0.35, 0.37]),
        [chinchilla.loss(n, d) for n, d in zip(PARAMS, TOKENS, strict=True)],
        np.array([np.log(1.8172), np.log(482.01), np.log(2085.43), 0.3478, 0.3658]),
    ),
    "kaplan": (
        models.kaplan_model(np.log(PARAMS), np.log(TOKENS)),
        np.log([1e13, 0.1, 1e13, 0.12]),
        [kaplan.loss(n, d) for n, d in zip(PARAMS, TOKENS, strict=True)],
        np.log([6.4e13, 0.076, 1.8e13, 0.103]),
    ),
    "repetition": (
        models.repetition_model(PARAMS, TOKENS, UNIQUE, chinchilla.MUENNIGHOFF),
        np.log([8.0, 3.0]),
        [repetition.loss(n, d, u) for n, d, u in zip(PARAMS, TOKENS, UNIQUE, strict=True)],
        np.log([repetition.REPETITION["R_D_star"], repetition.REPETITION["R_N_star"]]),
    ),
    "curve": (
        models.curve_model(np.log(TOKENS)),
        np.array([0.7, 8.0, np.log(0.4)]),
        list(1.9 + 500 * TOKENS**-0.3),
        np.array([np.log(1.9), np.log(500), np.log(0.3)]),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_model_is_its_law(name):
    """At a law's constants the model is the log of the law's own function."""
    model, _, losses, theta = MODELS[name]
    assert np.allclose(np.exp(model(theta[None])[0][0]), losses, rtol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_jacobian_is_the_slope(name):
    """The Jacobian agrees with central differences."""
    model, theta, _, _ = MODELS[name]
    _, jacobian = model(theta[None])
    for place in range(len(theta)):
        step = np.zeros(len(theta))
        step[place] = 1e-5
        slope = (model((theta + step)[None])[0] - model((theta - step)[None])[0]) / 2e-5
        assert np.allclose(jacobian[0, :, place], slope[0], rtol=1e-5, atol=1e-9)


def test_minimum_is_scipys():
    """From the same start the solver ends no higher than scipy's Nelder-Mead does, on noisy runs."""
    from scipy.optimize import minimize

    model, start, losses, _ = MODELS["chinchilla"]
    target = np.log(losses) + np.random.default_rng(1).normal(0, 0.01, len(losses))
    ones = np.ones(len(target))
    theta, value = minimise(model, start[None], target, ones, 400)

    def at(x):
        return float(huber(model(x[None])[0][0] - target, ones))

    found = minimize(at, theta[0], method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-16, "maxiter": 4000})
    assert value[0] <= found.fun * (1 + 1e-9)
    far = minimize(at, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-15, "maxiter": 8000})
    assert value[0] <= far.fun * (1 + 1e-6)


def test_no_start_is_given_up_too_early():
    """Keeping the best starts on the way ends where running every start to the end does."""
    model, _, losses, _ = MODELS["chinchilla"]
    target = np.log(losses) + np.random.default_rng(2).normal(0, 0.02, len(losses))
    starts = models.chinchilla_starts()[::10]
    _, kept = best_of(model, models.chinchilla_starts(), target, np.ones(len(target)))
    _, every = minimise(model, starts, target, np.ones(len(target)), 300)
    assert kept <= np.nanmin(every) * (1 + 1e-9)


def test_starts_do_not_touch_each_other():
    """A start ends at the same place alone, among others, and with its own copy of weights and target."""
    model, start, losses, _ = MODELS["chinchilla"]
    target, ones = np.log(losses), np.ones(len(losses))
    starts = models.chinchilla_starts()[::500]
    many, _ = minimise(model, np.vstack([start[None], starts]), target, ones, 20)
    alone, _ = minimise(model, start[None], target, ones, 20)
    own, _ = minimise(model, start[None], target[None], ones[None], 20)
    assert np.array_equal(many[0], alone[0])
    assert np.array_equal(own[0], alone[0])


def test_there_are_4500_starts():
    """The grid is the published one: 4,500 starts."""
    starts = models.chinchilla_starts()
    assert starts.shape == (4500, 5)
    assert len(np.unique(starts, axis=0)) == 4500


def test_held_parameters_stay():
    """A parameter that is not free keeps its value exactly."""
    model, start, losses, _ = MODELS["repetition"]
    theta, _ = minimise(model, start[None], np.log(losses), np.ones(len(losses)), 50, np.array([False, True]))
    assert theta[0, 0] == start[0]
    assert theta[0, 1] != start[1]
