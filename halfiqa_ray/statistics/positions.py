"""Do values hang on their position: the same in every image, or as if each image had its own order of the blocks?

Values (N, K) are centred in every image; images of one group (crops of a photo) are one unit, since they share its
order. The hypothesis is that every unit's order of the blocks was drawn at random, each alike.
Shape suffixes: N images, G groups, K blocks.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from halfiqa_ray.statistics.pearson import varies


class PositionTest(NamedTuple):
    """Result of `position_test`."""

    statistic: float
    degrees: int
    p_value: float


def position_test(values_NK: NDArray[np.float64], groups_N: NDArray[np.integer]) -> PositionTest:
    """Test that no position has higher values than another, for N images of any values without NaN.

    For single images whose values are 0 and 1 with equal row sums it is Cochran's Q (1950), for ranks Friedman's test
    (1937); summing each group first makes it hold for groups. The p value is the limit for many groups (chi-square
    with K - 1 degrees). NaN where nothing varies within images.
    """
    sums_GK = _centred_sums(values_NK, groups_N)
    blocks = values_NK.shape[1]
    spread = float((sums_GK**2).sum()) / (blocks - 1) if blocks > 1 else 0.0
    if spread <= 0:
        return PositionTest(float("nan"), blocks - 1, float("nan"))
    statistic = float((sums_GK.sum(0) ** 2).sum()) / spread
    return PositionTest(statistic, blocks - 1, float(chi2.sf(statistic, blocks - 1)))


def explained_by_position(values_NK: NDArray[np.float64], groups_N: NDArray[np.integer]) -> tuple[float, float]:
    """Share of the variation within images that the mean of each position explains, and what chance would explain.

    Both in [0, 1]: 1 where all images are alike, 1 / N by chance for independent images. NaN where nothing varies.
    """
    total = float((_centred(values_NK) ** 2).sum())
    if total <= 0:
        return float("nan"), float("nan")
    sums_GK = _centred_sums(values_NK, groups_N)
    scale = total * len(values_NK)
    return float((sums_GK.sum(0) ** 2).sum()) / scale, float((sums_GK**2).sum()) / scale


def standardised(values_NK: NDArray[np.float64]) -> NDArray[np.float64]:
    """Every image's values less their mean, divided by their standard deviation; NaN rows where they do not vary."""
    mean_N1, std_N1 = values_NK.mean(1, keepdims=True), values_NK.std(1, keepdims=True)
    return np.where(varies(mean_N1, std_N1), (values_NK - mean_N1) / np.where(std_N1 > 0, std_N1, 1), np.nan)


def _centred(values_NK: NDArray[np.float64]) -> NDArray[np.float64]:
    return values_NK - values_NK.mean(1, keepdims=True)


def _centred_sums(values_NK: NDArray[np.float64], groups_N: NDArray[np.integer]) -> NDArray[np.float64]:
    """Centred values summed over the images of every group: (G, K)."""
    sums_GK = np.zeros((int(groups_N.max()) + 1 if len(groups_N) else 0, values_NK.shape[1]))
    np.add.at(sums_GK, groups_N, _centred(values_NK))
    return sums_GK
