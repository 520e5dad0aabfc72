"""`fit_law` on the published runs, on made-up runs with a known law, and on runs that cannot carry one."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest

from curate.budget import chinchilla, repetition
from curate.budget.config import FitConfig
from curate.budget.fit import fit_law, objective, r_squared
from curate.budget.plan import make_plan
from curate.budget.runs import read_columns
from curate.budget.sweep import read_runs
from curate.errors import CurateError, UsageError

VECTORS = json.loads(Path(__file__).with_name("scaling-vectors.json").read_text(encoding="utf-8"))
BY_ID = {vector["id"]: vector for vector in VECTORS}
PUBLISHED = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
STANDARD_ERROR = {"E": 0.026, "A": 124.5, "B": 1293.0, "alpha": 0.0154, "beta": 0.0206}


def given(vector, name):
    value = vector["inputs"][name]
    return value["value"] if isinstance(value, dict) and "value" in value else value


@pytest.fixture(scope="module")
def points(shared_data):
    return shared_data / "chinchilla_points" / "svg_extracted_data.csv"


@pytest.fixture(scope="module")
def fits(points):
    """Both published fits: without the five highest losses, and on all 245 points."""
    return {
        5: fit_law(points, drop_highest=5, bootstrap=100),
        0: fit_law(points, bootstrap=0),
    }


@pytest.fixture(scope="module")
def repeated(shared_data, tmp_path_factory):
    """Return the 182 runs of the published repetition fit as a csv."""
    with (shared_data / "data_constrained_runs" / "datablations_runs.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["in_fit_182"] == "1"]
    assert len(rows) == 182
    path = tmp_path_factory.mktemp("runs") / "repeated.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write(path, header, rows):
    path.write_text("\n".join([header, *(",".join(str(value) for value in row) for row in rows)]) + "\n")
    return path


def grid(noise=0.0, sizes=(1e7, 1e8, 1e9), ratios=(2.0, 20.0, 200.0), seed=0):
    """Return runs of the default surface."""
    generator = np.random.default_rng(seed)
    return [
        (n, n * ratio, chinchilla.loss(n, n * ratio) * math.exp(generator.normal(0, noise) if noise else 0.0))
        for n in sizes
        for ratio in ratios
    ]


@pytest.mark.parametrize("number", [128, *range(129, 139)])
def test_published_fit(fits, number):
    """The printed objective and parameters of the refit come out within their tolerance."""
    vector = BY_ID[number]
    fit = fits[given(vector, "drop_highest_loss")]
    names = ("A", "B", "E", "alpha", "beta")
    value = fit.objective if number == 128 else fit.parameters[names[(number - 129) % 5]].value
    assert vector["function"].endswith("minimum" if number == 128 else names[(number - 129) % 5])
    assert value == pytest.approx(vector["expected"], rel=vector["rel_tol"])


def test_fit_of_240_points_is_the_published_one(fits):
    """The objective is at most 0.0010183, every parameter within one standard error, on 245 at most 0.00182602."""
    fit = fits[5]
    assert fit.objective <= 0.0010183
    for name, value in PUBLISHED.items():
        assert abs(fit.parameters[name].value - value) <= STANDARD_ERROR[name], name
        low, high = fit.parameters[name].low, fit.parameters[name].high
        assert low < value < high
        assert 2 < (high - low) / STANDARD_ERROR[name] < 6  # four standard errors, from 100 draws
    assert fits[0].objective <= 0.00182602
    assert fit.runs_used == 240
    assert [row.line for row in fit.left_out] == [2, 3, 4, 5, 6]
    assert fit.derived["a"].value == pytest.approx(0.5139, abs=1e-3)
    second = {one.approach: one.a for one in fit.approaches}
    assert 0.46 < second[2] < 0.54  # Table 2: 0.49 (0.462 to 0.534)


def test_extreme_runs_are_named(fits):
    """The leverage of single runs is listed, and runs under one token a parameter are warned of."""
    assert len(fits[0].leverage) == 5
    assert fits[0].leverage[0].line == 2
    assert "fewer than one token a parameter" in fits[0].warnings[0]


def test_rows_of_the_published_points(points):
    """245 points, 240 after leaving out the five highest losses; their objective at the published parameters."""
    assert len(read_columns(points, ["loss"], [], ())["loss"]) == BY_ID[125]["expected"]
    runs = read_runs(points, FitConfig(drop_highest=5))
    assert len(runs.loss) == BY_ID[126]["expected"]
    a, b, e, alpha, beta = given(BY_ID[127], "params_log")
    surface = chinchilla.BESIROGLU.with_values(E=math.exp(e), A=math.exp(a), B=math.exp(b), alpha=alpha, beta=beta)
    predicted = np.array([chinchilla.loss(n, d, surface) for n, d in zip(runs.params, runs.tokens, strict=True)])
    assert objective(predicted, runs.loss) == pytest.approx(BY_ID[127]["expected"], rel=BY_ID[127]["rel_tol"])


@pytest.mark.parametrize("number", [170, 171, 172, 173])
def test_published_repetition_point(repeated, number):
    """R2 and objective of the published constants, of no decay, and of the lower minimum at 47."""
    vector = BY_ID[number]
    runs = read_runs(repeated, FitConfig())
    law = repetition.REPETITION
    if number == 173:
        law = law.with_values(R_D_star=given(vector, "R_D_star"), R_N_star=given(vector, "R_N_star"))
    predicted = np.array(
        [
            chinchilla.loss(n, d, chinchilla.MUENNIGHOFF) if number == 171 else repetition.loss(n, d, u, law)
            for n, d, u in zip(runs.params, runs.tokens, runs.unique, strict=True)
        ]
    )
    value = r_squared(predicted, runs.loss) if number < 172 else objective(predicted, runs.loss)
    assert value == pytest.approx(vector["expected"], rel=vector["rel_tol"])


def test_flatness_of_r_d_star_is_reported(repeated):
    """The fit is no worse than the published point, and the result says that R_D_star is not identified."""
    fit = fit_law(repeated, law="repetition", bootstrap=40)
    assert fit.objective < 0.015807
    profile = {round(one.r_d_star, 1): one.objective for one in fit.profile}
    for star, value in ((5, 0.01616), (8, 0.01596), (12, 0.015855), (15.4, 0.015826), (47, 0.015807), (500, 0.015857)):
        assert profile[star] == pytest.approx(value, rel=1e-3)
    assert any("weakly identified" in text for text in fit.warnings)
    assert fit.parameters["R_D_star"].low < 15.4 < fit.parameters["R_D_star"].high


def test_a_surface_of_ones_own_tells_r_d_star(repeated, shared_data, tmp_path):
    """On a surface fitted to the one-epoch runs of the same table the 182 runs fit twice as well and bound R_D_star."""
    table = (shared_data / "data_constrained_runs" / "datablations_runs.csv").read_text().splitlines()
    once = [line for line in table[1:] if float(line.split(",")[4]) <= 1.01]
    path, own = tmp_path / "once.csv", tmp_path / "own.json"
    path.write_text("\n".join([table[0], *once]) + "\n")
    own.write_text(json.dumps(fit_law(path, bootstrap=0).to_json(), allow_nan=False))
    fit = fit_law(repeated, law="repetition", surface=str(own), bootstrap=40)
    assert fit.objective < 0.0075
    assert fit.r2 > 0.93
    assert 25 < fit.parameters["R_D_star"].low < 40.4 < fit.parameters["R_D_star"].high < 120
    assert not any("off the surface" in text for text in fit.warnings)


def test_known_law_comes_back(tmp_path):
    """Nine runs without noise give the constants that made them."""
    path = write(tmp_path / "runs.csv", "params,tokens,loss", grid())
    fit = fit_law(path, bootstrap=0)
    assert fit.objective < 1e-12
    for name, value in PUBLISHED.items():
        assert fit.parameters[name].value == pytest.approx(value, rel=1e-3)
    assert fit.parameters["E"].low is None


def test_known_kaplan_law_comes_back(tmp_path):
    """Runs of Kaplan's joint law give its constants."""
    from curate.budget import kaplan

    rows = [(n, n * r, kaplan.loss(n, n * r)) for n in (1e6, 1e7, 1e8, 1e9) for r in (2, 20, 200)]
    fit = fit_law(write(tmp_path / "runs.csv", "N,D,L", rows), law="kaplan", bootstrap=0)
    for constant in kaplan.JOINT.constants:
        assert fit.parameters[constant.symbol].value == pytest.approx(constant.value, rel=1e-3)


