"""What stands in the place of blocks that are taken away, other than zero after normalisation (`zeroing`).

Zero is the paper's choice (Section 4.1); whether its conclusion hangs on it, other fills tell. They are made in pixel
space, before normalisation, so that every model gets the same picture, and pixels of kept blocks stay as they are.
Sources: a constant, and a blurred photo, Fong and Vedaldi (arXiv 1704.03296), Section 4.1; the mean colour, LIME (arXiv
1602.04938) in its authors' code; inpainting, the image masker of SHAP (github.com/shap/shap), with its numbers.

Photos are RGB in [0, 1], float32. Shape suffixes: H and W pixels, C channels.
"""

from __future__ import annotations

import functools
import importlib.util

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from halfiqa_ray.masking.grid import Grid

SIGMA = 0.05  # of the Gaussian of `blurred`, as a fraction of the shorter side
TRUNCATE = 4.0  # standard deviations at which it ends
INPAINT_RADIUS = 3  # pixels
BACKGROUNDS = ("photo_mean", "blur", "black")  # fills that do not hang on which blocks are taken away


def check_installed() -> None:
    """Raise ValueError that says what to install, unless `inpainted` can run here."""
    if importlib.util.find_spec("cv2") is None:
        raise ValueError(
            "zero.fill has inpaint, which needs OpenCV; run: pip install 'halfiqa_ray[inpaint]' (on every node of a "
            "cluster), or leave it out: --zero.fill '[zero, photo_mean, blur, black]'"
        )


def fill_blocks(photo_HWC: Tensor, filled: int, grid: Grid, fill: str, background_HWC: Tensor | None = None) -> Tensor:
    """A photo with some blocks filled: a new tensor (H, W, C); pixels of the other blocks are bitwise the same.

    ``filled`` is a bit mask (bit set = block is filled). ``background_HWC``, where it is known already, is the photo's
    `background`. Raises ValueError for a mask that names a block that the grid has not, for a fill that is none of
    these, and where nothing is left to inpaint from.
    """
    if not 0 <= filled <= grid.full:
        raise ValueError(f"mask {filled} names blocks outside a {grid.rows} x {grid.columns} grid")
    block_HW = torch.from_numpy(grid.cells(*photo_HWC.shape[:2])).to(photo_HWC.device)
    filled_HW = (torch.tensor(filled, device=photo_HWC.device) >> block_HW & 1).bool()
    if fill == "inpaint":
        other_HWC = inpainted(photo_HWC, filled_HW)
    else:
        other_HWC = background(photo_HWC, fill) if background_HWC is None else background_HWC
    return torch.where(filled_HW[..., None], other_HWC, photo_HWC)


def background(photo_HWC: Tensor, fill: str) -> Tensor:
    """The photo (H, W, C) that shows where blocks are filled, by one of ``BACKGROUNDS``."""
    if fill == "photo_mean":
        return mean_colour(photo_HWC)
    if fill == "blur":
        return blurred(photo_HWC)
    if fill == "black":
        return torch.zeros_like(photo_HWC)
    raise ValueError(f"there is no fill {fill!r} without the blocks that it fills; there are {', '.join(BACKGROUNDS)}")


def mean_colour(photo_HWC: Tensor) -> Tensor:
    """The mean colour of the whole photo (its filled blocks too) everywhere: (H, W, C) in [0, 1]."""
    # In float64: a float32 sum over a photo's pixels hangs on their order.
    mean_C = photo_HWC.double().mean((0, 1)).to(photo_HWC.dtype)
    return mean_C.expand_as(photo_HWC)


def blurred(photo_HWC: Tensor, sigma: float | None = None) -> Tensor:
    """The photo under a Gaussian: (H, W, C) in [0, 1].

    ``sigma`` is in pixels, by default ``SIGMA`` of the shorter side. The kernel ends at ``TRUNCATE`` sigma; beyond its
    edges the photo is mirrored, the outermost pixels too (as ``scipy.ndimage.gaussian_filter`` does by default).
    """
    height, width = photo_HWC.shape[:2]
    if sigma is None:
        sigma = SIGMA * min(height, width)
    down_HH, across_WW = (
        torch.from_numpy(_smoothing(length, sigma)).to(photo_HWC.device, photo_HWC.dtype) for length in (height, width)
    )
    # As products of matrices: a convolution on a GPU may round to TF32.
    rows_HWC = torch.einsum("hi,iwc->hwc", down_HH, photo_HWC)
    return torch.einsum("wj,hjc->hwc", across_WW, rows_HWC).clamp(0, 1)


def inpainted(photo_HWC: Tensor, filled_HW: Tensor) -> Tensor:
    """The photo with some pixels guessed from those around them: (H, W, C) in [0, 1], in steps of 1/255.

    Telea's method (An Image Inpainting Technique Based on the Fast Marching Method, 2004) in OpenCV, with a radius of
    ``INPAINT_RADIUS`` pixels. Raises ValueError when nothing is left to guess from.
    """
    import cv2

    if bool(filled_HW.all()):
        raise ValueError("all blocks are to be inpainted: nothing is left to inpaint them from")
    pixels_HWC = (photo_HWC.cpu().numpy() * 255).round().astype(np.uint8)
    mask_HW = filled_HW.cpu().numpy().astype(np.uint8)
    found_HWC = cv2.inpaint(pixels_HWC, mask_HW, INPAINT_RADIUS, cv2.INPAINT_TELEA)
    return torch.from_numpy(np.asarray(found_HWC)).to(photo_HWC.device, photo_HWC.dtype) / 255


@functools.lru_cache(maxsize=16)
def _smoothing(length: int, sigma: float) -> NDArray[np.float64]:
    """The matrix (length, length) that smooths a column of so many pixels; its rows sum to 1."""
    reach = int(TRUNCATE * sigma + 0.5)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    matrix = np.zeros((length, length))
    for offset, weight in zip(offsets, weights, strict=True):
        place = (np.arange(length) + offset) % (2 * length)  # a mirrored photo repeats after twice its length
        np.add.at(matrix, (np.arange(length), np.minimum(place, 2 * length - 1 - place)), weight)
    return matrix
