"""Photos with their measures and their halves, as in Figure 3 of the paper, and where the two agree most and least."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from halfiqa_ray.report.figures.choose import Halved
from halfiqa_ray.report.figures.drawn import Drawn
from halfiqa_ray.report.figures.style import (
    PAGE,
    SEQUENTIAL,
    new_figure,
    notes_of,
    plain,
    printable,
    styled,
    without_axes,
)
from halfiqa_ray.report.photos import MapKey, Photo, PixelMap, show_photo
from halfiqa_ray.report.stored import about, papers_measures, sentences, substituted
from halfiqa_ray.statistics.matching import matching_number
from halfiqa_ray.tables.stored.derived import Measured


def shown_measures(measures: Sequence[Measured]) -> list[Measured]:
    """The paper's four of the stored measures: saliency, one frequency, objectness, and the average."""
    by_name = {measure.name: measure for measure in measures}
    return [by_name[name] for name in papers_measures(by_name)]


def agreement(halved: Halved, measures: Sequence[Measured]) -> NDArray[np.float64]:
    """Rank correlation over blocks of every image's averaged measure with its importance (N,); NaN without one."""
    average = next((measure for measure in measures if measure.name.startswith("averaged")), None)
    return np.full(len(halved.images), np.nan) if average is None else halved.spearman(average.means_NK)


@styled
def draw_measured(
    halved: Halved,
    at: Sequence[int],
    photos: Sequence[Photo],
    measures: Sequence[Measured],
    maps: Mapping[MapKey, PixelMap],
) -> Drawn:
    """A row a photo: the photo, the maps of the paper's measures, and both halves masked.

    Where a map is not stored its block means are drawn, and said to be so.
    """
    shown = shown_measures(measures)
    without = [p for p in photos if any((p.image_id, m.name, None) not in maps for m in shown)]
    said = f"no pixel maps of {len(without)} of the photos (jobs/explain.py stores them): their block means"
    lacking = f"Block means instead of pixel maps: {', '.join(printable(p.image_id) for p in without)}."
    drawn = _draw(halved, at, photos, shown, maps, False, said if without else "")
    told = _told(halved, at, photos, shown)
    return Drawn(
        "measures",
        "Measures, important half and trivial half (Figure 3)",
        sentences(
            "Maps from their own lowest value (dark) to their highest (bright); n of "
            f"{halved.run.grid.blocks // 2}: important blocks that are among the measure's high ones.",
            substituted(m.name for m in shown),
            lacking if without else "",
            *_about(halved, photos),
        ),
        f"Photos in rows. Important blocks that are high: {told}.",
        drawn,
    )


@styled
def draw_agreement(
    halved: Halved,
    at: Sequence[int],
    photos: Sequence[Photo],
    measures: Sequence[Measured],
    spearman_N: NDArray[np.float64],
    most: bool,
) -> Drawn:
    """The images with the highest, or lowest, of `agreement`, all in block means."""
    shown = shown_measures(measures)
    beside = [f"rank corr. {spearman_N[position]:+.2f}" for position in at]
    figure = _draw(halved, at, photos, shown, {}, True, "", beside)
    name, words = ("agree", "most") if most else ("disagree", "least")
    values = ", ".join(
        f"{printable(photo.image_id)} {spearman_N[position]:+.2f}" for position, photo in zip(at, photos, strict=True)
    )
    return Drawn(
        f"measures_{name}",
        f"Where measures and importance agree {words}",
        sentences(
            f"The images of different photos whose averaged measure has the {'highest' if most else 'lowest'} rank "
            f"correlation over blocks with the importance by {halved.rule}: block means and importance from the lowest "
            "block (dark) to the highest (bright).",
            substituted(m.name for m in shown),
            *_about(halved, photos),
        ),
        f"Photos in rows, in block means. Rank correlations: {values}. Important blocks that are high: "
        f"{_told(halved, at, photos, shown)}.",
        figure,
    )


