import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from halfiqa_ray.masking import importance
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.importance import (
    banzhaf_importance,
    halves_masked,
    image_plcc_importance,
    important_half,
    level_plcc_importance,
    score_change_importance,
    shapley_importance,
)

GRID = Grid(3, 4)
SMALL = Grid(2, 2)


def planted(blocks, kept, weight=1.0):
    """Scores of one image whose quality depends on some blocks only: each kept one adds `weight`."""
    return (3 + weight * kept[:, blocks].sum(1))[None]


@settings(deadline=None)
@given(arrays(np.float64, (2, 16), elements=st.floats(-1, 1, width=32)), st.data())
def test_level_plcc_is_the_mean_over_subsets_that_mask_the_block(plcc, data):
    plcc = plcc.copy()
    for subset in data.draw(st.lists(st.integers(0, 15), max_size=5)):
        plcc[:, subset] = np.nan
    found = level_plcc_importance(SMALL, plcc)
    for block in range(4):
        masking = [s for s in range(1, 16) if not s >> block & 1]  # literal: neither 0 nor kept
        for image in range(2):
            values = [plcc[image, s] for s in masking if not np.isnan(plcc[image, s])]
            expected = 1 - np.mean(values) if values else np.nan
            assert found[image, block] == pytest.approx(expected, nan_ok=True, abs=1e-12)


@settings(deadline=None)
@given(arrays(np.float32, (2, 16), elements=st.floats(0, 100, width=32)))
def test_score_change_is_the_mean_change_over_subsets_that_mask_the_block(scores):
    found = score_change_importance(SMALL, scores)
    for block in range(4):
        masking = [s for s in range(1, 16) if not s >> block & 1]
        expected = np.abs(scores[:, masking].astype(float) - scores[:, 15:].astype(float)).mean(1)
        np.testing.assert_allclose(found[:, block], expected, atol=1e-9)


def test_the_paper_counts_2047_subsets_a_block_and_never_the_all_masked_one():
    plcc = np.zeros((1, 4096))
    plcc[0, 0] = 1e6  # would show at once
    plcc[0, 1:4095] = np.arange(1, 4095) % 2  # 1 where block 0 is kept
    found = level_plcc_importance(GRID, plcc)[0]
    assert found[0] == 1
    np.testing.assert_allclose(found[1:], 1 - 1024 / 2047)


def test_nothing_left_to_average_is_nan_and_gives_no_half():
    plcc = np.full((2, 4096), np.nan)
    plcc[1] = 0.5
    found = level_plcc_importance(GRID, plcc)
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1], 0.5)
    np.testing.assert_array_equal(important_half(found), [0, 0b111111])


@pytest.mark.parametrize("rule", ["score_change", "shapley", "banzhaf", "level_plcc", "image_plcc"])
@pytest.mark.parametrize("sign", [1, -1])
def test_planted_blocks_land_in_the_important_half_and_masking_them_changes_the_score(rule, sign):
    blocks = [1, 4, 5, 7, 10, 11]
    scores = planted(blocks, GRID.kept(), sign * 0.2)
    scores += 1e-3 * np.random.default_rng(0).normal(size=scores.shape)
    correlation = 1 - 0.1 * np.abs(scores - scores[:, GRID.full :])
    found = {
        "score_change": lambda: score_change_importance(GRID, scores),
        "shapley": lambda: shapley_importance(scores),
        "banzhaf": lambda: banzhaf_importance(scores),
        "level_plcc": lambda: level_plcc_importance(GRID, correlation),
        "image_plcc": lambda: image_plcc_importance(GRID, correlation[0])[None],
    }[rule]()
    half = important_half(found)
    assert half[0] == GRID.as_mask(blocks)
    trivial_masked, important_masked = halves_masked(GRID, half)
    full = scores[0, GRID.full]
    assert scores[0, trivial_masked[0]] == pytest.approx(full, abs=0.01)
    assert abs(scores[0, important_masked[0]] - full) == pytest.approx(1.2, abs=0.01)


def test_halves_masked_are_complements_that_keep_what_they_say():
    kept = GRID.kept()
    trivial_masked, important_masked = halves_masked(GRID, np.array([0b000000111111, 0b101010101010], np.uint16))
    np.testing.assert_array_equal(np.flatnonzero(kept[trivial_masked[0]]), range(6))
    np.testing.assert_array_equal(np.flatnonzero(kept[important_masked[0]]), range(6, 12))
    np.testing.assert_array_equal(trivial_masked + important_masked, [4095, 4095])


@settings(deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 16)), elements=st.integers(0, 3).map(float)))
def test_ties_go_to_the_lower_block(values):
    blocks = values.shape[1]
    for row, half in zip(values, important_half(values), strict=True):
        expected = sorted(range(blocks), key=lambda block: (-row[block], block))[: blocks // 2]
        assert int(half) == sum(1 << block for block in expected)


@settings(deadline=None)
@given(arrays(np.float64, (1, 12), elements=st.floats(-50, 50), unique=True), st.permutations(range(12)))
def test_renaming_blocks_without_ties_renames_the_half(values, permutation):
    half, renamed = int(important_half(values)[0]), int(important_half(values[:, permutation])[0])
    assert renamed == sum((half >> old & 1) << new for new, old in enumerate(permutation))


@settings(deadline=None)
@given(arrays(np.float64, (1, 16), elements=st.floats(-5, 5, width=32)), st.permutations(range(4)))
def test_renaming_blocks_renames_their_importance(scores, permutation):
    subsets = np.arange(16)
    renamed = sum((subsets >> new & 1) << old for new, old in enumerate(permutation))
    found = score_change_importance(SMALL, scores[:, renamed])
    np.testing.assert_allclose(found, score_change_importance(SMALL, scores)[:, list(permutation)], atol=1e-9)


def test_sixteen_blocks_fill_the_whole_bit_mask():
    values = np.arange(16.0)[None]
    half = important_half(values)
    assert half.dtype == np.uint16
    assert half[0] == 0b1111111100000000
    assert halves_masked(Grid(4, 4), half)[1][0] == 0b0000000011111111


def test_slices_of_images_do_not_change_the_result(monkeypatch):
    scores = np.random.default_rng(5).normal(size=(7, 16))
    whole = score_change_importance(SMALL, scores)
    monkeypatch.setattr(importance, "_SLICE_BYTES", 8 * 16 * 2)
    np.testing.assert_allclose(score_change_importance(SMALL, scores), whole, atol=1e-14)


def test_values_of_another_grid_are_refused():
    with pytest.raises(ValueError, match="3 x 4 blocks need values of shape"):
        level_plcc_importance(GRID, np.zeros((2, 16)))
