"""The measures with torch, on the CPU: equal to those of NumPy and SciPy, also of odd sizes and flat photos."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from halfiqa_ray.config import FrequencySettings, MeasureSettings
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.measures import average, blocks, frequency, on_device, pixels
from halfiqa_ray.measures.measures import Measures
from halfiqa_ray.measures.natural_bands import natural_band_means

EQUAL = 1e-5  # of a map's range


def photo(height, width, seed=0):
    """A piece of a real photo with noise in it."""
    whole = data.astronaut()[:height, :width]
    noise = np.random.default_rng(seed).integers(0, 9, whole.shape)
    return (whole.astype(int) + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("combination", ["flat", "csf", "csf_whitened"])
@pytest.mark.parametrize(("height", "width"), [(384, 384), (97, 130), (64, 37)])
def test_maps_and_block_means_equal_those_of_the_cpu(height, width, combination):
    chosen = MeasureSettings(frequency=FrequencySettings(combination=combination))
    measures, pixels_HW3 = Measures(chosen, natural_band_means()), photo(height, width)
    expected = measures.measure(pixels_HW3)
    found_MHW = on_device.DeviceMeasures(measures).measure(pixels_HW3, measures.small_maps(pixels_HW3))
    assert found_MHW.dtype == torch.float32
    grid = Grid(3, 4)
    means_MB = on_device.block_means(found_MHW, grid)
    assert tuple(expected) == measures.names
    for map_HW, found_HW, means_B in zip(expected.values(), found_MHW, means_MB, strict=True):
        np.testing.assert_allclose(found_HW, map_HW, rtol=0, atol=EQUAL * np.ptp(map_HW))
        np.testing.assert_allclose(means_B, blocks.block_means(map_HW, grid), rtol=0, atol=EQUAL * np.ptp(map_HW))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 90), st.integers(1, 90), st.integers(0, 9))
def test_enlarging_and_averaging(height, width, tall, wide, seed):
    draw = np.random.default_rng(seed)
    small_HW = draw.random((height, width), np.float32)
    enlarged = on_device.bilinear(torch.from_numpy(small_HW), tall, wide)
    np.testing.assert_allclose(enlarged, pixels.bilinear(small_HW, tall, wide), rtol=0, atol=1e-6)
    maps_MHW = draw.normal(size=(3, height, width)).astype(np.float32)
    maps_MHW[0] = 7
    expected = average.average(list(maps_MHW))
    np.testing.assert_allclose(on_device.average(torch.from_numpy(maps_MHW)), expected, rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_frequency_maps_of_any_size(height, width, seed):
    luma_HW = np.random.default_rng(seed).uniform(0, 255, (height, width)).astype(np.float32)
    weights_MK = np.stack([np.eye(10)[3], np.ones(10), np.linspace(0, 1, 10)]).astype(np.float32)
    found = on_device.frequency_maps(torch.from_numpy(luma_HW), torch.from_numpy(weights_MK))
    np.testing.assert_allclose(found, frequency.frequency_maps(luma_HW, weights_MK), rtol=0, atol=255 * EQUAL)


def test_a_flat_photo_has_flat_maps():
    measures, flat = Measures(MeasureSettings(), natural_band_means()), np.full((40, 60, 3), 90, np.uint8)
    found_MHW = on_device.DeviceMeasures(measures).measure(flat, measures.small_maps(flat))
    assert found_MHW.abs().max() < 1e-3  # grey levels
    assert not found_MHW[-1].any()


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(ValueError, match="finite"):
        on_device.average(torch.tensor([[[0.0, float("nan")]]]))
    with pytest.raises(ValueError, match="cannot cut 2 cells into 3 blocks"):
        on_device.block_means(torch.zeros(1, 2, 9), Grid(3, 4))
    measures = Measures(MeasureSettings(), natural_band_means())
    with pytest.raises(ValueError, match="a photo must be uint8"):
        on_device.DeviceMeasures(measures).measure(np.zeros((4, 4), np.uint8), {})
