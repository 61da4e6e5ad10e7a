"""Saliency: the spectral residual of X. Hou and L. Zhang, "Saliency detection: a spectral residual approach"
(CVPR 2007), which Section 3 of the paper names.

The photo is made small and grey. In its Fourier transform F the log magnitude minus its own 3 x 3 mean is the
residual R; transformed back with the phase P and smoothed by a Gaussian it is the map: S = G * |F^-1 exp(R + iP)|^2.

The paper gives no numbers. Two recipes are kept: ``AUTHORS``, the default, is Hou and Zhang's published script (in
github.com/zhenglab/SpectralSaliency, Models/SR/SR.m), and ``OPENCV`` is OpenCV-contrib's
``StaticSaliencySpectralResidual`` (modules/saliency/src/staticSaliencySpectralResidual.cpp) as version 5.0 computes it:
from the logarithm of the magnitude plus 1, which earlier sources do not add. One thing differs from the script: its
10 x 10 Gaussian has no middle and moves the map by half a cell; here it is 11 x 11.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fft, ndimage

from halfiqa_ray.measures.pixels import Map, Pixels, bilinear, check_pixels, grey8

Border = Literal["nearest", "mirror", "constant"]  # scipy's words: edge repeated, mirrored about its centre, zeros
# Magnitudes below this share of the largest are rounding noise, whose logarithm would rule the mean.
MAGNITUDE_FLOOR = 1e-12
LEAST_CONTRAST = 1e-3  # grey levels; resizing an even photo in float32 leaves less


@dataclass(frozen=True)
class Recipe:
    """The numbers of a spectral residual."""

    width: int  # of the small image
    height: int | None  # None keeps the photo's shape, rounded up
    antialiased: bool  # shrink with the bicubic filter widened (Matlab's imresize), else with two taps and 8 bits
    offset: float  # added to the magnitude
    spectrum_border: Border  # of the 3 x 3 mean of the log magnitude
    square_first: bool  # square the magnitude before smoothing it, else after
    window: int  # side of the Gaussian in cells of the small image; odd
    sigma: float
    smoothing_border: Border
    from_minimum: bool  # scale so that the lowest value is 0, else only so that the highest is 1


AUTHORS = Recipe(64, None, True, 0.0, "nearest", True, 11, 2.5, "constant", True)
OPENCV = Recipe(64, 64, False, 1.0, "mirror", False, 5, 8.0, "mirror", False)
RECIPES = {"authors": AUTHORS, "opencv": OPENCV}


def spectral_residual(pixels_HW3: Pixels, recipe: Recipe = AUTHORS) -> Map:
    """Saliency of every pixel of an RGB uint8 photo: float32 (H, W) in [0, 1], highest 1.

    A photo of one grey value is nowhere salient: 0 everywhere. Raises ValueError for anything but such a photo.
    """
    return bilinear(small_spectral_residual(pixels_HW3, recipe), *pixels_HW3.shape[:2])


def small_spectral_residual(pixels_HW3: Pixels, recipe: Recipe = AUTHORS) -> Map:
    """Saliency at the size of the recipe's small image, before it is enlarged: float32 (h, w) in [0, 1], highest 1.

    A photo of one grey value gives zeros. Raises ValueError for anything but an RGB uint8 photo.
    """
    check_pixels(pixels_HW3)
    small_HW = _shrink(grey8(pixels_HW3), recipe)
    if np.ptp(small_HW) < LEAST_CONTRAST:
        return np.zeros(small_HW.shape, np.float32)
    saliency_HW = _smooth(_residual_magnitude(small_HW, recipe), recipe)
    low = saliency_HW.min() if recipe.from_minimum else 0.0
    return ((saliency_HW - low) / (saliency_HW.max() - low)).astype(np.float32)


def _shrink(grey_HW: Pixels, recipe: Recipe) -> NDArray[np.float64]:
    """The small grey image, 0 to 255."""
    height, width = grey_HW.shape
    small_height = recipe.height or max(1, -(-height * recipe.width // width))
    if recipe.antialiased:
        picture = Image.fromarray(grey_HW).convert("F")
        return np.asarray(picture.resize((recipe.width, small_height), Image.Resampling.BICUBIC), np.float64)
    return np.floor(bilinear(grey_HW.astype(np.float64), small_height, recipe.width) + 0.5)


def _residual_magnitude(small_HW: NDArray[np.float64], recipe: Recipe) -> NDArray[np.float64]:
    """|F^-1 exp(R + iP)|, in which exp(R) is the magnitude divided by the exponential of its mean logarithm."""
    spectrum_HW = fft.fft2(small_HW)
    magnitude_HW = np.abs(spectrum_HW) + recipe.offset
    log_HW = np.log(np.maximum(magnitude_HW, MAGNITUDE_FLOOR * magnitude_HW.max()))
    mean_HW = ndimage.uniform_filter(log_HW, 3, mode=recipe.spectrum_border)
    return np.abs(fft.ifft2(magnitude_HW * np.exp(1j * np.angle(spectrum_HW) - mean_HW)))


def _smooth(magnitude_HW: NDArray[np.float64], recipe: Recipe) -> NDArray[np.float64]:
    steps = np.arange(recipe.window) - recipe.window // 2
    kernel = np.exp(-(steps**2) / (2 * recipe.sigma**2))
    kernel /= kernel.sum()
    smooth_HW = magnitude_HW**2 if recipe.square_first else magnitude_HW
    for axis in (0, 1):
        smooth_HW = ndimage.correlate1d(smooth_HW, kernel, axis, mode=recipe.smoothing_border)
    return smooth_HW if recipe.square_first else smooth_HW**2
