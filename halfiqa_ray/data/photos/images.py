"""Photos from where they lie to pixels, here or in a process of their own. What decoding means: `decoding`."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from halfiqa_ray import storage
from halfiqa_ray.config import DataSettings
from halfiqa_ray.data.photos import guard
from halfiqa_ray.data.photos.decoding import (
    KINDS,
    SUFFIXES,
    ImageError,
    Photo,
    Pixels,
    Size,
    Wanted,
    decode,
    decode_at,
    resize,
)

__all__ = [
    "KINDS",
    "SUFFIXES",
    "Bounds",
    "ImageError",
    "Photo",
    "Pixels",
    "Size",
    "decode",
    "open_photo",
    "read_photo",
    "resize",
]

# No format spends more on a pixel than 16-bit RGBA does; the rest is room for metadata.
BYTES_PER_PIXEL, BYTES_BESIDE = 8, 64 * 2**20


@dataclass(frozen=True)
class Bounds:
    """What one photo may have and take (data.maximum_pixels, data.decode_seconds, data.decode_bytes).

    With ``seconds`` above 0 it is decoded in a process of its own that may take so long, and ``bytes`` of memory:
    whatever a photo does to its decoder, it is one `ImageError`. With 0 it is decoded in this process.
    """

    pixels: int = 200_000_000
    seconds: float = 0
    bytes: int = 4 << 30

    @classmethod
    def of(cls, data: DataSettings) -> Bounds:
        """Those of the settings."""
        return cls(data.maximum_pixels, data.decode_seconds, data.decode_bytes)


def open_photo(uri: str, maximum_pixels: int) -> Pixels:
    """One photo at its own size, decoded in this process: RGB uint8 (height, width, 3). Raises as `read_photo` does."""
    return read_photo(uri, Bounds(maximum_pixels)).pixels[0]


def read_photo(uri: str, bounds: Bounds, sizes: Sequence[Size | None] = (None,), turned: bool = False) -> Photo:
    """Read and decode one photo (`Wanted`). Raises ImageError whose text begins with the URI."""
    wanted = Wanted(bounds.pixels, sizes, turned)
    try:
        data = _read(uri, BYTES_BESIDE + BYTES_PER_PIXEL * bounds.pixels)
        if data and bounds.seconds:
            return guard.decoders(bounds.seconds, bounds.bytes).decode(data, wanted)
        return decode_at(data, wanted)
    except ImageError as error:
        raise ImageError(error.kind, f"{uri}: {error}") from error


def _read(uri: str, maximum_bytes: int) -> bytes:
    try:
        if not storage.is_remote(uri) and not stat.S_ISREG(Path(storage.absolute(uri)).stat().st_mode):
            raise ImageError("not_a_file", KINDS["not_a_file"])  # opening a pipe would wait for a writer for ever
        return storage.read_bytes(uri, maximum_bytes)
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError("missing_photo", "there is no such file") from error
    except ValueError as error:
        raise ImageError("too_many_pixels", f"too large a file for a photo: {error}") from error
    except OSError as error:
        raise ImageError("unreadable_photo", f"cannot be read: {error}") from error