def test_known_repetition_law_comes_back(tmp_path):
    """Runs of the repetition law give its constants where they repeat enough to tell."""
    law = repetition.REPETITION.with_values(R_D_star=12.0, R_N_star=4.0)
    rows = [
        (n, u * epochs, u, repetition.loss(n, u * epochs, u, law))
        for n in (1e8, 1e9)
        for u in (1e8, 1e9)
        for epochs in (1, 4, 16, 64)
    ]
    path = write(tmp_path / "runs.csv", "params,tokens,unique_tokens,loss", rows)
    fit = fit_law(path, law="repetition", bootstrap=0)
    assert fit.parameters["R_D_star"].value == pytest.approx(12, rel=1e-3)
    assert fit.parameters["R_N_star"].value == pytest.approx(4, rel=1e-3)


def test_intervals_cover_the_truth(tmp_path):
    """With noise the 95 % intervals hold the constants that made the runs, and the result is the same twice."""
    rows = grid(0.005, (1e7, 3e7, 1e8, 3e8, 1e9), (2.0, 10.0, 50.0, 250.0), seed=3)
    path = write(tmp_path / "runs.csv", "params,tokens,loss", rows)
    fit = fit_law(path, bootstrap=60)
    for name, value in PUBLISHED.items():
        assert fit.parameters[name].low <= value <= fit.parameters[name].high, name
    assert fit_law(path, bootstrap=60).to_json() == fit.to_json()


