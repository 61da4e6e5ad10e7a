"""The objectness that needs no download: what it must and must not call an object."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import color, data

from halfiqa_ray.measures.boundary_connectivity import _lab, _shrink, boundary_connectivity
from halfiqa_ray.measures.superpixels import superpixels


def scene(disc_centre=(120, 200), radius=50):
    """A green disc on a textured brown ground; the disc as a mask."""
    random = np.random.default_rng(1)
    row, column = np.mgrid[:300, :400]
    disc = np.hypot(row - disc_centre[0], column - disc_centre[1]) < radius
    pixels = np.where(disc[..., None], [60, 140, 70], [150, 110, 80]) + random.normal(0, 8, (300, 400, 3))
    return pixels.clip(0, 255).astype(np.uint8), disc


def test_lab_is_cielab():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    np.testing.assert_allclose(_lab(pixels), color.rgb2lab(pixels), atol=0.02)


@pytest.mark.parametrize("centre", [(120, 200), (70, 90), (220, 330)])
def test_an_object_apart_from_the_border_is_found(centre):
    pixels, disc = scene(centre)
    found = boundary_connectivity(pixels)
    assert found[disc].mean() > 0.7
    assert found[~disc].mean() < 0.2


def test_what_leans_on_the_border_is_background():
    """The same colour as the disc, but a strip along a whole side."""
    pixels, _ = scene()
    strip = pixels.copy()
    strip[:, :90] = np.random.default_rng(2).normal([60, 140, 70], 8, (300, 90, 3)).clip(0, 255)
    strip[60:190, 140:260] = pixels[260, 300]  # the disc covered up
    assert boundary_connectivity(strip)[:, :90].mean() < 0.4
    assert boundary_connectivity(pixels)[120, 200] > 0.7


def test_nothing_apart_from_one_colour():
    assert not boundary_connectivity(np.full((50, 70, 3), 99, np.uint8)).any()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 80), st.integers(1, 400))
def test_any_photo_gives_a_map_in_0_to_1(seed, height, width):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = boundary_connectivity(pixels)
    assert found.shape == (height, width)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1
    assert np.array_equal(found, boundary_connectivity(pixels))


def test_superpixels_hold_to_colour_edges():
    pixels, disc = scene()
    pieces = superpixels(_lab(pixels[:256, :256]))
    inside = disc[:256, :256]
    share = np.bincount(pieces.labels_HW.ravel(), inside.ravel()) / np.bincount(pieces.labels_HW.ravel())
    mixed = np.minimum(share, 1 - share) * np.bincount(pieces.labels_HW.ravel())
    assert mixed.sum() < 0.005 * inside.size
    # Against cells that do not look at colour.
    row, column = np.mgrid[:256, :256] // 16
    cells = row * 16 + column
    share = np.bincount(cells.ravel(), inside.ravel()) / 256
    assert (np.minimum(share, 1 - share) * 256).sum() > 0.02 * inside.size


def test_neighbours_and_border():
    pieces = superpixels(_lab(_shrink(data.coffee())))
    labels = pieces.labels_HW
    expected = set()
    for a, b in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        expected |= {
            (min(p, q), max(p, q)) for p, q in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True) if p != q
        }
    assert {tuple(edge) for edge in pieces.edges_E2.tolist()} == expected
    inner = set(labels[1:-1, 1:-1].ravel().tolist())
    outer = set(labels.ravel().tolist()) - set(np.flatnonzero(~pieces.border_P).tolist())
    assert outer == {*labels[0].tolist(), *labels[-1].tolist(), *labels[:, 0].tolist(), *labels[:, -1].tolist()}
    assert inner | outer == set(range(len(pieces.border_P)))
