import numpy as np
import pytest
from scipy import stats

from halfiqa_ray.models.agreement import agreement


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
