"""The search of K-means on a torch device: the labels that `kmeans.nearest_centers` gives, so the same clusters.

Plain chunked torch: a float32 matrix product, its maximum, and how many scores come within the error of it. The few
rows where that is more than one are decided by the CPU in float64. Nothing else of K-means is worth a GPU: sums change
by the rows that moved, and the start sees a part of the rows.

Not measured on a GPU yet; tests run it on torch's CPU device.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curate.engine.precision import full_precision
from curate.errors import UsageError
from curate.sft.distance import F32, F64, I64
from curate.sft.kmeans import Nearest, Search, nearest_centers

_SCORES = 2**27  # float32 scores at a time: 512 MB of the device


def search_on(device: str, workers: int) -> Search:
    """Return the search for nearest centres on a torch `device`; UsageError where there is no such device."""
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"device is {device}, but torch finds no GPU", "Use device='cpu'")

    def search(X: F32, window: float) -> Nearest:
        held = torch.as_tensor(X if X.flags.writeable else X.copy(), device=device)

        def nearest(centers: F32, half: F64) -> I64:
            labels, sure = _screen(held, centers, half, window)
            rows = np.flatnonzero(~sure)
            labels[rows] = nearest_centers(X[rows], centers, half, window, workers)
            return labels

        return nearest

    return search


def _screen(held: Any, centers: F32, half: F64, window: float) -> tuple[I64, Any]:
    """Return the centre of the largest float32 score of each row, and where no other comes within `window` of it."""
    import torch

    columns = torch.as_tensor(centers, device=held.device).T
    rough = torch.as_tensor(half.astype(np.float32), device=held.device)
    labels, sure = [], []
    with full_precision():
        for rows in held.split(max(1, _SCORES // len(centers))):
            scores = rows @ columns
            scores -= rough
            top, label = scores.max(dim=1)
            labels.append(label)
            sure.append((scores >= (top - window)[:, None]).sum(dim=1) == 1)
    return torch.cat(labels).cpu().numpy(), torch.cat(sure).cpu().numpy()
