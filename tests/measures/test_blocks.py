"""Block means, the high half, and the average."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.measures.average import average, scale_to_unit
from halfiqa_ray.measures.blocks import block_means, high_blocks

grids = st.builds(Grid, st.integers(1, 4), st.integers(1, 4))


@given(grids, st.integers(0, 60), st.integers(0, 60), st.integers(0, 2**32 - 1))
def test_means_are_those_of_the_grids_cells(grid, taller, wider, seed):
    values = np.random.default_rng(seed).normal(size=(grid.rows + taller, grid.columns + wider)).astype(np.float32)
    cells = grid.cells(*values.shape)
    expected = [values[cells == block].mean(dtype=np.float64) for block in range(grid.blocks)]
    np.testing.assert_allclose(block_means(values, grid), expected, atol=1e-6)


def test_a_map_smaller_than_the_grid():
    with pytest.raises(ValueError, match="cannot cut 2 cells into 3 blocks"):
        block_means(np.zeros((2, 8), np.float32), Grid())


@given(hnp.arrays(np.float32, 12, elements=st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7])), st.text(), st.integers(0, 99))
def test_high_blocks_are_the_higher_half(means, image_id, seed):
    high = high_blocks(means, image_id, seed)
    inside = np.array([bool(high.mask >> block & 1) for block in range(12)])
    assert inside.sum() == 6
    assert means[inside].min() >= means[~inside].max()
    at_cut = np.sort(means)[6]
    tie = np.sort(means)[5] == at_cut
    assert high.tied == (int((means == at_cut).sum()) if tie else 0)
    assert high == high_blocks(means, image_id, seed)


def test_without_ties_only_the_means_count():
    means = np.array([3, 9, 1, 7, 5, 0, 2, 8, 4, 11, 6, 10], np.float32)
    assert high_blocks(means, "a.jpg", 1) == (Grid().as_mask([1, 3, 7, 9, 10, 11]), 0)
    assert high_blocks(means, "b.jpg", 2) == high_blocks(means, "a.jpg", 1)


def test_ties_favour_no_block():
    times = Counter()
    for i in range(2000):
        mask, tied = high_blocks(np.ones(12), f"photo{i}.jpg", 1)
        assert tied == 12
        times.update(block for block in range(12) if mask >> block & 1)
    # Each block is in with probability 1/2: six standard deviations of a binomial around 1000.
    assert all(abs(times[block] - 1000) < 6 * np.sqrt(500) for block in range(12))
    assert high_blocks(np.ones(12), "photo1.jpg", 1) != high_blocks(np.ones(12), "photo1.jpg", 2)


def test_no_half_without_numbers():
    with pytest.raises(ValueError, match=r"x\.jpg: block means must be finite"):
        high_blocks(np.array([1.0, np.nan]), "x.jpg", 1)


maps = hnp.arrays(np.float32, (3, 4), elements=st.floats(-1e6, 1e6, width=32))


@given(maps)
def test_scaling_to_the_unit_interval(values):
    scaled = scale_to_unit(values)
    assert scaled.dtype == np.float32
    if scaled.any():
        assert scaled.min() == 0
        assert scaled.max() == pytest.approx(1)
        assert (np.diff(scaled.ravel()[values.ravel().argsort(kind="stable")]) >= 0).all()
    else:
        assert np.ptp(values) <= 1e-6 * np.abs(values).max()


@given(maps, st.floats(0.5, 100), st.floats(-100, 100))
def test_the_average_knows_no_units(values, factor, offset):
    if np.ptp(values) < 1:
        return
    other = np.arange(12, dtype=np.float32).reshape(3, 4)
    moved = (values.astype(np.float64) * factor + offset * np.abs(values).max() / 100).astype(np.float32)
    np.testing.assert_allclose(
        average([values, other]), average([moved, other]), atol=1e-4 * max(1, np.abs(values).max() / np.ptp(values))
    )


def test_average_by_hand():
    a = np.array([[0, 5, 10]], np.float32)
    b = np.array([[4, 2, 3]], np.float32)
    constant = np.full((1, 3), 7, np.float32)
    np.testing.assert_allclose(average([a, b, constant]), [[1 / 3, 0.5 / 3, 1.5 / 3]], rtol=1e-6)


def test_average_refuses():
    with pytest.raises(ValueError, match="maps of one size"):
        average([np.zeros((2, 2), np.float32), np.zeros((2, 3), np.float32)])
    with pytest.raises(ValueError, match="must be finite"):
        average([np.array([[0, np.inf]], np.float32)])
