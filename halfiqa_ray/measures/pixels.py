"""What the measures share: grey values of a photo, and plain bilinear resizing.

Shape suffixes: H and W rows and columns, 3 the channels R, G, B.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Map = NDArray[np.float32]
CELLS_AT_ONCE = 1 << 15


def check_pixels(pixels_HW3: Pixels) -> None:
    """Raise ValueError unless this is a photo: uint8 (H, W, 3) with at least one pixel."""
    shape, dtype = pixels_HW3.shape, pixels_HW3.dtype
    if dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or pixels_HW3.size == 0:
        raise ValueError(f"a photo must be uint8 of shape (height, width, 3), got {dtype} of shape {shape}")


def luma(pixels_HW3: Pixels) -> Map:
    """ITU-R BT.601 luma 0.299 R + 0.587 G + 0.114 B, 0 to 255: float32 (H, W)."""
    luma_HW = np.empty(pixels_HW3.shape[:2], np.float32)
    for rows in rows_at_once(luma_HW):
        red, green, blue = (pixels_HW3[rows, :, i].astype(np.float32) for i in range(3))
        luma_HW[rows] = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
    return luma_HW


def grey8(pixels_HW3: Pixels) -> Pixels:
    """BT.601 luma rounded to 8 bits: uint8 (H, W).

    In 15-bit integers, as OpenCV's ``cvtColor`` does; Matlab's ``rgb2gray`` differs at most by the rounding of ties.
    """
    grey_HW = np.empty(pixels_HW3.shape[:2], np.uint8)
    for rows in rows_at_once(grey_HW):
        red, green, blue = (pixels_HW3[rows, :, i].astype(np.int32) for i in range(3))
        grey_HW[rows] = (9798 * red + 19235 * green + 3735 * blue + 16384) >> 15
    return grey_HW


def bilinear(map_HW: NDArray[np.floating], height: int, width: int) -> NDArray[np.floating]:
    """Resize between the two nearest values along each axis, pixel centres at half, edges repeated; no antialiasing."""
    if map_HW.shape == (height, width):
        return map_HW
    above, below, down = neighbours(map_HW.shape[0], height, map_HW.dtype)
    left, right, across = neighbours(map_HW.shape[1], width, map_HW.dtype)
    wide = map_HW[:, left] * (1 - across) + map_HW[:, right] * across
    resized_HW = np.empty((height, width), map_HW.dtype)
    for rows in rows_at_once(resized_HW):
        np.multiply(wide[above[rows]], (1 - down[rows])[:, None], out=resized_HW[rows])
        resized_HW[rows] += wide[below[rows]] * down[rows][:, None]
    return resized_HW


def rows_at_once(map_HW: NDArray[Any]) -> Iterator[slice]:
    """All rows, a few at a time: what is computed on the way to them stays in the processor's cache."""
    height, width = map_HW.shape
    step = max(1, CELLS_AT_ONCE // width)
    return (slice(top, top + step) for top in range(0, height, step))


def neighbours(
    length: int, target: int, dtype: np.dtype[np.floating]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.floating]]:
    """For every target cell its two source cells, intp (target,) each, and the share of the second, (target,)."""
    position = (np.arange(target) + 0.5) * length / target - 0.5
    first = np.floor(position).astype(np.intp)
    return first.clip(0, length - 1), (first + 1).clip(0, length - 1), (position - first).astype(dtype)
