"""Photos for figures: as the model saw them in orientation, small, with blocks masked; and stored pixel maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from halfiqa_ray import schema, storage
from halfiqa_ray.data.manifest import read_manifest
from halfiqa_ray.data.photos.images import ImageError, open_photo, resize
from halfiqa_ray.data.problems import DataError
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.report.dimming import with_blocks
from halfiqa_ray.report.figures.style import GREY, plain, without_axes
from halfiqa_ray.report.stored import Missing
from halfiqa_ray.tables.stored.reading import Run, created

Pixels = NDArray[np.uint8]
LONGEST = 400  # side of a photo in a figure, pixels


@dataclass(frozen=True)
class Photo:
    """A photo of a figure: its pixels (H, W, 3), or why there are none."""

    image_id: str
    pixels: Pixels | None
    problem: str = ""


@dataclass(frozen=True)
class PixelMap:
    """A stored map of one image: values (H, W) to one of 255 steps between its ends."""

    values: NDArray[np.float32]
    minimum: float
    maximum: float
    synthetic: bool  # made-up data, or a model that learned from them


MapKey = tuple[str, str, str | None]  # image id, measure or method, model


def photo_uris(output: str, dataset: str) -> dict[str, str]:
    """Where each photo of a data set is read. Raises Missing without a manifest."""
    try:
        manifest = read_manifest(output, dataset)
    except DataError as error:
        raise Missing(str(error)) from error
    return dict(zip(manifest["image_id"].to_pylist(), manifest["uri"].to_pylist(), strict=True))


def open_upright(uri: str, run: Run, maximum_pixels: int) -> Pixels:
    """A photo in the orientation that a run scored it in. Raises ImageError."""
    pixels = open_photo(uri, maximum_pixels)
    if run.metadata.get("portrait") == "rotate" and pixels.shape[0] > pixels.shape[1]:
        pixels = np.ascontiguousarray(np.rot90(pixels))  # as the stage that decodes for scoring
    return pixels


def small_photo(image_id: str, uris: dict[str, str], run: Run, maximum_pixels: int, longest: int = LONGEST) -> Photo:
    """A photo for a figure, in its own proportions; one that cannot be read says so in its place."""
    if image_id not in uris:
        return Photo(image_id, None, "the manifest does not have this photo: run jobs/prepare.py")
    try:
        pixels = open_upright(uris[image_id], run, maximum_pixels)
    except ImageError as error:
        return Photo(image_id, None, str(error))
    height, width = pixels.shape[:2]
    shrink = min(1.0, longest / max(height, width))
    return Photo(image_id, resize(pixels, max(1, round(height * shrink)), max(1, round(width * shrink))))


def show_photo(axis: Axes, photo: Photo, kept: int | None = None, grid: Grid | None = None) -> None:
    """Draw a photo into a panel, with only the blocks of ``kept`` where that is given; or why it cannot be."""
    without_axes(axis)
    if photo.pixels is None:
        axis.text(
            0.5, 0.5, plain(photo.problem, 200), transform=axis.transAxes, ha="center", va="center", wrap=True,
            fontsize=5, color=GREY,
        )  # fmt: skip
        return
    try:
        pixels = photo.pixels if kept is None or grid is None else with_blocks(photo.pixels, grid, kept)
    except ValueError:
        axis.text(0.5, 0.5, "too small for the grid", transform=axis.transAxes, ha="center", va="center", color=GREY)
        return
    axis.imshow(pixels)


def read_maps(output: str, run: Run) -> dict[MapKey, PixelMap]:
    """Every stored pixel map of a data set that was not made for another rank run; of two, the newer.

    Raises ValueError naming the file when a map has not as many pixels as it says.
    """
    files = storage.list_files(storage.join(output, "maps", f"dataset={run.dataset}"), ".parquet", recursive=True)
    found: dict[MapKey, PixelMap] = {}
    for file in sorted(files, key=lambda file: (created([file]), file), reverse=True):
        about = schema.metadata(storage.read_schema(file))
        if str(about.get("rank_key", run.key))[:8] != run.key:
            continue
        for row in storage.read_table(file, schema.MAPS.names).to_pylist():
            pixels = np.array(row["pixels"], dtype=np.float32)
            if len(pixels) != row["height"] * row["width"]:
                raise ValueError(
                    f"{file}: the map {row['name']} of {row['image_id']!r} has {len(pixels)} pixels, not "
                    f"{row['height']} x {row['width']}: delete the file and run jobs/explain.py again"
                )
            low, high = row["minimum"], row["maximum"]
            values = low + pixels.reshape(row["height"], row["width"]) / 255 * (high - low)
            key, synthetic = (row["image_id"], row["name"], row["model"]), run.synthetic or bool(about.get("synthetic"))
            found.setdefault(key, PixelMap(values, low, high, synthetic))
    return found
