"""From a measure's map to its blocks: block means, and the half of the blocks with the higher ones (Section 4.2)."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from halfiqa_ray.masking.grid import Grid, block_edges


class HighBlocks(NamedTuple):
    """The higher half of the blocks: a bit mask (bit set = high), and how many blocks were tied for its last places.

    ``tied`` is 0 when the means alone decide; it counts all blocks of the mean that some got in with and some not.
    """

    mask: int
    tied: int


def block_means(map_HW: NDArray[np.floating], grid: Grid) -> NDArray[np.float32]:
    """Mean of a map in every block: float32 (B,), summed in float64.

    The blocks are the grid's exact fractions of the map's own size. Raises ValueError when the map has fewer cells
    than blocks along an axis.
    """
    down = block_edges(map_HW.shape[0], grid.rows)
    across = block_edges(map_HW.shape[1], grid.columns)
    sums = np.add.reduceat(map_HW, across[:-1], axis=1, dtype=np.float64)
    sums = np.add.reduceat(sums, down[:-1], axis=0)
    areas = np.diff(down)[:, None] * np.diff(across)[None, :]
    return (sums / areas).ravel().astype(np.float32)


def high_blocks(means: NDArray[np.floating], image_id: str, seed: int) -> HighBlocks:
    """The ``B // 2`` blocks with the higher means (B,) of one image.

    Ties are broken by the SHA-256 of seed, image and block: by index they would go to the top left in every image.
    Raises ValueError that names the image when a mean is not finite.
    """
    if not np.isfinite(means).all():
        raise ValueError(f"{image_id}: block means must be finite, got {means.tolist()}")
    high = len(means) // 2
    ranked = sorted(range(len(means)), key=lambda block: (-means[block], _hash(seed, image_id, block)))
    in_by_luck = high > 0 and means[ranked[high - 1]] == means[ranked[high]]
    tied = int((means == means[ranked[high]]).sum()) if in_by_luck else 0
    return HighBlocks(sum(1 << block for block in ranked[:high]), tied)


def _hash(seed: int, image_id: str, block: int) -> bytes:
    text = f"{seed}\0tied blocks\0{image_id}\0{block}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
