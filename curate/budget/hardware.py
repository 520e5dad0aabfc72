"""GPU-hours to FLOP: dense BF16 peak of common accelerators (makers' data sheets, without the sparsity factor)."""

from __future__ import annotations

from curate.errors import unknown_name

PEAK = {
    "a10": 125e12,
    "a100": 312e12,
    "b200": 2.25e15,
    "h100": 989e12,
    "h100-pcie": 756e12,
    "h200": 989e12,
    "l4": 121e12,
    "l40s": 362e12,
    "mi300x": 1.3074e15,
    "rtx3090": 71e12,
    "rtx4090": 165.2e12,
    "rtx5090": 209.5e12,
    "t4": 65e12,  # FP16: it has no BF16
    "v100": 125e12,  # FP16: it has no BF16
}
"""FLOP/s; consumer cards with FP32 accumulation, as training needs it."""


def flop_per_hour(gpu: str, mfu: float) -> float:
    """Return the FLOP that one GPU delivers in an hour at a share `mfu` of its peak."""
    name = gpu.lower().replace(" ", "").replace("_", "-")
    if name not in PEAK:
        raise unknown_name("gpu", gpu, PEAK)
    return PEAK[name] * mfu * 3600
