"""The part `train` of evidence.py: a small transformer of bytes, trained from scratch on a selection.

A decoder of a few layers reads instances of Super-NI, input and answer, cut at 128 bytes, for a fixed number of steps
whatever the selection, so that all runs cost the same. What counts is its loss in bits a byte on held-out rows, mean of
the means of the 38 categories. The loss of so small a model says how much of the pool's language a selection holds. It
does not say how good a fine-tuned model's answers are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

LENGTH, WIDTH, LAYERS, HEADS = 128, 128, 2, 4
BATCH, RATE = 16, 3e-3
PAD = 256


def as_bytes(texts: list[str]) -> np.ndarray:
    """Return the first bytes of each text, (n, LENGTH) int64, padded behind the end."""
    out = np.full((len(texts), LENGTH), PAD, dtype=np.int64)
    for row, text in zip(out, texts, strict=True):
        data = np.frombuffer(text.encode()[:LENGTH], dtype=np.uint8)
        row[: len(data)] = data
    return out


def bits_per_byte(
    train: np.ndarray, held: np.ndarray, categories: np.ndarray, seed: int, steps: int, device: str
) -> np.ndarray:
    """Train on `train` (n, LENGTH) and return the bits a byte on `held` by category.

    categories: (m,) of the held-out rows. seed: of the weights and of the order of the rows.
    """
    import torch

    torch.manual_seed(seed)
    model = _decoder().to(device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.1)
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(len(train)) for _ in range(math.ceil(steps * BATCH / len(train)))])
    for step in range(steps):
        batch = torch.from_numpy(train[order[step * BATCH : (step + 1) * BATCH]]).to(device)
        losses, counts = _losses(model, batch)
        optimiser.zero_grad()
        (losses.sum() / counts.sum()).backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        parts = [_losses(model, torch.from_numpy(held[i : i + 100]).to(device)) for i in range(0, len(held), 100)]
    loss, count = (torch.cat(values).double().cpu().numpy() for values in zip(*parts, strict=True))
    bits = np.bincount(categories, loss) / np.maximum(np.bincount(categories, count), 1) / math.log(2)
    return bits[np.unique(categories)]


def _decoder() -> torch.nn.ModuleDict:
    from torch import nn

    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True)
    return nn.ModuleDict(
        {
            "byte": nn.Embedding(PAD + 1, WIDTH),
            "place": nn.Embedding(LENGTH, WIDTH),
            "layers": nn.TransformerEncoder(layer, LAYERS, nn.LayerNorm(WIDTH), enable_nested_tensor=False),
            "out": nn.Linear(WIDTH, PAD),
        }
    )


def _losses(model: torch.nn.ModuleDict, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for each row of `batch` (b, LENGTH) the sum of the losses of its bytes but the first, and their number."""
    import torch

    known, following = batch[:, :-1], batch[:, 1:]
    places = torch.arange(known.shape[1], device=batch.device)
    later = torch.nn.Transformer.generate_square_subsequent_mask(len(places), device=batch.device)
    hidden = model["layers"](model["byte"](known) + model["place"](places), mask=later, is_causal=True)
    target = following.masked_fill(following == PAD, -100)
    losses = torch.nn.functional.cross_entropy(model["out"](hidden).transpose(1, 2), target, reduction="none")
    return losses.sum(dim=1), (target >= 0).sum(dim=1)
