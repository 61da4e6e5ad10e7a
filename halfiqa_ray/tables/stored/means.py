"""Means over images with bootstrap intervals, for values that some images do not have.

Shape suffixes: N images, R columns, U units (source photos, or single images).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfiqa_ray.statistics.bootstrap import (
    FEWEST_IMAGES,
    interval_note,
    no_interval,
    percentile_interval,
    resampled_sums,
)
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored.reading import Images


@dataclass(frozen=True)
class Units:
    """What intervals over some images resample."""

    groups_N: NDArray[np.int64]  # number of every image's unit, 0 .. U - 1
    of_photos: bool

    @classmethod
    def of(cls, images: Images, at: NDArray[np.int64]) -> Units:
        """The units of the images at some positions."""
        photos = np.asarray([images.photo[i] for i in at], dtype=str)
        return cls(np.unique(photos, return_inverse=True)[1].astype(np.int64), images.of_photos)

    @property
    def count(self) -> int:
        """Number of units."""
        return int(self.groups_N.max()) + 1 if len(self.groups_N) else 0

    def columns(self) -> dict[str, Any]:
        """The columns ``resampled`` and ``resampled_units`` of a row."""
        return {"resampled": "source photo" if self.of_photos else "image", "resampled_units": self.count}

    def note(self) -> str | None:
        """What a reader must know of intervals over so few units; None where there are enough."""
        if not self.count:
            return None
        return interval_note(len(self.groups_N), self.count, "source photo" if self.of_photos else "image")


def mean_intervals(
    values_NR: NDArray[np.float64], units: Units, resampling: Resampling
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean of every column over the images that have a value, and the ends of its 95% interval: three (R,).

    NaN entries are left out of their column; NaN where a column has none, and for the interval of too few images.
    """
    there_NR = np.isfinite(values_NR)
    count_R = there_NR.sum(0)
    known_NR = np.where(there_NR, values_NR, 0.0)
    undefined = np.full(values_NR.shape[1], np.nan)
    mean_R = np.divide(known_NR.sum(0), count_R, out=undefined.copy(), where=count_R > 0)
    if no_interval(len(values_NR), units.count):
        return mean_R, undefined, undefined
    if there_NR.all():
        known_NR = np.concatenate([known_NR, np.ones((len(known_NR), 1))], axis=1)
    else:
        known_NR = np.concatenate([known_NR, there_NR.astype(np.float64)], axis=1)
    sums_DR = resampled_sums(known_NR, units.groups_N, resampling.resamples, resampling.seed)
    total_DR, count_DR = sums_DR[:, : len(mean_R)], sums_DR[:, len(mean_R) :]
    count_DR = np.broadcast_to(count_DR, total_DR.shape)
    low_R, high_R = percentile_interval(
        np.divide(total_DR, count_DR, out=np.full(total_DR.shape, np.nan), where=count_DR > 0)
    )
    few_R = count_R < FEWEST_IMAGES
    return mean_R, np.where(few_R, np.nan, low_R), np.where(few_R, np.nan, high_R)


def interval_columns(
    name: str, column: int, found: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
) -> dict[str, float]:
    """One column of `mean_intervals` as the columns NAME, NAME_low and NAME_high of a row."""
    return {name + end: float(values[column]) for end, values in zip(("", "_low", "_high"), found, strict=True)}
