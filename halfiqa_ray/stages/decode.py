"""Stage: manifest rows in, decoded photos at the model's input size out.

A photo that cannot be read becomes a row with ``error`` and ``message`` set and no pixels; it never stops the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from halfiqa_ray.data.images import ImageError, open_photo, resize

PIXELS = pa.schema(
    [
        pa.field("pixels", pa.large_binary()),  # uint8 RGB, height x width x 3, row by row; null for an error
        pa.field("scored_height", pa.int32()),
        pa.field("scored_width", pa.int32()),
        pa.field("original_height", pa.int32()),
        pa.field("original_width", pa.int32()),
        pa.field("error", pa.string()),
        pa.field("message", pa.string()),
    ]
)


@dataclass
class Decoded:
    """One photo: ``pixels`` uint8 (H, W, 3) at the size to score, or None with ``error`` and ``message``."""

    pixels: NDArray[np.uint8] | None = None
    original_height: int | None = None
    original_width: int | None = None
    error: str | None = None
    message: str | None = None


@dataclass(frozen=True)
class Decode:
    """Decodes and resizes the photos of a batch of manifest rows.

    Photos are resized (antialiased) to ``height`` x ``width`` whatever their shape, unless ``native`` keeps their own
    size. With ``portrait`` = ``rotate``, photos higher than wide are turned a quarter to the left first; their blocks
    are then those of the turned photo.
    """

    height: int
    width: int
    native: bool = False
    portrait: Literal["resize", "rotate"] = "resize"
    maximum_pixels: int = 200_000_000
    readers: int = field(default=4)  # reads in flight, which hides the latency of an object store

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Columns of ``rows`` (image_id, uri, ...) plus those of ``PIXELS``."""
        with ThreadPoolExecutor(self.readers) as pool:
            decoded = list(pool.map(self.decode, rows["uri"].to_pylist()))
        columns: dict[str, list[Any]] = {
            "pixels": [None if d.pixels is None else d.pixels.tobytes() for d in decoded],
            "scored_height": [None if d.pixels is None else d.pixels.shape[0] for d in decoded],
            "scored_width": [None if d.pixels is None else d.pixels.shape[1] for d in decoded],
        }
        for name in ("original_height", "original_width", "error", "message"):
            columns[name] = [getattr(d, name) for d in decoded]
        for f in PIXELS:
            rows = rows.append_column(f, pa.array(columns[f.name], f.type))
        return rows

    def decode(self, uri: str) -> Decoded:
        """Decode one photo."""
        try:
            pixels = open_photo(uri, self.maximum_pixels)
        except ImageError as error:
            return Decoded(error=error.kind, message=str(error))
        except OSError as error:
            return Decoded(error="unreadable", message=f"{uri}: {type(error).__name__}: {error}")
        height, width = pixels.shape[:2]
        if self.portrait == "rotate" and height > width:
            pixels = np.rot90(pixels)
        if not self.native:
            pixels = resize(pixels, self.height, self.width)
        return Decoded(np.ascontiguousarray(pixels), height, width)


def pixels_of(rows: pa.Table) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Row number and uint8 (H, W, 3) of every row that has pixels, without a copy."""
    heights, widths = rows["scored_height"].to_pylist(), rows["scored_width"].to_pylist()
    for i, pixels in enumerate(rows["pixels"]):
        buffer = pixels.as_buffer()
        if buffer is not None:
            yield i, np.frombuffer(buffer, np.uint8).reshape(heights[i], widths[i], 3)
