"""The first layer's attention for every subset of kept blocks: softmax averages that are joined, never added up anew.

What enters the first layer does not depend on the subset. For every query and head, a set of keys has a mean value V
and a log-weight L = log(sum of exp(logits)). Two disjoint sets join to

    V = V1 + sigmoid(L2 - L1) (V2 - V1),    L = log(exp(L1) + exp(L2)),

which no spread of the logits brings out of range: where one set outweighs the other beyond float32, sigmoid is 0 or 1
and the other set is chosen, not added. The blocks are cut into a low and a high half, and the combinations of each half
are joined once; a subset is one more join.

L is float64 whatever the model's precision: logits of a trained first layer reach thousands, and of differences between
them float32 would keep too few digits.

Shape suffixes: D = A x E token width, A heads, E width of one head, T tokens (Q some of them), B blocks and before them
the quality token itself, C combinations of one half of the blocks, I and J combinations of the two halves, S subsets.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from halfiqa_ray.masking.folded_norms import FoldedTail, Rows
from halfiqa_ray.masking.transformer import EncoderLayer, SelfAttention

# What is below e^-80 of the largest term of a softmax sum is nothing to it, and slow in float32 (denormals).
SMALLEST_EXPONENT = -80 / math.log(2)


@dataclass(frozen=True)
class Combinations:
    """All combinations of some blocks, bit i = the i-th of them: mean value (D, T, C) and log-weight (A, T, C)."""

    mean_DTC: Tensor
    weight_ATC: Tensor

    @property
    def count(self) -> int:
        """How many combinations."""
        return self.mean_DTC.shape[2]

    def keeping(self, bit: int) -> Combinations:
        """A copy of those that keep the ``bit``-th block: (D, T, C / 2) and (A, T, C / 2)."""
        return Combinations(
            *(part.unflatten(2, (-1, 2, 1 << bit))[..., 1, :].flatten(2) for part in (self.mean_DTC, self.weight_ATC))
        )

    def of(self, queries: slice, numbers: slice = slice(None)) -> Combinations:
        """Some of them, for some tokens: (D, Q, C) and (A, Q, C)."""
        return Combinations(self.mean_DTC[:, queries, numbers], self.weight_ATC[:, queries, numbers])

    def picked(self, numbers_S: Tensor) -> Combinations:
        """Some of them, by number: (D, T, S) and (A, T, S)."""
        return Combinations(self.mean_DTC[..., numbers_S], self.weight_ATC[..., numbers_S])

    def with_each(self, other: Combinations, out_DR: Tensor) -> Tensor:
        """The mean values of each joined with each of another half's, into R = T x I x J columns: (D, R)."""
        mean_DTIJ = out_DR.view(*self.mean_DTC.shape, other.count)
        gap_ATIJ = other.weight_ATC[:, :, None] - self.weight_ATC[..., None]
        _join(self.mean_DTC[..., None], other.mean_DTC[:, :, None], gap_ATIJ, mean_DTIJ)
        return out_DR


