"""The averaged measure: each map scaled to [0, 1] in its image, then their mean (Section 3 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from halfiqa_ray.measures.pixels import Map

# A map whose values differ by no more than this share of the largest is constant but for float32 rounding.
CONSTANT = 1e-6


def scale_to_unit(map_HW: Map) -> Map:
    """A map with its lowest value moved to 0 and its highest to 1: float32 (H, W).

    A constant map prefers no place and becomes 0 everywhere, so that it moves no block of an average past another.
    Raises ValueError when a value is not finite.
    """
    low, high = float(map_HW.min()), float(map_HW.max())
    if not np.isfinite(low) or not np.isfinite(high):
        raise ValueError(f"a measure's map must be finite, got values from {low} to {high}")
    if high - low <= CONSTANT * max(abs(low), abs(high)):
        return np.zeros_like(map_HW, dtype=np.float32)
    return ((map_HW - np.float32(low)) / np.float32(high - low)).astype(np.float32, copy=False)


def average(maps_HW: Sequence[Map]) -> Map:
    """The mean of maps of one size, each scaled to [0, 1] in its image: float32 (H, W) in [0, 1].

    Raises ValueError when the sizes differ or a value is not finite.
    """
    shapes = {one.shape for one in maps_HW}
    if len(shapes) != 1:
        raise ValueError(f"only maps of one size can be averaged, got {sorted(shapes)}")
    total_HW = np.zeros(maps_HW[0].shape, np.float32)
    for one_HW in maps_HW:
        total_HW += scale_to_unit(one_HW)
    return total_HW / np.float32(len(maps_HW))
