"""Matrix products on a GPU in full float32, for which the error bounds of `curate/sft/distance.py` hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def full_precision() -> Iterator[None]:
    """Keep torch's matrix products from TF32 and bfloat16; the former setting comes back at the end."""
    import torch

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
