import json

import numpy as np

from halfiqa_ray.config import MeasureSettings
from halfiqa_ray.measures.frequency import BANDS, band_weights
from halfiqa_ray.measures.measures import Measures
from halfiqa_ray.measures.natural_bands import FILE, natural_band_means


def test_the_constants_say_where_they_come_from():
    facts = json.loads(FILE.read_text())
    assert facts["photos"] == 9500
    assert facts["unreadable"] == 0
    assert "BIQ2021" in facts["source"]
    assert facts["height"] == facts["width"]


def test_photos_fall_off_with_frequency():
    means_K = np.array(natural_band_means())
    assert means_K.shape == (BANDS,)
    assert (np.diff(means_K) < 0).all()


def test_they_are_what_whitens_by_default():
    settings = MeasureSettings()
    assert settings.frequency.whitening == "natural"
    measures = Measures(settings, natural_band_means())
    weights_K = band_weights("csf_whitened", natural_band_means())
    np.testing.assert_array_equal(measures.weights_MK[measures.combinations.index("csf_whitened")], weights_K)
