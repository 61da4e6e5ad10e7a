"""Stage: manifest rows in, decoded photos at the input sizes out.

A photo that cannot be read becomes a row with ``error`` and ``message`` set and no pixels; it never stops the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from halfiqa_ray.data.photos.images import Bounds, ImageError, Size, read_photo

__all__ = ["PIXELS", "Decode", "Decoded", "Size", "batches", "failed_rows", "pixels_of", "without_pixels"]

DECODED_HERE = Bounds()
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
    """One photo: ``pixels`` uint8 (H, W, 3) at the size to score and at ``more`` sizes.

    Or none of them, with ``error`` and ``message``.
    """

    pixels: NDArray[np.uint8] | None = None
    original_height: int | None = None
    original_width: int | None = None
    error: str | None = None
    message: str | None = None
    more: Sequence[NDArray[np.uint8] | None] = ()


@dataclass(frozen=True)
class Decode:
    """Decodes the photos of a batch of manifest rows once, and resizes them to every size that is wanted of them.

    Photos are resized (antialiased) to ``height`` x ``width`` whatever their shape, unless ``native`` keeps their own
    size. With ``portrait`` = ``rotate``, photos higher than wide are turned a quarter to the left first; their blocks
    are then those of the turned photo. ``more`` are further sizes, for the rows whose list ``zero`` or ``explain`` is
    not empty.
    """

    height: int
    width: int
    native: bool = False
    portrait: Literal["resize", "rotate"] = "resize"
    bounds: Bounds = DECODED_HERE
    more: tuple[Size, ...] = ()
    readers: int = field(default=4)  # reads in flight, which hides the latency of an object store

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Columns of ``rows`` (image_id, uri, ...) plus those of ``PIXELS``, and a ``pixels_HxW`` for each of ``more``.

        A size of ``more`` that is the scored one has no column of its own: see ``pixels_of``.
        """
        sizes = self.more_columns
        asked = [rows[name].to_pylist() for name in ("zero", "explain") if sizes and name in rows.column_names]
        wanted = [any(work) for work in zip(*asked, strict=True)] if asked else [False] * rows.num_rows
        with ThreadPoolExecutor(self.readers) as pool:
            decoded = list(pool.map(self.decode, rows["uri"].to_pylist(), wanted))
        columns: dict[str, list[Any]] = {
            "pixels": [_bytes(d.pixels) for d in decoded],
            "scored_height": [None if d.pixels is None else d.pixels.shape[0] for d in decoded],
            "scored_width": [None if d.pixels is None else d.pixels.shape[1] for d in decoded],
        }
        for name in ("original_height", "original_width", "error", "message"):
            columns[name] = [getattr(d, name) for d in decoded]
        for f in PIXELS:
            rows = rows.append_column(f, pa.array(columns[f.name], f.type))
        for number, size in enumerate(sizes):
            each = [_bytes(d.more[number]) if d.more else None for d in decoded]
            rows = rows.append_column(_column(size), pa.array(each, pa.large_binary()))
        return rows

    @property
    def more_columns(self) -> tuple[Size, ...]:
        """The sizes that get a column of their own."""
        own = {(self.height, self.width)} if not self.native else set()
        return tuple(sorted(set(self.more) - own))

    def decode(self, uri: str, more: bool = False) -> Decoded:
        """Decode one photo, to the further sizes too when ``more``."""
        scored = None if self.native else (self.height, self.width)
        sizes = [scored, *(self.more_columns if more else ())]
        try:
            photo = read_photo(uri, self.bounds, sizes, self.portrait == "rotate")
        except ImageError as error:
            return Decoded(error=error.kind, message=str(error))
        return Decoded(photo.pixels[0], photo.height, photo.width, more=photo.pixels[1:])


def without_pixels(rows: pa.Table) -> pa.Table:
    """The rows without what is heavy in them."""
    return rows.drop_columns([name for name in rows.column_names if name.startswith("pixels")])


def failed_rows(rows: pa.Table, error: str, message: str) -> pa.Table:
    """The rows as if their photos could not be decoded, for this reason."""
    for number, f in enumerate(rows.schema):
        if f.name.startswith("pixels"):
            rows = rows.set_column(number, f, pa.nulls(rows.num_rows, f.type))
        elif f.name in ("error", "message"):
            said = pa.array([error if f.name == "error" else message] * rows.num_rows, f.type)
            rows = rows.set_column(number, f, said)
    return rows


def pixels_of(rows: pa.Table, size: Size | None = None) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Row number and uint8 (H, W, 3) of every row that has pixels, without a copy.

    They have the size to score, or ``size``, which then is that size or one of ``Decode.more``.
    """
    if size is not None and _column(size) in rows.column_names:
        heights, widths = ([length] * rows.num_rows for length in size)
        column = rows[_column(size)]
    else:
        heights, widths = rows["scored_height"].to_pylist(), rows["scored_width"].to_pylist()
        column = rows["pixels"]
    for i, pixels in enumerate(column):
        buffer = pixels.as_buffer()
        if buffer is not None:
            yield i, np.frombuffer(buffer, np.uint8).reshape(heights[i], widths[i], 3)


def batches(each: Iterator[tuple[Any, NDArray[np.uint8]]], size: int) -> Iterator[tuple[list[Any], NDArray[np.uint8]]]:
    """Keys and stacked pixels (N, H, W, 3), photos of one shape together, at most ``size``."""
    waiting: dict[tuple[int, ...], list[tuple[Any, NDArray[np.uint8]]]] = defaultdict(list)
    for key, pixels in each:
        batch = waiting[pixels.shape]
        batch.append((key, pixels))
        if len(batch) == size:
            yield [k for k, _ in batch], np.stack([p for _, p in batch])
            batch.clear()
    for batch in waiting.values():
        if batch:
            yield [k for k, _ in batch], np.stack([p for _, p in batch])


def _bytes(pixels: NDArray[np.uint8] | None) -> memoryview | None:
    return None if pixels is None else pixels.reshape(-1).data


def _column(size: Size) -> str:
    return f"pixels_{size[0]}x{size[1]}"
