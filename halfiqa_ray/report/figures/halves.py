"""Photos with their important and with their trivial half masked, as in Figure 2 of the paper, from stored scores."""

from __future__ import annotations

from collections.abc import Sequence

from halfiqa_ray.report.figures.choose import Halved
from halfiqa_ray.report.figures.drawn import Drawn
from halfiqa_ray.report.figures.style import COLUMN, new_figure, notes_of, plain, styled
from halfiqa_ray.report.names import printable
from halfiqa_ray.report.photos import Photo, show_photo
from halfiqa_ray.report.stored import about, sentences


@styled
def draw_halves(halved: Halved, at: Sequence[int], photos: Sequence[Photo]) -> Drawn:
    """A row a photo: whole, its trivial half masked, its important half masked, each with its score.

    ``photos`` are those at the positions ``at``.
    """
    run, grid, scale = halved.run, halved.run.grid, halved.run.metadata["mos_scale"]
    scores = f"predicted quality, {scale['low']:g} (bad) to {scale['high']:g} (excellent); rule {halved.rule}"
    figure = new_figure(COLUMN, 0.45 + 1.15 * len(at), notes_of(run.synthetic, scores, halved.said))
    axes = figure.subplots(len(at), 3, squeeze=False)
    told = []
    for row, position, photo in zip(axes, at, photos, strict=True):
        half = int(halved.half_N[position])
        whole, trivial, important = (
            float(values[position])
            for values in (halved.images.score_N, halved.trivial_masked_N, halved.important_masked_N)
        )
        panels: list[tuple[str, float, int | None]] = [("whole", whole, None)]
        # A named image may have no half by the rule.
        panels += [("trivial masked", trivial, half), ("important masked", important, grid.full ^ half)] if half else []
        for axis, (name, score, kept) in zip(row, panels, strict=False):
            show_photo(axis, photo, kept, grid)
            axis.set_title(f"{name}: {score:.2f}", fontsize=6.5)
        for axis in row[len(panels) :]:
            axis.set_axis_off()
            axis.set_title("no half", fontsize=6.5)
        row[0].set_xlabel(plain(photo.image_id, 26), fontsize=5)
        said = f"trivial half masked {trivial:.2f}, important half masked {important:.2f}" if half else "no half"
        told.append(f"{printable(photo.image_id)}: whole {whole:.2f}, {said}")
    return Drawn(
        "halves",
        "Photos with half of their blocks masked (Figure 2)",
        sentences(
            "Each photo with the score of the whole, with its trivial half masked in the transformer (the important "
            f"half shows) and with its important half masked, by {halved.rule}; in MOS units.",
            about(run, len(halved.images)),
            f"{halved.said}." if halved.said else "",
            "Photos: " + ", ".join(printable(photo.image_id) for photo in photos) + ".",
        ),
        f"Photos in rows. {'; '.join(told)}.",
        figure,
    )
