import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import sobel

from halfiqa_ray.data import spatial_information as module
from halfiqa_ray.data.spatial_information import luma, spatial_information


def by_scipy(pixels):
    grey = pixels.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    return np.hypot(sobel(grey, 0), sobel(grey, 1))[1:-1, 1:-1].std()


@settings(deadline=None, max_examples=50)
@given(arrays(np.uint8, st.tuples(st.integers(3, 30), st.integers(3, 30), st.just(3))))
def test_agrees_with_scipy(pixels):
    assert spatial_information(pixels) == pytest.approx(by_scipy(pixels), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("height", [7, 8, 9, 10, 11, 40])
def test_strips_join_without_a_seam(height, monkeypatch):
    pixels = np.random.default_rng(height).integers(0, 256, (height, 20, 3), dtype=np.uint8)
    monkeypatch.setattr(module, "STRIP", 3)
    assert spatial_information(pixels) == pytest.approx(by_scipy(pixels), rel=1e-12)


def test_a_grey_step_edge_counts():
    # The published code of TRIQ, which filters across the colour channels, gives 0 here.
    pixels = np.zeros((20, 20, 3), np.uint8)
    pixels[:, 10:] = 255
    assert spatial_information(pixels) == pytest.approx(np.array([1020, 1020] + [0] * 16).std())


def test_flat_and_tiny_photos_have_none():
    assert spatial_information(np.full((30, 30, 3), 77, np.uint8)) == 0
    assert spatial_information(np.zeros((1, 1, 3), np.uint8)) == 0
    assert spatial_information(np.zeros((2, 50, 3), np.uint8)) == 0


def test_turning_and_mirroring_change_nothing():
    pixels = np.random.default_rng(5).integers(0, 256, (31, 47, 3), dtype=np.uint8)
    value = spatial_information(pixels)
    for turned in (pixels.transpose(1, 0, 2), pixels[::-1], pixels[:, ::-1]):
        assert spatial_information(turned) == pytest.approx(value, rel=1e-12)


def test_luma_is_bt601_full_range():
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    np.testing.assert_allclose(luma(colours), [[76.245, 149.685, 29.07, 255]])
