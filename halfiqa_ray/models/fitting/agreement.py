"""How well predictions agree with mean opinion scores."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from halfiqa_ray.config import Section
from halfiqa_ray.statistics.bootstrap import no_interval, percentile_interval
from halfiqa_ray.statistics.pearson import pearson
from halfiqa_ray.statistics.spearman import spearman

NAMES = ("plcc", "srcc", "rmse")


class Agreement(Section):
    """Predictions against MOS over all images of one split; no logistic fit before the correlation."""

    n: int = Field(ge=0, description="Images.")
    plcc: float | None = Field(description="Pearson correlation; null where a side does not vary.")
    srcc: float | None = Field(description="Spearman rank correlation; null where a side does not vary.")
    rmse: float | None = Field(description="Root mean squared error in native MOS units; null without images.")
    plcc_interval: tuple[float, float] | None = Field(None, description="95% bootstrap interval; or null.")
    srcc_interval: tuple[float, float] | None = Field(None, description="The same for SRCC.")
    rmse_interval: tuple[float, float] | None = Field(None, description="The same for RMSE.")


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
    return Agreement(n=len(x), **dict(zip(NAMES, map(_or_null, _compare(x, y)), strict=True)))


def agreement_with_intervals(
    predicted: ArrayLike, mos: ArrayLike, groups: NDArray[np.integer], draws: int, seed: int
) -> Agreement:
    """`agreement` with 95% percentile bootstrap intervals over whole groups (crops of one photo go together).

    ``groups`` (n,) numbers the group of every image. No interval where there are too few images or groups
    (`no_interval`), or more than 5% of the resamples have no value.
    """
    found = agreement(predicted, mos)
    x, y = np.asarray(predicted, dtype=np.float64), np.asarray(mos, dtype=np.float64)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    if no_interval(len(x), len(members)):
        return found
    generator = np.random.default_rng(seed)
    drawn_D3 = np.empty((draws, len(NAMES)))
    for draw in range(draws):
        rows = np.concatenate([members[pick] for pick in generator.integers(0, len(members), len(members))])
        drawn_D3[draw] = _compare(x[rows], y[rows])
    low, high = percentile_interval(drawn_D3)
    intervals = {
        f"{name}_interval": (float(a), float(b))
        for name, a, b in zip(NAMES, low, high, strict=True)
        if math.isfinite(a)
    }
    return found.model_copy(update=intervals)


def _compare(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(pearson(x, y)), float(spearman(x[None], y)[0]), float(np.sqrt(np.mean((x - y) ** 2)))


def _or_null(value: float) -> float | None:
    return None if math.isnan(value) else value
