"""Rules in which Keras differs from torch, for the models that were published in Keras.

Shape suffixes: N images, C channels, H and W rows and columns.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

NORM_EPSILON = 1e-3
NORM_MOMENTUM = 0.01  # Keras says 0.99 and means the share of the old value

# The standard deviation of a normal distribution that is cut off at two standard deviations, if that was 1 before.
CUT_DEVIATION = 0.87962566103423978


def he_normal_(layer: nn.Linear | nn.Conv2d) -> None:
    """Draw weights as Keras' ``he_normal``: variance 2 / inputs, cut off at two deviations; biases are 0."""
    inputs = layer.weight[0].numel()
    deviation = math.sqrt(2 / inputs) / CUT_DEVIATION
    nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
    _zero_bias(layer)


def glorot_uniform_(layer: nn.Linear | nn.Conv2d) -> None:
    """Draw weights as Keras does by default: uniform in +- sqrt(6 / (inputs + outputs)); biases are 0."""
    nn.init.xavier_uniform_(layer.weight)
    _zero_bias(layer)


def _zero_bias(layer: nn.Linear | nn.Conv2d) -> None:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def pad_same(x_NCHW: Tensor, kernel: int, stride: int) -> Tensor:
    """Pad with zeros so that a convolution gives sizes divided by ``stride``, rounded up (``padding="same"``).

    Where an odd number of rows or columns is needed, the bottom or right gets one more: with stride 2 and a kernel of
    3, even sizes are padded at the bottom and right only, odd ones on all sides. torch would always pad on all sides.
    """
    rows, columns = (_same_padding(size, kernel, stride) for size in x_NCHW.shape[2:])
    return functional.pad(x_NCHW, (*columns, *rows))


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
