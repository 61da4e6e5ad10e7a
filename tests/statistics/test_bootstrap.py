import numpy as np
import pytest
from scipy.stats import pearsonr

from halfiqa_ray.statistics.bootstrap import (
    percentile_interval,
    resampled_mean,
    resampled_plcc,
    resampled_sums,
)


def planted(rows, correlation, seed=0):
    draw = np.random.default_rng(seed)
    y = draw.normal(size=rows)
    return correlation * y + np.sqrt(1 - correlation**2) * draw.normal(size=rows), y


def test_resamples_equal_statistics_of_really_resampled_rows():
    """The weights are read off one-hot columns; then every draw is rebuilt row by row."""
    draw = np.random.default_rng(1)
    groups = np.array([0, 0, 1, 2, 2, 2, 3, 3])
    x, y = 1e4 + draw.normal(size=(8, 3)), -300 + draw.normal(size=8)
    weights = resampled_sums(np.eye(8), groups, 40, seed=5)
    plcc, means = resampled_plcc(x, y, groups, 40, seed=5), resampled_mean(x, groups, 40, seed=5)
    for row in range(40):
        assert weights[row, [0, 2, 3, 6]].sum() == 4  # as many groups as there are, whole
        rows = np.repeat(np.arange(8), weights[row].astype(int))
        np.testing.assert_allclose(means[row], x[rows].mean(0))
        if len(set(rows)) == 1:
            continue
        for column in range(3):
            assert plcc[row, column] == pytest.approx(pearsonr(x[rows, column], y[rows]).statistic, abs=1e-7)


def test_groups_stay_whole():
    weights = resampled_sums(np.eye(6), np.array([0, 1, 1, 0, 2, 2]), 200, seed=1)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 3])
    np.testing.assert_array_equal(weights[:, 1], weights[:, 2])
    assert (weights[:, [0, 1, 4]].sum(1) == 3).all()


def test_the_same_seed_takes_the_same_resamples_for_other_columns_and_draws():
    groups = np.arange(50)
    x, y = planted(50, 0.5)
    both = resampled_plcc(np.stack([x, -x], 1), y, groups, 100, seed=3)
    np.testing.assert_allclose(both[:, 0], -both[:, 1])
    fewer = resampled_plcc(x[:, None], y, groups, 37, seed=3)
    np.testing.assert_allclose(fewer[:, 0], both[:37, 0])
    assert not np.allclose(resampled_plcc(x[:, None], y, groups, 100, seed=4)[:, 0], both[:, 0])


def test_intervals_cover_the_true_correlation_about_95_times_in_100():
    covered = 0
    for seed in range(200):
        x, y = planted(150, 0.6, seed)
        low, high = percentile_interval(resampled_plcc(x[:, None], y, np.arange(150), 400, seed=seed))
        covered += low[0] <= 0.6 <= high[0]
    assert 178 <= covered <= 198


def test_resampling_photos_widens_the_interval_when_their_crops_are_alike():
    draw = np.random.default_rng(7)
    photos = np.repeat(np.arange(10), 20)
    x = np.repeat(draw.normal(size=10), 20) + 0.1 * draw.normal(size=200)
    y = np.repeat(draw.normal(size=10), 20) + 0.1 * draw.normal(size=200)

    def width(groups):
        low, high = percentile_interval(resampled_plcc(x[:, None], y, groups, 500, seed=1))
        return high[0] - low[0]

    assert width(photos) > 2 * width(np.arange(200))


def test_missing_values_leave_their_row_out_of_their_column_only():
    x, y = planted(60, 0.7)
    groups = np.arange(60)
    holes = np.stack([x, x], 1)
    holes[::3, 1] = np.nan
    found = resampled_plcc(holes, y, groups, 50, seed=2)
    np.testing.assert_allclose(found[:, 0], resampled_plcc(x[:, None], y, groups, 50, seed=2)[:, 0])
    weights = resampled_sums(np.eye(60), groups, 50, seed=2)
    keep = np.repeat(np.arange(60), weights[0].astype(int))
    keep = keep[keep % 3 != 0]
    assert found[0, 1] == pytest.approx(pearsonr(x[keep], y[keep]).statistic)
    y_holes = np.where(np.arange(60) % 3 == 0, np.nan, y)
    np.testing.assert_allclose(resampled_plcc(x[:, None], y_holes, groups, 50, seed=2)[:, 0], found[:, 1])


def test_what_cannot_be_resampled_has_no_interval():
    x, y = planted(20, 0.5)
    one_photo = resampled_plcc(x[:, None], np.full(20, np.nan), np.arange(20), 50, seed=1)
    low, high = percentile_interval(one_photo)
    assert np.isnan([low[0], high[0]]).all()
    constant = resampled_plcc(np.full((20, 1), 3.3), y, np.arange(20), 50, seed=1)
    assert np.isnan(constant).all()


def test_percentile_interval_leaves_out_few_undefined_draws_and_refuses_many():
    draws = np.linspace(0, 1, 1001)[:, None].repeat(2, axis=1)
    draws[:20, 0] = np.nan
    draws[:100, 1] = np.nan
    low, high = percentile_interval(draws)
    assert low[0] == pytest.approx(0.02 + 0.98 * 0.025, abs=1e-3)
    assert high[0] == pytest.approx(1 - 0.98 * 0.025, abs=1e-3)
    assert np.isnan([low[1], high[1]]).all()
