"""Fills of blocks: what is kept stays bit for bit, and what is filled is what a plain loop, SciPy or OpenCV gives."""

import importlib.util

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from halfiqa_ray.config import FILLS
from halfiqa_ray.masking import fills
from halfiqa_ray.masking.fills import BACKGROUNDS, blurred, check_installed, fill_blocks
from halfiqa_ray.masking.grid import Grid

GRIDS = st.sampled_from([Grid(3, 4), Grid(4, 3), Grid(2, 2), Grid(1, 5)])
LENGTHS = st.integers(5, 61)


def photo_of(height, width, seed):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(GRIDS, LENGTHS, LENGTHS, st.integers(0, 2**32), st.sampled_from((*BACKGROUNDS, "inpaint")))
def test_kept_blocks_stay_and_filled_ones_are_in_range(grid, height, width, seed, fill):
    rng = np.random.default_rng(seed)
    mask = int(rng.integers(0, grid.full))  # something is kept
    photo = torch.from_numpy(photo_of(height, width, seed)).float() / 255
    before = photo.clone()
    found = fill_blocks(photo, mask, grid, fill)
    filled = torch.from_numpy(mask >> grid.cells(height, width) & 1).bool()
    assert torch.equal(found[~filled], photo[~filled])
    assert found.shape == photo.shape
    assert found.dtype == torch.float32
    assert 0 <= found.min() <= found.max() <= 1
    assert torch.equal(photo, before)
    if fill == "black":
        assert (found[filled] == 0).all()  # in pixel units, whatever a model subtracts


@settings(max_examples=30, deadline=None)
@given(LENGTHS, LENGTHS, st.integers(0, 2**32))
def test_the_mean_colour_is_that_of_a_loop_over_pixels(height, width, seed):
    pixels = photo_of(height, width, seed)
    total = [0, 0, 0]
    for row in pixels.tolist():
        for pixel in row:
            total = [a + b for a, b in zip(total, pixel, strict=True)]
    expected = np.array(total) / (height * width) / 255
    found = fill_blocks(torch.from_numpy(pixels).float() / 255, 3, Grid(1, 2), "photo_mean")
    assert np.abs(found.numpy() - expected).max() < 1e-6


@settings(max_examples=30, deadline=None)
@given(LENGTHS, LENGTHS, st.integers(0, 2**32), st.floats(0.3, 40))
def test_the_blur_is_scipys(height, width, seed, sigma):
    """At any width of the kernel, wider than the photo too."""
    photo = photo_of(height, width, seed).astype(np.float64) / 255
    expected = gaussian_filter(photo, (sigma, sigma, 0))
    assert np.abs(blurred(torch.from_numpy(photo), sigma).numpy() - expected).max() < 1e-9
    assert np.abs(blurred(torch.from_numpy(photo).float(), sigma).numpy() - expected).max() < 1e-5


@pytest.mark.parametrize(("height", "width", "sigma"), [(384, 512, 19.2), (90, 60, 3.0)])
def test_the_blur_is_5_percent_of_the_shorter_side(height, width, sigma):
    photo = photo_of(height, width, 1).astype(np.float32) / 255
    found = fill_blocks(torch.from_numpy(photo), 1, Grid(1, 2), "blur").numpy()
    half = width // 2
    expected = gaussian_filter(photo.astype(np.float64), (sigma, sigma, 0))
    assert np.abs(found[:, :half] - expected[:, :half]).max() < 1e-5
    assert np.array_equal(found[:, half:], photo[:, half:])


def test_inpainting_is_opencvs():
    cv2 = pytest.importorskip("cv2")
    pixels, grid, mask = photo_of(60, 80, 5), Grid(3, 4), 0b0110_0011_0001
    filled = (mask >> grid.cells(60, 80) & 1).astype(np.uint8)
    expected = cv2.inpaint(pixels, filled, 3, cv2.INPAINT_TELEA)
    found = fill_blocks(torch.from_numpy(pixels).float() / 255, mask, grid, "inpaint").numpy()
    assert np.array_equal((found * 255).round().astype(np.uint8), expected)
    with pytest.raises(ValueError, match="nothing is left to inpaint"):
        fill_blocks(torch.from_numpy(pixels).float() / 255, grid.full, grid, "inpaint")


def test_a_background_that_is_known_is_used():
    photo, grid = torch.rand(20, 30, 3), Grid(2, 3)
    for fill in BACKGROUNDS:
        known = fills.background(photo, fill)
        assert torch.equal(fill_blocks(photo, 21, grid, fill, known), fill_blocks(photo, 21, grid, fill))


def test_what_cannot_be_filled_is_refused(monkeypatch):
    photo = torch.rand(8, 8, 3)
    with pytest.raises(ValueError, match="outside a 2 x 2 grid"):
        fill_blocks(photo, 16, Grid(2, 2), "black")
    with pytest.raises(ValueError, match="no fill 'grey'"):
        fill_blocks(photo, 1, Grid(2, 2), "grey")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'halfiqa_ray\[inpaint\]'.*or leave it out"):
        check_installed()


def test_every_fill_of_the_settings_is_made_somewhere():
    assert set(FILLS) == {"zero", "inpaint", *BACKGROUNDS}
