"""The block grid: where blocks lie, and subsets of kept blocks as bit masks.

Blocks are counted row by row from the top left. A subset is the bit mask of the blocks that are *kept*:
bit b set = block b kept; 0 = everything masked; 2^B - 1 = nothing masked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAXIMUM_BLOCKS = 16


def block_edges(length: int, parts: int) -> list[int]:
    """Cut ``length`` cells into ``parts`` runs that tile it exactly and differ by at most one cell.

    Returns ``parts + 1`` increasing edges from 0 to ``length``: the exact fractions i / parts, rounded once
    (half up). Raises ValueError when a part would be empty.
    """
    if parts < 1 or length < parts:
        raise ValueError(f"cannot cut {length} cells into {parts} blocks: each block needs at least one cell")
    return [(2 * i * length + parts) // (2 * parts) for i in range(parts + 1)]


@dataclass(frozen=True)
class Grid:
    """A grid of ``rows`` x ``columns`` blocks (3 x 4 in Section 2 of the paper).

    Raises ValueError beyond 16 blocks, where the 2^B subsets no longer fit.
    """

    rows: int = 3
    columns: int = 4

    def __post_init__(self) -> None:
        if self.rows < 1 or self.columns < 1:
            raise ValueError(f"a grid needs at least one row and one column, got {self.rows} x {self.columns}")
        if self.blocks > MAXIMUM_BLOCKS:
            raise ValueError(
                f"a {self.rows} x {self.columns} grid has {self.blocks} blocks and 2^{self.blocks} = "
                f"{2**self.blocks} subsets to score for every image; at most {MAXIMUM_BLOCKS} blocks are supported"
            )

    @property
    def blocks(self) -> int:
        """Number of blocks B."""
        return self.rows * self.columns

    @property
    def subsets(self) -> int:
        """Number of subsets 2^B, the empty and the full one included."""
        return 1 << self.blocks

    @property
    def full(self) -> int:
        """The subset that keeps every block."""
        return self.subsets - 1

    def kept(self) -> NDArray[np.bool_]:
        """Membership of every block in every subset: bool (2^B, B), row s = subset s."""
        return (np.arange(self.subsets)[:, None] >> np.arange(self.blocks) & 1).astype(bool)

    def sizes(self) -> NDArray[np.int64]:
        """Number of kept blocks of every subset: int64 (2^B,)."""
        return self.kept().sum(1)

    def halves(self) -> NDArray[np.int64]:
        """All subsets that keep exactly B // 2 blocks (924 for 12 blocks): int64, ascending."""
        return np.flatnonzero(self.sizes() == self.blocks // 2)

    def cells(self, height: int, width: int) -> NDArray[np.int64]:
        """The block of each cell of a ``height`` x ``width`` map (tokens or pixels): int64 (height, width).

        Raises ValueError when the map has fewer cells than blocks along an axis.
        """
        row = np.repeat(np.arange(self.rows), np.diff(block_edges(height, self.rows)))
        column = np.repeat(np.arange(self.columns), np.diff(block_edges(width, self.columns)))
        return row[:, None] * self.columns + column[None, :]

    def as_mask(self, blocks: NDArray[np.integer] | list[int]) -> int:
        """The bit mask with the given block numbers set."""
        return int(sum(1 << int(block) for block in blocks))
