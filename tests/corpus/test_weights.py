"""Mixtures: tokens and epochs by source, with and without a cap on the epochs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.corpus.weights import mixture, parse_weights
from curate.errors import UsageError


def test_epochs_are_tokens_over_unique_tokens():
    """Shares of the training tokens give tokens, and tokens over unique tokens are epochs."""
    found = mixture({"web": 600, "books": 100}, {"web": 3, "books": 1}, 1000, None)
    assert [(s["source"], s["share"], s["tokens"], s["epochs"]) for s in found["sources"]] == [
        ("web", 0.75, 750, 1.25), ("books", 0.25, 250, 2.5),
    ]  # fmt: skip


def test_without_weights_the_corpus_is_seen_as_it_is():
    """No weights and no training tokens: every source once."""
    found = mixture({"a": 10, "b": 30}, {}, None, None)
    assert [s["epochs"] for s in found["sources"]] == [1.0, 1.0]


def test_a_cap_moves_the_surplus_to_the_others():
    """A source at the cap gives its surplus to the others in proportion to their shares."""
    found = mixture({"a": 100, "b": 1000, "c": 1000}, {"a": 0.5, "b": 0.3, "c": 0.2}, 1000, 2)
    assert [(s["tokens"], s["capped"]) for s in found["sources"]] == [(200, True), (480, False), (320, False)]
    assert found["reachable_tokens"] == 1000


def test_a_cap_may_leave_too_little():
    """Where all sources reach the cap fewer tokens can be given than asked for."""
    found = mixture({"a": 10, "b": 20}, {"a": 1, "b": 1}, 1000, 4)
    assert found["reachable_tokens"] == 120
    assert [s["epochs"] for s in found["sources"]] == [4.0, 4.0]


@settings(deadline=None, max_examples=80)
@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.floats(0, 10)), min_size=1, max_size=6),
    st.integers(1, 10**10),
    st.none() | st.floats(0.1, 50),
)
def test_no_source_passes_the_cap_and_nothing_is_lost(sources, train_tokens, max_epochs):
    """Tokens add up to what is reachable; none is above its cap; who is below it keeps its proportion."""
    unique = {str(i): tokens for i, (tokens, _) in enumerate(sources)}
    weights = {str(i): weight for i, (_, weight) in enumerate(sources)}
    if sum(weights.values()) == 0:
        return
    found = mixture(unique, weights, train_tokens, max_epochs)
    tokens = {s["source"]: s["tokens"] for s in found["sources"]}
    assert abs(sum(tokens.values()) - found["reachable_tokens"]) <= len(tokens)
    assert found["reachable_tokens"] <= train_tokens
    cap = float("inf") if max_epochs is None else max_epochs
    for name, given_tokens in tokens.items():
        assert given_tokens <= (cap * unique[name] if unique[name] else 0) + 1
    if found["reachable_tokens"] < train_tokens - 1:
        assert all(tokens[name] >= cap * unique[name] - 1 for name in tokens if weights[name] > 1e-9 and unique[name])


@pytest.mark.parametrize(
    ("pairs", "said"), [(("web=x",), "no number"), (("web=-1",), "at least 0"), (("web=0",), "all shares are 0")]
)
def test_shares_are_numbers(pairs, said):
    """A share that is no share says what to write."""
    with pytest.raises(UsageError, match=said):
        parse_weights(pairs)
    assert parse_weights(("web=0.6", "a=b=2")) == {"web": 0.6, "a=b": 2.0}
