import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import pearsonr

from halfiqa_ray.statistics.pearson import pearson

levels = arrays(np.float64, (6, 5), elements=st.floats(0, 1, width=32))


@settings(deadline=None)
@given(levels, arrays(np.float64, 5, elements=st.floats(0, 1, width=32)))
def test_each_subset_agrees_with_scipy_and_is_nan_exactly_where_a_side_is_flat(all_levels, full):
    found = pearson(all_levels, full)
    for row, value in zip(all_levels, found, strict=True):
        if min(row.std(), full.std()) <= 1e-6:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(pearsonr(row, full).statistic, abs=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1.0, 50.0, -4000.0])
def test_rounding_noise_around_a_constant_has_no_correlation(offset):
    noise = np.random.default_rng(1).normal(size=100)
    scale = 1e-6 * max(1, abs(offset))
    line = np.arange(100.0)
    assert np.isnan(pearson(offset + noise * 0.5 * scale, line))
    assert np.isnan(pearson(line, offset + noise * 0.5 * scale))
    assert np.isfinite(pearson(offset + noise * 2 * scale, line))


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="cannot correlate 4 values with 5"):
        pearson(np.ones((3, 4)), np.ones(5))
