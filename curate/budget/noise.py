"""Gradient noise scale and critical batch of a run, from squared gradient norms at two batch sizes.

McCandlish et al. 2018, App. A.1: with |g_B|^2 at a small and a big batch, |G|^2 and tr(Sigma) have unbiased estimates,
and B_simple = tr(Sigma)/|G|^2 is about the batch where examples and steps are in balance. Decided here: both are
averaged over steps before the ratio is taken, because the ratio of one step is biased and 5 % on one norm moves it
fourfold; the interval is a bootstrap over blocks of steps. Where the average |G|^2 is not above zero there is no
answer. A caveat, measured by Merrill et al. 2025 (arXiv:2505.23971): B_simple can lie orders of magnitude under the
batch that still trains well, so read it as a trend and a lower mark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from curate.budget import batch
from curate.budget.config import NoiseConfig
from curate.budget.result import SCHEMA_VERSION, plain
from curate.budget.runs import Columns, read_columns
from curate.budget.words import number, size
from curate.config import resolve
from curate.errors import CurateError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_ROWS = 20
LOW_RATE = 0.3
"""A stretch at under this share of the highest rate counts as one with a low rate (our choice)."""


class Range(NamedTuple):
    """A value and its 95 % interval; `high` is infinite where |G|^2 may be zero."""

    value: float
    low: float
    high: float


class Stretch(NamedTuple):
    """Part of the training: its steps and what was measured there."""

    first: float
    last: float
    gradient_norm_squared: float
    variance: float
    b_simple: float | None
    """None where |G|^2 is not above zero."""
    temperature: float | None
    """Learning rate over batch."""


class Temperature(NamedTuple):
    """How the noise scale moves with T = lr/B; theory says B_noise ~ 1/T, a slope of -1."""

    slope: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class Noise:
    """What a log of gradient norms says about the batch, in the unit of the batches of the log."""

    rows: int
    b_small: float
    b_big: float
    gradient_norm_squared: Range
    variance: Range
    b_simple: Range
    stretches: tuple[Stretch, ...]
    temperature: Temperature | None
    advice: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the result as `curate noise --json` prints it."""
        return {"schema_version": SCHEMA_VERSION, **plain(self)}


class GradientNoise:
    """Noise scale inside a training loop, from two squared gradient norms a step.

    With gradient accumulation both come for free: the mean of |g|^2 over the micro-batches, and |g|^2 of their mean.

        noise = GradientNoise(b_small=8, b_big=256)
        ...
        b_simple = noise.update(mean_micro_norm_squared, batch_norm_squared)  # None until |G|^2 is above zero
    """

    def __init__(self, b_small: float, b_big: float, decay: float = 0.99) -> None:
        _check_batches(b_small, b_big)
        if not 0 <= decay < 1:
            raise UsageError(f"decay={decay:g} should be >= 0 and < 1")
        self.b_small, self.b_big, self.decay = b_small, b_big, decay
        self.gradient_norm_squared = self.variance = 0.0

    def update(self, g2_small: float, g2_big: float) -> float | None:
        """Take the squared gradient norms of one step; return B_simple of the running averages, or None."""
        sizes = self.b_small, self.b_big
        keep = self.decay
        self.gradient_norm_squared = keep * self.gradient_norm_squared + (1 - keep) * batch.gradient_norm_squared(
            *sizes, g2_small, g2_big
        )
        self.variance = keep * self.variance + (1 - keep) * batch.gradient_variance(*sizes, g2_small, g2_big)
        return self.b_simple

    @property
    def b_simple(self) -> float | None:
        """Noise scale in examples (or tokens, as the batches); both averages start at zero alike, so they cancel."""
        return self.variance / self.gradient_norm_squared if self.gradient_norm_squared > 0 else None


