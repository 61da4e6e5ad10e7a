"""Small pixel maps for figures: what a stream stores of the maps of chosen images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

LONGEST_SIDE = 256
# A column of lists of them; fields as in ``schema.MAPS``.
MAPS = pa.list_(
    pa.struct(
        [
            pa.field("name", pa.string()),
            pa.field("model", pa.string()),
            pa.field("height", pa.int32()),
            pa.field("width", pa.int32()),
            pa.field("minimum", pa.float32()),
            pa.field("maximum", pa.float32()),
            pa.field("pixels", pa.list_(pa.uint8())),
        ]
    )
)


def small_map(name: str, model: str | None, map_HW: NDArray[np.floating]) -> dict[str, Any]:
    """One map as it is stored: longest side at most 256 (area means), values in 256 equal steps of its own range."""
    import torch  # processes that measure and draw no maps do without it
    from torch.nn import functional

    height, width = map_HW.shape
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    whole = torch.from_numpy(np.ascontiguousarray(map_HW, np.float64))
    small_HW = functional.interpolate(whole[None, None], size, mode="area")[0, 0].numpy()
    low, high = float(small_HW.min()), float(small_HW.max())
    steps = np.rint((small_HW - low) * (255 / (high - low))) if high > low else np.zeros(size)
    pixels = steps.astype(np.uint8).ravel()
    return {
        "name": name,
        "model": model,
        "height": size[0],
        "width": size[1],
        "minimum": low,
        "maximum": high,
        "pixels": pixels,
    }
