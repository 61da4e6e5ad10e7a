"""Scores, numbers and pictures as the page carries them.

All 2^B scores of a photo are 16-bit steps between the photo's own lowest and highest score. Shape suffix: S = 2^B
subsets.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

STEPS = 65535  # of a quantised score, from the lowest to the highest of its photo
QUALITY = 75  # of the photos' WebP
EFFORT = 5  # of its encoder, of 6
MOST_COLOURS = 4096  # of a drawn map; a photo has more
EMBEDDED_PNG = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")


def quantise(scores_S: NDArray[np.floating]) -> tuple[float, float, NDArray[np.uint16]]:
    """Lowest and highest of some scores, and for each its step of ``STEPS`` between them, little endian.

    `restore` is off by at most half a step, (highest - lowest) / STEPS / 2, and float64 rounding.
    """
    low, high = float(scores_S.min()), float(scores_S.max())
    if low == high:
        return low, high, np.zeros(len(scores_S), "<u2")
    share_S = (scores_S.astype(np.float64) - low) / (high - low)
    return low, high, np.rint(share_S * STEPS).astype("<u2")


def restore(low: float, high: float, steps_S: NDArray[np.uint16]) -> NDArray[np.float64]:
    """The scores of `quantise`, by the page's own formula (templates/scores.js)."""
    return low + steps_S / STEPS * (high - low)


def packed(steps_S: NDArray[np.uint16]) -> str:
    """The steps of `quantise` in base64."""
    return base64.b64encode(steps_S.tobytes()).decode()


def picture_uri(pixels: NDArray[np.uint8]) -> str:
    """A picture (H, W, 3) as a data URI of WebP."""
    return _webp_uri(Image.fromarray(pixels), lossless=False)


def lighter(svg: str) -> str:
    """An ``<svg>`` whose embedded PNG pictures are WebP, where that is smaller.

    Maps keep every pixel's colour; photos, which as PNG are most of a figure, are packed as `picture_uri` does.
    """
    return EMBEDDED_PNG.sub(_lighter, svg)


def _lighter(found: re.Match[str]) -> str:
    with Image.open(io.BytesIO(base64.b64decode(found[1]))) as opened:
        picture = opened.convert("RGBA")
    opaque = picture.getchannel("A").getextrema() == (255, 255)
    photo = opaque and picture.getcolors(MOST_COLOURS) is None
    uri = _webp_uri(picture.convert("RGB") if opaque else picture, lossless=not photo)
    return min(found[0], uri, key=len)


def _webp_uri(picture: Image.Image, lossless: bool) -> str:
    stream = io.BytesIO()
    # exact: colours of pixels that cannot be seen stay too, since maps are laid over others and interpolated.
    picture.save(stream, "WEBP", quality=QUALITY, method=EFFORT, lossless=lossless, exact=lossless)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()


def number(value: float | None) -> float | None:
    """A number of six digits for JSON; null where there is none."""
    return None if value is None or not np.isfinite(value) else float(f"{value:.6g}")


def numbers(values: Sequence[float | None] | NDArray[np.floating] | None) -> list[float | None]:
    """The same of several."""
    return [] if values is None else [number(value) for value in values]
