"""Stages: decoded photos in, their semantic measures out, as block means or as small maps; and, before that, the data
set's mean of every band.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
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
# What `SmallMeasures` adds, null where nothing is to be measured.
SMALL_MAPS = pa.list_(
    pa.struct(
        [
            pa.field("name", pa.string()),
            pa.field("height", pa.int32()),
            pa.field("width", pa.int32()),
            pa.field("values", pa.list_(pa.float32())),
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
        maps = _measures(self.settings, self.band_means).measure(pixels_HW3)
        return self.stored(image_id, {name: block_means(map_HW, grid) for name, map_HW in maps.items()})

    def stored(self, image_id: str, means: Mapping[str, NDArray[np.float32]]) -> list[dict[str, Any]]:
        """The block means of one image and their higher halves, as they are stored."""
        found = []
        for name, means_B in means.items():
            mask, tied = high_blocks(means_B, image_id, self.seed)
            found.append({"measure": name, "block_means": means_B, "high_blocks": mask, "tied": tied > 0})
        return found


@dataclass(frozen=True)
class SmallMeasures:
    """Of what `MeasurePhotos` does, what is done on small images; `FinishMeasures` does the rest, on a device."""

    whole: MeasurePhotos

    def __call__(self, rows: pa.Table) -> pa.Table:
        """The rows with ``small_maps`` (`SMALL_MAPS`), and the errors that `MeasurePhotos` gives too."""
        return _measured(rows, "measure", "small_maps", SMALL_MAPS, self.maps)

    def maps(self, image_id: str, pixels_HW3: Pixels) -> list[dict[str, Any]]:
        """The small maps of one image."""
        small = _measures(self.whole.settings, self.whole.band_means).small_maps(pixels_HW3)
        return [
            {"name": name, "height": map_HW.shape[0], "width": map_HW.shape[1], "values": map_HW.ravel()}
            for name, map_HW in small.items()
        ]


class FinishMeasures:
    """What `SmallMeasures` leaves to do, at every pixel, with torch on ``device``."""

    def __init__(self, whole: MeasurePhotos, device: str) -> None:
        from halfiqa_ray.measures.on_device import DeviceMeasures  # processes that measure on the CPU need no torch

        self.whole = whole
        self.measures = DeviceMeasures(_measures(whole.settings, whole.band_means), device)

    def __call__(self, rows: pa.Table) -> pa.Table:
        """The rows of `SmallMeasures` as `MeasurePhotos` gives them."""
        small = rows["small_maps"]
        rows = rows.append_column("asked", small.is_valid())
        before = rows.select(["measure_error", "measure_message"])
        rows = rows.drop_columns(["small_maps", *before.column_names])
        rows = _measured(rows, "asked", "measures", MEASURES, self._finish(rows["image_id"].to_pylist(), small))
        for name in before.column_names:
            rows = rows.set_column(rows.column_names.index(name), name, pc.coalesce(before[name], rows[name]))
        return rows.drop_columns(["asked"])

    def _finish(self, image_ids: list[str], small: pa.ChunkedArray) -> Callable[[str, Pixels], list[dict[str, Any]]]:
        from halfiqa_ray.measures.on_device import block_means as means_of

        found = dict(zip(image_ids, small, strict=True))
        grid = Grid(self.whole.grid.rows, self.whole.grid.columns)

        def finish(image_id: str, pixels_HW3: Pixels) -> list[dict[str, Any]]:
            maps = {
                each["name"].as_py(): each["values"]
                .values.to_numpy()
                .reshape(each["height"].as_py(), each["width"].as_py())
                for each in found[image_id]
            }
            means_MB = means_of(self.measures.measure(pixels_HW3, maps), grid).cpu().numpy()
            return self.whole.stored(image_id, dict(zip(self.measures.measures.names, means_MB, strict=True)))

        return finish


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
