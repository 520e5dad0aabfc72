"""The laws: every constant is sourced, they are monotone where they must be, and they agree with each other."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.budget import batch, chinchilla, kaplan, later, repetition, shapes, words, xue
from curate.budget.law import Law, use
from curate.budget.lawset import load_laws, load_surface
from curate.budget.plan import make_plan
from curate.budget.search import bisect, golden_section
from curate.errors import UsageError

MODULES = (kaplan, chinchilla, repetition, batch, later, shapes)
LAWS = {law.name: law for module in MODULES for law in vars(module).values() if isinstance(law, Law)}
params = st.floats(6.0, 13.0).map(lambda power: 10**power)
tokens = st.floats(8.0, 14.0).map(lambda power: 10**power)


@pytest.mark.parametrize("name", sorted(LAWS))
def test_every_constant_is_sourced(name):
    """A law names its paper with its arXiv number, a constant its place there and its error, or that there is none."""
    law = LAWS[name]
    assert "arXiv:" in law.source
    assert law.formula
    for constant in law.constants:
        assert constant.where, constant.symbol
        assert constant.error, constant.symbol
        assert law[constant.symbol] == constant.value
    for low, high in law.fitted.values():
        assert low < high


def test_unknown_constants_are_errors():
    """A law has no constant by another name, neither to read nor to replace."""
    with pytest.raises(KeyError, match="no constant"):
        kaplan.JOINT["alpha"]
    with pytest.raises(KeyError, match="no constant"):
        kaplan.JOINT.with_values(E=1.0)
    assert chinchilla.BESIROGLU.with_values(E=2.0)["E"] == 2.0
    assert chinchilla.BESIROGLU["E"] == 1.8172


def test_range_is_inside_outside_or_unknown():
    """A law says whether a point is inside its range, and says that it does not know where no range is stated."""
    assert use(kaplan.JOINT, "", non_embedding_params=1e8, tokens=1e9).inside_range is True
    outside = use(kaplan.JOINT, "", non_embedding_params=1e11, tokens=1e9)
    assert outside.inside_range is False
    assert "non embedding params 1e+11" in outside.outside[0]
    assert use(batch.DEEPSEEK, "", compute=1e20).inside_range is None


@settings(deadline=None, max_examples=60)
@given(params, tokens, st.floats(1.01, 10.0))
def test_losses_fall_with_size_and_data(n, d, more):
    """Every loss falls with N and with D, and stays above its floor."""
    for surface in chinchilla.SURFACES.values():
        loss = chinchilla.loss(n, d, surface)
        assert surface["E"] < chinchilla.loss(n * more, d, surface) < loss
        assert surface["E"] < chinchilla.loss(n, d * more, surface) < loss
    assert kaplan.loss(n * more, d) < kaplan.loss(n, d)
    assert kaplan.loss(n, d * more) < kaplan.loss(n, d)
    assert kaplan.overfit(n, d * more) < kaplan.overfit(n, d)
    assert kaplan.loss_params(n * more) < kaplan.loss_params(n)
    assert kaplan.loss_tokens(d * more) < kaplan.loss_tokens(d)


@settings(deadline=None, max_examples=40)
@given(params)
def test_tokens_for_params_inverts_the_optimum(n):
    """N is the best size for the compute of the tokens it wants, on every surface and line."""
    for surface in chinchilla.SURFACES.values():
        d = chinchilla.tokens_for_params(n, surface)
        assert chinchilla.optimal_params(6 * n * d, surface) == pytest.approx(n, rel=1e-9)
        assert chinchilla.optimal_tokens(6 * n * d, surface) == pytest.approx(d, rel=1e-9)
        assert chinchilla.tokens_for_loss(n, chinchilla.loss(n, d, surface), surface) == pytest.approx(d, rel=1e-4)
    for line in (chinchilla.APPROACH_1, chinchilla.APPROACH_2, chinchilla.APPROACH_3):
        d = chinchilla.line_tokens(n, line)
        assert chinchilla.line_params(6 * n * d, line) == pytest.approx(n, rel=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.floats(18.0, 26.0), st.floats(-2.0, 2.0))
def test_the_closed_optimum_is_the_lowest(compute, away):
    """At fixed C no other size does better than eq 4."""
    c = 10**compute
    best = chinchilla.optimal_params(c)
    other = best * math.exp(away)
    assert chinchilla.loss(best, c / (6 * best)) <= chinchilla.loss(other, c / (6 * other)) + 1e-12


def test_no_data_reaches_a_loss_under_the_size_term():
    """A small model cannot reach the loss of a large one on any amount of data."""
    assert chinchilla.tokens_for_loss(1e8, chinchilla.loss(1e11, 1e13)) == math.inf


@settings(deadline=None, max_examples=40)
@given(params, tokens)
def test_kaplans_penalty_is_the_ratio_of_his_losses(n, d):
    """Delta L of eq 4.3 is L(N, D)/L(N, inf) - 1, and eq 4.3 solved for D gives it back."""
    ratio = kaplan.loss(n, d) / kaplan.loss(n, 1e60) - 1
    assert kaplan.overfit(n, d) == pytest.approx(ratio, rel=1e-6, abs=1e-12)
    assert kaplan.overfit(n, kaplan.tokens_for_overfit(n, 0.02)) == pytest.approx(0.02)


def test_early_stop_comes_later_with_more_data():
    """The bound on the step of early stopping grows with D (eq 5.7)."""
    assert kaplan.stop_step(1e8, 1e10) > kaplan.stop_step(1e8, 1e9) > 0


@settings(deadline=None, max_examples=40)
@given(st.floats(1.0, 1e6), st.floats(1.0, 1e6), st.floats(0.01, 100.0))
def test_steps_and_examples_trade(min_steps, noise, ratio):
    """(S/S_min - 1)(E/E_min - 1) = 1 at every batch, and B = E/S (McCandlish et al. 2018, eq 2.11)."""
    size = ratio * noise
    min_examples = noise * min_steps
    s, e = batch.steps_at(size, min_steps, noise), batch.examples_at(size, min_examples, noise)
    assert e / s == pytest.approx(size)
    assert (s / min_steps - 1) * (e / min_examples - 1) == pytest.approx(1)
    assert batch.examples_for_steps(s, min_steps, min_examples) == pytest.approx(e)


def test_batch_laws_agree_in_unit():
    """At 26B tokens the laws of the batch lie within a factor of 3 of each other: all are in tokens."""
    found = {
        "step law": (batch.step_law_batch(26e9), 0.51e6),
        "schaipp": (batch.step_law_batch(26e9, batch.SCHAIPP), 0.52e6),
        "deepseek": (batch.deepseek_batch(6 * 1.3e9 * 26e9), 1.28e6),
        "zhang": (batch.zhang_critical(26e9), 1.4e6),
    }
    for name, (value, quoted) in found.items():
        assert value == pytest.approx(quoted, rel=0.03), name


def test_noise_scale_of_zhangs_critical_batch():
    """B_noise is b/a of the printed step fits (vectors 206 to 214) within the 6 % of the law; none for little data."""
    fits = {
        85e6: (1293.83, 2834258),
        302e6: (2095.35, 11383270),
        604e6: (2459.93, 19449689),
        1.2e9: (3897.31, 43381130),
    }
    for params, (a, b) in fits.items():
        critical = batch.zhang_from_steps(a, b)
        assert batch.zhang_critical(20 * params) / 512 == pytest.approx(critical, rel=0.06)
        assert (critical - 1.2 * 256) / 0.2 == pytest.approx(b / a)
        assert batch.zhang_noise(20 * params) / 512 == pytest.approx(b / a, rel=0.2)
    assert batch.zhang_noise(1e7) == 0


def test_nothing_stands_from_memory():
    """No constant of a law, and no batch of a known model, is quoted from memory: each names its table or paper."""
    for one in make_plan(params=1.3e9).laws:
        assert "memory" not in " ".join((one.law.note, *(c.error + c.where for c in one.law.constants)))
    assert all("arXiv:" in row.source for row in batch.KNOWN)


def test_weight_decay_gives_the_timescale():
    """B/(lr wd D) is the timescale that Power Lines calls best."""
    decay = batch.weight_decay(1e9, 2e10, 5e5, 1e-3)
    assert 5e5 / (1e-3 * decay * 2e10) == pytest.approx(batch.power_lines_tau(20))


def test_turning_points_are_in_the_run_table(shared_data):
    """The shipped epochs of lowest loss and penalties are those of the published run table."""
    import csv

    with (shared_data / "data_constrained_runs" / "datablations_runs.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["data"] == "c4"]
    runs = [(float(r["params"]), float(r["tokens"]), float(r["unique_tokens"]), float(r["val_loss"])) for r in rows]
    for turn in repetition.TURNS:
        same = [run for run in runs if abs(run[0] / turn.params - 1) < 1e-3 and run[2] == turn.unique_tokens]
        best = min(same, key=lambda run: run[3])
        assert best[1] / best[2] == pytest.approx(turn.epochs, rel=0.02)
        assert 40 < repetition.overfit_product(turn.params, turn.epochs * turn.unique_tokens, turn.unique_tokens) < 170
    for measured in repetition.MEASURED:
        at = [
            float(row["val_loss"])
            for row, run in zip(rows, runs, strict=True)
            if run[0] == measured.params and run[1] == measured.tokens and "opt" not in row["name"]
            if run[2] == measured.unique_tokens
        ]
        fresh = [run[3] for run in runs if run[0] == measured.params and run[1] == run[2] == measured.tokens]
        assert len(at) == measured.seeds
        assert sum(at) / len(at) / (sum(fresh) / len(fresh)) - 1 == pytest.approx(measured.penalty, abs=1e-6)


def test_xue_has_eleven_findings():
    """The eleven insights are all there, each with the size it was seen at and what a plan does about it."""
    assert [one.number for one in xue.FINDINGS] == list(range(1, 12))
    assert all(one.found and one.seen_at and one.used for one in xue.FINDINGS)
    assert xue.REGULARISATION["dropout"] > xue.REGULARISATION["none"]


def test_laws_are_chosen_by_name():
    """A surface's name puts it in place of the line; another name is an error with the nearest ones."""
    assert load_laws("default").line is chinchilla.APPROACH_1
    assert load_laws("hoffmann2022").surface is chinchilla.HOFFMANN
    assert load_surface("besiroglu2024") is chinchilla.BESIROGLU
    with pytest.raises(UsageError, match="besiroglu2024"):
        load_laws("besiroglu")


def test_searches_find_a_parabola_and_a_zero():
    """Golden section finds the minimum, bisection the crossing."""
    assert golden_section(lambda x: (x - 1.25) ** 2, -3, 4) == pytest.approx(1.25, abs=1e-7)
    assert bisect(lambda x: 2 - x**3, 0, 5) == pytest.approx(2 ** (1 / 3))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1k"),
        (26.3e9, "26.3B"),
        (1.3e9, "1.3B"),
        (999_999_999, "1B"),
        (5e12, "5T"),
        (3e16, "3.00e+16"),
        (0.5, "0.5"),
        (math.inf, "unlimited"),
    ],
)
def test_sizes_read_well(value, text):
    """Counts are printed with three digits and a unit letter."""
    assert words.size(value) == text
