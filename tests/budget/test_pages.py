"""The pages of a plan and of a fit: complete, self-contained, escaped, and with the numbers of the console."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from curate.budget import chinchilla, repetition
from curate.budget.fit import fit_law
from curate.budget.fit_page import fit_page
from curate.budget.plan import Source, make_plan
from curate.budget.plan_page import plan_body, plan_page
from curate.cli import app
from curate.face import run

HOSTILE = "<script>alert('x')</script>"


class Reader(HTMLParser):
    """Collect tags and texts; every tag must be closed in order."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.texts, self.open = [], [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def read(html):
    """Return the page read, after the checks that hold for every page."""
    assert not re.search(r"<(script|link|img|iframe|object)|https?://|@import|url\(", html)
    assert not re.search(r">(nan|inf|None)\b|[\",](nan|inf)\b", html)
    return Reader(html)


def captions(page):
    return re.findall(r"<figcaption>(.*?)</figcaption>", page)


def dots(page, caption):
    figure = page.split(f"<figcaption>{caption}</figcaption>")[1].split("</figure>")[0]
    return figure.count('class="dot"')


@pytest.mark.parametrize(
    "options",
    [
        {"params": "1.3B"},
        {"params": "1.3B", "unique_tokens": "5B", "epochs": 10, "serve_tokens": "1T", "gpu": "h100"},
        {"params": "100M", "unique_tokens": "10M", "epochs": 5000},
        {"params": "47B", "active_params": "13B", "unique_tokens": "10T"},
        {"compute": "1e24", "unique_tokens": "1B"},
        {"params": "20k", "vocab": 32_000},
        {"params": "7B", "law": "hoffmann2022", "calibrate": "1B,20B,3.1"},
    ],
)
def test_every_plan_has_a_page(options):
    """The page holds the answer, both figures and the advice, whatever the plan; the same plan gives the same page."""
    plan = make_plan(**options)
    page = plan_page(plan, options.get("law", "default"))
    texts = " ".join(read(page).texts)
    assert plan.answer in texts
    assert [one.split(",")[0] for one in captions(page)] == ["What repeating costs", "Tokens wanted by a model"]
    for one in plan.advice:
        assert one.text in texts
        assert one.seen_at in texts
    for law in plan.laws:
        assert law.law.source in texts
    assert plan_page(make_plan(**options), options.get("law", "default")) == page


def test_the_plan_is_marked_in_its_figures():
    """The ring of the penalty stands at the plan's epochs and on its curve; the other at its parameters and tokens."""
    page = plan_page(make_plan(params="1.3B", unique_tokens="5B", epochs=10))
    assert "this plan: 10" in page
    assert "50B trained on" in page
    assert "5B unique tokens" in page
    figure = page.split("What repeating costs, at 50B training tokens</figcaption>")[1].split("</figure>")[0]
    x, y = map(float, re.search(r'class="ring"[^>]*cx="([\d.]+)" cy="([\d.]+)"', figure).groups())
    line = re.search(r'class="line"[^>]*points="([^"]+)"', figure).group(1)
    points = np.array([list(map(float, pair.split(","))) for pair in line.split()])
    assert np.interp(x, points[:, 0], points[:, 1]) == pytest.approx(y, abs=1.5)
    assert figure.count('class="dot"') == len(repetition.MEASURED)


def test_part_for_the_report_of_a_count():
    """The part for another report has the sources with their warnings; names of sources are texts."""
    sources = [Source(HOSTILE, 1e9, 1.0), Source("web", 8e9, 1.0)]
    plan = make_plan(sources, params="1B", tokens="40B")
    body = plan_body(plan)
    assert HOSTILE in " ".join(read(body).texts)
    assert "is seen 20 times" in body
    assert not body.startswith("<!doctype")
    read(plan_page(plan))


