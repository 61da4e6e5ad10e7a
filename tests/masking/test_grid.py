"""Block edges and subsets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfiqa_ray.masking.grid import Grid, block_edges


@given(parts=st.integers(1, 16), extra=st.integers(0, 5000))
def test_edges_tile_and_differ_by_at_most_one(parts, extra):
    edges = block_edges(parts + extra, parts)
    sizes = np.diff(edges)
    assert edges[0] == 0
    assert edges[-1] == parts + extra
    assert sizes.min() >= 1
    assert sizes.max() - sizes.min() <= 1


def test_the_papers_grid():
    cells = Grid().cells(24, 32)
    assert np.bincount(cells.ravel()).tolist() == [64] * 12
    assert cells[0, 0] == 0
    assert cells[0, -1] == 3
    assert cells[8, 0] == 4
    assert cells[-1, -1] == 11


def test_subsets():
    grid = Grid()
    assert grid.subsets == 4096
    assert len(grid.halves()) == 924
    assert grid.kept()[0b101].nonzero()[0].tolist() == [0, 2]
    assert grid.as_mask(grid.kept()[1234].nonzero()[0]) == 1234


def test_too_many_blocks_says_why():
    with pytest.raises(ValueError, match=r"2\^20 = 1048576 subsets"):
        Grid(4, 5)
