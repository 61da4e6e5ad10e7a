"""Small pixel maps."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from halfiqa_ray.config import MeasureSettings
from halfiqa_ray.measures.frequency import BANDS
from halfiqa_ray.measures.measures import Measures
from halfiqa_ray.stages.decode import Decode, pixels_of
from halfiqa_ray.stages.maps import MAPS, small_map
from halfiqa_ray.stages.measures import MapMeasures
from tests.stages.test_subsets import write_photos


def values_of(stored):
    steps = np.array(stored["pixels"], float).reshape(stored["height"], stored["width"])
    return stored["minimum"] + steps / 255 * (stored["maximum"] - stored["minimum"])


@given(arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.floats(-1e6, 1e6, width=32)))
def test_a_small_map_is_stored_to_half_a_step(map_HW):
    stored = small_map("saliency", None, map_HW)
    step = (stored["maximum"] - stored["minimum"]) / 255
    assert np.abs(values_of(stored) - map_HW).max() <= 0.5 * step * (1 + 1e-6) + 1e-6 * np.abs(map_HW).max()
    assert (stored["minimum"], stored["maximum"]) == pytest.approx((map_HW.min(), map_HW.max()), rel=1e-6)
    assert pa.array([[stored]], MAPS).to_pylist()[0][0]["name"] == "saliency"


def test_a_large_map_becomes_means_over_areas():
    map_HW = np.random.default_rng(0).random((768, 1024))
    stored = small_map("lime", "triq", map_HW)
    assert (stored["height"], stored["width"]) == (192, 256)
    expected = map_HW.reshape(192, 4, 256, 4).mean((1, 3))
    assert np.abs(values_of(stored) - expected).max() <= (expected.max() - expected.min()) / 509
    tall = small_map("lime", "triq", np.zeros((3000, 7)))
    assert (tall["height"], tall["width"]) == (256, 1)
    assert tall["minimum"] == tall["maximum"] == 0


def test_maps_of_the_main_measures_of_the_images_that_are_asked_for(tmp_path):
    rows = write_photos(tmp_path, 3).append_column("mapped", pa.array([True, False, True]))
    (tmp_path / "2.png").write_bytes(b"not a photo")
    means = tuple(np.linspace(3, 1, BANDS))
    decoded = Decode(64, 96)(rows)
    found = MapMeasures(MeasureSettings(), means)(decoded)
    assert found["measure_maps"].is_null().to_pylist() == [False, True, True]
    pixels = dict(pixels_of(decoded))[0]
    measures = Measures(MeasureSettings(), means)
    whole = measures.measure(pixels)
    stored = found["measure_maps"][0].as_py()
    assert [each["name"] for each in stored] == [
        *("saliency", "frequency_csf_whitened", "objectness_boundary_connectivity", "averaged_boundary_connectivity")
    ]
    for each in stored:
        spread = each["maximum"] - each["minimum"]
        assert np.abs(values_of(each) - whole[each["name"]]).max() <= spread / 509 + 1e-6
