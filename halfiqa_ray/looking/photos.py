"""Photos from wherever a caller has them: a path, a URL, a Pillow image, an array."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import fsspec
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from halfiqa_ray.config import DataSettings
from halfiqa_ray.data.photos.decoding import ImageError, decode, upright_rgb
from halfiqa_ray.data.photos.images import open_photo

# What the jobs read by storage, with its credentials and its patience; every other URL is fsspec's.
OBJECT_STORES = ("s3://", "gs://", "file://")
MAXIMUM_PIXELS = DataSettings().maximum_pixels


@dataclass(frozen=True, eq=False)
class Picture:
    """A photo: its name, and its pixels, uint8 RGB (height, width, 3)."""

    name: str
    pixels: NDArray[np.uint8]


def read_picture(photo: Any) -> Picture:
    """Decode a path or URL; take a Pillow image or a uint8 array, (H, W), (H, W, 3) RGB or (H, W, 4) RGBA.

    Pixels are the same whichever it is. Raises ImageError when a photo cannot be read or decoded, and ValueError for
    an array of another kind.
    """
    if isinstance(photo, str | os.PathLike):
        return _read(os.fspath(photo))
    if isinstance(photo, Image.Image):
        return Picture(getattr(photo, "filename", "") or "image", upright_rgb(photo))
    return Picture("array", _of_array(photo))


def _read(name: str) -> Picture:
    if "://" not in name or name.startswith(OBJECT_STORES):
        return Picture(name, open_photo(name, MAXIMUM_PIXELS))
    try:
        with fsspec.open(name, "rb") as file:
            data = file.read()
    except (OSError, ValueError, ImportError) as error:  # no such place, no such scheme, a scheme that needs more
        raise ImageError("unreadable_photo", f"{name}: cannot be read: {error or type(error).__name__}") from error
    try:
        return Picture(name, decode(data, MAXIMUM_PIXELS))
    except ImageError as error:
        raise ImageError(error.kind, f"{name}: {error}") from error


def _of_array(photo: ArrayLike) -> NDArray[np.uint8]:
    pixels = np.asarray(photo)
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise ValueError(
            f"an array must be uint8 of 0 to 255, (height, width, 3) in RGB, (height, width, 4) or (height, width); "
            f"this one is {pixels.dtype} {pixels.shape}"
        )
    if not pixels.size:
        raise ValueError(f"an array of shape {pixels.shape} has no pixels")
    return upright_rgb(Image.fromarray(pixels))
