"""Matrix products in full float32, and only while they are wanted."""

from __future__ import annotations

import torch

from curate.engine.precision import full_precision


def test_tf32_is_off_while_it_runs_and_comes_back():
    """The error bounds hold without TF32 only; what the caller had set is set again."""
    torch.set_float32_matmul_precision("high")
    try:
        with full_precision():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
