"""What explanations point at: a photo, its LIME map and its Grad-CAM map, as in Figure 1 of the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from halfiqa_ray.report.figures.choose import Halved
from halfiqa_ray.report.figures.drawn import Drawn
from halfiqa_ray.report.figures.style import (
    COLUMN,
    DIVERGING,
    GREY,
    SEQUENTIAL,
    new_figure,
    notes_of,
    plain,
    printable,
    styled,
    without_axes,
)
from halfiqa_ray.report.photos import MapKey, Photo, PixelMap, show_photo
from halfiqa_ray.report.stored import about, in_order, model_title, sentences

TITLES = {"lime": "LIME", "grad_cam": "Grad-CAM"}
UNITS = {"lime": " MOS"}  # Grad-CAM has none
MOST_OPAQUE = 0.9


def models_of(maps: Mapping[MapKey, PixelMap]) -> list[str]:
    """The models that have maps of explanations, in the order of the paper."""
    return in_order({model for _, _, model in maps if model is not None})


@styled
def draw_explained(halved: Halved, model: str, photos: Sequence[Photo], maps: Mapping[MapKey, PixelMap]) -> Drawn:
    """A row a photo: the photo, and every method's map of the model's score over it.

    A photo without maps of the model has the reason in their place.
    """
    stored = {name for _, name, of_model in maps if of_model == model}
    methods = [name for name in TITLES if name in stored] + sorted(stored - TITLES.keys())
    run = halved.run
    ours = [found for (_, _, of_model), found in maps.items() if of_model == model]
    signed = any(found.minimum < 0 for found in ours)
    words = "what raises and what lowers" if signed else "how much each place matters to"
    notes = notes_of(any(found.synthetic for found in ours), f"{words} the score of {model_title(model)}")
    figure = new_figure(COLUMN, 0.9 + 1.15 * len(photos), notes)
    axes = figure.subplots(len(photos), 1 + len(methods), squeeze=False)
    told, without = [], []
    for row, photo in zip(axes, photos, strict=True):
        show_photo(row[0], photo)
        row[0].set_xlabel(plain(photo.image_id, 26), fontsize=5)
        for axis, method in zip(row[1:], methods, strict=True):
            found = maps.get((photo.image_id, method, model))
            if found is None:
                without_axes(axis)
                axis.text(
                    0.5, 0.5, "no map stored:\njobs/explain.py", transform=axis.transAxes, ha="center", color=GREY
                )
                without.append(f"{printable(photo.image_id)} ({method})")
                continue
            overlay(axis, photo, found, signed)
            said = f"{found.minimum:+.2g} to {found.maximum:+.2g}" if signed else f"up to {found.maximum:.2g}"
            said += UNITS.get(method, "")
            axis.set_title(f"{TITLES.get(method, method)}\n{said}", fontsize=6)
            told.append(f"{printable(photo.image_id)} {method} {said}")
    axes[0, 0].set_title("photo", fontsize=6.5)
    colours = ScalarMappable(Normalize(-1 if signed else 0, 1), DIVERGING if signed else SEQUENTIAL)
    bar = figure.colorbar(colours, ax=axes.ravel().tolist(), location="bottom", aspect=40, shrink=0.8)
    bar.set_ticks([-1, 0, 1] if signed else [0, 1])
    bar.set_ticklabels(["lowers the score", "0", "raises it"] if signed else ["0", "most"])
    return Drawn(
        f"explanations_{model}",
        f"What LIME and Grad-CAM point at in {model_title(model)} (Figure 1)",
        sentences(
            f"Photos with the maps of methods that explain {model_title(model)}'s score, over the photo in grey. Above "
            "each map the range of its values; it is the stronger the further its value is from 0, and clear at 0.",
            "" if signed else "Stored are magnitudes: whether a place raises or lowers the score is not shown.",
            f"No map is stored of {', '.join(without)}: jobs/explain.py makes them." if without else "",
            f"{about(run, len(halved.images))} Photos: {', '.join(printable(photo.image_id) for photo in photos)}.",
        ),
        f"Photos in rows. Ranges of the maps: {'; '.join(told) or 'none'}.",
        figure,
    )


def overlay(axis: Axes, photo: Photo, found: PixelMap, signed: bool) -> None:
    """A map over its photo in grey: the stronger, the less the photo shows through.

    ``signed``: colours to both sides of 0, else from 0 up.
    """
    without_axes(axis)
    height, width = found.values.shape if photo.pixels is None else photo.pixels.shape[:2]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    if photo.pixels is not None:
        axis.imshow(photo.pixels @ np.array([0.299, 0.587, 0.114]), cmap="gray", vmin=0, vmax=255)
    limit = max(abs(found.minimum), abs(found.maximum)) or 1.0
    strength = np.sqrt((np.abs(found.values) / limit).clip(0, 1))
    axis.imshow(
        found.values, cmap=DIVERGING if signed else SEQUENTIAL, vmin=-limit if signed else 0, vmax=limit,
        alpha=MOST_OPAQUE * strength, extent=extent, interpolation="nearest",
    )  # fmt: skip
