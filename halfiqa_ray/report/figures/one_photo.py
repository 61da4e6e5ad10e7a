"""One photo: whole, with each half of its blocks kept, and the Shapley values of its blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.report.figures.style import DIVERGING, PAGE, new_figure, plain, styled, without_axes
from halfiqa_ray.report.photos import Photo, show_photo

__all__ = ["Figure", "draw_one_photo"]  # the type is for those who may not import matplotlib


@styled
def draw_one_photo(
    photo: Photo,
    grid: Grid,
    panels: Sequence[tuple[str, float, int]],
    shapley_K: NDArray[np.float64],
    digits: int,
    notes: Sequence[str] = (),
) -> Figure:
    """A panel for each (name, score, kept blocks), and one with the Shapley values, in MOS units with their signs."""
    figure = new_figure(PAGE, 1.9, [plain(photo.image_id, 90), *notes])
    *axes, last = figure.subplots(1, len(panels) + 1)
    for axis, (name, score, kept) in zip(axes, panels, strict=True):
        show_photo(axis, photo, kept, grid)
        axis.set_title(f"{name}: {score:.{digits}f}")
    largest = float(np.abs(shapley_K).max()) or 1.0
    values = shapley_K.reshape(grid.rows, grid.columns)
    height, width = (3, 4) if photo.pixels is None else photo.pixels.shape[:2]
    aspect = height / width * grid.columns / grid.rows  # so that blocks have the shape that they have in the photo
    last.imshow(values, cmap=DIVERGING, vmin=-largest, vmax=largest, aspect=aspect)
    for (row, column), value in np.ndenumerate(values):
        ink = "white" if abs(value) > 0.6 * largest else "black"
        last.text(column, row, f"{value:+.{digits}f}", ha="center", va="center", color=ink, fontsize=6)
    without_axes(last)
    last.set_title("Shapley values")
    return figure
