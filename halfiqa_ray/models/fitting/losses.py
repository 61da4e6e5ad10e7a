"""What a fit makes small: cross entropy with the votes, or squared error of a score.

Shape suffixes: N images, 5 the quality levels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from halfiqa_ray.models.base import Prediction, QualityModel


def quality_loss(prediction: Prediction, mos_N: Tensor, labels_N5: Tensor, model: QualityModel) -> Tensor:
    """The mean loss of a batch (a scalar tensor).

    Five levels: cross entropy between the label distribution and the predicted one. One score: squared error in
    units of the head's ``target_std``.
    """
    raw = prediction.raw_NO
    assert raw is not None, "a model that is trained must hand out the raw outputs of its head"  # noqa: S101
    if model.head.levels:
        return functional.cross_entropy(raw, labels_N5)
    return functional.mse_loss(raw[:, 0], (mos_N - model.head.target_mean) / model.head.target_std)


def standardise_target(model: QualityModel, mos_N: NDArray[np.float64]) -> None:
    """Give a scalar head the mean and deviation of the training MOS; a head of levels needs none."""
    if not model.head.levels:
        model.head.target_mean.fill_(float(mos_N.mean()))
        model.head.target_std.fill_(max(float(mos_N.std()), 1e-6))