def measure_noise(log: str | Path, **options: Any) -> Noise:
    """Return the noise scale of a csv with squared gradient norms at two batches; the Python face of `curate noise`.

    `options` are those of the command (`b_small=32`, `b_big=512`, ...). Raises UsageError for batches that are missing
    or in the wrong order and options out of range; CurateError for a log that cannot be read, is too short, or whose
    average |G|^2 is not above zero.
    """
    config, _ = resolve(NoiseConfig, [("argument", options)])
    return noise_of(Path(log), config)


def noise_of(log: Path, config: NoiseConfig) -> Noise:
    """Return the noise scale of the log at `log`; errors as in `measure_noise`."""
    if config.windows < 1 or config.bootstrap < 20:
        raise UsageError(f"windows={config.windows} should be >= 1 and bootstrap={config.bootstrap} >= 20")
    columns = read_columns(log, ["g2_small", "g2_big"], ["step", "b_small", "b_big", "lr"], config.map)
    rows = len(columns["g2_small"])
    if rows < MIN_ROWS:
        raise CurateError(f"{log} has {rows} rows; the estimate needs >= {MIN_ROWS}", "Log more steps.")
    for name, value in (("b_small", config.b_small), ("b_big", config.b_big)):
        if value is not None:
            columns[name] = [float(value)] * rows
        elif name not in columns:
            raise UsageError(f"{log} has no column for {name}", f"Say it: --{name.replace('_', '-')} 32")
    for small, big in sorted(set(zip(columns["b_small"], columns["b_big"], strict=True))):
        _check_batches(small, big)
    return _measure(str(log), config, columns)


def _check_batches(small: float, big: float) -> None:
    """Raise UsageError where two batch sizes cannot tell signal from noise."""
    if not (math.isfinite(small) and math.isfinite(big) and 0 < small < big):
        raise UsageError(f"b_small={small:g} should be > 0 and < b_big={big:g}")


