"""Bootstrap intervals over images, or over whole groups of images (crops of one source photo).

All statistics of one call share the same resamples, so that the difference of any two of them has an interval too
(paired bootstrap). Resampling is a product of a weights matrix with sums over rows; no row is copied.
Shape suffixes: R statistics, N rows (images), G groups, D draws (resamples), C columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfiqa_ray.statistics.pearson import quotient, varies

LEVEL = 0.95
# Draws that share one random stream. A constant, so that results do not depend on how memory is cut;
# the memory of a call is about DRAWS_A_BLOCK * G * 24 bytes, and N * R * 64 bytes for the sums.
DRAWS_A_BLOCK = 16
# Beyond this share of resamples without a value an interval would describe the others only.
LARGEST_UNDEFINED = 0.05
# Resamples of fewer are of so few distinct kinds that their percentiles are no interval: for three images they reach
# from -1 to 1 whatever was measured.
FEWEST_IMAGES = 20
FEWEST_UNITS = 8  # whole groups, where images are crops of fewer photos
FEW_UNITS = 10  # an interval of fewer says so


def no_interval(images: int, units: int, unit: str = "image") -> str | None:
    """Why so few ``images`` of so many resampled ``units`` have no interval, for a reader; None where they have one."""
    if images < FEWEST_IMAGES:
        return f"no interval from fewer than {FEWEST_IMAGES} images"
    if units < FEWEST_UNITS:
        return f"no interval from fewer than {FEWEST_UNITS} {unit}s"
    return None


def interval_note(images: int, units: int, unit: str = "image") -> str | None:
    """What a reader must know of the interval of few images: that there is none, or how few units are behind it."""
    few = f"intervals from only {units} {unit}s" if units < FEW_UNITS else None
    return no_interval(images, units, unit) or few


def resampled_sums(
    values_NC: NDArray[np.float64], groups_N: NDArray[np.integer], draws: int, seed: int
) -> NDArray[np.float64]:
    """Column sums of ``draws`` resamples of whole groups with replacement: float64 (D, C).

    ``groups_N`` numbers the group of every row, 0 .. G - 1. The same seed, draws and number of groups take the same
    resamples, whatever the columns.
    """
    count = int(groups_N.max()) + 1
    sums_GC = np.zeros((count, values_NC.shape[1]))
    np.add.at(sums_GC, groups_N, values_NC)
    result = np.empty((draws, values_NC.shape[1]))
    for block, start in enumerate(range(0, draws, DRAWS_A_BLOCK)):
        drawn = min(DRAWS_A_BLOCK, draws - start)
        picks = np.random.default_rng([seed, block]).integers(0, count, (DRAWS_A_BLOCK, count))[:drawn]
        cells = picks + count * np.arange(drawn)[:, None]
        weights_DG = np.bincount(cells.ravel(), minlength=drawn * count).reshape(drawn, count)
        result[start : start + drawn] = weights_DG.astype(np.float64) @ sums_GC
    return result


def resampled_plcc(
    x_NR: NDArray[np.float64],
    y_N: NDArray[np.float64],
    groups_N: NDArray[np.integer],
    draws: int,
    seed: int,
) -> NDArray[np.float64]:
    """Pearson's correlation of every column of ``x`` with ``y`` in every resample: float64 (D, R).

    NaN in ``x`` or ``y`` leaves that row out of the columns concerned. A resample in which a side does not vary
    gives NaN.
    """
    # Equal columns, and equal patterns of missing rows, are resampled once.
    x_NR, column_R = _distinct(x_NR)
    there_NR = np.isfinite(x_NR) & np.isfinite(y_N)[:, None]
    there_NP, pattern_R = _distinct(there_NR)
    # Centred on the full sample, so that sums of squares do not cancel.
    base_x_R = np.where(there_NR, x_NR, 0).sum(0) / np.maximum(there_NR.sum(0), 1)
    base_y = float(y_N[np.isfinite(y_N)].mean()) if np.isfinite(y_N).any() else 0.0
    x = np.where(there_NR, x_NR - base_x_R, 0.0)
    y_N1 = np.where(np.isfinite(y_N), y_N - base_y, 0.0)[:, None]
    with_x = resampled_sums(np.concatenate([x, x * x, x * y_N1], axis=1), groups_N, draws, seed)
    with_y = resampled_sums(
        np.concatenate([there_NP, there_NP * y_N1, there_NP * y_N1**2], axis=1), groups_N, draws, seed
    )
    sum_x, sum_xx, sum_xy = np.split(with_x, 3, axis=1)
    n, sum_y, sum_yy = (sums[:, pattern_R] for sums in np.split(with_y, 3, axis=1))
    n = np.where(n > 0, n, np.nan)
    mean_x, mean_y = sum_x / n, sum_y / n
    std_x = np.sqrt(np.maximum(sum_xx / n - mean_x**2, 0))
    std_y = np.sqrt(np.maximum(sum_yy / n - mean_y**2, 0))
    exists = varies(mean_x + base_x_R, std_x) & varies(mean_y + base_y, std_y)
    return quotient(sum_xy / n - mean_x * mean_y, std_x * std_y, exists)[:, column_R]


def resampled_mean(
    values_NR: NDArray[np.float64], groups_N: NDArray[np.integer], draws: int, seed: int
) -> NDArray[np.float64]:
    """Mean of every column over the rows of every resample: float64 (D, R). Values must be finite."""
    with_count = np.concatenate([values_NR, np.ones((len(values_NR), 1))], axis=1)
    sums = resampled_sums(with_count, groups_N, draws, seed)
    return sums[:, :-1] / sums[:, -1:]


def percentile_interval(draws_DR: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper end (R,) of the 95% percentile interval of every column of draws (D, R).

    NaN where more than 5% of the draws have no value.
    """
    known_R = np.isfinite(draws_DR).mean(0) >= 1 - LARGEST_UNDEFINED
    low, high = np.full(known_R.shape, np.nan), np.full(known_R.shape, np.nan)
    if known_R.any():
        tail = (1 - LEVEL) / 2
        low[known_R], high[known_R] = np.nanquantile(draws_DR[:, known_R], [tail, 1 - tail], axis=0)
    return low, high


def _distinct(values_NR: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The distinct columns of an array, and which of them each column is."""
    first: dict[bytes, int] = {}
    which = np.array([first.setdefault(column.tobytes(), len(first)) for column in values_NR.T], dtype=np.int64)
    where = [int(np.flatnonzero(which == number)[0]) for number in range(len(first))]
    return values_NR[:, where], which
