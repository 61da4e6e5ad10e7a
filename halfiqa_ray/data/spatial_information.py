"""Spatial information (SI) of a photo: ITU-T Rec. P.910 for a single frame, on luma.

SI is the standard deviation over the picture of the magnitude sqrt(Gx^2 + Gy^2) of the Sobel-filtered luma. Luma is
0.299 R + 0.587 G + 0.114 B (ITU-R BT.601, full range 0 to 255). As P.910 says, the outermost rows and columns, where
the filter would reach beyond the picture, are left out. The deviation divides by the number of pixels. The photo is
taken at its stored size. (The published code of TRIQ filters across the colour channels instead; see `splits.own`.)
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from halfiqa_ray.data.photos.images import Pixels

BT601 = (0.299, 0.587, 0.114)
STRIP = 256  # rows worked on at a time: what a photo costs beside itself does not grow with its height


def luma(pixels: Pixels) -> NDArray[np.float64]:
    """RGB uint8 (H, W, 3) to luma, 0 to 255: float64 (H, W)."""
    red, green, blue = BT601
    return red * pixels[..., 0] + green * pixels[..., 1] + blue * pixels[..., 2]


def spatial_information(pixels: Pixels) -> float:
    """SI of an RGB uint8 (H, W, 3) photo, 0 or more; 0 for one too small to have an inside (a side under 3)."""
    height, width = pixels.shape[:2]
    if height < 3 or width < 3:
        return 0.0
    count, mean, squares = 0, 0.0, 0.0  # of the magnitudes so far; squares: of their distances to the mean
    for top in range(0, height - 2, STRIP):
        strip = _gradient(luma(pixels[top : top + STRIP + 2]))
        n, strip_mean = strip.size, float(strip.mean())
        distance = strip_mean - mean
        squares += float(((strip - strip_mean) ** 2).sum()) + distance**2 * count * n / (count + n)
        mean += distance * n / (count + n)
        count += n
    return math.sqrt(squares / count)


def _gradient(luma_HW: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sobel magnitude inside the border: (H, W) to (H - 2, W - 2)."""
    smooth_down = luma_HW[:-2] + 2 * luma_HW[1:-1] + luma_HW[2:]
    smooth_right = luma_HW[:, :-2] + 2 * luma_HW[:, 1:-1] + luma_HW[:, 2:]
    return np.hypot(smooth_down[:, 2:] - smooth_down[:, :-2], smooth_right[2:] - smooth_right[:-2])
