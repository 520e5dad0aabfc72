"""Mean pairwise cosine and centring: against every pair, against float64, at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.sft import isotropy


def cone(n: int, d: int, seed: int, spread: float = 0.1) -> np.ndarray:
    """Return unit rows around one direction."""
    rng = np.random.default_rng(seed)
    rows = np.ones(d) + spread * rng.standard_normal((n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 40), st.integers(2, 20), st.integers(0, 2**32 - 1), st.booleans())
def test_mean_cosine_is_that_of_all_pairs(n, d, seed, with_zero) -> None:
    """The formula gives the mean over all pairs, zero rows included, to the rounding of float32 norms."""
    rows = cone(n, d, seed, spread=2)
    if with_zero:
        rows[0] = 0
    eps = float(np.finfo(np.float32).eps)
    assert isotropy.mean_cosine(rows) == pytest.approx(isotropy.mean_cosine_reference(rows), abs=2 * eps)


def test_one_row_has_no_pair() -> None:
    """With one row there is nothing to say."""
    assert isotropy.mean_cosine(cone(1, 3, 0)) is None
    assert isotropy.narrow_note(None, centered=False) == []


def test_centring_opens_a_cone() -> None:
    """Centred rows are the float64 ones, have unit norm and a mean pairwise cosine near -1 / (n - 1)."""
    rows = cone(500, 16, 3)
    assert isotropy.mean_cosine(rows) > isotropy.NARROW
    expected = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    isotropy.center(rows)
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert abs(isotropy.mean_cosine(rows)) < 0.05


def test_rows_that_are_the_mean_become_zero() -> None:
    """Rows that are all alike have no direction about their mean."""
    rows = np.repeat(cone(1, 8, 1), 5, axis=0)
    isotropy.center(rows)
    assert not rows.any()


def test_workers_change_no_bit(monkeypatch) -> None:
    """Sums go through fixed blocks."""
    monkeypatch.setattr(isotropy, "_BLOCK", 7)
    one, three = cone(100, 9, 5), cone(100, 9, 5)
    assert isotropy.mean_cosine(one, 1) == isotropy.mean_cosine(three, 3)
    isotropy.center(one, 1)
    isotropy.center(three, 3)
    assert one.tobytes() == three.tobytes()


def test_a_narrow_cone_is_said_with_what_to_do() -> None:
    """Above 0.9 the note names --center, unless that was done already."""
    assert "--center" in isotropy.narrow_note(0.95, centered=False)[0]
    assert "--center" not in isotropy.narrow_note(0.95, centered=True)[0]
    assert isotropy.narrow_note(0.9, centered=False) == []
