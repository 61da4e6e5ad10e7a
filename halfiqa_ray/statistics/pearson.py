"""Pearson's correlation, and when there is none.

Rule (all of this project): no correlation exists where a side does not vary, that is where its population standard
deviation is at most ``SMALLEST_SPREAD * max(1, |mean|)``. It is then NaN (null in stored tables): never 0 and never
the correlation of rounding noise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

SMALLEST_SPREAD = 1e-6


def varies(mean: ArrayLike, std: ArrayLike) -> NDArray[np.bool_]:
    """Whether a population standard deviation is more than rounding noise around its mean (same unit, any shape).

    NaN in either counts as not varying.
    """
    return np.asarray(std) > SMALLEST_SPREAD * np.maximum(1.0, np.abs(np.asarray(mean, dtype=np.float64)))


def pearson(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Pearson's correlation along the last axis, in float64; the leading axes broadcast.

    For ``level_plcc`` (Section 2 of arXiv 2301.12891 read for one image) ``x`` holds the quality levels of every
    subset, (S, 5), and ``y`` those of the whole image, (5,). Returns values in [-1, 1], NaN where a side does not
    vary. Raises ValueError when the last axes differ or are empty.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.shape[-1] != b.shape[-1] or a.shape[-1] == 0:
        raise ValueError(f"cannot correlate {a.shape[-1]} values with {b.shape[-1]}")
    mean_a, mean_b = a.mean(-1, keepdims=True), b.mean(-1, keepdims=True)
    a, b = a - mean_a, b - mean_b
    std_a, std_b = np.sqrt((a * a).mean(-1)), np.sqrt((b * b).mean(-1))
    exists = varies(mean_a[..., 0], std_a) & varies(mean_b[..., 0], std_b)
    return quotient((a * b).mean(-1), std_a * std_b, exists)


def quotient(
    covariance: NDArray[np.float64], spread: NDArray[np.float64], exists: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """``covariance / spread`` clipped to [-1, 1] where ``exists``, NaN elsewhere; the shapes broadcast."""
    undefined = np.full(np.broadcast_shapes(np.shape(covariance), np.shape(spread), np.shape(exists)), np.nan)
    return np.clip(np.divide(covariance, spread, out=undefined, where=exists), -1.0, 1.0)
