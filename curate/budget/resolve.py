"""From what the user gave to N, C, D, U and epochs: the rest follows, and a contradiction is an error.

Nothing is guessed about units: a size that no model or corpus has is refused with the two readings it may have had.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from curate.budget import hardware, repetition, shapes
from curate.budget.architectures import read_shape
from curate.budget.config import PlanConfig
from curate.budget.lawset import LawSet
from curate.budget.words import size
from curate.errors import UsageError

AGREE = 0.01
"""Two ways to the same number may differ by so much (our choice: `20` and `19.9` epochs mean the same)."""

_LAW_SAYS = "compute-optimal: "
_LARGE = {"mfu": "A share of the peak: 0.4, not 40.", "epochs": "Passes over the unique tokens; are these in millions?"}
# What a size must be to be one: the lowest and highest that make sense, and what a smaller number was meant to be.
_BOUNDS = {
    "params": (1e4, 1e15, "1.3 means 1.3 parameters; type 1.3B for 1.3 billion"),
    "active_params": (1e4, 1e15, "type 3B for 3 billion"),
    "compute": (1e10, 1e32, "compute is in FLOP; 1 PF-day is 8.64e19, or give --gpu and --gpu-hours"),
    "gpu_hours": (1e-3, 1e11, "hours of one GPU, times the number of GPUs"),
    "mfu": (0.01, 1.0, "a share of the peak: 0.4, not 40"),
    "unique_tokens": (1e3, 1e17, "type 5B for 5 billion tokens"),
    "tokens": (1e3, 1e17, "type 26B for 26 billion tokens"),
    "epochs": (1e-6, 1e6, "passes over the unique tokens"),
    "batch": (1.0, 1e12, "the batch is in tokens: sequences times their length"),
    "context": (1, 1e8, "tokens a sequence"),
    "vocab": (2, 1e8, "entries of the vocabulary"),
    "serve_tokens": (1e3, 1e20, "type 1T for a trillion tokens"),
}


@dataclass(frozen=True)
class Sizes:
    """The numbers that everything else is computed from."""

    params: float
    active: float
    non_embedding: float
    compute: float
    tokens: float
    unique: float
    shape: shapes.Shape | None
    shape_read: bool
    """The shape comes from a config.json; otherwise it is proposed."""
    given: tuple[str, ...]
    assumptions: tuple[str, ...]

    @property
    def epochs(self) -> float:
        """Passes over the unique tokens."""
        return self.tokens / self.unique


def resolve(config: PlanConfig, laws: LawSet) -> Sizes:
    """Return the sizes that `config` means.

    Raises UsageError for a size that none has, for too little to start from and for numbers that contradict each other.
    """
    _check(config)
    given = tuple(name for name in (*_BOUNDS, "model", "gpu") if name != "mfu" and _is_given(config, name))
    read = read_shape(config.model) if config.model is not None else None
    counts = shapes.count(read) if read else None
    params = _same("params", config.params, counts and counts.total, "the parameters of the model config")
    active = _same("active_params", config.active_params, _sparse(counts), "the active ones of the model config")
    if params is not None and active is not None and active > params:
        raise UsageError(f"active_params={size(active)} should be <= params={size(params)}")
    compute = _same("compute", config.compute, _gpu_compute(config), "GPU-hours * peak * MFU")
    tokens = _product("tokens", config.tokens, config.epochs, config.unique_tokens)
    if params is None and compute is None:
        raise UsageError("a plan needs params or compute", "Type --params 1.3B, or --compute 1e22.")
    assumptions: list[str] = []
    params, compute, tokens = _solve(params, active, compute, tokens, config.unique_tokens, laws, assumptions)
    unique = config.unique_tokens
    if unique is not None:
        _in_bounds("epochs", tokens / unique, f"{size(tokens)} tokens from {size(unique)} unique ones: ")
    else:
        unique = tokens / (config.epochs or 1.0)
        if config.epochs is None:
            assumptions.append("no unique tokens given: every token is taken to be new")
    if config.batch is not None and config.batch > tokens:
        raise UsageError(
            f"batch={size(config.batch)} should be <= the {size(tokens)} tokens of the whole run",
            "The batch is in tokens a step: sequences times their length.",
        )
    if config.batch is not None and config.batch < config.context:
        raise UsageError(
            f"batch={config.batch:g} tokens is less than one sequence of {config.context:,}",
            f"The batch is in tokens: {config.batch:g} sequences are {size(config.batch * config.context)}. Or give "
            "--context.",
        )
    if tokens < (active or params):
        assumptions.append("fewer tokens than parameters is meant, and the two are not swapped")
    shape = read or shapes.propose(params, config.vocab)
    known = counts or (shapes.count(shape) if shape else None)
    non_embedding = params * (known.non_embedding / known.total) if known else params
    if not read:
        assumptions.append(
            "the share of embeddings is that of the proposed shape"
            if known
            else f"a vocabulary of {config.vocab:,} leaves no room for layers: all parameters count as non-embedding"
        )
    if active is not None and active != params:
        assumptions.append(
            "a mixture of experts: compute and tokens wanted follow the active parameters, overfitting the total ones; "
            "every law here was fitted on dense models"
        )
    return Sizes(
        params,
        active or params,
        non_embedding,
        compute,
        tokens,
        unique,
        shape,
        read is not None,
        given,
        tuple(assumptions),
    )


def _solve(
    params: float | None,
    active: float | None,
    compute: float | None,
    tokens: float | None,
    unique: float | None,
    laws: LawSet,
    assumptions: list[str],
) -> tuple[float, float, float]:
    """Return N, C and D from those that are known; C = 6 N_active D."""
    if params is None:
        assert compute is not None
        if tokens is not None:
            params = compute / (6 * tokens)
        elif unique is not None:
            assumptions.append("the model size is the best one for this compute and these unique tokens")
            params = repetition.best_allocation(compute, unique, laws.repetition, laws.repeated_surface).params
        else:
            assumptions.append("the model size is the compute-optimal one")
            params = laws.params_wanted(compute)
        _in_bounds("params", params, _LAW_SAYS if tokens is None else "from compute and tokens: ")
    used, says = active or params, "from compute and params: "
    if compute is not None:
        tokens = _same("tokens", tokens, compute / (6 * used), "compute / (6 * params)")
    if tokens is None:
        assumptions.append("no training tokens given: the compute-optimal number is taken")
        tokens, says = laws.tokens_wanted(used), _LAW_SAYS
    assert tokens is not None
    _in_bounds("tokens", tokens, says)
    return params, compute if compute is not None else 6 * used * tokens, tokens


def _sparse(counts: shapes.Counts | None) -> float | None:
    """Return the active parameters of a mixture of experts, None for a dense model."""
    return counts.active if counts is not None and counts.active < counts.total else None


def _gpu_compute(config: PlanConfig) -> float | None:
    """Return the FLOP of the GPU-hours given."""
    if config.gpu is None and _is_given(config, "mfu"):
        raise UsageError(f"mfu={config.mfu:g} needs gpu", f"Type --gpu h100; known: {', '.join(hardware.PEAK)}")
    if config.gpu_hours is None:
        return None
    if config.gpu is None:
        raise UsageError("gpu_hours needs gpu", f"Type --gpu h100; known: {', '.join(hardware.PEAK)}")
    return config.gpu_hours * hardware.flop_per_hour(config.gpu, config.mfu)


def _product(name: str, tokens: float | None, epochs: float | None, unique: float | None) -> float | None:
    """Return D, checked against epochs * U where all three are given."""
    if epochs is None or unique is None:
        return tokens
    return _same(name, tokens, epochs * unique, f"epochs={epochs:g} * unique_tokens={size(unique)}")


def _same(name: str, given: float | None, other: float | None, meaning: str) -> float | None:
    """Return the one of two values for the same quantity that is there; both must agree."""
    if given is None or other is None:
        return given if other is None else other
    if abs(math.log(given / other)) > AGREE:
        raise UsageError(
            f"{name}={size(given)} contradicts {meaning} = {size(other)}; they should agree within {AGREE:.0%}",
            "Leave one of them out: it follows from the others.",
        )
    return given


def _is_given(config: PlanConfig, name: str) -> bool:
    """Return whether the user set an option."""
    return getattr(config, name) is not None and getattr(config, name) != getattr(PlanConfig, name)


def _check(config: PlanConfig) -> None:
    """Raise UsageError where an option is no size of its kind."""
    for name in _BOUNDS:
        value = getattr(config, name)
        if value is not None:
            _in_bounds(name, value)
    if config.calibrate:
        if len(config.calibrate) != 3:
            given = ",".join(f"{value:g}" for value in config.calibrate)
            raise UsageError(f"calibrate={given} should be N,D,loss", "Example: --calibrate 124M,2.5B,3.31")
        params, tokens, loss = config.calibrate
        _in_bounds("params", params, "in calibrate: ")
        _in_bounds("tokens", tokens, "in calibrate: ")
        if not (math.isfinite(loss) and 0 < loss < 20):
            raise UsageError(f"in calibrate: loss={loss:g} should be > 0 and < 20 nats a token")


def _in_bounds(name: str, value: float, where: str = "") -> None:
    """Raise UsageError where a value is no size of its kind."""
    low, high, meant = _BOUNDS[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{where}{name}={value!r} should be a number > 0")
    if value <= 0:
        raise UsageError(f"{where}{name}={value:g} should be > 0")
    if value < low:
        raise UsageError(f"{where}{name}={value:.4g} should be >= {low:g}", meant[0].upper() + meant[1:])
    if value > high:
        raise UsageError(f"{where}{name}={value:.4g} should be <= {high:g}", _LARGE.get(name, "Check its unit."))
