"""The measures of `Measures` with torch, on the device that models run on: all that is done at every pixel.

What is done on small images stays on the CPU and comes as small maps (`Measures.small_maps`): the spectral residual
and the superpixels. The maps equal those of `Measures` but for rounding (1e-5 of a map's range).

Shape suffixes: H and W rows and columns, 3 the channels R, G, B, M maps, K the ten bands, B blocks.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from halfiqa_ray.masking.grid import Grid, block_edges
from halfiqa_ray.measures.average import CONSTANT
from halfiqa_ray.measures.frequency import BANDS, band_of_coefficient
from halfiqa_ray.measures.measures import Measures
from halfiqa_ray.measures.pixels import Map, Pixels, check_pixels, neighbours


class DeviceMeasures:
    """The measures of ``measures`` on ``device``, one photo after the other."""

    def __init__(self, measures: Measures, device: str | torch.device = "cpu") -> None:
        self.measures, self.device = measures, torch.device(device)
        self._weights_MK = torch.from_numpy(measures.weights_MK.astype(np.float32)).to(self.device)

    @torch.inference_mode()
    def measure(self, pixels_HW3: Pixels, small_maps: Mapping[str, Map]) -> Tensor:
        """The maps of an RGB uint8 photo: float32 (M, H, W) on the device, in the order of ``measures.names``.

        ``small_maps`` are those that ``measures.small_maps`` makes of the photo. Raises ValueError for anything but
        such a photo, and for maps that are not finite.
        """
        check_pixels(pixels_HW3)
        measures, size = self.measures, pixels_HW3.shape[:2]
        enlarged = {
            name: bilinear(torch.from_numpy(np.array(small_HW)).to(self.device), *size)
            for name, small_HW in small_maps.items()
        }
        pixels = torch.from_numpy(np.array(pixels_HW3)).to(self.device)
        frequency_MHW = frequency_maps(luma(pixels), self._weights_MK)
        of_default = frequency_MHW[measures.combinations.index(measures.combination)]
        saliency_HW, objectness_HW = enlarged["saliency"], enlarged[measures.objectness]
        averaged_HW = average(torch.stack([saliency_HW, of_default, objectness_HW]))
        return torch.stack([saliency_HW, *frequency_MHW, objectness_HW, averaged_HW])


def luma(pixels_HW3: Tensor) -> Tensor:
    """ITU-R BT.601 luma, 0 to 255, of uint8 pixels: float32 (H, W)."""
    red_HW, green_HW, blue_HW = pixels_HW3.float().unbind(-1)
    return 0.299 * red_HW + 0.587 * green_HW + 0.114 * blue_HW


def frequency_maps(luma_HW: Tensor, weights_MK: Tensor) -> Tensor:
    """Weighted sums of the magnitudes of the ten bands, a map for every row of weights: float32 (M, H, W).

    By the Fourier transform of the mirrored image, whose coefficients are those of the image's cosine transform: fast
    where arithmetic is cheap, and another way than that of `frequency`.
    """
    height, width = luma_HW.shape
    even_HW = luma_HW - luma_HW.mean(dtype=torch.float64).float()
    mirrored = torch.cat([even_HW, even_HW.flip(0)])
    spectrum = torch.fft.rfft2(torch.cat([mirrored, mirrored.flip(1)], 1))
    band = _band_of_frequency(height, width, luma_HW.device)
    maps_MHW = luma_HW.new_zeros(len(weights_MK), height, width)
    for number, weights_M in enumerate(weights_MK.T):
        response = torch.fft.irfft2(spectrum * (band == number), s=(2 * height, 2 * width))[:height, :width]
        maps_MHW += weights_M[:, None, None] * response.abs()
    return maps_MHW


def bilinear(map_HW: Tensor, height: int, width: int) -> Tensor:
    """Resize as `pixels.bilinear` does: pixel centres at half, edges repeated, no antialiasing."""
    if map_HW.shape == (height, width):
        return map_HW
    above, below, down = _neighbours(map_HW.shape[0], height, map_HW.device)
    left, right, across = _neighbours(map_HW.shape[1], width, map_HW.device)
    wide = map_HW[:, left] * (1 - across) + map_HW[:, right] * across
    return wide[above] * (1 - down)[:, None] + wide[below] * down[:, None]


def average(maps_MHW: Tensor) -> Tensor:
    """The mean of maps, each scaled to [0, 1] in its image, as `average.average`: float32 (H, W).

    Raises ValueError when a value is not finite.
    """
    low_M, high_M = maps_MHW.amin((1, 2)), maps_MHW.amax((1, 2))
    if not bool(torch.isfinite(torch.stack([low_M, high_M])).all()):
        raise ValueError("a measure's map must be finite")
    span_M = high_M - low_M
    constant_M = span_M <= CONSTANT * torch.maximum(low_M.abs(), high_M.abs())
    scaled_MHW = (maps_MHW - low_M[:, None, None]) / torch.where(constant_M, 1, span_M)[:, None, None]
    return torch.where(constant_M[:, None, None], 0, scaled_MHW).mean(0)


def block_means(maps_MHW: Tensor, grid: Grid) -> Tensor:
    """Means of maps in every block, as `blocks.block_means`: float32 (M, B), summed in float64.

    Raises ValueError when the maps have fewer cells than blocks along an axis.
    """
    down, across = (
        _membership(length, parts, maps_MHW.device)
        for length, parts in zip(maps_MHW.shape[1:], (grid.rows, grid.columns), strict=True)
    )
    return (down @ maps_MHW.double() @ across.T).flatten(1).float()


@functools.lru_cache(maxsize=4)
def _band_of_frequency(height: int, width: int, device: torch.device) -> Tensor:
    """The band of every coefficient of ``rfft2`` of the mirrored image, -1 for DC: int8 (2H, W + 1).

    Row and column H and W are half a cycle a pixel, where a mirrored image has nothing.
    """
    band_HW = torch.from_numpy(band_of_coefficient(height, width))
    band = band_HW.new_full((height + 1, width + 1), BANDS - 1)
    band[:height, :width] = band_HW
    return torch.cat([band, band[1:height].flip(0)]).to(device)


@functools.lru_cache(maxsize=8)
def _neighbours(length: int, target: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    first, second, share = (torch.from_numpy(of_cell) for of_cell in neighbours(length, target, np.dtype(np.float32)))
    return first.to(device), second.to(device), share.to(device)


@functools.lru_cache(maxsize=8)
def _membership(length: int, parts: int, device: torch.device) -> Tensor:
    """A row a part: 1 / its number of cells for those that are in it. float64 (parts, length)."""
    edges = block_edges(length, parts)
    rows = np.zeros((parts, length))
    for part, (start, end) in enumerate(itertools.pairwise(edges)):
        rows[part, start:end] = 1 / (end - start)
    return torch.from_numpy(rows).to(device)
