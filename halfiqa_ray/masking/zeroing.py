"""Blocks of an image set to zero after preprocessing (Section 4.1 of the paper).

Shape suffixes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from halfiqa_ray.masking.grid import Grid


def zero_blocks(images_NCHW: Tensor, zeroed_N: Sequence[int], grid: Grid) -> Tensor:
    """Normalised images with the pixels of some blocks set to zero; a new tensor of the same shape and type.

    ``zeroed_N`` is a bit mask an image (bit set = block is zeroed). The pixel edges of the blocks are the grid's exact
    fractions of the images' own size. Raises ValueError when an axis has fewer pixels than blocks, or a mask names a
    block that the grid has not.
    """
    outside = [mask for mask in zeroed_N if not 0 <= mask <= grid.full]
    if outside:
        raise ValueError(f"mask {outside[0]} names blocks outside a {grid.rows} x {grid.columns} grid")
    device = images_NCHW.device
    block_HW = torch.from_numpy(grid.cells(*images_NCHW.shape[2:])).to(device)
    masks_N = torch.tensor(list(zeroed_N), dtype=torch.int64, device=device)
    zeroed_NHW = (masks_N[:, None, None] >> block_HW & 1).bool()
    return images_NCHW.masked_fill(zeroed_NHW[:, None], 0)
