"""Stages: decoded photos in, their semantic measures out, as block means or as small maps; and, before that, the data
set's mean of every band.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from halfiqa_ray.config import GridSettings, MeasureSettings
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.measures.blocks import block_means, high_blocks
from halfiqa_ray.measures.frequency import BANDS, band_means
from halfiqa_ray.measures.measures import Measures
from halfiqa_ray.measures.pixels import Pixels, luma
from halfiqa_ray.stages.decode import Decode, pixels_of
from halfiqa_ray.stages.maps import MAPS, small_map

# The column that this stage adds: what is to be stored of an image, null when it was not measured.
MEASURES = pa.list_(
    pa.struct(
        [
            pa.field("measure", pa.string()),
            pa.field("block_means", pa.list_(pa.float32())),
            pa.field("high_blocks", pa.uint16()),
            pa.field("tied", pa.bool_()),
        ]
    )
)


@dataclass(frozen=True)
class MeasurePhotos:
    """Measures the rows of ``Decode`` whose ``measure`` is true, at the size to score."""

    settings: MeasureSettings
    band_means: tuple[float, ...]
    grid: GridSettings
    seed: int

    def __call__(self, rows: pa.Table) -> pa.Table:
        """The rows with ``measures``, and ``measure_error``, ``measure_message`` for a photo that cannot be measured.

        Not with ``error``: such a photo may still be ranked.
        """
        return _measured(rows, "measure", "measures", MEASURES, self.measure)

    def measure(self, image_id: str, pixels_HW3: Pixels) -> list[dict[str, Any]]:
        """What is to be stored of one image: every measure's block means and higher half."""
        grid = Grid(self.grid.rows, self.grid.columns)
        found = []
        for name, map_HW in _measures(self.settings, self.band_means).measure(pixels_HW3).items():
            means = block_means(map_HW, grid)
            mask, tied = high_blocks(means, image_id, self.seed)
            found.append({"measure": name, "block_means": means, "high_blocks": mask, "tied": tied > 0})
        return found


@dataclass(frozen=True)
class MapMeasures:
    """Small maps of the main measures, for the rows of ``Decode`` whose ``mapped`` is true, at the size to score."""

    settings: MeasureSettings
    band_means: tuple[float, ...]

    def __call__(self, rows: pa.Table) -> pa.Table:
        """The rows with ``measure_maps`` (``MAPS``), and the errors that `MeasurePhotos` gives too."""
        return _measured(rows, "mapped", "measure_maps", MAPS, self.maps)

    def maps(self, image_id: str, pixels_HW3: Pixels) -> list[dict[str, Any]]:
        """What is to be stored of one image."""
        measures = _measures(self.settings, self.band_means)
        found = measures.measure(pixels_HW3)
        return [small_map(name, None, found[name]) for name in measures.main]


@dataclass(frozen=True)
class BandMeans:
    """The mean magnitude of each frequency band of photos at the size to score."""

    decode: Decode

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Columns image_id, ``band_means`` float64 (10), null for a photo that cannot be read, and its ``error``."""
        decoded = self.decode(rows)
        means: list[NDArray[np.float64] | None] = [None] * rows.num_rows
        for i, pixels_HW3 in pixels_of(decoded):
            means[i] = band_means(luma(pixels_HW3))
        return decoded.select(["image_id", "error"]).append_column(
            "band_means", pa.array(means, pa.list_(pa.float64(), BANDS))
        )


def _measured(
    rows: pa.Table, asked: str, column: str, kind: pa.DataType, find: Callable[[str, Pixels], list[dict[str, Any]]]
) -> pa.Table:
    """The rows with ``column``, what is found of those that are ``asked``, and the columns of what went wrong."""
    found: list[list[dict[str, Any]] | None] = [None] * rows.num_rows
    errors: list[str | None] = [None] * rows.num_rows
    messages: list[str | None] = [None] * rows.num_rows
    wanted = rows[asked].to_pylist()
    for i, pixels_HW3 in pixels_of(rows):
        if wanted[i]:
            try:
                found[i] = find(rows["image_id"][i].as_py(), pixels_HW3)
            except ValueError as problem:  # fewer pixels than blocks, or a mean that is not finite
                errors[i], messages[i] = "cannot be measured", f"{rows['uri'][i]}: {problem}"
    rows = rows.append_column(column, pa.array(found, kind))
    rows = rows.append_column("measure_error", pa.array(errors, pa.string()))
    return rows.append_column("measure_message", pa.array(messages, pa.string()))


@functools.lru_cache(maxsize=1)
def _measures(settings: MeasureSettings, means: tuple[float, ...]) -> Measures:
    # Kept from call to call: the network of pixel objectness takes seconds to read.
    return Measures(settings, means)
