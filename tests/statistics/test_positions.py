import numpy as np
import pytest
from scipy.stats import friedmanchisquare, rankdata

from halfiqa_ray.statistics.positions import explained_by_position, position_test, standardised


def halves(count, preferred=0.0, seed=0):
    """Membership (N, 12) of random halves; the first blocks preferred by some amount."""
    draw = np.random.default_rng(seed)
    values = draw.random((count, 12)) + preferred * (np.arange(12) < 3)
    return (rankdata(values, axis=1) > 6).astype(float)


@pytest.mark.parametrize("preferred", [0, 0.1, 1])
def test_it_is_friedmans_test_for_ranks_and_cochrans_for_halves(preferred):
    for values in (halves(60, preferred), rankdata(halves(60, preferred) + 0.1 * halves(60, 0, 1), axis=1)):
        expected = friedmanchisquare(*values.T)
        found = position_test(values, np.arange(60))
        assert found.statistic == pytest.approx(expected.statistic)
        assert found.p_value == pytest.approx(expected.pvalue)
        assert found.degrees == 11


def test_p_values_are_even_when_no_position_is_preferred():
    p = [position_test(halves(80, seed=seed), np.arange(80)).p_value for seed in range(300)]
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.085
    assert np.mean(p) == pytest.approx(0.5, abs=0.06)


def test_crops_that_repeat_their_photo_say_no_more_than_the_photo():
    once = halves(40, 0.3)
    crops, photos = np.repeat(once, 5, axis=0), np.repeat(np.arange(40), 5)
    assert position_test(crops, photos).p_value == pytest.approx(position_test(once, np.arange(40)).p_value)
    assert position_test(crops, np.arange(200)).p_value < 1e-3 * position_test(crops, photos).p_value
    for found, expected in zip(
        explained_by_position(crops, photos), explained_by_position(once, np.arange(40)), strict=True
    ):
        assert found == pytest.approx(expected)


def test_explained_share_is_that_of_an_analysis_of_variance():
    draw = np.random.default_rng(2)
    values = draw.normal(size=(50, 12)) + np.linspace(0, 2, 12)
    values += draw.normal(size=(50, 1)) * 100  # differences between images do not count
    explained, chance = explained_by_position(values, np.arange(50))
    centred = values - values.mean(1, keepdims=True)
    residual = centred - centred.mean(0)
    assert explained == pytest.approx(1 - (residual**2).sum() / (centred**2).sum())
    assert chance == pytest.approx(1 / 50)
    shuffled = draw.permuted(centred, axis=1)
    means = [explained_by_position(draw.permuted(shuffled, axis=1), np.arange(50))[0] for _ in range(300)]
    assert np.mean(means) == pytest.approx(chance, rel=0.1)


def test_all_alike_is_all_explained_and_flat_images_are_undefined():
    same = np.tile(np.arange(12.0), (7, 1))
    assert explained_by_position(same, np.arange(7))[0] == pytest.approx(1)
    flat = np.ones((7, 12))
    assert np.isnan(position_test(flat, np.arange(7)).p_value)
    assert np.isnan(explained_by_position(flat, np.arange(7))).all()


def test_standardised_images_count_alike_and_flat_ones_not_at_all():
    values = np.array([[1.0, 2, 3], [100, 300, 200], [5, 5, 5 + 1e-9]])
    found = standardised(values)
    np.testing.assert_allclose(found[:2].mean(1), 0, atol=1e-12)
    np.testing.assert_allclose(found[:2].std(1), 1)
    assert np.isnan(found[2]).all()
