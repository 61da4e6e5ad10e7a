"""What a model is fitted to: the distribution over the five quality levels.

Shape suffixes: N images, 5 the levels 1 to 5.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from halfiqa_ray.models.base import LEVELS, MosScale

# Where an image's MOS has no deviation: the mean deviation, in levels, of the votes for one photo of KonIQ-10k
# (0.572 over its 10,073 photos, from the counts in its public score list).
DEFAULT_DEVIATION = 0.57
# Below it a Gaussian sampled at whole levels is one level alone, and its mean no longer the MOS.
SMALLEST_DEVIATION = 0.25


def soft_labels(
    mos: ArrayLike,
    votes: Sequence[Sequence[float] | None],
    deviations: Sequence[float | None],
    mos_scale: MosScale,
) -> NDArray[np.float32]:
    """Level distributions (N, 5), rows summing to 1.

    An image's votes where it has them (fractions or counts, 1 to 5; the labels of the public TRIQ code on KonIQ-10k).
    Else a Gaussian at the levels with the MOS, mapped to levels (on SPAQ: MOS / 25 + 1), as its mean and the MOS
    deviation on the same scale as its deviation: ``DEFAULT_DEVIATION`` where unknown, never below
    ``SMALLEST_DEVIATION``. Cut off at the ends, so its own mean lies further inside than an extreme MOS.
    """
    mean_N = mos_scale.to_levels(torch.as_tensor(mos, dtype=torch.float64)).numpy()
    known_N = np.array([np.nan if value is None else value for value in deviations], dtype=np.float64)
    known_N *= (LEVELS - 1) / (mos_scale.high - mos_scale.low)
    deviation_N = np.where(np.isfinite(known_N), known_N, DEFAULT_DEVIATION).clip(SMALLEST_DEVIATION)
    exponent_N5 = -(((np.arange(1, LEVELS + 1) - mean_N[:, None]) / deviation_N[:, None]) ** 2) / 2
    labels_N5 = np.exp(exponent_N5 - exponent_N5.max(1, keepdims=True))
    for row, given in enumerate(votes):
        if given is not None:
            labels_N5[row] = given
    return (labels_N5 / labels_N5.sum(1, keepdims=True)).astype(np.float32)
