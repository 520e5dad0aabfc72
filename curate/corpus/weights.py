"""How often each source of a corpus is seen, for given shares of the training tokens.

The tokens that a source gives over its unique tokens are its epochs. With a cap on the epochs the surplus of a source
that reaches it goes to the others, in proportion to their shares: the mixture nearest to the one asked for that repeats
nothing too often. Up to four epochs cost little (Muennighoff et al. 2023, arXiv 2305.16264, abstract).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curate.errors import UsageError


def parse_weights(pairs: tuple[str, ...]) -> dict[str, float]:
    """Read SOURCE=SHARE pairs; UsageError where a share is no number of at least 0, or none is above 0."""
    weights: dict[str, float] = {}
    for pair in pairs:
        name, _, text = pair.rpartition("=")
        try:
            weights[name] = float(text)
        except ValueError:
            raise UsageError(f"--weights {pair}: {text} is no number", "Write --weights web=0.6,books=0.4") from None
        if not 0 <= weights[name] < float("inf"):
            raise UsageError(f"--weights {pair}: a share is at least 0", "Write --weights web=0.6,books=0.4")
    if weights and sum(weights.values()) <= 0:
        raise UsageError("--weights: all shares are 0", "Write --weights web=0.6,books=0.4")
    return weights


def mixture(
    unique: Mapping[str, int], weights: Mapping[str, float], train_tokens: int | None, max_epochs: float | None
) -> dict[str, Any]:
    """Return tokens and epochs of each source.

    `unique` are the unique tokens by source, `weights` the shares asked for (none: those of the unique tokens),
    `train_tokens` all tokens to train on (None: the unique ones). `reachable_tokens` is below them where the cap allows
    no more.
    """
    asked = dict(weights) or {name: float(tokens) for name, tokens in unique.items()}
    total = sum(asked.values())
    shares = {name: weight / total if total else 0.0 for name, weight in asked.items()}
    wanted = sum(unique.values()) if train_tokens is None else train_tokens
    tokens = _capped(unique, shares, float(wanted), max_epochs)
    given = sum(tokens.values())
    return {
        "train_tokens": wanted,
        "reachable_tokens": round(given),
        "max_epochs": max_epochs,
        "sources": [
            {
                "source": name,
                "share_asked": round(shares[name], 6),
                "share": round(tokens[name] / given, 6) if given else 0.0,
                "tokens": round(tokens[name]),
                "unique_tokens": unique[name],
                "epochs": round(tokens[name] / unique[name], 4) if unique[name] else None,
                "capped": max_epochs is not None and tokens[name] < shares[name] * wanted * (1 - 1e-9),
            }
            for name in asked
        ],
    }


def _capped(
    unique: Mapping[str, int], shares: Mapping[str, float], wanted: float, max_epochs: float | None
) -> dict[str, float]:
    """Share `wanted` tokens out; a source takes at most `max_epochs` times its unique tokens (water-filling)."""
    caps = {name: float("inf") if max_epochs is None else max_epochs * unique[name] for name in shares}
    if max_epochs is None:
        caps = {name: cap if unique[name] else 0.0 for name, cap in caps.items()}
    tokens = dict.fromkeys(shares, 0.0)
    open_ = {name for name in shares if shares[name] > 0}
    left = wanted
    while open_ and left > 0:
        weight = sum(shares[name] for name in open_)
        full = {name for name in open_ if left * shares[name] / weight >= caps[name]}
        if not full:
            for name in open_:
                tokens[name] = left * shares[name] / weight
            break
        for name in full:
            tokens[name] = caps[name]
        left = wanted - sum(tokens.values())
        open_ -= full
    return tokens
