"""The averaged measure: each map scaled to [0, 1] in its image, then their mean (Section 3 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from halfiqa_ray.measures.pixels import Map, rows_at_once

# A map whose values differ by no more than this share of the largest is constant but for float32 rounding.
CONSTANT = 1e-6


def scale_to_unit(map_HW: Map) -> Map:
    """A map with its lowest value moved to 0 and its highest to 1: float32 (H, W).

    A constant map prefers no place and becomes 0 everywhere, so that it moves no block of an average past another.
    Raises ValueError when a value is not finite.
    """
    return average([map_HW])


def average(maps_HW: Sequence[Map]) -> Map:
    """The mean of maps of one size, each scaled to [0, 1] in its image: float32 (H, W) in [0, 1].

    Raises ValueError when the sizes differ or a value is not finite.
    """
    shapes = {one.shape for one in maps_HW}
    if len(shapes) != 1:
        raise ValueError(f"only maps of one size can be averaged, got {sorted(shapes)}")
    spans = [_span(one_HW) for one_HW in maps_HW]
    total_HW = np.zeros(maps_HW[0].shape, np.float32)
    for rows in rows_at_once(total_HW):
        for one_HW, (low, span) in zip(maps_HW, spans, strict=True):
            if span > 0:
                total_HW[rows] += (one_HW[rows] - low) / span
        total_HW[rows] /= np.float32(len(maps_HW))
    return total_HW


def _span(map_HW: Map) -> tuple[np.float32, np.float32]:
    """The lowest value and how far the highest is above it; 0 for a constant map. Raises ValueError if not finite."""
    low, high = float(map_HW.min()), float(map_HW.max())
    if not np.isfinite(low) or not np.isfinite(high):
        raise ValueError(f"a measure's map must be finite, got values from {low} to {high}")
    constant = high - low <= CONSTANT * max(abs(low), abs(high))
    return np.float32(low), np.float32(0 if constant else high - low)