def _measure(log: str, config: NoiseConfig, columns: Columns) -> Noise:
    """Estimate over all rows and over stretches. Prior validation of data is assumed."""
    import numpy as np

    rows = list(zip(*(columns[name] for name in ("b_small", "b_big", "g2_small", "g2_big")), strict=True))
    signal = np.array([batch.gradient_norm_squared(*row) for row in rows])
    variance = np.array([batch.gradient_variance(*row) for row in rows])
    small, big = np.array(columns["b_small"]), np.array(columns["b_big"])
    if not signal.mean() > 0:
        raise CurateError(
            f"{log}: the average |G|^2 is {signal.mean():.3g}, not above 0: noise dominates",
            f"Use a larger b_big (now {big.mean():g}) or log more steps (now {len(signal)}).",
        )
    ranges = _ranges(config, signal, variance)
    steps = np.array(columns.get("step", range(len(signal))))
    rate = np.array(columns["lr"]) / big if "lr" in columns else None
    stretches = _stretches(min(config.windows, len(signal) // 2), steps, signal, variance, rate)
    heat = _temperature(stretches)
    return Noise(
        len(signal),
        float(small.mean()),
        float(big.mean()),
        *ranges,
        stretches,
        heat,
        _advice(ranges[2], float(big.mean()), stretches, heat),
    )


def _ranges(
    config: NoiseConfig, signal: NDArray[np.float64], variance: NDArray[np.float64]
) -> tuple[Range, Range, Range]:
    """Return |G|^2, tr(Sigma) and B_simple with intervals from a bootstrap over blocks of steps."""
    import numpy as np

    count = len(signal)
    block = max(1, round(count ** (1 / 3)))
    generator = np.random.default_rng(config.seed)
    first = generator.integers(0, count, size=(config.bootstrap, -(-count // block)))
    drawn = np.empty((config.bootstrap, 2))
    for place, starts in enumerate(first):  # row by row: a log of a million steps must not be copied a thousand times
        rows = ((starts[:, None] + np.arange(block)) % count).ravel()[:count]
        drawn[place] = signal[rows].mean(), variance[rows].mean()
    ratio = np.where(drawn[:, 0] > 0, drawn[:, 1] / np.where(drawn[:, 0] > 0, drawn[:, 0], 1.0), np.inf)
    found = []
    for value, draws in (
        (signal.mean(), drawn[:, 0]),
        (variance.mean(), drawn[:, 1]),
        (variance.mean() / signal.mean(), ratio),
    ):
        low, high = np.percentile(draws, [2.5, 97.5], method="nearest")  # an infinite draw must not be averaged
        found.append(Range(float(value), float(low), float(high)))
    return found[0], found[1], found[2]


def _stretches(
    windows: int,
    steps: NDArray[np.float64],
    signal: NDArray[np.float64],
    variance: NDArray[np.float64],
    rate: NDArray[np.float64] | None,
) -> tuple[Stretch, ...]:
    """Return the estimates over equal parts of the log."""
    import numpy as np

    found = []
    for rows in np.array_split(np.arange(len(signal)), windows):
        g2, tr = float(signal[rows].mean()), float(variance[rows].mean())
        heat = float(rate[rows].mean()) if rate is not None else None
        found.append(Stretch(float(steps[rows[0]]), float(steps[rows[-1]]), g2, tr, tr / g2 if g2 > 0 else None, heat))
    return tuple(found)


def _temperature(stretches: Sequence[Stretch]) -> Temperature | None:
    """Return the slope of ln B_simple on ln T over the stretches, None where T hardly moves."""
    points = [
        (math.log(s.temperature), math.log(s.b_simple))
        for s in stretches
        if s.temperature and s.b_simple is not None and s.b_simple > 0
    ]
    if len(points) < 3 or max(x for x, _ in points) - min(x for x, _ in points) < math.log(1.5):
        return None
    mean_x, mean_y = (sum(axis) / len(points) for axis in zip(*points, strict=True))
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
    return Temperature(slope, math.exp(min(x for x, _ in points)), math.exp(max(x for x, _ in points)))


def _advice(b_simple: Range, b_big: float, stretches: Sequence[Stretch], heat: Temperature | None) -> tuple[str, ...]:
    """Return what the numbers mean for the batch, in sentences."""
    value = b_simple.value
    upper = size(b_simple.high) if math.isfinite(b_simple.high) else "no upper end"
    found = [f"B_simple is {size(value)} (95 %: {size(b_simple.low)} to {upper}), in the unit of the logged batches."]
    if value <= 0:
        return (*found, "tr(Sigma) is not above 0: the two norms do not come from the same gradient.")
    steps, examples = batch.steps_at(b_big, 1.0, value), batch.examples_at(b_big, 1.0, value)
    found.append(
        f"At the logged batch of {size(b_big)} a loss takes {number(steps)} times the fewest steps and "
        f"{number(examples)} times the fewest examples; at B_simple both are 2."
    )
    found.append(
        "A larger batch still saves time."
        if b_big < value / 2
        else "The batch is about critical."
        if b_big < 2 * value
        else "A smaller batch would save compute at nearly the same number of steps."
    )
    found.append(
        "Direct measurements found critical batches far above B_simple (Merrill et al. 2025, arXiv:2505.23971): try "
        "one, and branch."
    )
    unknown = sum(1 for s in stretches if s.b_simple is None)
    if unknown:
        found.append(
            f"In {unknown} of {len(stretches)} stretches |G|^2 is not above 0: use fewer windows or a larger b_big."
        )
    rates = [s.temperature for s in stretches if s.temperature is not None]
    if rates and rates[-1] < LOW_RATE * max(rates):
        found.append(
            "The rate has decayed at the end: a rate that is too low inflates the noise scale (B_noise ~ 1/T, "
            "T = lr/B; McCandlish et al. 2018, arXiv:1812.06162), so take B_simple from the stretches at full rate."
        )
    if heat is not None and -1.5 <= heat.slope <= -0.5:
        found.append(
            f"B_simple follows the temperature (slope {heat.slope:.2f}, theory -1): it tells of the rate, not of loss."
        )
    return tuple(found)
