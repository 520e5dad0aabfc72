"""`fit_law(law="curve")`: one training curve carried on from its early part."""

from __future__ import annotations

import json

import numpy as np
import pytest

from curate.budget.fit import fit_law
from curate.errors import CurateError, UsageError

E, SCALE, ALPHA = 2.1, 1500.0, 0.55


def truth(steps):
    return E + (SCALE / steps) ** ALPHA


def log(path, steps, loss, header="step,loss"):
    path.write_text(header + "\n" + "".join(f"{s:.10g},{value:.10g}\n" for s, value in zip(steps, loss, strict=True)))
    return path


def noisy(seed, last=20_000):
    steps = np.arange(1, last, 10.0)
    warm = np.minimum(truth(steps), 11.0)  # a run starts at ln of the vocabulary, not on the power law
    return steps, warm * np.exp(np.random.default_rng(seed).normal(0, 0.01, len(steps)))


def test_early_training_predicts_late(tmp_path):
    """From the first 30 % of a noisy log the loss far beyond its end lies in the interval, for nine seeds of ten."""
    held = covered = 0
    for seed in range(10):
        path = log(tmp_path / "log.csv", *noisy(seed))
        fit = fit_law(path, law="curve", until=0.3, to=60_000, bootstrap=60)
        assert fit.forecast is not None
        covered += fit.forecast.loss.low <= truth(60_000) <= fit.forecast.loss.high
        held += fit.forecast.held
    assert covered >= 9
    assert held >= 9


def test_exact_curve_comes_back(tmp_path):
    """Without noise the constants come back, up to averaging over steps."""
    steps = np.arange(100, 20_000, 10.0)
    fit = fit_law(log(tmp_path / "log.csv", steps, truth(steps)), law="curve", until=1.0, bootstrap=0)
    assert fit.parameters["E"].value == pytest.approx(E, rel=5e-3)
    assert fit.parameters["alpha"].value == pytest.approx(ALPHA, rel=2e-2)
    assert json.loads(json.dumps(fit.to_json(), allow_nan=False))["law"] == "curve"


def test_a_bend_after_the_fitted_part_is_noticed(tmp_path):
    """A held-back end that leaves the power law, as under a decaying rate, is said to have missed the forecast."""
    steps, loss = noisy(0)
    loss = loss - 0.25 * np.maximum(0, steps / steps[-1] - 0.6)
    fit = fit_law(log(tmp_path / "log.csv", steps, loss), law="curve", until=0.5, bootstrap=60)
    assert fit.forecast is not None
    assert not fit.forecast.held
    assert any("held-back end" in text for text in fit.warnings)


def test_same_result_for_any_row_order(tmp_path):
    """The order of the rows of a log does not matter, nor does a second run."""
    steps, loss = noisy(1, 5000)
    config = {"law": "curve", "bootstrap": 40}
    first = fit_law(log(tmp_path / "a.csv", steps, loss), **config)
    order = np.random.default_rng(0).permutation(len(steps))
    other = fit_law(log(tmp_path / "b.csv", steps[order], loss[order]), **config)
    assert other.to_json() == first.to_json()


def test_tokens_do_for_steps_and_step_zero_is_left_out(tmp_path):
    """A log against tokens is a curve too; a first row at 0 cannot be on a power law and is named."""
    steps, loss = noisy(2, 3000)
    path = log(tmp_path / "log.csv", [0.0, *(steps * 5e5)], [11.0, *loss], "tokens,loss")
    fit = fit_law(path, law="curve", bootstrap=0)
    assert [(row.line, row.reason) for row in fit.left_out] == [(2, "step 0")]


def test_bad_logs_are_refused(tmp_path):
    """Too short a log, no step column, a share or a step out of range, a loss that does not fall."""
    steps, loss = noisy(3, 3000)
    path = log(tmp_path / "log.csv", steps[:20], loss[:20])
    with pytest.raises(CurateError, match=">= 30"):
        fit_law(path, law="curve")
    path = log(tmp_path / "log.csv", steps, loss, "time,loss")
    with pytest.raises(CurateError, match="neither step nor tokens"):
        fit_law(path, law="curve")
    path = log(tmp_path / "log.csv", steps, loss)
    for wrong in ({"until": 40.0}, {"until": 0.0}, {"to": 0.5}, {"to": float("nan")}):
        with pytest.raises(UsageError):
            fit_law(path, law="curve", **wrong)
    rising = log(tmp_path / "log.csv", steps, 2 + steps / steps[-1])
    with pytest.raises(CurateError, match="does not fall"):
        fit_law(rising, law="curve", bootstrap=0)