class FirstLayer:
    """One image's first layer: ``low`` (with the quality token, so never empty) and ``high`` combinations of blocks.

    ``tokens_TD`` are in block order behind the quality token. Queries and keys are taken from ``attention``, in its
    precision; everything else has that of ``layer``.
    """

    def __init__(
        self, layer: EncoderLayer, tokens_TD: Tensor, sizes: list[int], attention: SelfAttention | None = None
    ) -> None:
        self.layer, self.sizes, self.tail = layer, sizes, FoldedTail(layer)
        dtype = layer.attention.value.weight.dtype
        self.tokens_TD = tokens_TD.to(dtype)
        self.device, self.count = tokens_TD.device, len(tokens_TD)
        self.weight_BAT, self.mean_BDT = self._terms(attention or layer.attention, tokens_TD)
        starts = list(itertools.accumulate(sizes, initial=1))
        self.block_slices = [slice(start, stop) for start, stop in itertools.pairwise(starts)]
        self.low_blocks = len(sizes) // 2
        self.low = self._combinations(range(1, self.low_blocks + 1), self.weight_BAT[0], self.mean_BDT[0])
        nothing_AT = torch.full_like(self.weight_BAT[0], -math.inf)
        self.high = self._combinations(
            range(self.low_blocks + 1, len(sizes) + 1), nothing_AT, torch.zeros_like(self.mean_BDT[0])
        )

    def _terms(self, attention: SelfAttention, tokens_TD: Tensor) -> tuple[Tensor, Tensor]:
        """Log-weight (B + 1, A, T) in float64 and mean value (B + 1, D, T) of the quality token and of each block."""
        query_ATE, key_ATE = (attention.split(f(tokens_TD[None]))[0] for f in (attention.query, attention.key))
        value_ATE = self.layer.attention.split(self.layer.attention.value(self.tokens_TD[None]))[0]
        # In units of log 2, for exp2: on CPU exp takes three times as long, and eight times more where it underflows.
        query_ATE = query_ATE * (1 / math.log(2) / math.sqrt(query_ATE.shape[-1]))
        weights, means = [], []
        cut = [1, *self.sizes]
        for key_AQE, value_AQE in zip(key_ATE.split(cut, 1), value_ATE.split(cut, 1), strict=True):
            logits_ATQ = query_ATE @ key_AQE.transpose(1, 2)
            highest_AT = logits_ATQ.amax(2)
            terms_ATQ = (logits_ATQ - highest_AT[..., None]).to(value_AQE.dtype)
            terms_ATQ = terms_ATQ.clamp_(min=SMALLEST_EXPONENT).exp2_()
            total_AT = terms_ATQ.sum(2)
            means.append((terms_ATQ @ value_AQE / total_AT[..., None]).transpose(1, 2).flatten(0, 1))
            weights.append((highest_AT.double() + total_AT.double().log2()) * math.log(2))
        return torch.stack(weights), torch.stack(means)

    def _combinations(self, terms: range, weight_AT: Tensor, mean_DT: Tensor) -> Combinations:
        """All combinations of some blocks, joined with what is always there."""
        heads, width, count = len(weight_AT), len(mean_DT), 1 << len(terms)
        weight_ATC = weight_AT.new_empty(heads, self.count, count)
        mean_DTC = mean_DT.new_empty(width, self.count, count)
        weight_ATC[..., 0], mean_DTC[..., 0] = weight_AT, mean_DT
        for bit, term in enumerate(terms):
            done, new = slice(0, 1 << bit), slice(1 << bit, 2 << bit)
            more_AT1 = self.weight_BAT[term][..., None]
            gap_ATC = more_AT1 - weight_ATC[..., done]
            _join(mean_DTC[..., done], self.mean_BDT[term][..., None], gap_ATC, mean_DTC[..., new])
            torch.logaddexp(weight_ATC[..., done], more_AT1, out=weight_ATC[..., new])
        return Combinations(mean_DTC, weight_ATC)

    def state(self, subsets_S: Tensor) -> Tensor:
        """All tokens behind the layer for any subsets, the quality token first: (S, T, D)."""
        low = self.low.picked(subsets_S & (self.low.count - 1))
        high = self.high.picked(subsets_S >> self.low_blocks)
        rows = Rows(self.tail, self.count * len(subsets_S))
        mixed_DTS = rows.mixed(rows.count).view_as(low.mean_DTC)
        _join(low.mean_DTC, high.mean_DTC, high.weight_ATC - low.weight_ATC, mixed_DTS)
        residual_DT1 = self.tail.residual(self.tokens_TD.t())[..., None]
        return self.tail.finished(mixed_DTS.flatten(1), residual_DT1, rows).view_as(mixed_DTS).permute(2, 1, 0)


def _join(one_D: Tensor, other_D: Tensor, gap_A: Tensor, out_D: Tensor) -> None:
    """Mean values of one set of keys and another into ``out_D``; ``gap_A``: how much log-weight the other has more."""
    share_A = torch.sigmoid(gap_A.to(out_D.dtype))
    one_AE, other_AE, out_AE = (part.unflatten(0, (len(gap_A), -1)) for part in (one_D, other_D, out_D))
    torch.lerp(one_AE, other_AE, share_A[:, None], out=out_AE)
