"""Zeroed blocks against a naive loop, and the tiling that every size has to have."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.zeroing import zero_blocks

GRIDS = st.sampled_from([Grid(3, 4), Grid(4, 3), Grid(2, 2), Grid(1, 5), Grid(4, 4)])
LENGTHS = st.integers(5, 61)


def naive(image_CHW, mask, grid):
    """Block by block, from the fractions themselves, rounded half up."""
    out = image_CHW.copy()
    height, width = image_CHW.shape[1:]
    edge = lambda i, length, parts: int(np.floor(i * length / parts + 0.5))  # noqa: E731
    for block in range(grid.blocks):
        row, column = divmod(block, grid.columns)
        if mask >> block & 1:
            top, bottom = (edge(row + i, height, grid.rows) for i in (0, 1))
            left, right = (edge(column + i, width, grid.columns) for i in (0, 1))
            out[:, top:bottom, left:right] = 0
    return out


@settings(max_examples=60, deadline=None)
@given(GRIDS, LENGTHS, LENGTHS, st.integers(0, 2**32), st.integers(1, 3))
def test_equals_a_naive_loop_for_every_size_and_orientation(grid, height, width, seed, count):
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((count, 3, height, width)).astype(np.float32)
    masks = [int(mask) for mask in rng.integers(0, grid.subsets, count)]
    ours = zero_blocks(torch.from_numpy(images), masks, grid).numpy()
    expected = np.stack([naive(image, mask, grid) for image, mask in zip(images, masks, strict=True)])
    assert np.array_equal(ours, expected)


@settings(max_examples=40, deadline=None)
@given(GRIDS, LENGTHS, LENGTHS)
def test_blocks_tile_the_image_exactly(grid, height, width):
    """Drawn one at a time over ones: every pixel is zeroed by exactly one block, and no block is empty."""
    ones = torch.ones(grid.blocks, 3, height, width)
    drawn = 1 - zero_blocks(ones, [1 << block for block in range(grid.blocks)], grid)
    assert torch.equal(drawn.sum(0), torch.ones(3, height, width))
    areas = drawn[:, 0].sum((1, 2))
    assert areas.min() > 0
    assert (areas - height * width / grid.blocks).abs().max() <= height + width


def test_the_paper_size_gives_256_pixel_blocks():
    drawn = zero_blocks(torch.ones(1, 3, 768, 1024), [1 << 5], Grid())[0, 0]
    where = np.argwhere(drawn.numpy() == 0)
    assert where.min(0).tolist() == [256, 256]
    assert where.max(0).tolist() == [511, 511]


def test_halves_are_complements_and_the_input_is_left_alone():
    images = torch.randn(2, 3, 20, 31)
    before = images.clone()
    grid = Grid()
    parts = zero_blocks(images, [0b101, 0], grid) + zero_blocks(images, [grid.full ^ 0b101, grid.full], grid)
    assert torch.equal(parts, images)
    assert torch.equal(images, before)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="outside a 2 x 2 grid"):
        zero_blocks(torch.ones(1, 3, 8, 8), [16], Grid(2, 2))
    with pytest.raises(ValueError, match="at least one cell"):
        zero_blocks(torch.ones(1, 3, 2, 8), [1], Grid(3, 4))
