"""A photo with blocks masked, as it is shown to people."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from halfiqa_ray.masking.grid import Grid, block_edges

Pixels = NDArray[np.uint8]
# A masked block is shown dark, but not so dark that one cannot tell what it hides.
DIMMED = 0.12


def with_blocks(pixels: Pixels, grid: Grid, kept: int) -> Pixels:
    """A photo (H, W, 3) whose blocks outside ``kept`` are dimmed. Raises ValueError for one smaller than the grid."""
    shown = pixels.copy()
    down, across = block_edges(pixels.shape[0], grid.rows), block_edges(pixels.shape[1], grid.columns)
    for block in range(grid.blocks):
        if not kept >> block & 1:
            row, col = divmod(block, grid.columns)
            inside = shown[down[row] : down[row + 1], across[col] : across[col + 1]]
            inside[:] = (inside * DIMMED).astype(np.uint8)
    return shown
