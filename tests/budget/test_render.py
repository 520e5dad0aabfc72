"""What plans, fits and measurements look like on the console, and the lines behind their figures."""

from __future__ import annotations

import math

import numpy as np
import pytest

from curate.budget import chinchilla
from curate.budget.fit import fit_law
from curate.budget.noise import measure_noise
from curate.budget.plan import make_plan
from curate.budget.render import render
from curate.budget.render_fit import render_fit, render_noise
from curate.budget.series import optimal_line, penalty_curve


def text(sections):
    for heading, lines in sections:
        assert heading
        assert lines
        assert max(len(line) for line in lines) <= 80, heading
    return "\n".join(line for _, lines in sections for line in lines)


@pytest.mark.parametrize(
    "options", [{}, {"unique_tokens": "5B", "epochs": 10}, {"unique_tokens": "50M", "tokens": "50B"}]
)
@pytest.mark.parametrize("explain", [False, True])
def test_plan_fits_the_console(options, explain):
    """No line of a plan is wider than 80 columns, explained or not, and the answer comes first."""
    plan = make_plan(params="1.3B", serve_tokens="1T", gpu="h100", batch="4M", **options)
    sections = render(plan, explain)
    assert sections[0][0] == "Answer"
    assert " ".join(sections[0][1]).startswith(plan.answer)
    assert "batch" in text(sections)


def test_fit_fits_the_console(tmp_path):
    """A fit shows its parameters with intervals and how many rows it used."""
    rows = [(n, n * r, chinchilla.loss(n, n * r)) for n in (1e7, 1e8, 1e9) for r in (2.0, 20.0, 200.0)]
    path = tmp_path / "runs.csv"
    path.write_text("params,tokens,loss\n" + "".join(f"{n},{d},{loss}\n" for n, d, loss in rows))
    found = text(render_fit(fit_law(path, bootstrap=20)))
    assert "9 rows used, 0 left out" in found
    assert "alpha" in found
    curve = [f"{s},{2 + (900 / s) ** 0.5}\n" for s in range(10, 4000, 10)]
    path.write_text("step,loss\n" + "".join(curve))
    assert "forecast of it" in text(render_fit(fit_law(path, law="curve", bootstrap=20)))


def test_noise_fits_the_console(tmp_path):
    """A measurement shows the noise scale, its course and what it means."""
    generator = np.random.default_rng(0)
    path = tmp_path / "log.csv"
    rows = generator.normal([40.0, 3.0], [1.0, 0.1], (200, 2))
    path.write_text("g2_small,g2_big\n" + "".join(f"{small},{big}\n" for small, big in rows))
    assert "B_simple" in text(render_noise(measure_noise(path, b_small=8, b_big=256)))


def test_lines_of_the_figures():
    """The penalty rises from zero along the epochs past the plan's own; the optimal line passes through the plan."""
    plan = make_plan(params="1.3B", unique_tokens="5B", epochs=10)
    curve = penalty_curve(plan)
    assert curve[0].mid == 0
    assert curve[-1].epochs == pytest.approx(64)
    assert [one.mid for one in curve] == sorted(one.mid for one in curve)
    assert [one.reliable for one in curve] == [one.epochs <= 16 for one in curve]
    at = [min(curve, key=lambda one: abs(math.log(one.epochs / epochs))) for epochs in (10, 44)]
    assert at[0].mid == pytest.approx(plan.loss_penalty_percent.mid, rel=0.1)
    assert at[1].mid > at[0].mid
    line = optimal_line(plan)
    middle = line[len(line) // 2]
    assert middle.params == pytest.approx(1.3e9)
    assert middle.tokens == pytest.approx(plan.compute_optimal.tokens)
    assert (middle.low, middle.high) == pytest.approx((plan.compute_optimal.low, plan.compute_optimal.high))
