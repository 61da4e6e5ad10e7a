"""How well predictions agree with mean opinion scores."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from halfiqa_ray.config import Section
from halfiqa_ray.statistics.pearson import pearson
from halfiqa_ray.statistics.spearman import spearman


class Agreement(Section):
    """Predictions against MOS over all images of one split; no logistic fit before the correlation."""

    n: int = Field(ge=0, description="Images.")
    plcc: float | None = Field(description="Pearson correlation; null where a side does not vary.")
    srcc: float | None = Field(description="Spearman rank correlation; null where a side does not vary.")
    rmse: float | None = Field(description="Root mean squared error in native MOS units; null without images.")


def agreement(predicted: ArrayLike, mos: ArrayLike) -> Agreement:
    """Compare scores with MOS, both (n,) in native MOS units.

    Raises ValueError when the lengths differ or a prediction is not finite.
    """
    x, y = np.asarray(predicted, dtype=np.float64), np.asarray(mos, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"cannot compare predictions of shape {x.shape} with MOS of shape {y.shape}")
    if not np.isfinite(x).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(x))} of {len(x)} predictions are not finite")
    if not len(x):
        return Agreement(n=0, plcc=None, srcc=None, rmse=None)
    return Agreement(
        n=len(x),
        plcc=_or_null(float(pearson(x, y))),
        srcc=_or_null(float(spearman(x[None], y)[0])),
        rmse=float(np.sqrt(np.mean((x - y) ** 2))),
    )


def _or_null(value: float) -> float | None:
    return None if math.isnan(value) else value
