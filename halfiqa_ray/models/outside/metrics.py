"""Two plain functions of images, each a quality measure that needs no weights: to start from, and to compare with.

Shape suffixes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def laplacian_variance(images_NCHW: Tensor) -> Tensor:
    """Sharpness (N,): the variance of the Laplacian of luma, on the scale 0 to 255 of 8-bit photos.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000. Neighbours are up, down, left and
    right; borders are mirrored as in OpenCV (``cv2.Laplacian``).
    """
    luma_N1HW = 255 * luma(images_NCHW)
    kernel_11HW = images_NCHW.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    padded_N1HW = functional.pad(luma_N1HW, (1, 1, 1, 1), mode="reflect")
    return functional.conv2d(padded_N1HW, kernel_11HW).flatten(1).double().var(1, correction=0)


def rms_contrast(images_NCHW: Tensor) -> Tensor:
    """Contrast (N,): the standard deviation of luma in [0, 1] (Peli, JOSA A 1990)."""
    return luma(images_NCHW).flatten(1).double().std(1, correction=0)


def luma(images_NCHW: Tensor) -> Tensor:
    """Luma of RGB images in [0, 1], (N, 1, H, W)."""
    return (images_NCHW * images_NCHW.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