def test_page_of_a_chinchilla_fit(shared_data):
    """The published points: predicted against observed, three residuals, IsoFLOP parabolas, and every run as a dot."""
    points = shared_data / "chinchilla_points" / "svg_extracted_data.csv"
    fit = fit_law(points, drop_highest=5, bootstrap=20)
    page = fit_page(fit)
    texts = " ".join(read(page).texts)
    assert captions(page) == [
        "Predicted and observed loss",
        "Residuals against parameters",
        "Residuals against tokens",
        "Residuals against compute",
        "IsoFLOP curves and their parabolas, FLOP at each minimum",
        "Best size for a budget",
    ]
    assert {dots(page, caption) for caption in captions(page)[:4]} == {240}
    second = next(one for one in fit.approaches if one.approach == 2)
    assert dots(page, captions(page)[4]) == sum(len(curve.params) for curve in second.curves)
    assert "fewer than one token a parameter" in texts
    assert "one of the 5 highest losses" in texts


def test_page_of_a_repetition_fit(shared_data, tmp_path):
    """The 182 runs: residuals against epochs too, and the profile of R_D_star with the published value."""
    path = tmp_path / "runs.csv"
    with (shared_data / "data_constrained_runs" / "datablations_runs.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["in_fit_182"] == "1"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    fit = fit_law(path, law="repetition", bootstrap=20)
    page = fit_page(fit)
    read(page)
    assert "Residuals against epochs" in captions(page)
    assert dots(page, "How well R_D_star is known") == len(fit.profile)
    assert "published 15.4" in page


@pytest.mark.parametrize("bootstrap", [0, 20])
def test_page_of_a_curve(tmp_path, bootstrap):
    """A training curve: the log before and after the cut, the fitted line, its interval and the forecast."""
    path = tmp_path / "log.csv"
    generator = np.random.default_rng(0)
    rows = [(s, 2 + (900 / s) ** 0.5 + generator.normal(0, 0.02)) for s in range(10, 4000, 10)]
    path.write_text("step,loss\n" + "".join(f"{s},{loss}\n" for s, loss in rows))
    fit = fit_law(path, law="curve", until=0.5, to=20_000, bootstrap=bootstrap)
    page = fit_page(fit)
    read(page)
    assert captions(page) == ["The curve carried on", "Residuals against step"]
    assert ("95 % interval" in page) == bool(bootstrap)
    assert "log, held back" in page
    assert f"{fit.forecast.loss.value:.3f} at 20k" in page
    assert fit.forecast.curve[-1].step == pytest.approx(20_000)
    assert fit.forecast.curve[-1].loss == pytest.approx(fit.forecast.loss.value)


def test_page_of_a_fit_without_approaches(tmp_path):
    """Few runs of Kaplan's law give a page too; a hostile name of a surface stays a text."""
    rows = [(n, n * r, chinchilla.loss(n, n * r)) for n in (1e7, 1e8, 1e9) for r in (2.0, 20.0, 200.0)]
    path = tmp_path / "runs.csv"
    path.write_text("params,tokens,loss\n" + "".join(f"{n},{d},{loss}\n" for n, d, loss in rows))
    page = fit_page(fit_law(path, law="kaplan", bootstrap=0))
    read(page)
    assert "Best size for a budget" not in captions(page)
    own = tmp_path / f"{HOSTILE.replace('/', '')}.json"
    own.write_text(json.dumps(fit_law(path, bootstrap=0).to_json()))
    read(plan_page(make_plan(params="1B", law=own), str(own)))


def test_command_line_writes_the_page(tmp_path, capsys):
    """`--html` writes beside the result, says so on stderr unless quiet, and refuses other endings before any work."""
    path = tmp_path / "plan.html"
    assert run(app, ["plan", "--params", "1B", "--html", str(path), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["params"] == 1e9
    assert err == f"curate: wrote {path}\n"
    assert "Is the data enough for 1B parameters?" in path.read_text(encoding="utf-8")
    assert run(app, ["plan", "--params", "1B", "--html", str(path), "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    runs = tmp_path / "runs.csv"
    runs.write_text("params,tokens,loss\n")
    for wrong, says in (
        (str(runs), "should end in .html"),
        (str(tmp_path / "none" / "a.html"), "directory that exists"),
    ):
        assert run(app, ["fit", str(runs), "--html", wrong]) == 2
        assert says in capsys.readouterr().err
    assert runs.read_text() == "params,tokens,loss\n"
