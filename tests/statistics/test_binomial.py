import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfiqa_ray.statistics.binomial import binomial_interval


@settings(deadline=None)
@given(st.integers(1, 500), st.data())
def test_wilson_interval_from_its_textbook_formula(n, data):
    hits = data.draw(st.integers(0, n))
    z, share = 1.959963984540054, hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    assert binomial_interval(hits, n) == pytest.approx((max(0, middle - half), min(1, middle + half)), abs=1e-9)


def test_no_trials_say_nothing_and_impossible_counts_are_refused():
    assert binomial_interval(0, 0) == (0, 1)
    with pytest.raises(ValueError):
        binomial_interval(4, 3)
