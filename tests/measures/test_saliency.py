"""Spectral residual against OpenCV-contrib, and properties of the authors' recipe."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, signal
from skimage import data

from halfiqa_ray.measures.pixels import bilinear, grey8
from halfiqa_ray.measures.saliency import AUTHORS, OPENCV, spectral_residual

# Values go up to 1. OpenCV's approximate angles (cartToPolar) differ by up to 5e-5 here; with them ours agrees to 1e-7.
OPENCV_TOLERANCE = 1e-4


def photo(name, height, width):
    return np.ascontiguousarray(getattr(data, name)()[:height, :width])


def opencv(pixels):
    done, saliency = cv2.saliency.StaticSaliencySpectralResidual_create().computeSaliency(pixels[..., ::-1].copy())
    assert done
    return saliency


@pytest.mark.parametrize(
    ("name", "height", "width"),
    [("astronaut", 512, 512), ("coffee", 400, 600), ("chelsea", 299, 451), ("rocket", 427, 333), ("coffee", 40, 50)],
)
def test_opencv_recipe_is_opencvs(name, height, width):
    pixels = photo(name, height, width)
    ours = spectral_residual(pixels, OPENCV)
    np.testing.assert_allclose(ours, opencv(pixels), atol=OPENCV_TOLERANCE)
    # The comparison could fail: the authors' recipe is far from it.
    assert np.abs(spectral_residual(pixels, AUTHORS) - opencv(pixels)).max() > 0.1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 150), st.integers(1, 150))
def test_opencv_recipe_on_noise_of_any_size(seed, height, width):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    if np.ptp(grey8(pixels)) == 0:
        return
    assert np.array_equal(grey8(pixels), cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    small = np.floor(bilinear(grey8(pixels).astype(float), 64, 64) + 0.5)
    theirs = cv2.resize(grey8(pixels), (64, 64), interpolation=cv2.INTER_LINEAR_EXACT)
    # OpenCV rounds its weights to 1/256: a value near a half may round the other way, none by more.
    assert np.abs(small - theirs).max() <= 1
    assert (small != theirs).mean() < 0.02


def test_authors_recipe_is_their_formula():
    """Their few lines written again with phases and a two-dimensional window, on a photo that needs no shrinking."""
    grey = np.random.default_rng(1).integers(0, 256, (48, 64), dtype=np.uint8)
    spectrum = np.fft.fft2(grey / 255)
    log_magnitude, phase = np.log(np.abs(spectrum)), np.angle(spectrum)
    padded = np.pad(log_magnitude, 1, mode="edge")
    residual = log_magnitude - signal.convolve2d(padded, np.full((3, 3), 1 / 9), mode="valid")
    saliency = np.abs(np.fft.ifft2(np.exp(residual + 1j * phase))) ** 2
    row, column = np.mgrid[-5:6, -5:6]
    window = np.exp(-(row**2 + column**2) / (2 * 2.5**2))
    saliency = signal.convolve2d(saliency, window / window.sum(), mode="same")
    expected = (saliency - saliency.min()) / np.ptp(saliency)
    np.testing.assert_allclose(spectral_residual(np.repeat(grey[..., None], 3, 2)), expected, atol=1e-6)


@pytest.mark.parametrize("recipe", [AUTHORS, OPENCV])
@pytest.mark.parametrize("centre", [(120, 150), (200, 420), (300, 250)])
def test_a_disc_on_texture_is_salient(recipe, centre):
    row, column = np.mgrid[:384, :512]
    pixels = np.full((384, 512, 3), 120, np.uint8)
    pixels[(row // 8 + column // 8) % 2 == 0] = 130
    disc = (row - centre[0]) ** 2 + (column - centre[1]) ** 2 < 20**2
    pixels[disc] = 250
    saliency = spectral_residual(pixels, recipe)
    assert np.hypot(*(np.array(ndimage.center_of_mass(saliency * (saliency > 0.5))) - centre)) < 12


@pytest.mark.parametrize("recipe", [AUTHORS, OPENCV])
@pytest.mark.parametrize("value", [0, 17, 255])
def test_one_grey_value_is_nowhere_salient(recipe, value):
    assert not spectral_residual(np.full((60, 90, 3), value, np.uint8), recipe).any()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 100), st.integers(1, 300))
def test_any_size_gives_a_map_in_0_to_1(seed, height, width):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    saliency = spectral_residual(pixels)
    assert saliency.shape == (height, width)
    assert saliency.dtype == np.float32
    assert np.isfinite(saliency).all()
    assert saliency.min() >= 0
    assert saliency.max() <= 1


def test_not_a_photo():
    with pytest.raises(ValueError, match=r"uint8 of shape \(height, width, 3\), got float64"):
        spectral_residual(np.zeros((4, 4, 3)))
