"""The last layer's attention: only the quality token asks, and blocks are added to its softmax one after the other.

Tokens come as `folded_norms` leaves them: centred, with the norm's factor apart. The norm's scale is in the projections
here, its factor multiplies a row's 8 logits and, once, its 8 weights instead of 32 features. Its shift adds the same to
all logits of a head, which a softmax does not see, and is added once to the weighted mean. The key bias is such a
constant too.

Shape suffixes: D = A x E token width, A heads, E width of one head, S subsets, I combinations of one half of the blocks
and J of the other, K those of I that keep a block, Q tokens, R = Q x S rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from halfiqa_ray.masking.folded_norms import FoldedTail, Rows
from halfiqa_ray.masking.transformer import EncoderLayer

# No running maximum is needed where no logit can exceed this, in units of log 2: float32 reaches from -126 to 127.
UNBOUNDED = 80


@dataclass
class Sums:
    """Softmax sums over the keys so far, for subsets as (I, J): total weight (A, I, J), weighted values (D, I, J).

    Weights are powers of two relative to ``maximum_AIJ``, or to 0 where that is None.
    """

    query_DIJ: Tensor
    total_AIJ: Tensor
    value_DIJ: Tensor
    maximum_AIJ: Tensor | None

    def apply(self, change: Callable[[Tensor], Tensor]) -> Sums:
        """The same of all parts."""
        maximum = None if self.maximum_AIJ is None else change(self.maximum_AIJ)
        return Sums(change(self.query_DIJ), change(self.total_AIJ), change(self.value_DIJ), maximum)

    def keeping(self, bit: int) -> Sums:
        """A view of those with ``bit`` of I set: (..., I / 2^(bit + 1), 2^bit, J)."""
        return self.apply(lambda part: part.unflatten(1, (-1, 2, 1 << bit))[:, :, 1])

    def copy(self) -> Sums:
        """A copy of what `keeping` views, with its subsets in one axis K: (..., K, J)."""
        return self.apply(lambda part: part.flatten(1, 2))

    def part(self, numbers: slice) -> Sums:
        """A view of some of K."""
        return self.apply(lambda part: part[:, numbers])

    def put(self, changed: Sums) -> None:
        """Take over what a `copy` has become."""
        for mine, other in zip(self._sums(), changed._sums(), strict=True):
            mine.copy_(other.view_as(mine))

    def _sums(self) -> list[Tensor]:
        return [part for part in (self.total_AIJ, self.value_DIJ, self.maximum_AIJ) if part is not None]

    def swapped(self, empty: bool) -> Sums:
        """The same subsets as (J, I), with the sums so far or, if ``empty``, without any."""
        other = self.apply(lambda part: part.transpose(1, 2).contiguous())
        if empty:
            other.total_AIJ.zero_()
            other.value_DIJ.zero_()
        return other


class LastLayer:
    """The quality token's attention in ``layer`` over itself and what is added, for all subsets.

    ``before`` is the layer that the tokens come from, and ``quality_DIJ`` the quality token behind it, I the
    combinations of the low half of the blocks. ``halves[0]`` has the sums over the low blocks and the quality token,
    ``halves[1]``, as (J, I), those over the high ones.
    """

    def __init__(self, layer: EncoderLayer, before: FoldedTail, quality_DIJ: Tensor) -> None:
        self.layer, self.before, self.quality_DIJ = layer, before, quality_DIJ
        attention = layer.attention
        self.heads = attention.heads
        width = len(quality_DIJ)
        scale = 1 / math.log(2) / math.sqrt(width // self.heads)  # logits in units of log 2, for exp2
        quality_DS = quality_DIJ.flatten(1)
        query_DS = torch.addmm(attention.query.bias[:, None], attention.query.weight, quality_DS).mul_(scale)
        self.key_value_2DD = torch.cat([attention.key.weight, attention.value.weight]) * before.second_scale_D
        unshifted_DS = quality_DS - before.second_shift_D[:, None]
        key_DS, value_DS = attention.key.weight @ unshifted_DS, attention.value.weight @ unshifted_DS
        logit_AS = (query_DS * key_DS).unflatten(0, (self.heads, -1)).sum(1)
        shape = quality_DIJ.shape[1:]
        if self._largest_logit(query_DS) > UNBOUNDED:
            maximum_AIJ, total_AS = logit_AS.unflatten(1, shape), torch.ones_like(logit_AS)
        else:
            maximum_AIJ, total_AS = None, logit_AS.exp2_()
        value_DS = (value_DS.unflatten(0, (self.heads, -1)) * total_AS[:, None]).flatten(0, 1)
        low = Sums(
            query_DS.unflatten(1, shape), total_AS.unflatten(1, shape), value_DS.unflatten(1, shape), maximum_AIJ
        )
        self.halves = low, low.swapped(empty=True)

    def _largest_logit(self, query_DS: Tensor) -> float:
        """An upper bound: behind a LayerNorm no token is longer than sqrt(D), which `before` holds in its scale."""
        width = len(query_DS)
        key_AED = self.key_value_2DD[:width].unflatten(0, (self.heads, -1))
        longest_A = query_DS.square().unflatten(0, (self.heads, -1)).sum(1).amax(1).sqrt()
        return float((longest_A * torch.linalg.matrix_norm(key_AED.double(), 2)).max())

    def add(self, sums: Sums, state_DR: Tensor, factor_1R: Tensor, rows: Rows) -> None:
        """Add Q tokens of each of the subsets of ``sums`` (K, J), to these."""
        subsets = (-1, *sums.query_DIJ.shape[1:])
        width, heads = len(state_DR), self.heads
        projected = torch.mm(self.key_value_2DD, state_DR, out=rows.wide(2 * width, state_DR.shape[1]))
        key_AEQKJ, value_AEQKJ = (
            part.view(heads, width // heads, *subsets) for part in (projected[:width], projected[width:])
        )
        factor_QKJ = factor_1R.view(subsets)
        logits_AQKJ = key_AEQKJ.mul_(sums.query_DIJ.unflatten(0, (heads, -1))[:, :, None]).sum(1).mul_(factor_QKJ)
        value_AEKJ = sums.value_DIJ.unflatten(0, (heads, -1))
        if sums.maximum_AIJ is not None:
            higher_AKJ = torch.maximum(sums.maximum_AIJ, logits_AQKJ.amax(1))
            shrink_AKJ = (sums.maximum_AIJ - higher_AKJ).exp2_()
            sums.maximum_AIJ.copy_(higher_AKJ)
            sums.total_AIJ.mul_(shrink_AKJ)
            value_AEKJ.mul_(shrink_AKJ[:, None])
            logits_AQKJ.sub_(higher_AKJ[:, None])
        weights_AQKJ = logits_AQKJ.exp2_()
        sums.total_AIJ.add_(weights_AQKJ.sum(1))
        value_AEKJ.add_(value_AEQKJ.mul_(weights_AQKJ.mul_(factor_QKJ)[:, None]).sum(2))

    def finish(self, rows: Rows) -> Tensor:
        """The quality token after the layer: (D, I, J)."""
        low, high = self.halves[0], self.halves[1].swapped(empty=False)
        if low.maximum_AIJ is not None and high.maximum_AIJ is not None:
            higher_AIJ = torch.maximum(low.maximum_AIJ, high.maximum_AIJ)
            for sums, maximum_AIJ in ((low, low.maximum_AIJ), (high, high.maximum_AIJ)):
                shrink_AIJ = (maximum_AIJ - higher_AIJ).exp2_()
                sums.total_AIJ.mul_(shrink_AIJ)
                sums.value_DIJ.unflatten(0, (self.heads, -1)).mul_(shrink_AIJ[:, None])
        total_AIJ, value_DIJ = low.total_AIJ.add_(high.total_AIJ), low.value_DIJ.add_(high.value_DIJ)
        value_DIJ.unflatten(0, (self.heads, -1)).div_(total_AIJ[:, None])
        value = self.layer.attention.value
        value_DIJ.add_((value.weight @ self.before.second_shift_D + value.bias)[:, None, None])
        tail = FoldedTail(self.layer)
        residual_DS = tail.residual(self.quality_DIJ.flatten(1))
        return tail.finished_in_parts(value_DIJ.flatten(1), residual_DS, rows).view_as(value_DIJ)


def attend_quality(layer: EncoderLayer, state_STD: Tensor, masked_ST: Tensor) -> Tensor:
    """The quality token (the first of T) after ``layer``, over the tokens that each subset does not mask: (S, D)."""
    attention = layer.attention
    query_SA1E = attention.split(attention.query(state_STD[:, :1]))
    key_SATE, value_SATE = (attention.split(project(state_STD)) for project in (attention.key, attention.value))
    logits_SA1T = query_SA1E @ key_SATE.transpose(-1, -2) / math.sqrt(query_SA1E.shape[-1])
    weights_SA1T = logits_SA1T.masked_fill_(masked_ST[:, None, None], -math.inf).softmax(-1)
    mixed_SD = (weights_SA1T @ value_SATE).transpose(1, 2).flatten(1)
    return layer.after_attention(state_STD[:, 0], attention.output(mixed_SD))
