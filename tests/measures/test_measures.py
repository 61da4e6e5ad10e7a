"""All measures of a photo together."""

import numpy as np
import pytest
import torch
from skimage import data

from halfiqa_ray.config import FrequencySettings, MeasureSettings, ObjectnessSettings, SaliencySettings
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.measures.blocks import block_means
from halfiqa_ray.measures.frequency import band_means
from halfiqa_ray.measures.measures import Measures
from halfiqa_ray.measures.pixel_objectness import LargeFov
from halfiqa_ray.measures.pixels import luma
from tests.measures.caffemodel_files import caffemodel

PHOTOS = [data.coffee(), data.chelsea(), data.astronaut()[:300]]
MEANS = np.mean([band_means(luma(photo)) for photo in PHOTOS], axis=0).tolist()
CSF = MeasureSettings(frequency=FrequencySettings(combination="csf"))


def test_names_and_maps():
    measures = Measures(MeasureSettings(), MEANS)
    maps = measures.measure(PHOTOS[0])
    assert (
        tuple(maps)
        == measures.names
        == (
            "saliency",
            "frequency_flat",
            "frequency_csf",
            "frequency_csf_whitened",
            "objectness_boundary_connectivity",
            "averaged_boundary_connectivity",
        )
    )
    for values in maps.values():
        assert values.shape == PHOTOS[0].shape[:2]
        assert values.dtype == np.float32
    assert measures.weights_sha256 is None
    parts = [maps[name] for name in ("saliency", "frequency_csf_whitened", "objectness_boundary_connectivity")]
    expected = np.mean([(part - part.min()) / np.ptp(part) for part in parts], axis=0)
    np.testing.assert_allclose(maps["averaged_boundary_connectivity"], expected, atol=1e-5)


def test_a_photo_does_not_depend_on_its_neighbours():
    measures = Measures(CSF)
    alone = [Measures(CSF).measure(photo) for photo in PHOTOS]
    for photo, expected in [*zip(PHOTOS, alone, strict=True), *zip(PHOTOS[::-1], alone[::-1], strict=True)]:
        for name, values in measures.measure(photo).items():
            assert np.array_equal(values, expected[name]), name


def test_settings_choose():
    opencv = Measures(CSF.model_copy(update={"saliency": SaliencySettings(recipe="opencv")})).measure(PHOTOS[1])
    authors = Measures(CSF).measure(PHOTOS[1])
    assert np.abs(opencv["saliency"] - authors["saliency"]).max() > 0.1
    assert np.array_equal(opencv["frequency_csf"], authors["frequency_csf"])
    assert "frequency_csf_whitened" not in authors


def test_a_constant_photo_has_equal_blocks():
    maps = Measures(CSF).measure(np.full((90, 120, 3), 77, np.uint8))
    for values in maps.values():
        assert not block_means(values, Grid()).any()


def test_pixel_objectness_by_its_name(tmp_path):
    torch.manual_seed(0)
    blobs = {
        name: [p.detach().numpy() for p in module.parameters()]
        for name, module in LargeFov().named_children()
        if isinstance(module, torch.nn.Conv2d)
    }
    file = tmp_path / "pixel_objectness.caffemodel"
    file.write_bytes(caffemodel(blobs, v1=True, legacy=True))
    measures = Measures(CSF.model_copy(update={"objectness": ObjectnessSettings(model="pixel", weights=str(file))}))
    maps = measures.measure(PHOTOS[1])
    assert measures.names[-2:] == tuple(maps)[-2:] == ("objectness_pixel", "averaged_pixel")
    assert 0 < maps["objectness_pixel"].min() <= maps["objectness_pixel"].max() < 1
    assert measures.weights_sha256


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (MeasureSettings(), "pass the mean of band_means"),
        (
            CSF.model_copy(update={"objectness": ObjectnessSettings(model="pixel")}),
            r"needs measure\.objectness\.weights",
        ),
        (
            CSF.model_copy(update={"objectness": ObjectnessSettings(weights="x.caffemodel")}),
            "weights is set but measure.objectness.model is boundary_connectivity",
        ),
    ],
)
def test_never_a_silent_substitute(settings, message):
    with pytest.raises(ValueError, match=message):
        Measures(settings)
