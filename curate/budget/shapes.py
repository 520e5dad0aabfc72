"""Parameters and FLOP of a transformer from its shape, or from a `config.json` (`architectures.py` reads that).

Laws disagree about what N is: Kaplan leaves embeddings out, Hoffmann counts them, and that alone explains most of the
gap between the two. So every count is given both ways, and for mixtures of experts both in total and active a token.

`12 l d^2` is the count of a plain GPT without embeddings, biases and norms; it fails for grouped queries, gated or
narrow feed-forward layers and experts. `6 N D` is the FLOP of its matrix products; it leaves out the attention scores
(they matter unless d > context/12, Kaplan et al. 2020, section 2.1) and treats embeddings as products, which they are
not. `six_nd_ratio` says by how much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from curate.budget.law import Constant, Law

KAPLAN_COUNT = Law(
    "kaplan2020.flop",
    "forward FLOP a token = 2 N + 2 layers * context * width; training = 3 times that",
    "Kaplan et al. 2020, arXiv:2001.08361",
    (Constant("backward", 2.0, "forward passes", "exact", "section 2.1"),),
    note="N without embeddings; the second term is causal attention, half of the full square",
)
SHAPE_HARDLY_MATTERS = (
    "At equal parameters the shape hardly matters: 6 layers of width 4,288 come within 3 % of the loss of 48 layers of "
    "width 1,600 (Kaplan et al. 2020, section 3.1)."
)


@dataclass(frozen=True)
class Latent:
    """Multi-head latent attention: queries and keys pass through low ranks (DeepSeek-V2, arXiv:2405.04434)."""

    query_rank: int
    """0: queries are not compressed."""
    key_rank: int
    rope_dim: int
    plain_dim: int
    value_dim: int


@dataclass(frozen=True)
class Shape:
    """The shape of a decoder-only transformer; the defaults are those of a Llama."""

    layers: int
    width: int
    heads: int
    ff: int
    vocab: int
    kv_heads: int = 0
    """0: as many as heads."""
    head_dim: int = 0
    """0: width / heads."""
    gated: bool = True
    tied: bool = False
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    norm_bias: bool = False
    norms: int = 2
    """Norms a layer, each with `width` weights; the final norm counts apart."""
    final_norm: bool = True
    qk_norm: str = "none"
    """none, head (one weight a head dimension) or full (one weight a query or key dimension)."""
    positions: int = 0
    """Rows of a learned position table; 0 for rotary or relative positions."""
    relative_matrix: bool = False
    """One more width x (heads * head_dim) matrix a layer, for relative positions (Chinchilla)."""
    experts: int = 0
    experts_active: int = 0
    expert_ff: int = 0
    shared_ff: int = 0
    shared_gate: bool = False
    dense_layers: int = 0
    """Layers without experts in a mixture of experts."""
    latent: Latent | None = None


class Counts(NamedTuple):
    """Parameters of a model."""

    total: int
    active: int
    """Used by one token; equals `total` without experts."""
    embedding: int
    """Token and position tables and an untied output head."""

    @property
    def non_embedding(self) -> int:
        """N as Kaplan counts it, norms and biases included."""
        return self.total - self.embedding

    @property
    def active_non_embedding(self) -> int:
        """Active parameters without embeddings."""
        return self.active - self.embedding


def count(shape: Shape) -> Counts:
    """Return the parameters of `shape`, total, active and in embeddings."""
    dense = _mlp(shape, shape.ff)
    layer = _attention(shape) + shape.norms * _norm(shape)
    embedding = shape.vocab * shape.width * (1 if shape.tied else 2) + shape.positions * shape.width
    fixed = embedding + shape.layers * layer + (_norm(shape) if shape.final_norm else 0)
    if not shape.experts:
        return Counts(fixed + shape.layers * dense, fixed + shape.layers * dense, embedding)
    shared = _mlp(shape, shape.shared_ff) if shape.shared_ff else 0
    shared += shape.experts * shape.width + (shape.width if shape.shared_gate else 0)  # router, gate
    expert, sparse_layers = _mlp(shape, shape.expert_ff), shape.layers - shape.dense_layers
    fixed += shape.dense_layers * dense + sparse_layers * shared
    return Counts(
        fixed + sparse_layers * shape.experts * expert, fixed + sparse_layers * shape.experts_active * expert, embedding
    )


def _norm(shape: Shape) -> int:
    return shape.width * (2 if shape.norm_bias else 1)


def _mlp(shape: Shape, ff: int) -> int:
    biases = (ff * (2 if shape.gated else 1) + shape.width) if shape.mlp_bias else 0
    return (3 if shape.gated else 2) * shape.width * ff + biases


def _attention(shape: Shape) -> int:
    """Return the parameters of one attention layer."""
    if shape.latent is not None:
        return _latent_attention(shape, shape.latent)
    head_dim = shape.head_dim or shape.width // shape.heads
    queries, keys = shape.heads * head_dim, (shape.kv_heads or shape.heads) * head_dim
    matrices = shape.width * (2 * queries + 2 * keys + (queries if shape.relative_matrix else 0))
    biases = (queries + 2 * keys if shape.qkv_bias else 0) + (shape.width if shape.out_bias else 0)
    norms = {"none": 0, "head": 2 * head_dim, "full": queries + keys}[shape.qk_norm]
    return matrices + biases + norms


def _latent_attention(shape: Shape, latent: Latent) -> int:
    """Return the parameters of one multi-head latent attention layer."""
    query_dim = shape.heads * (latent.plain_dim + latent.rope_dim)
    rank = latent.query_rank
    queries = shape.width * rank + rank + rank * query_dim if rank else shape.width * query_dim
    keys = shape.width * (latent.key_rank + latent.rope_dim) + latent.key_rank
    keys += latent.key_rank * shape.heads * (latent.plain_dim + latent.value_dim)
    return queries + keys + shape.heads * latent.value_dim * shape.width


def gpt_params(layers: int, width: int) -> int:
    """Return 12 l d^2, the parameters of a GPT without embeddings, biases and norms (Kaplan et al. 2020, eq 2.1)."""
    return 12 * layers * width**2


def gpt2_shape(layers: int, width: int, heads: int, vocab: int, context: int) -> Shape:
    """Return the shape of a GPT-2: learned positions, biases, tied embeddings."""
    return Shape(
        layers,
        width,
        heads,
        4 * width,
        vocab,
        gated=False,
        tied=True,
        qkv_bias=True,
        out_bias=True,
        mlp_bias=True,
        norm_bias=True,
        positions=context,
    )


def chinchilla_shape(layers: int, width: int, ff: int, head_dim: int, heads: int, vocab: int = 32_000) -> Shape:
    """Return the shape of a row of Hoffmann et al. 2022, Table A9.

    Its printed sizes need five attention matrices (the fifth projects relative positions), heads * head_dim rather
    than the width, and biases and norms: so 37 of 50 rows come out to the printed million and all within 0.7 %.
    """
    return Shape(
        layers,
        width,
        heads,
        ff,
        vocab,
        head_dim=head_dim,
        gated=False,
        tied=True,
        qkv_bias=True,
        out_bias=True,
        mlp_bias=True,
        norm_bias=True,
        relative_matrix=True,
    )


def forward_flop(non_embedding: float, layers: int, context: int, width: int) -> float:
    """Return the forward FLOP a token (Kaplan et al. 2020, eq 2.2)."""
    return 2 * non_embedding + 2 * layers * context * width


def training_flop_per_token(shape: Shape, context: int) -> float:
    """Return the training FLOP a token: matrix products, causal attention and the output head, times three."""
    head_dim = shape.head_dim or shape.width // shape.heads
    products = count(shape).active_non_embedding + shape.vocab * shape.width
    return 3 * forward_flop(products, shape.layers, context, shape.heads * head_dim)


def six_nd_ratio(shape: Shape, context: int) -> float:
    """Return the training FLOP over 6 N D, N the active parameters with embeddings."""
    return training_flop_per_token(shape, context) / (6 * count(shape).active)


def chinchilla_flop_ratio(layers: int, width: int, ff: int, head_dim: int, heads: int, length: int = 2048) -> float:
    """Return the training FLOP over 6 N D as Hoffmann et al. 2022, Table A4, has it.

    Their appendix F says that embeddings and logits are counted; the table reproduces only without them.
    """
    keys = head_dim * heads
    projections = 6 * length * width * keys + 2 * length * keys * width
    scores = 4 * length**2 * keys + 3 * heads * length**2
    forward = layers * (projections + scores + 4 * length * width * ff)
    total = count(chinchilla_shape(layers, width, ff, head_dim, heads)).total
    return 3 * forward / (6 * total * length)


def deepseek_flop_per_token(layers: int, width: int, length: int) -> int:
    """Return M = 72 l d^2 + 12 l d length, the training FLOP a token (DeepSeek LLM 2024, eq 2)."""
    return 72 * layers * width**2 + 12 * layers * width * length


def propose(params: float, vocab: int = 32_000) -> Shape | None:
    """Return a Llama-like shape with about so many parameters, or None where the vocabulary alone is too large.

    Width over depth follows GPT-3 (64 at 0.1B, 128 from 6.7B; Brown et al. 2020, Table 2.1); a feed-forward width of
    8/3 keeps 12 l d^2; embeddings are tied under 1B. The rule is ours, and need not be better: the shape hardly
    matters.
    """
    aspect = min(128.0, max(32.0, 64 * (params / 1e8) ** (1 / 6)))
    found: list[tuple[bool, float, Shape]] = []
    for layers in range(2, 161, 1 if params < 1e8 else 2):
        guess = math.sqrt(params / (12 * layers))
        step = next(step for below, step in ((512, 64), (1536, 128), (8192, 256), (math.inf, 512)) if guess < below)
        for width in {step * max(1, round(guess / step) - less) for less in range(4)}:
            shape = _llama(layers, width, vocab, tied=params < 1e9)
            off = abs(math.log(count(shape).total / params))
            if off < 0.25:
                found.append((off >= 0.05, 20 * off + abs(math.log(width / layers / aspect)), shape))
    return min(found, key=lambda one: one[:2])[2] if found else None


def _llama(layers: int, width: int, vocab: int, tied: bool) -> Shape:
    """Return a Llama-like shape with 64 dimensions a head, or 128 from a width of 2,048."""
    head_dim = 128 if width >= 2048 and width % 128 == 0 else 64
    return Shape(layers, width, width // head_dim, 64 * round(width / 24), vocab, tied=tied)
