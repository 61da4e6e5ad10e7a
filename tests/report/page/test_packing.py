"""Pictures inside figures, as the page carries them."""

import base64
import io
import re

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from halfiqa_ray.report.figures.rendering import svg
from halfiqa_ray.report.page.packing import lighter

PICTURE = re.compile(r"data:image/(\w+);base64,([^\"]+)")


def drawn():
    """A photo in one panel, a half-seen map of blocks in the other."""
    rng = np.random.default_rng(0)
    down, across = np.mgrid[0:300, 0:400] / 400
    photo = np.stack([across, down, 1 - across], -1) + rng.normal(0, 0.02, (300, 400, 3))
    figure = Figure(figsize=(6, 3))
    left, right = figure.subplots(1, 2)
    left.imshow((255 * photo.clip(0, 1)).astype(np.uint8))
    right.imshow(rng.random((3, 4)), cmap=mpl.colormaps["viridis"], alpha=rng.random((3, 4)), interpolation="nearest")
    return svg(figure, "a", "title", "alt")


def pictures(text):
    return [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA")) for _, data in PICTURE.findall(text)
    ]


def test_pictures_of_a_figure_are_smaller_and_maps_keep_every_pixel():
    before = drawn()
    after = lighter(before)
    assert PICTURE.sub("", after) == PICTURE.sub("", before)
    assert len(after) < len(before) / 2
    (photo, blocks), (photo_after, blocks_after) = pictures(before), pictures(after)
    error = photo[..., :3].astype(float) - photo_after[..., :3]
    assert photo.shape == photo_after.shape
    assert 0 < np.sqrt((error**2).mean()) < 6
    np.testing.assert_array_equal(blocks, blocks_after)


def test_a_figure_without_pictures_stays_as_it_is():
    figure = Figure()
    figure.subplots().plot([1, 2])
    text = svg(figure, "a", "title", "alt")
    assert lighter(text) == text
