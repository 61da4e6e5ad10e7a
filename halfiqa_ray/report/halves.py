"""Photos with their important and with their trivial half, as in Figure 2 of the paper, from stored rank rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from numpy.typing import NDArray

from halfiqa_ray import schema
from halfiqa_ray.data.images import resize
from halfiqa_ray.masking.grid import Grid

# A masked block is shown dark, but not so dark that one cannot tell what it hides.
DIMMED = 0.12


def most_telling(rows: pa.Table, rule: str, count: int) -> list[str]:
    """Image ids whose score changes most more by masking the important than the trivial half, of different photos."""
    metadata = schema.metadata(rows.schema)
    full = Grid(metadata["grid"]["rows"], metadata["grid"]["columns"]).full
    gaps = []
    for row in rows.select(["image_id", "source_photo", f"important_{rule}", "subset_scores", "score"]).to_pylist():
        important = row[f"important_{rule}"]
        if important is None:
            continue
        scores = row["subset_scores"]
        gap = abs(scores[full ^ important] - row["score"]) - abs(scores[important] - row["score"])
        gaps.append((-gap, row["image_id"], row["source_photo"] or row["image_id"]))
    chosen: list[str] = []
    photos: set[str] = set()
    for _, image_id, photo in sorted(gaps):
        if photo not in photos and len(chosen) < count:
            chosen.append(image_id)
            photos.add(photo)
    return chosen


def with_blocks(pixels: NDArray[np.uint8], grid: Grid, kept: int) -> NDArray[np.uint8]:
    """A photo (H, W, 3) whose blocks outside ``kept`` are dimmed."""
    shown = (kept >> grid.cells(*pixels.shape[:2]) & 1).astype(bool)
    return np.where(shown[..., None], pixels, (pixels * DIMMED).astype(np.uint8))


def draw_halves(rows: pa.Table, photos: Sequence[NDArray[np.uint8]], rule: str) -> Figure:
    """A row a photo: the photo, its important half, its trivial half, with the score that the model gives to each.

    ``photos``: decoded photos (any size) in the order of ``rows``.
    """
    metadata = schema.metadata(rows.schema)
    grid = Grid(metadata["grid"]["rows"], metadata["grid"]["columns"])
    records: list[dict[str, Any]] = rows.to_pylist()
    figure = Figure(figsize=(9, 2.55 * len(records) + 0.5), layout="constrained")
    axes = figure.subplots(len(records), 3, squeeze=False)
    for row, photo, (left, middle, right) in zip(records, photos, axes, strict=True):
        pixels = resize(photo, row["scored_height"], row["scored_width"])
        important, scores = row[f"important_{rule}"], row["subset_scores"]
        left.imshow(pixels)
        left.set_title(f"whole photo: {row['score']:.2f}", fontsize=10)
        middle.imshow(with_blocks(pixels, grid, important))
        middle.set_title(f"important half alone: {scores[important]:.2f}", fontsize=10)
        right.imshow(with_blocks(pixels, grid, grid.full ^ important))
        right.set_title(f"trivial half alone: {scores[grid.full ^ important]:.2f}", fontsize=10)
        for axis in (left, middle, right):
            axis.set_axis_off()
    scale = metadata["mos_scale"]
    said = f"Predicted quality, {scale['low']:g} (bad) to {scale['high']:g} (excellent); rule {rule}"
    if metadata.get("synthetic"):
        said += "; synthetic demo data"
    figure.suptitle(said, fontsize=10)
    return figure