def test_approaches_1_and_2(tmp_path):
    """Training curves give approach 1, budgets with several sizes give approach 2, both near the surface's exponent."""
    a = chinchilla.allocation_exponent()
    sizes = np.geomspace(2e7, 2e9, 12)
    curves = [
        (f"m{i}", n, d, chinchilla.loss(n, d))
        for i, n in enumerate(sizes)
        for d in np.geomspace(1e8, n * (100, 300, 1000)[i % 3], 40)
    ]
    fit = fit_law(write(tmp_path / "curves.csv", "run,params,tokens,loss", curves), bootstrap=0)
    assert {one.approach: one.a for one in fit.approaches}[1] == pytest.approx(a, abs=0.03)
    assert len(fit.left_out) == 12 * 39
    budgets = []
    for c in (1e18, 1e19, 1e20, 1e21):
        best = chinchilla.optimal_params(c)
        budgets += [(n, c, chinchilla.loss(n, c / (6 * n))) for n in best * np.geomspace(0.5, 2, 5)]
    fit = fit_law(write(tmp_path / "budgets.csv", "params,FLOP,loss", budgets), bootstrap=0)
    second = next(one for one in fit.approaches if one.approach == 2)
    assert second.a == pytest.approx(a, abs=0.01)
    assert len(second.curves) == 4


def test_fit_is_used_by_a_plan(tmp_path, fits, repeated):
    """The JSON of a fit is a law for `plan`: a Chinchilla surface, or the repetition constants with their interval."""
    path = tmp_path / "fitted.json"
    path.write_text(json.dumps(fits[5].to_json(), allow_nan=False))
    found = make_plan(params=1.3e9, law=path)
    own = {name: one.value for name, one in fits[5].parameters.items()}
    surface = chinchilla.BESIROGLU.with_values(**own)
    assert found.compute_optimal.tokens == pytest.approx(chinchilla.tokens_for_params(1.3e9, surface))
    assert found.expected_loss == pytest.approx(chinchilla.loss(1.3e9, found.training_tokens, surface))
    fit = fit_law(repeated, law="repetition", bootstrap=40)
    path.write_text(json.dumps(fit.to_json(), allow_nan=False))
    plan = make_plan(params=1.3e9, unique_tokens=5e9, epochs=10, law=path)
    assert plan.effective_tokens.low < plan.effective_tokens.mid < plan.effective_tokens.high


@pytest.mark.parametrize(
    ("known", "beta", "said"), [({"params": "1.3B"}, 0.02, "tokens"), ({"compute": "1e21"}, 0.9, "params")]
)
def test_a_size_that_a_law_sets_beyond_all_sizes_is_said_to_be_its_own(tmp_path, known, beta, said):
    """The compute-optimal size is named as such, and not as one that follows from what was given."""
    constants = {"E": 1.8, "A": 480, "B": 2080, "alpha": 0.05, "beta": beta}
    path = tmp_path / "fitted.json"
    parameters = {name: {"value": value} for name, value in constants.items()}
    path.write_text(json.dumps({"law": "chinchilla", "parameters": parameters}))
    with pytest.raises(UsageError, match=f"compute-optimal: {said}=.* should be <= "):
        make_plan(**known, law=path)


