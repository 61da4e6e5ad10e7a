"""Known damage for the demo data: six distortions at four strengths, over a whole picture or some of its blocks.

Pictures are uint8 (H, W, 3), sRGB. Only numpy, scipy and Pillow, so that results are the same for one set of
package versions.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from halfiqa_ray.masking.grid import Grid

Picture = NDArray[np.uint8]
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as JPEG uses
STRENGTHS = (1, 2, 3, 4)


def _rounded(values: NDArray[np.floating]) -> Picture:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _blur(picture: Picture, sigma: float, rng: np.random.Generator) -> Picture:
    return _rounded(ndimage.gaussian_filter(picture.astype(np.float64), (sigma, sigma, 0), mode="nearest"))


def _jpeg(picture: Picture, quality: float, rng: np.random.Generator) -> Picture:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=int(quality))
    with Image.open(stream) as image:
        return np.asarray(image.convert("RGB"))


def _noise(picture: Picture, deviation: float, rng: np.random.Generator) -> Picture:
    is_grey = bool((picture == picture[..., :1]).all())
    # A grey photo stays grey: coloured noise on it would be a give-away that no camera produces.
    shape = (*picture.shape[:2], 1 if is_grey else 3)
    return _rounded(picture + rng.normal(0.0, deviation, shape))


def _exposure(picture: Picture, stops: float, rng: np.random.Generator) -> Picture:
    """Multiply the linear light by 2^stops (sRGB transfer function, IEC 61966-2-1) and clip as a sensor does."""
    code = np.arange(256) / 255
    linear = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    linear = np.minimum(linear * 2.0**stops, 1.0)
    encoded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(_rounded(encoded * 255)[picture])


def _contrast(picture: Picture, factor: float, rng: np.random.Generator) -> Picture:
    """Pull every value towards the picture's mean luma; colours fade with it."""
    mean = float((picture @ LUMA).mean())
    return _rounded(mean + factor * (picture.astype(np.float64) - mean))


@dataclass(frozen=True)
class Distortion:
    """One kind of damage: its parameter at strengths 1 to 4, and how much of the score strength 4 costs."""

    parameter: str
    values: tuple[float, float, float, float]
    weight: float  # 0..1, in the MOS formula
    apply: Callable[[Picture, float, np.random.Generator], Picture]

    def value(self, strength: int) -> float:
        """The parameter at ``strength``. Raises ValueError outside 1..4."""
        if strength not in STRENGTHS:
            raise ValueError(f"strength {strength} is not one of {STRENGTHS}")
        return self.values[strength - 1]


DISTORTIONS = {
    "gaussian_blur": Distortion("standard deviation, pixels", (1.0, 1.8, 3.0, 5.0), 1.0, _blur),
    "jpeg": Distortion("Pillow JPEG quality", (25, 14, 8, 4), 1.0, _jpeg),
    "noise": Distortion("standard deviation, grey levels of 255", (12, 22, 36, 55), 1.0, _noise),
    "under_exposure": Distortion("stops", (-1.3, -2.1, -2.9, -3.8), 0.9, _exposure),
    "over_exposure": Distortion("stops", (0.8, 1.4, 2.1, 2.9), 0.9, _exposure),
    "contrast_loss": Distortion("factor on the distance from mean luma", (0.6, 0.42, 0.28, 0.16), 0.8, _contrast),
}


def block_pixels(blocks: int, grid: Grid, height: int, width: int) -> NDArray[np.bool_]:
    """Which pixels lie in the blocks of a bit mask: bool (height, width)."""
    return (blocks >> grid.cells(height, width) & 1).astype(bool)


def damage(picture: Picture, name: str, strength: int, blocks: int, grid: Grid, rng: np.random.Generator) -> Picture:
    """Distort the blocks in the bit mask ``blocks``; every other pixel is returned as it was.

    The whole picture is distorted and pasted back inside the blocks, so that a blurred block still takes in
    what lies beside it. Raises KeyError for an unknown distortion and ValueError for an unknown strength.
    """
    distortion = DISTORTIONS[name]
    distorted = distortion.apply(picture, distortion.value(strength), rng)
    return np.where(block_pixels(blocks, grid, *picture.shape[:2])[..., None], distorted, picture)


def visibility(before: Picture, after: Picture, grid: Grid) -> NDArray[np.float64]:
    """How much each block changed: root mean square difference of luma in grey levels, float64 (B,)."""
    squared = ((after.astype(np.float64) - before) @ LUMA) ** 2
    cells = grid.cells(*before.shape[:2])
    return np.sqrt(ndimage.mean(squared, cells, np.arange(grid.blocks)))
