"""Small photos and lists for the tests of the readers."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def jpeg(seed: int = 0, height: int = 12, width: int = 16, contrast: float = 40.0) -> bytes:
    """A photo of coloured noise."""
    pixels = np.random.default_rng(seed).normal(128, contrast, (height, width, 3)).clip(0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def write_photos(root: Path, *names: str) -> Path:
    """Photos of different content below ``root``; returns it."""
    for seed, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(seed))
    return root


def write_lines(path: Path, *lines: str) -> str:
    """A text file; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return str(path)
