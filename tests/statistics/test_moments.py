import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr

from halfiqa_ray.statistics.moments import Moments, merge_all


def sample(seed, rows, offset, spread):
    """Columns that correlate with a vector to various degrees, all far from 0 when `offset` is."""
    draw = np.random.default_rng(seed)
    y = draw.normal(size=rows)
    x = y[:, None] * np.array([1.0, 0.7, 0.0, -0.4]) + draw.normal(size=(rows, 4)) * np.array([1e-3, 1, 1, 2])
    return offset + spread * x, offset + spread * y


offsets = st.sampled_from([0.0, 3.0, -50.0, 1e5, -1e7])
spreads = st.floats(1e-4, 1e2)  # as a share of max(1, |offset|)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 200), offsets, spreads)
def test_plcc_agrees_with_scipy_on_badly_offset_data(seed, rows, offset, spread):
    x, y = sample(seed, rows, offset, spread * max(1.0, abs(offset)))
    found = Moments.of(x, y).plcc()
    for column, value in zip(x.T, found, strict=True):
        assert value == pytest.approx(pearsonr(column, y).statistic, abs=1e-10)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 200), offsets, spreads, st.data())
def test_any_partition_in_any_order_gives_the_same(seed, rows, offset, spread, data):
    x, y = sample(seed, rows, offset, spread * max(1.0, abs(offset)))
    draw = np.random.default_rng(seed + 1)
    order = draw.permutation(rows)
    cuts = sorted(data.draw(st.lists(st.integers(0, rows), max_size=6)))  # repeated cuts make empty parts
    parts = [Moments.of(x[rows_of], y[rows_of]) for rows_of in np.split(order, cuts)]
    whole, merged = Moments.of(x, y), merge_all(parts, 4)
    assert merged.n == whole.n
    np.testing.assert_allclose(merged.plcc(), whole.plcc(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(merged.rmse(), whole.rmse(), rtol=1e-12, atol=0)
    np.testing.assert_allclose(merged.rmse(), np.sqrt(((x - y[:, None]) ** 2).mean(0)), rtol=1e-12)


def test_rmse_of_a_column_next_to_the_vector_is_not_rounding_noise():
    y = 1e6 + np.random.default_rng(2).normal(size=1000)
    x = np.stack([y, y + 1e-7], axis=1)
    rmse = merge_all([Moments.of(x[:300], y[:300]), Moments.of(x[300:], y[300:])], 2).rmse()
    assert rmse[0] == 0
    assert rmse[1] == pytest.approx(np.sqrt(((x[:, 1] - y) ** 2).mean()))


def test_a_column_that_is_constant_but_for_float32_noise_has_no_correlation():
    draw = np.random.default_rng(3)
    y = draw.normal(3, 0.5, 500).astype(np.float32)
    constant = (np.float32(2.7) * (1 + draw.normal(0, 1e-7, 500))).astype(np.float32)
    plcc = merge_all(
        [Moments.of(np.stack([constant, y], 1)[part], y[part]) for part in (slice(200), slice(200, None))], 2
    ).plcc()
    assert np.isnan(plcc[0])
    assert plcc[1] == pytest.approx(1)


def test_a_constant_vector_no_rows_and_one_row_have_no_correlation():
    x = np.random.default_rng(4).normal(size=(20, 3))
    assert np.isnan(Moments.of(x, np.full(20, 4.2)).plcc()).all()
    assert np.isnan(Moments.of(x[:1], np.ones(1)).plcc()).all()
    empty = merge_all([], 3)
    assert np.isnan(empty.plcc()).all()
    assert np.isnan(empty.rmse()).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_refused(bad):
    x = np.ones((4, 2))
    x[2, 1] = bad
    with pytest.raises(ValueError, match="not finite"):
        Moments.of(x, np.ones(4))


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        Moments.of(np.ones((4, 2)), np.ones(3))