def test_json_has_the_contract_keys(fits):
    """`fit --json` has law, parameters with value, low and high, objective, runs used and left out, range."""
    found = fits[5].to_json()
    assert set(found) >= {"law", "parameters", "objective", "runs", "range"}
    assert set(found["parameters"]) == set(PUBLISHED)
    assert all(set(one) == {"value", "low", "high"} for one in found["parameters"].values())
    assert (found["runs"]["used"], found["runs"]["left_out"]) == (240, 5)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_too_few_runs_are_refused(tmp_path):
    """Six runs, one budget, one size, or size and data that move together: refused, with what to run next."""
    cases = {
        "6 runs": grid()[:6],
        "params takes 1": grid(sizes=(1e8,), ratios=np.geomspace(2, 200, 9)),
        "tokens takes 1": [(n, 2e9, chinchilla.loss(n, 2e9)) for n in np.geomspace(1e7, 1e9, 9)],
        "compute takes 1": [(n, 1e18 / n, chinchilla.loss(n, 1e18 / n)) for n in np.geomspace(1e7, 1e9, 9)],
        "move together": grid(sizes=np.geomspace(1e7, 1e9, 9), ratios=(20.0,)),
    }
    for says, rows in cases.items():
        path = write(tmp_path / "runs.csv", "params,tokens,loss", rows)
        with pytest.raises(CurateError, match=says) as error:
            fit_law(path)
        assert error.value.hint.startswith("Next: train")


def test_repetition_needs_repeats(tmp_path):
    """Runs of one epoch cannot tell what repeats are worth."""
    rows = [(n, d, d, 3.0) for n, d, _ in grid()]
    path = write(tmp_path / "runs.csv", "params,tokens,unique_tokens,loss", rows)
    with pytest.raises(CurateError, match="0 of them repeat"):
        fit_law(path, law="repetition")
    with pytest.raises(CurateError, match="neither unique_tokens nor epochs"):
        fit_law(write(path, "params,tokens,loss", grid()), law="repetition")


@pytest.mark.parametrize("bad", ["nan", "inf", "-1", "0", "", "three"])
def test_bad_losses_are_named(tmp_path, bad):
    """A loss that is no number above zero is an error with its line; nothing is left out in silence."""
    rows = grid()
    rows[4] = (*rows[4][:2], bad)
    with pytest.raises(CurateError, match="line 6") as error:
        fit_law(write(tmp_path / "runs.csv", "params,tokens,loss", rows))
    assert "loss" in error.value.what


def test_columns_are_found_mapped_or_asked_for(tmp_path):
    """Missing columns list what is there, two candidates are a question, a mapping is checked."""
    path = write(tmp_path / "runs.csv", "size of it,tokens,loss,val_loss", [(*row, 9.9) for row in grid()])
    with pytest.raises(UsageError, match="2 columns that could be loss"):
        fit_law(path, map={"params": "size of it"})
    with pytest.raises(CurateError, match="its columns are size of it, tokens") as error:
        fit_law(path, map={"loss": "loss"})
    assert "--map params=COLUMN" in error.value.hint
    with pytest.raises(UsageError, match="unknown column"):
        fit_law(path, map={"params": "sizes"})
    with pytest.raises(UsageError, match="unknown quantity"):
        fit_law(path, map={"parms": "tokens"})
    assert fit_law(path, map={"params": "size of it", "loss": "loss"}, bootstrap=0).objective < 1e-12


def test_bad_files_and_options(tmp_path):
    """A missing or empty file, an unknown law and options out of range are errors."""
    with pytest.raises(CurateError, match="cannot read"):
        fit_law(tmp_path / "none.csv")
    with pytest.raises(CurateError, match="no rows"):
        fit_law(write(tmp_path / "runs.csv", "params,tokens,loss", []))
    for wrong in ({"law": "chinchila"}, {"bootstrap": 3}, {"drop_highest": -1}):
        with pytest.raises(UsageError):
            fit_law(tmp_path / "runs.csv", **wrong)