def _draw(
    halved: Halved,
    at: Sequence[int],
    photos: Sequence[Photo],
    measures: Sequence[Measured],
    maps: Mapping[MapKey, PixelMap],
    importance: bool,
    said: str,
    beside: Sequence[str] = (),
) -> Figure:
    grid = halved.run.grid
    titles = ["photo", *(["importance"] if importance else []), *(_title(m.name) for m in measures)]
    titles += ["trivial\nmasked", "important\nmasked"]
    figure = new_figure(PAGE, 0.8 + 0.82 * len(at), notes_of(halved.run.synthetic, halved.said, said))
    axes = figure.subplots(len(at), len(titles), squeeze=False)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=6)
    for row, position, photo, note in zip(axes, at, photos, beside or [""] * len(at), strict=True):
        panels = list(row)
        shape = None if photo.pixels is None else photo.pixels.shape[:2]
        show_photo(panels.pop(0), photo)
        row[0].set_xlabel(plain(photo.image_id, 20), fontsize=5, labelpad=1.5)
        if importance:
            row[1].set_xlabel(note, fontsize=5.5, labelpad=1.5)
            _blocks(panels.pop(0), halved.importance_NK[position], halved, shape)
        half = int(halved.half_N[position])
        for measure in measures:
            axis, found = panels.pop(0), maps.get((photo.image_id, measure.name, None))
            if found is None:
                _blocks(axis, measure.means_NK[position], halved, shape)
            else:
                without_axes(axis)
                axis.imshow(
                    found.values,
                    cmap=SEQUENTIAL,
                    vmin=found.minimum,
                    vmax=found.maximum,
                    extent=_extent(shape or found.values.shape),
                )
            high = int(measure.high_N[position])
            if half and high:
                matching = int(matching_number(np.array(half), np.array(high)))
                axis.set_xlabel(f"{matching} of {grid.blocks // 2}", fontsize=5.5, labelpad=1.5)
        for axis, kept in zip(panels, (half, grid.full ^ half), strict=True):
            show_photo(axis, photo, kept if half else None, grid)
            if not half:
                axis.set_xlabel("no half", fontsize=5.5)
    return figure


def _blocks(axis: Axes, value_K: NDArray[np.float64], halved: Halved, shape: tuple[int, ...] | None) -> None:
    """Values of blocks in their places on the photo."""
    without_axes(axis)
    grid = halved.run.grid
    if np.isfinite(value_K).all():
        value_RC = value_K.reshape(grid.rows, grid.columns)
        axis.imshow(value_RC, cmap=SEQUENTIAL, extent=_extent(shape or value_RC.shape), interpolation="nearest")
    else:
        axis.text(0.5, 0.5, "not stored", transform=axis.transAxes, ha="center", va="center", fontsize=5.5)


def _extent(shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    return -0.5, shape[1] - 0.5, shape[0] - 0.5, -0.5


def _title(name: str) -> str:
    """A measure above its column, with its recipe, and whether it is the paper's where it is not."""
    kind, _, recipe = name.partition("_")
    if kind in ("objectness", "averaged") and recipe != "pixel":
        return "\n".join([kind, *recipe.split("_"), "(not the paper's)"])
    return f"{kind}\n{recipe}".strip()


def _told(halved: Halved, at: Sequence[int], photos: Sequence[Photo], measures: Sequence[Measured]) -> str:
    said = []
    for position, photo in zip(at, photos, strict=True):
        half = halved.half_N[position]
        numbers = [
            f"{m.name} {int(matching_number(half[None], m.high_N[position][None])[0])}"
            for m in measures
            if half and m.high_N[position]
        ]
        said.append(f"{printable(photo.image_id)}: {', '.join(numbers) or 'none stored'}")
    return "; ".join(said)


def _about(halved: Halved, photos: Sequence[Photo]) -> list[str]:
    return [
        f"Halves by {halved.rule}.",
        f"{halved.said}." if halved.said else "",
        about(halved.run, len(halved.images)),
        "Photos: " + ", ".join(printable(photo.image_id) for photo in photos) + ".",
    ]
