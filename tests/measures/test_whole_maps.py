"""What is computed in pieces is what whole maps give: photos and noise, of odd and of tiny sizes."""

import numpy as np
import pytest
from skimage import data

from halfiqa_ray.config import MeasureSettings
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.measures import boundary_connectivity, pixels
from halfiqa_ray.measures.blocks import block_means, high_blocks
from halfiqa_ray.measures.frequency import band_means, band_responses, band_weights, frequency_maps
from halfiqa_ray.measures.measures import Measures
from halfiqa_ray.measures.natural_bands import natural_band_means
from halfiqa_ray.measures.superpixels import superpixels
from tests.measures import whole_maps

WEIGHTS = [band_weights("flat"), band_weights("csf"), band_weights("csf_whitened", natural_band_means())]
TOLERANCE = 1e-5  # of a map's range
SIZES = [(1, 1), (1, 9), (7, 1), (2, 3), (5, 5), (15, 17), (16, 40), (33, 31), (97, 131)]


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


PHOTOS = [
    *(noise(*size) for size in SIZES),
    np.zeros((20, 30, 3), np.uint8),
    np.ascontiguousarray(data.coffee()[:399, :599]),
    np.ascontiguousarray(data.chelsea()[:, 50:200]),
    data.rocket(),
]
photos = pytest.mark.parametrize("photo", PHOTOS, ids=lambda photo: "x".join(map(str, photo.shape[:2])))


@photos
def test_frequency(photo):
    luma = pixels.luma(photo)
    expected = whole_maps.frequency_maps(luma, WEIGHTS)
    for found, whole in zip(frequency_maps(luma, WEIGHTS), expected, strict=True):
        np.testing.assert_allclose(found, whole, rtol=0, atol=TOLERANCE * max(np.ptp(whole), 1))
    magnitudes = whole_maps.frequency_maps(luma, np.eye(10))
    np.testing.assert_allclose(band_means(luma), magnitudes.mean((1, 2), dtype=np.float64), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(np.abs(band_responses(luma)), magnitudes, atol=1e-3)


@photos
def test_grey_and_sizes(photo):
    assert np.array_equal(pixels.luma(photo), whole_maps.luma(photo))
    assert np.array_equal(pixels.grey8(photo), whole_maps.grey8(photo))
    for kind in (np.float32, np.float64):
        values = photo[..., 0] / kind(255)
        for size in ((1, 1), (64, 5), (301, 403)):
            assert np.array_equal(pixels.bilinear(values, *size), whole_maps.bilinear(values, *size))


@photos
def test_superpixels(photo):
    lab = boundary_connectivity._lab(boundary_connectivity._shrink(photo))
    found, expected = superpixels(lab), whole_maps.superpixels(lab)
    for part in ("labels_HW", "edges_E2", "border_P"):
        assert np.array_equal(getattr(found, part), getattr(expected, part)), part
    np.testing.assert_allclose(found.colour_P3, expected.colour_P3, atol=1e-9)
    np.testing.assert_allclose(found.place_P2, expected.place_P2, atol=1e-12)


@photos
def test_all_measures(photo):
    measures = Measures(MeasureSettings(), natural_band_means())
    found = measures.measure(photo)
    with whole_maps.instead():
        expected = measures.measure(photo)
    assert tuple(found) == tuple(expected)
    for name, whole in expected.items():
        tolerance = TOLERANCE * max(np.ptp(whole), 1)
        np.testing.assert_allclose(found[name], whole, rtol=0, atol=tolerance, err_msg=name)
        if min(whole.shape) >= 4:
            means, whole_means = block_means(found[name], Grid()), whole_maps.block_means(whole, Grid())
            np.testing.assert_allclose(means, whole_means, rtol=0, atol=tolerance, err_msg=name)
            if photo.shape[0] > 200:  # a photo, no noise: no block of it is all but as high as another
                assert high_blocks(means, "photo", 1) == high_blocks(whole_means, "photo", 1), name
