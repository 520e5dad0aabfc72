"""K-means with the search on a torch device, here torch's CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import UsageError
from curate.sft import kmeans
from curate.sft.distance import squared_norms
from curate.sft.kmeans_torch import search_on


def clusters(X: np.ndarray, k: int, metric: str, fitted: int, search: kmeans.Search) -> kmeans.Clusters:
    order = kmeans._hashed(X, 0, 1)
    return kmeans._kmeans(X, squared_norms(X), order, k, metric, fitted, 25, 0, 1, search, None, lambda *_: None)


@settings(deadline=None, max_examples=30)
@given(
    st.integers(1, 200), st.integers(1, 12), st.integers(1, 20), st.sampled_from(kmeans.METRICS), st.booleans(),
    st.integers(0, 1000),
)  # fmt: skip
def test_the_same_bytes_as_with_numpy(n, d, k, metric, tied, seed):
    """Random rows, and rows of small whole numbers, which are full of ties and copies."""
    rng = np.random.default_rng(seed)
    X = (rng.integers(-1, 2, (n, d)) if tied else rng.standard_normal((n, d))).astype(np.float32)
    if metric == "cosine":
        X /= np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-9)
    k, fitted = min(k, n), max(min(k, n), n // 2)
    want = clusters(X, k, metric, fitted, kmeans.search_here(1))
    got = clusters(X, k, metric, fitted, search_on("cpu", 1))
    for name in ("centers", "labels", "similarity"):
        assert getattr(got, name).tobytes() == getattr(want, name).tobytes()


def test_chunks_and_allowed_precision_change_nothing(monkeypatch):
    """Rows are cut as the device's memory asks; bfloat16 products are kept out, and allowed again afterwards."""
    X = np.random.default_rng(0).standard_normal((3000, 64)).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    want = clusters(X, 50, "cosine", 2000, kmeans.search_here(1))
    monkeypatch.setattr("curate.sft.kmeans_torch._SCORES", 10_000)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        got = clusters(X, 50, "cosine", 2000, search_on("cpu", 1))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert got.labels.tobytes() == want.labels.tobytes()
    assert got.centers.tobytes() == want.centers.tobytes()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_bytes():
    """The public function, on the device."""
    X = np.random.default_rng(0).standard_normal((20_000, 64)).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    here = kmeans.kmeans(X, 200, seed=0, sample=10_000)
    there = kmeans.kmeans(X, 200, seed=0, sample=10_000, device="cuda")
    assert there.labels.tobytes() == here.labels.tobytes()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_is_refused():
    """No silent fall-back."""
    with pytest.raises(UsageError, match="no GPU"):
        kmeans.kmeans(np.eye(3, dtype=np.float32), 2, seed=0, device="cuda")
