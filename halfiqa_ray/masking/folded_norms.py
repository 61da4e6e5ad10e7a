"""A layer behind its attention, with both LayerNorms folded into the matrices around them.

A LayerNorm subtracts the mean of a row, divides by the row's deviation, scales and shifts. All but the division is
linear: the mean subtraction (the matrix I - 1/D) goes into the matrix before the norm, scale and shift go into the one
behind it. The division can wait as well, since ReLU(c x) = c ReLU(x) for c > 0: with z the centred sum of token and
attention, s = sqrt(var(z) + eps) and scale g, shift b of the first norm,

    feed-forward of LN(z) = ReLU(W g z / s + W b + bias) = ReLU(W g z + (W b + bias) s) / s,

so that s enters as one more input column, and whatever follows is 1 / s times what it would be. The second norm does
not see that factor but in its eps, which becomes eps s^2.

Shape suffixes: D token width, M width of the hidden layer, Q tokens, S subsets, R = Q x S rows, one a column here: the
features come first, so that every step below runs along the rows, whatever their number.
"""

from __future__ import annotations

import torch
from torch import Tensor

from halfiqa_ray.masking.transformer import EncoderLayer

PADDING = 16


class FoldedTail:
    """What follows the attention of ``layer``, for many rows."""

    def __init__(self, layer: EncoderLayer) -> None:
        first, second = layer.attention_norm, layer.mlp_norm
        self.width, self.wide = layer.contract.out_features, layer.expand.out_features
        self.dtype, self.device = first.weight.dtype, first.weight.device
        self.epsilon, self.second_epsilon = first.eps, second.eps
        # A variance is then a sum of squares: what is centred is held 1 / sqrt(D) times as large.
        self.shrink = self.width**-0.5
        scale_D, shift_D = first.weight.double() / self.shrink, first.bias.double()
        output, expand, contract = layer.attention.output, layer.expand, layer.contract
        expand_MD, contract_DM = expand.weight.double(), contract.weight.double()
        self.output_DD = self._cast(centred(output.weight.double()) * self.shrink)
        self.output_bias_D = output.bias
        self.scale_D1 = self._cast(scale_D[:, None] * self.shrink)
        # The last column of both takes the deviation s.
        bias_M = expand_MD @ shift_D + expand.bias.double()
        self.expand_MD1 = self._cast(torch.cat([expand_MD * scale_D, bias_M[:, None]], 1))
        bias_D = centred(contract.bias.double() + shift_D)
        self.contract_DM1 = self._cast(torch.cat([centred(contract_DM), bias_D[:, None]], 1) * self.shrink)
        self.second_scale_D, self.second_shift_D = second.weight / self.shrink, second.bias

    def _cast(self, matrix: Tensor) -> Tensor:
        return matrix.to(self.dtype).contiguous()

    def residual(self, tokens_DQ: Tensor) -> Tensor:
        """What tokens add to the centred sum: (D, Q)."""
        return centred(tokens_DQ + self.output_bias_D[:, None]).mul_(self.shrink)

    def run(self, mixed_DR: Tensor, residual_DQ1: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
        """The layer's output up to the second norm's factor: centred (D, R), and that factor (1, R).

        ``mixed_DR`` is the attention's output before its projection; it is overwritten. ``residual_DQ1`` (D, Q, 1 or
        S) comes from `residual`. Both results lie in the buffers of ``rows``.
        """
        count = mixed_DR.shape[1]
        z_D1R, hidden_M1R = rows.centred(count), rows.wide(self.wide + 1, count)
        square_DR = rows.wide(self.width, count)
        z_DR, deviation_1R = z_D1R[:-1], z_D1R[-1:]
        torch.mm(self.output_DD, mixed_DR, out=z_DR)
        z_DR.view(self.width, residual_DQ1.shape[1], -1).add_(residual_DQ1)
        torch.sum(torch.mul(z_DR, z_DR, out=square_DR), 0, keepdim=True, out=deviation_1R)
        deviation_1R.add_(self.epsilon).sqrt_()
        torch.mm(self.expand_MD1, z_D1R, out=hidden_M1R[:-1]).relu_()
        hidden_M1R[-1:].copy_(deviation_1R)
        state_DR = torch.mul(z_DR, self.scale_D1, out=mixed_DR)
        # Only the scaled residual still has a mean: everything else is centred by its matrix.
        mean_1R = state_DR.mean(0, keepdim=True)
        state_DR.sub_(mean_1R).addmm_(self.contract_DM1, hidden_M1R)
        factor_1R = torch.sum(torch.mul(state_DR, state_DR, out=square_DR), 0, keepdim=True, out=mean_1R)
        factor_1R.addcmul_(deviation_1R, deviation_1R, value=self.second_epsilon).rsqrt_()
        return state_DR, factor_1R

    def finished(self, mixed_DR: Tensor, residual_DQ1: Tensor, rows: Rows) -> Tensor:
        """The layer's output: (D, R)."""
        state_DR, factor_1R = self.run(mixed_DR, residual_DQ1, rows)
        state_DR = state_DR.mul_(factor_1R).mul_(self.second_scale_D[:, None])
        return state_DR.add_(self.second_shift_D[:, None])

    def finished_in_parts(self, mixed_DS: Tensor, residual_DS: Tensor, rows: Rows) -> Tensor:
        """`finished` for one token in any number of subsets, as many at a time as ``rows`` holds: (D, S)."""
        done = []
        for mixed_DR, residual_DR in zip(
            mixed_DS.split(rows.count, 1), residual_DS.expand_as(mixed_DS).split(rows.count, 1), strict=True
        ):
            part_DR = rows.mixed(mixed_DR.shape[1]).copy_(mixed_DR)
            done.append(self.finished(part_DR, residual_DR[:, None], rows).clone())
        return torch.cat(done, 1)


class Rows:
    """Buffers for at most ``count`` rows, which all chunks share: no chunk pays for fresh memory.

    There are as few as possible, so that more rows stay in the cache: what `wide` gives is one buffer, used for the
    squares of the first norm, then the hidden layer, then the squares of the second, then keys and values.
    """

    def __init__(self, tail: FoldedTail, count: int) -> None:
        self.count, self.width = count, tail.width
        # Features a power of two apart would share a few lines of the cache.
        stride = count + PADDING

        def features(number: int) -> Tensor:
            return torch.empty(number, stride, dtype=tail.dtype, device=tail.device)

        self._mixed, self._centred = features(tail.width), features(tail.width + 1)
        self._wide = features(max(tail.wide + 1, 2 * tail.width))

    def mixed(self, count: int) -> Tensor:
        """(D, R) for the attention's output, then the layer's."""
        return self._mixed[:, :count]

    def centred(self, count: int) -> Tensor:
        """(D + 1, R) for the centred sum and its deviation."""
        return self._centred[:, :count]

    def wide(self, features: int, count: int) -> Tensor:
        """(features, R), for at most M + 1 or 2D features."""
        return self._wide[:features, :count]


def centred(x_D: Tensor) -> Tensor:
    """Without its mean along the first axis: (D, ...)."""
    return x_D - x_D.mean(0, keepdim=True)
