"""`measure_noise` and `GradientNoise`: gradients with a known signal and noise, and logs that cannot tell."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from curate.budget import batch
from curate.budget.noise import GradientNoise, measure_noise
from curate.errors import CurateError, UsageError

SIGNAL, VARIANCE, SMALL, BIG = 2.0, 600.0, 8, 256


def norms(rows, signal=SIGNAL, variance=VARIANCE, dimensions=200, seed=0):
    """Return |g|^2 at both batches for gradients with mean of squared norm `signal` and trace `variance`."""
    generator = np.random.default_rng(seed)
    mean = np.full(dimensions, np.sqrt(signal / dimensions))
    found = []
    for size in (SMALL, BIG):
        noise = generator.normal(0, np.sqrt(variance / dimensions / size), (rows, dimensions))
        found.append(((mean + noise) ** 2).sum(axis=1))
    return found


def log(path, small, big, **columns):
    names = ["step", "g2_small", "g2_big", *columns]
    rows = zip(range(len(small)), small, big, *columns.values(), strict=True)
    path.write_text("\n".join([",".join(names), *(",".join(repr(float(v)) for v in row) for row in rows)]) + "\n")
    return path


def measure(path, **options):
    return measure_noise(path, **({"b_small": SMALL, "b_big": BIG, "bootstrap": 200} | options))


def test_known_noise_scale_comes_back(tmp_path):
    """From 400 steps of gradients with tr(Sigma)/|G|^2 = 300, all three intervals hold the truth."""
    found = measure(log(tmp_path / "log.csv", *norms(400)))
    assert found.gradient_norm_squared.low <= SIGNAL <= found.gradient_norm_squared.high
    assert found.variance.low <= VARIANCE <= found.variance.high
    assert found.b_simple.low <= VARIANCE / SIGNAL <= found.b_simple.high
    assert len(found.stretches) == 10
    assert (found.stretches[0].first, found.stretches[-1].last) == (0, 399)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["rows"] == 400


def test_one_step_is_the_printed_example():
    """The running helper starts at the two-batch estimate of McCandlish's worked example."""
    noise = GradientNoise(32, 512)
    assert noise.update(4.1e-2, 2.8e-3) == pytest.approx(5150, rel=2e-3)
    assert noise.update(4.1e-2, 2.8e-3) == pytest.approx(batch.noise_scale(32, 512, 4.1e-2, 2.8e-3))


def test_helper_agrees_with_the_log(tmp_path):
    """Inside a loop, without decay of old steps worth mentioning, the helper ends where the log's average is."""
    small, big = norms(300)
    noise = GradientNoise(SMALL, BIG, decay=0.9999)
    for pair in zip(small, big, strict=True):
        last = noise.update(*pair)
    found = measure(log(tmp_path / "log.csv", small, big))
    assert last == pytest.approx(found.b_simple.value, rel=2e-2)
    assert GradientNoise(1, 2).b_simple is None
    assert GradientNoise(1, 2).update(1.0, 0.4) is None  # |G|^2 < 0


def test_growing_noise_is_seen_over_training(tmp_path):
    """When the signal shrinks over training, the later stretches have the larger noise scale."""
    parts = [norms(100, signal=s, seed=i) for i, s in enumerate((8.0, 4.0, 2.0, 1.0))]
    small, big = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    scales = [one.b_simple for one in measure(log(tmp_path / "log.csv", small, big), windows=4).stretches]
    assert scales == sorted(scales)


def test_temperature_view(tmp_path):
    """With B_noise ~ 1/T the slope is near -1 and the low rate at the end is warned of."""
    rates = np.repeat([1e-3, 5e-4, 2.5e-4, 1.25e-4], 100)
    parts = [norms(100, variance=300 * 1e-3 / rate, seed=i) for i, rate in enumerate(rates[::100])]
    small, big = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    found = measure(log(tmp_path / "log.csv", small, big, lr=rates), windows=4)
    assert found.temperature is not None
    assert found.temperature.slope == pytest.approx(-1, abs=0.35)
    assert "inflates" in " ".join(found.advice)
    flat = measure(log(tmp_path / "log.csv", small, big, lr=np.full(400, 1e-3)), windows=4)
    assert flat.temperature is None
    assert "inflates" not in " ".join(flat.advice)


def test_no_signal_is_refused(tmp_path):
    """Where the average |G|^2 is not above zero there is no answer, and the hint is a larger batch."""
    small = norms(100)[0]
    with pytest.raises(CurateError, match="noise dominates") as error:
        measure(log(tmp_path / "log.csv", small, small / 40))
    assert "larger b_big" in error.value.hint


def test_weak_signal_has_no_upper_end(tmp_path):
    """Where the bootstrap reaches |G|^2 <= 0 the upper end is open, and null in JSON."""
    for seed in range(20):
        small, big = norms(40, signal=0.05, dimensions=20, seed=seed)
        try:
            found = measure(log(tmp_path / "log.csv", small, big))
        except CurateError:
            continue
        if not np.isfinite(found.b_simple.high):
            assert found.to_json()["b_simple"]["high"] is None
            return
    pytest.fail("no seed gave an open interval")


def test_bad_logs_are_refused(tmp_path):
    """Missing batches, batches in the wrong order, missing columns, short logs, norms that are no numbers."""
    path = log(tmp_path / "log.csv", *norms(50))
    for wrong in ({"b_small": None}, {"b_small": 512}, {"b_big": 8}, {"windows": 0}, {"bootstrap": 1}):
        with pytest.raises(UsageError):
            measure(path, **wrong)
    with pytest.raises(CurateError, match=">= 20"):
        measure(log(tmp_path / "short.csv", *norms(5)))
    with pytest.raises(CurateError, match="line 2"):
        measure(log(tmp_path / "bad.csv", [float("nan")] * 30, [1.0] * 30))
    with pytest.raises(CurateError, match="no column for g2_big"):
        measure(path, map={"g2_small": "g2_big"})
    for sizes in ((8, 8), (0, 8), (float("nan"), 8)):
        with pytest.raises(UsageError):
            GradientNoise(*sizes)
    with pytest.raises(UsageError):
        GradientNoise(8, 64, decay=1.0)


def test_the_helper_loads_nothing_heavy():
    """A training loop that imports the helper does not import numpy or polars with it."""
    code = "import sys; import curate.budget.noise; assert not {'numpy', 'polars', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
