import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata, spearmanr

from halfiqa_ray.statistics.spearman import average_ranks, columns_within, spearman

few_values = st.integers(-3, 3).map(float)  # many ties


@settings(deadline=None)
@given(arrays(np.float32, st.integers(0, 40), elements=few_values))
def test_ranks_agree_with_scipy_under_ties(values):
    np.testing.assert_array_equal(average_ranks(values), rankdata(values))


@settings(deadline=None)
@given(arrays(np.float32, (5, 30), elements=few_values), arrays(np.float64, 30, elements=few_values))
def test_correlation_agrees_with_scipy_under_ties(columns, y):
    found = spearman(columns, y)
    for column, value in zip(columns, found, strict=True):
        if np.ptp(column) == 0 or np.ptp(y) == 0:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(spearmanr(column, y).statistic, abs=1e-12)


def test_correlation_agrees_with_scipy_on_many_rows():
    draw = np.random.default_rng(1)
    y = draw.normal(size=5000).astype(np.float32)
    columns = (y * np.array([[1], [0.3], [-0.8]]) + draw.normal(size=(3, 5000))).astype(np.float32)
    expected = [spearmanr(column, y).statistic for column in columns]
    np.testing.assert_allclose(spearman(columns, y), expected, atol=1e-12)


def test_rounding_noise_has_no_rank_correlation():
    draw = np.random.default_rng(2)
    y = draw.normal(size=300)
    columns = np.stack([2.7 + 1e-7 * draw.normal(size=300), y])
    assert np.isnan(spearman(columns, y)[0])
    assert spearman(columns, y)[1] == pytest.approx(1)
    assert np.isnan(spearman(columns, columns[0])).all()


def test_no_rows_and_shapes():
    assert np.isnan(spearman(np.empty((2, 0)), np.empty(0))).all()
    with pytest.raises(ValueError, match="do not fit"):
        spearman(np.ones((2, 3)), np.ones(4))


def test_memory_bound_gives_the_columns_that_fit():
    assert columns_within(1 << 30, 20_000) * 20_000 * 4 <= 1 << 30
    assert columns_within(1 << 30, 20_000) > 4096
    assert columns_within(1, 10**9) == 1
    assert columns_within(1 << 20, 0) >= 1
