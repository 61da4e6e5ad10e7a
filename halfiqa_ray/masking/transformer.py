"""The transformer encoder with the positional mask of Section 2 of the paper.

Layers as in TRIQ's public code (github.com/junyongyou/triq, src/models/transformer_iqa.py).

Shape suffixes: N images (or subsets), T tokens (quality token first), D width, A heads, E width of one head,
C channels, H and W map rows and columns.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn

# Added to the query-key product of a masked key (Section 2). Logits stay float32, where it makes the
# softmax weight exactly 0; it does not fit into float16.
MASKED_LOGIT = -1e9
NORM_EPSILON = 1e-6


class SelfAttention(nn.Module):
    """Multi-head self-attention with a mask over keys."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"triq.width {width} is not divisible by triq.heads {heads}")
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def split(self, x_NTD: Tensor) -> Tensor:
        """(N, T, D) to (N, A, T, E)."""
        return x_NTD.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x_NTD: Tensor, masked_NT: Tensor | None) -> Tensor:
        """Attend; ``masked_NT`` is bool (N or 1, T), True = this key is masked, in every query row and head."""
        query_NATE, key_NATE, value_NATE = (self.split(f(x_NTD)) for f in (self.query, self.key, self.value))
        with torch.autocast(x_NTD.device.type, enabled=False):
            if query_NATE.dtype in (torch.float16, torch.bfloat16):
                query_NATE, key_NATE, value_NATE = query_NATE.float(), key_NATE.float(), value_NATE.float()
            logits_NATT = query_NATE @ key_NATE.transpose(-1, -2) / math.sqrt(query_NATE.shape[-1])
            if masked_NT is not None:
                logits_NATT = logits_NATT + masked_NT[:, None, None, :] * MASKED_LOGIT
            mixed_NATE = logits_NATT.softmax(-1) @ value_NATE
        return self.output(mixed_NATE.transpose(1, 2).flatten(2))


class EncoderLayer(nn.Module):
    """A post-norm transformer layer: x = LN(x + attention(x)), then x = LN(x + feed_forward(x))."""

    def __init__(self, width: int, heads: int, mlp: int, dropout: float) -> None:
        super().__init__()
        self.attention = SelfAttention(width, heads)
        self.attention_norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.expand = nn.Linear(width, mlp)
        self.contract = nn.Linear(mlp, width)
        self.mlp_norm = nn.LayerNorm(width, eps=NORM_EPSILON)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_NTD: Tensor, masked_NT: Tensor | None) -> Tensor:
        """One layer over all tokens."""
        return self.after_attention(x_NTD, self.attention(x_NTD, masked_NT))

    def after_attention(self, residual: Tensor, attended: Tensor) -> Tensor:
        """The rest of the layer, token by token: (..., D) before the layer and out of its attention, to (..., D)."""
        x = self.attention_norm(residual + self.dropout(attended))
        return self.mlp_norm(x + self.dropout(self.contract(self.expand(x).relu())))


def layers_of(model: MaskedTransformer) -> list[EncoderLayer]:
    """The encoder's layers in order, typed."""
    return [layer for layer in model.encoder if isinstance(layer, EncoderLayer)]


class LevelPrediction(Protocol):
    """What a read-out gives: native MOS units, and level probabilities or None."""

    @property
    def score_N(self) -> Tensor: ...  # noqa: D102
    @property
    def levels_N5(self) -> Tensor | None: ...  # noqa: D102


class MaskedTransformer(Protocol):
    """What subset scoring needs of a model: tokens from a feature matrix, encoder layers, a read-out of one token."""

    @property
    def encoder(self) -> nn.ModuleList:
        """The encoder's layers in order."""

    def project_and_pool(self, features_NCHW: Tensor) -> Tensor:
        """The token map (N, D, H, W)."""

    def tokens(self, token_map_NDHW: Tensor) -> Tensor:
        """Quality token and map tokens, row by row: (N, T, D)."""

    def read_out(self, quality_ND: Tensor) -> LevelPrediction:
        """The prediction from the encoded quality token."""

    def after_backbone(self, dtype: torch.dtype) -> MaskedTransformer:
        """A copy of everything that follows the feature matrix, in another precision."""
