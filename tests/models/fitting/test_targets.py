import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from halfiqa_ray.models.base import MosScale
from halfiqa_ray.models.fitting.targets import DEFAULT_DEVIATION, SMALLEST_DEVIATION, soft_labels

KONIQ, SPAQ = MosScale(1, 5), MosScale(0, 100)


def test_votes_are_the_label_whether_counts_or_fractions():
    labels = soft_labels([3.7, 3.7], [(0, 0, 25, 73, 2), (0, 0, 0.25, 0.73, 0.02)], [None, 9.0], KONIQ)
    np.testing.assert_allclose(labels, [[0, 0, 0.25, 0.73, 0.02]] * 2, atol=1e-7)
    assert labels.dtype == np.float32


@given(st.floats(0, 100), st.one_of(st.none(), st.floats(0, 60)))
def test_without_votes_it_is_the_gaussian_of_mos_and_deviation(mos, deviation):
    """SPAQ: mean MOS / 25 + 1 and deviation / 25, in levels."""
    sigma = DEFAULT_DEVIATION if deviation is None else max(deviation / 25, SMALLEST_DEVIATION)
    density = stats.norm.pdf(np.arange(1, 6), mos / 25 + 1, sigma)
    (label,) = soft_labels([mos], [None], [deviation], SPAQ)
    np.testing.assert_allclose(label, density / density.sum(), atol=1e-6)


@given(st.floats(1.75, 4.25))
def test_inside_the_scale_the_label_keeps_the_mos(mos):
    (label,) = soft_labels([mos], [None], [0.5], KONIQ)
    assert label @ np.arange(1, 6) == pytest.approx(mos, abs=0.1)


def test_missing_deviation_is_not_a_deviation_of_zero():
    labels = soft_labels([50, 50], [None, None], [float("nan"), 0.0], SPAQ)
    assert labels[0].max() < 0.75 < labels[1].max()
