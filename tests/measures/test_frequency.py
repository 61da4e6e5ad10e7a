"""Bands of the luma: an oracle by the full Fourier transform, and properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfiqa_ray.measures.frequency import (
    band_means,
    band_responses,
    band_weights,
    bin_centres,
    contrast_sensitivity,
    frequency_maps,
)

sizes = st.integers(1, 70)


def noise(seed, height, width):
    return np.random.default_rng(seed).uniform(0, 255, (height, width)).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), sizes, sizes)
def test_bands_and_dc_sum_to_the_luma(seed, height, width):
    luma = noise(seed, height, width)
    responses = list(band_responses(luma))
    assert len(responses) == 10
    np.testing.assert_allclose(sum(responses) + luma.mean(dtype=np.float64), luma, atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), sizes, sizes)
def test_bands_are_rings_of_the_mirrored_images_spectrum(seed, height, width):
    luma = noise(seed, height, width)
    mirrored = np.pad(luma.astype(np.float64), ((0, height), (0, width)), mode="symmetric")
    spectrum = np.fft.fft2(mirrored)
    down, across = np.fft.fftfreq(2 * height), np.fft.fftfreq(2 * width)
    cycles_a_degree = np.hypot(down[:, None], across[None, :]) * 100
    for band, response in enumerate(band_responses(luma)):
        top = 5 * (band + 1) if band < 9 else np.inf
        # Both sides compute the radius with rounding; a ring edge is given a hair to the same side.
        ring = (cycles_a_degree >= 5 * band - 1e-9) & (cycles_a_degree < top - 1e-9)
        ring[0, 0] = False
        expected = np.fft.ifft2(spectrum * ring).real[:height, :width]
        np.testing.assert_allclose(response, expected, atol=1e-3)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9), st.floats(0, np.pi), st.floats(0, 2 * np.pi))
def test_a_grating_puts_its_energy_in_its_bin(band, angle, phase):
    """At the bin centre, any direction: the rest is what the mirror at the border bends."""
    frequency = bin_centres()[band] / 100  # cycles a pixel
    row, column = np.mgrid[:192, :256]
    along = row * np.sin(angle) + column * np.cos(angle)
    luma = (128 + 100 * np.cos(2 * np.pi * frequency * along + phase)).astype(np.float32)
    energy = np.array([(response.astype(np.float64) ** 2).sum() for response in band_responses(luma)])
    assert energy.argmax() == band
    assert energy[band] > 0.9 * energy.sum()


def test_corners_are_in_the_last_band():
    checkerboard = (np.indices((64, 64)).sum(0) % 2 * 200).astype(np.float32)  # 70.7 cycles/degree
    energy = np.array([(response**2).sum() for response in band_responses(checkerboard)])
    assert energy[9] > 0.9 * energy.sum()


def test_contrast_sensitivity_peaks_in_the_middle():
    # By hand from the published formula.
    np.testing.assert_allclose(
        contrast_sensitivity(bin_centres()),
        [0.6151, 0.9796, 0.8579, 0.6176, 0.4011, 0.2441, 0.1418, 0.0796, 0.0435, 0.0232],
        atol=1e-4,
    )
    frequencies = np.linspace(0, 50, 50_001)
    assert frequencies[contrast_sensitivity(frequencies).argmax()] == pytest.approx(7.89, abs=0.01)


def test_maps_are_weighted_magnitudes():
    luma = noise(3, 40, 60)
    magnitudes = np.abs(np.stack(list(band_responses(luma))))
    means = band_means(luma)
    np.testing.assert_allclose(means, magnitudes.mean((1, 2)), rtol=1e-5)
    weights = [band_weights("flat"), band_weights("csf"), band_weights("csf_whitened", means)]
    flat, csf, whitened = frequency_maps(luma, weights)
    sensitivity = contrast_sensitivity(bin_centres())
    np.testing.assert_allclose(flat, magnitudes.sum(0), rtol=1e-4)
    np.testing.assert_allclose(csf, np.tensordot(sensitivity, magnitudes, 1), rtol=1e-4)
    # Over the data set that the means are of, every whitened band weighs what the sensitivity says.
    np.testing.assert_allclose(whitened.mean(), sensitivity.sum(), rtol=1e-4)


def test_whitening_needs_the_data_sets_means():
    with pytest.raises(ValueError, match="pass the mean of band_means"):
        band_weights("csf_whitened")
    for wrong in ([1.0] * 9, [1.0] * 9 + [np.nan], [1.0] * 9 + [-1]):
        with pytest.raises(ValueError, match="10 finite numbers of 0 or more"):
            band_weights("csf_whitened", wrong)


def test_an_empty_band_weighs_nothing():
    weights = band_weights("csf_whitened", [2.0] * 9 + [1e-6])
    assert weights[9] == 0
    np.testing.assert_allclose(weights[:9], contrast_sensitivity(bin_centres())[:9] / 2)


@given(st.integers(0, 255), sizes, sizes)
def test_a_constant_image_has_no_frequencies(value, height, width):
    assert not frequency_maps(np.full((height, width), value * 0.999, np.float32), [band_weights("flat")]).any()
