import numpy as np
import pytest
from scipy import stats

from halfiqa_ray.models.fitting.agreement import agreement, agreement_with_intervals

INTERVALS = {"plcc_interval", "srcc_interval", "rmse_interval"}


def test_agrees_with_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(3, 1, 50), rng.integers(1, 6, 50)
    found = agreement(x, y)
    assert found.n == 50
    assert found.plcc == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    assert found.srcc == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert found.rmse == pytest.approx(np.sqrt(((x - y) ** 2).mean()))


def test_a_constant_has_no_correlation_and_nothing_has_no_error():
    assert agreement([3, 3, 3], [1, 2, 3]).plcc is None
    assert agreement([3, 3, 3], [1, 2, 3]).srcc is None
    assert agreement([], []).rmse is None


def test_nan_is_refused():
    with pytest.raises(ValueError, match="1 of 2 predictions are not finite"):
        agreement([np.nan, 1], [1, 2])


def test_intervals_agree_with_scipys_bootstrap_over_images():
    rng = np.random.default_rng(0)
    mos = rng.uniform(1, 5, 200)
    predicted = mos + rng.normal(0, 0.7, 200)
    found = agreement_with_intervals(predicted, mos, np.arange(200), 2000, seed=1)
    assert found.model_dump(exclude=INTERVALS) == agreement(predicted, mos).model_dump(exclude=INTERVALS)
    oracles = {
        "plcc": lambda x, y: stats.pearsonr(x, y)[0],
        "srcc": lambda x, y: stats.spearmanr(x, y)[0],
        "rmse": lambda x, y: np.sqrt(np.mean((x - y) ** 2)),
    }
    for name, statistic in oracles.items():
        expected = stats.bootstrap(
            (predicted, mos), statistic, paired=True, vectorized=False, n_resamples=2000, method="percentile", rng=2
        ).confidence_interval
        assert getattr(found, f"{name}_interval") == pytest.approx(tuple(expected), abs=0.01), name


def test_crops_of_one_photo_are_resampled_together():
    """Ten copies of each photo carry no more information than one."""
    rng = np.random.default_rng(1)
    mos = rng.uniform(1, 5, 30)
    predicted = mos + rng.normal(0, 1, 30)
    alone = agreement_with_intervals(predicted, mos, np.arange(30), 1000, seed=1).plcc_interval
    copied = np.repeat(predicted, 10), np.repeat(mos, 10)
    grouped = agreement_with_intervals(*copied, np.repeat(np.arange(30), 10), 1000, seed=1).plcc_interval
    naive = agreement_with_intervals(*copied, np.arange(300), 1000, seed=1).plcc_interval
    assert grouped == pytest.approx(alone, abs=0.03)
    assert naive[1] - naive[0] < 0.5 * (grouped[1] - grouped[0])


def test_no_interval_from_few_images_few_groups_or_constants():
    x, y = np.arange(40.0), np.arange(40.0) ** 2
    assert agreement_with_intervals(x, y, np.arange(40), 100, seed=1).plcc_interval is not None
    assert agreement_with_intervals(x, y, np.arange(40) // 6, 100, seed=1).plcc_interval is None
    assert agreement_with_intervals(x[:19], y[:19], np.arange(19), 100, seed=1).rmse_interval is None
    constant = agreement_with_intervals(np.full(40, 2.0), y, np.arange(40), 100, seed=1)
    assert constant.plcc is None
    assert constant.plcc_interval is None
    assert constant.rmse_interval is not None