@pytest.mark.parametrize(
    ("change", "says", "hint"),
    [
        (lambda n, d, loss: (n / 1e9, d / 1e9, loss), "line 2 has 0.01 params", "millions or billions"),
        (lambda n, d, loss: (n, d / 1e6, loss), "line 2 has 20 tokens", "millions or billions"),
        (lambda n, d, loss: (n, d / 1e3, loss), "fewer than 0.02 tokens a parameter", "swapped, or in different units"),
        (lambda n, d, loss: (n, d, math.exp(loss)), "a loss of", "perplexity"),
        (lambda n, d, loss: (n, d, 3.0), "nothing falls", "Next: train"),
        (lambda n, d, loss: (n, d, 6 - loss / 2), "exponent <= 0", "Next: train"),
    ],
)
def test_mixed_up_units_are_asked_about(tmp_path, change, says, hint):
    """Sizes in millions or billions, a perplexity and losses that do not fall are refused with what they may be."""
    path = write(tmp_path / "runs.csv", "params,tokens,loss", [change(*row) for row in grid()])
    with pytest.raises(CurateError, match=says) as error:
        fit_law(path, bootstrap=0)
    assert hint in error.value.hint


def test_contradicting_columns_are_refused(tmp_path):
    """Compute that is not 6 N D, and epochs that are not D/U, are named with their line; a mapping decides."""
    rows = [(n, d, 6 * n * d / 8.64e19, loss) for n, d, loss in grid()]
    path = write(tmp_path / "runs.csv", "params,tokens,compute,loss", rows)
    with pytest.raises(CurateError, match=r"line 2 has compute 1.389e-05, but 6 \* params \* tokens = 1.2e"):
        fit_law(path, bootstrap=0)
    assert fit_law(path, bootstrap=0, map={"tokens": "tokens"}).objective < 1e-12
    rows = [(n, d, d / 4, 8, loss) for n, d, loss in grid()]
    path = write(tmp_path / "runs.csv", "params,tokens,unique_tokens,epochs,loss", rows)
    with pytest.raises(CurateError, match="line 2 has epochs 8, but tokens / unique_tokens = 4"):
        fit_law(path, law="repetition", bootstrap=0)


def test_malformed_tables_are_named(tmp_path):
    """A column twice, too many fields, another separator, another encoding: each with what to do; lines as they are."""
    rows = grid()
    cases = {
        "two columns named loss": ("params,tokens,loss,loss", [(*row, row[2]) for row in rows]),
        "line 2 has more fields than the 3 columns": ("params,tokens,loss", [("1,3", "2", "6", "2.5")]),
        "no column for params, loss": ("params;tokens;loss", [("1e9;2e10;2.5",)]),
    }
    for says, (header, table) in cases.items():
        with pytest.raises(CurateError, match=says):
            fit_law(write(tmp_path / "runs.csv", header, table))
    (tmp_path / "runs.csv").write_bytes(b"params,tokens,loss\n\xff\xfe")
    with pytest.raises(CurateError, match="no csv in UTF-8"):
        fit_law(tmp_path / "runs.csv")
    (tmp_path / "runs.csv").write_text("params,tokens,loss\n\n\n1e9,2e10,oops\n")
    with pytest.raises(CurateError, match="line 4: 'oops'"):
        fit_law(tmp_path / "runs.csv")
    with pytest.raises(UsageError, match="leaves none of the 9 runs"):
        fit_law(write(tmp_path / "runs.csv", "params,tokens,loss", rows), drop_highest=9)


def test_runs_that_do_not_tell_are_said(shared_data, tmp_path):
    """On all 308 runs the law runs to its end: that, the runs past the turn and the other surface are warned of."""
    fit = fit_law(shared_data / "data_constrained_runs" / "datablations_runs.csv", law="repetition", bootstrap=20)
    assert fit.parameters["R_D_star"].value == pytest.approx(1e5)
    assert fit.parameters["R_D_star"].high == math.inf
    told = " ".join(fit.warnings)
    for words in (
        "R_D_star ran to the end",
        "125 runs have (N/U) * epochs >= 40",
        "off the surface muennighoff2023.c4",
    ):
        assert words in told
    path = tmp_path / "own.json"
    path.write_text(json.dumps(fit.to_json(), allow_nan=False))
    worth = make_plan(params=1e9, unique_tokens=5e9, epochs=4, law=path).effective_tokens
    assert worth.high <= 2e10
    runs = fit_law(shared_data / "data_constrained_runs" / "datablations_runs.csv", bootstrap=0)
    assert any("runs repeat their data" in text for text in runs.warnings)
