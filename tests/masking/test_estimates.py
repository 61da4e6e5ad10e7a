import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfiqa_ray.masking.estimates import ESTIMATORS, kernel_matrix, permutation_matrix
from halfiqa_ray.masking.games import shapley


def scores(blocks, seed=0):
    return np.random.default_rng(seed).normal(size=(1, 1 << blocks))


@pytest.mark.parametrize("name", ESTIMATORS)
@given(blocks=st.integers(1, 7), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_values_always_add_up(name, blocks, seed):
    matrix = ESTIMATORS[name](blocks, 40, np.random.default_rng(seed))
    value_S = scores(blocks, seed)
    assert (value_S @ matrix).sum() == pytest.approx(value_S[0, -1] - value_S[0, 0], abs=1e-9)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_sum_of_blocks_is_found_by_any_draw(name):
    """Where blocks do not interact every order says the same, and the regression fits without rest."""
    worth = np.array([3.0, -1, 0, 2, 0.5])
    additive = (np.arange(32)[:, None] >> np.arange(5) & 1) @ worth + 7
    found = additive @ ESTIMATORS[name](5, 42, np.random.default_rng(3))
    np.testing.assert_allclose(found, worth, atol=1e-9)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_mean_error_falls_with_the_cost(name):
    value_S = scores(6)
    exact = shapley(value_S)
    errors = [
        np.sqrt(
            np.mean([(value_S @ ESTIMATORS[name](6, cost, np.random.default_rng(s)) - exact) ** 2 for s in range(40)])
        )
        for cost in (50, 200, 800)
    ]
    assert errors[0] > 1.5 * errors[1] > 2 * errors[2]


def test_permutations_are_a_plain_loop():
    value_S, rng = scores(4)[0], np.random.default_rng(5)
    orders = [rng.permutation(4) for _ in range(6)]
    gains = np.zeros(4)
    for order in orders:
        kept: list[int] = []
        for block in order:
            before = sum(1 << b for b in kept)
            kept.append(int(block))
            gains[block] += value_S[sum(1 << b for b in kept)] - value_S[before]
    found = value_S @ permutation_matrix(4, 2 + 6 * 3, np.random.default_rng(5))
    np.testing.assert_allclose(found, gains / 6, atol=1e-12)


def test_kernel_shap_with_very_many_draws_is_exact():
    value_S = scores(4, 2)
    found = value_S @ kernel_matrix(4, 60_000, np.random.default_rng(0))
    np.testing.assert_allclose(found, shapley(value_S), atol=0.03)


def test_too_few_evaluations_are_refused():
    with pytest.raises(ValueError, match="12 evaluations are not enough for one order"):
        permutation_matrix(12, 12, np.random.default_rng(0))
    with pytest.raises(ValueError, match="not enough for two subsets"):
        kernel_matrix(12, 3, np.random.default_rng(0))
