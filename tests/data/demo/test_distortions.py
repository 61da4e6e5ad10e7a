import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from halfiqa_ray.data.demo.distortions import DISTORTIONS, STRENGTHS, block_pixels, damage, visibility
from halfiqa_ray.masking.grid import Grid

GRID = Grid(3, 4)


def textured(height=96, width=128, seed=0, grey=False):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(height, width, 1 if grey else 3)), (1.5, 1.5, 0))
    picture = 128 + 45 * smooth / smooth.std()
    return np.broadcast_to(picture.clip(0, 255), (height, width, 3)).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(DISTORTIONS)),
    strength=st.sampled_from(STRENGTHS),
    blocks=st.integers(0, GRID.full),
    height=st.integers(40, 110),
    width=st.integers(40, 110),
    seed=st.integers(0, 1000),
)
def test_only_the_chosen_blocks_change(name, strength, blocks, height, width, seed):
    before = textured(height, width, seed)
    after = damage(before, name, strength, blocks, GRID, np.random.default_rng(seed))
    assert after.dtype == np.uint8
    assert after.shape == before.shape
    edges_y = [round(i * height / 3 + 1e-9) for i in range(4)]
    edges_x = [round(i * width / 4 + 1e-9) for i in range(5)]
    for block in range(12):
        row, column = divmod(block, 4)
        inner = np.s_[edges_y[row] + 1 : edges_y[row + 1] - 1, edges_x[column] + 1 : edges_x[column + 1] - 1]
        if blocks >> block & 1:
            assert (after[inner] != before[inner]).any()
        else:
            np.testing.assert_array_equal(after[inner], before[inner])
    outside = ~block_pixels(blocks, GRID, height, width)
    np.testing.assert_array_equal(after[outside], before[outside])


@pytest.mark.parametrize("name", DISTORTIONS)
def test_a_higher_strength_shows_more_in_every_block(name):
    before = textured()
    shown = [
        visibility(before, damage(before, name, strength, GRID.full, GRID, np.random.default_rng(1)), GRID)
        for strength in STRENGTHS
    ]
    assert (np.diff(np.stack(shown), axis=0) > 0).all()


@pytest.mark.parametrize("name", DISTORTIONS)
def test_a_grey_photo_stays_grey(name):
    before = textured(grey=True)
    after = damage(before, name, 3, 0b000001100110, GRID, np.random.default_rng(2)).astype(int)
    assert np.ptp(after, axis=2).max() <= 1


def test_exposure_halves_the_linear_light_for_every_stop():
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(3, axis=0)
    after = damage(ramp, "under_exposure", 1, GRID.full, GRID, np.random.default_rng())

    def linear(code):
        value = code / 255
        return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

    for code in (90, 128, 200, 255):
        ratio = linear(int(after[0, code, 0])) / linear(code)
        assert ratio == pytest.approx(2**-1.3, rel=0.04)
    brighter = damage(ramp, "over_exposure", 4, GRID.full, GRID, np.random.default_rng())
    assert (np.diff(brighter[0, :, 0].astype(int)) >= 0).all()
    assert brighter[0, -1, 0] == 255


def test_contrast_loss_keeps_the_mean_and_scales_the_deviation():
    before = textured(seed=3)
    luma = before @ np.array([0.299, 0.587, 0.114])
    after = damage(before, "contrast_loss", 2, GRID.full, GRID, np.random.default_rng())
    luma_after = after @ np.array([0.299, 0.587, 0.114])
    assert luma_after.mean() == pytest.approx(luma.mean(), abs=0.3)
    assert luma_after.std() == pytest.approx(0.42 * luma.std(), rel=0.01)


def test_noise_has_the_stated_deviation():
    flat = np.full((192, 256, 3), 128, np.uint8)
    flat[..., 2] = 129  # not grey, so that each channel has noise of its own
    change = damage(flat, "noise", 2, GRID.full, GRID, np.random.default_rng(5)).astype(float) - flat
    assert change.std() == pytest.approx(22, rel=0.02)
    assert abs(np.corrcoef(change[..., 0].ravel(), change[..., 1].ravel())[0, 1]) < 0.02


def test_unknown_strength_is_refused():
    with pytest.raises(ValueError, match="strength 5"):
        damage(textured(), "jpeg", 5, 1, GRID, np.random.default_rng())
