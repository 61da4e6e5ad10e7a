from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from halfiqa_ray.statistics.matching import chance_at_least, chance_histogram, matching_number


@pytest.mark.parametrize("blocks", [2, 4, 5, 6, 9])
def test_chance_is_that_of_all_pairs_of_halves(blocks):
    half = blocks // 2
    important = set(range(half))
    numbers = [len(important & set(high)) for high in combinations(range(blocks), half)]
    counted = np.bincount(numbers, minlength=half + 1) / len(numbers)
    np.testing.assert_allclose(chance_histogram(blocks), counted)
    np.testing.assert_allclose(chance_at_least(blocks), counted[::-1].cumsum()[::-1])


def test_the_chance_rows_of_twelve_blocks():
    at_least = chance_at_least(12)
    np.testing.assert_allclose(at_least[2:], hypergeom.sf(np.arange(1, 6), 12, 6, 6), rtol=1e-9)
    assert [round(100 * p, 1) for p in at_least[2:]] == [96.0, 71.6, 28.4, 4.0, 0.1]  # n > T, T = 1 .. 5
    assert [round(100 * p, 1) for p in at_least[1:6]] == [99.9, 96.0, 71.6, 28.4, 4.0]  # n >= T


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 65535)), min_size=1, max_size=20))
def test_matching_numbers_count_common_blocks(pairs):
    a, b = np.array(pairs).T
    expected = [len({i for i in range(16) if x >> i & 1} & {i for i in range(16) if y >> i & 1}) for x, y in pairs]
    assert matching_number(a, b.astype(np.uint16)).tolist() == expected
