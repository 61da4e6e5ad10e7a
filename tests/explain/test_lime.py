"""LIME: what is around captum, the whole against captum's own pieces and numpy, and models with a known answer."""

import importlib.util

import numpy as np
import pytest
import torch
from captum._utils.models.linear_model import SkLearnRidge
from captum.attr import Lime
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from sklearn.linear_model import Ridge

from halfiqa_ray.config import LimeSettings
from halfiqa_ray.explain import lime as ours
from halfiqa_ray.explain.lime import MissingPackageError, check_installed, lime, samples_of, similarity, superpixels
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.measures.blocks import block_means, high_blocks
from tests.explain.planted import one_region
from tests.models.small import small_model

FEW = LimeSettings(segments=24, samples=80)


def photo(height=96, width=128, seed=0):
    """A ramp in two colours with noise: something that has superpixels."""
    draw = np.random.default_rng(seed)
    ramp_HW = np.add.outer(np.linspace(0, 120, height), np.linspace(0, 80, width))
    return (ramp_HW[..., None] + draw.uniform(0, 30, (height, width, 3))).astype(np.uint8)


def first(samples, features, count):
    drawn = samples(torch.zeros(1, 3, 2, 2), num_interp_features=features)
    return np.stack([next(drawn)[0].numpy() for _ in range(count)])


@pytest.mark.parametrize("fill", ["zero", "photo_mean", "blur", "black"])
def test_coefficients_are_those_of_a_weighted_ridge_regression(fill):
    """Samples, weights and regression done again by numpy and scikit-learn, hiding by hand."""
    model, pixels_HW3 = one_region(), photo()
    map_HW = lime(model, pixels_HW3, "a.png", FEW.model_copy(update={"fill": fill}), seed=3)
    pixels = pixels_HW3.astype(np.float64) / 255
    hidden_HW3 = {
        "zero": np.full_like(pixels, 0.5),  # the mean that the model subtracts
        "photo_mean": np.broadcast_to(pixels.mean((0, 1)), pixels.shape),
        "blur": gaussian_filter(pixels, (0.05 * 96, 0.05 * 96, 0)),
        "black": np.zeros_like(pixels),
    }[fill]
    segments_HW = superpixels(pixels_HW3, FEW.segments)
    count = segments_HW.max() + 1
    shown_SF = first(samples_of("a.png", 3), count, FEW.samples)
    scores = []
    for shown_F in shown_SF:
        hidden = np.where(shown_F[segments_HW][..., None] == 1, pixels, hidden_HW3)
        cells = ((hidden - 0.5) / 0.25).reshape(12, 8, 16, 8, 3).mean((1, 3))
        scores.append(3 + 0.1 * cells[:4, 8:].sum())
    cosine = shown_SF.sum(1) / np.sqrt(shown_SF.sum(1) * count)
    weights = np.exp(-((1 - cosine) ** 2) / (2 * 0.25**2))
    expected = Ridge(alpha=1.0).fit(shown_SF, scores, sample_weight=weights).coef_
    assert np.allclose(map_HW, expected[segments_HW], atol=1e-3 * np.abs(expected).max())
    assert map_HW.dtype == np.float32


def test_the_whole_is_captums_with_the_same_samples():
    """captum's own sampling (its default function) and return shape, given our draws."""
    model, pixels_HW3 = small_model(4).eval(), photo(64, 96)
    map_HW = lime(model, pixels_HW3, "a.png", FEW, seed=1)
    segments = torch.from_numpy(superpixels(pixels_HW3, FEW.segments))[None, None]
    draws = iter(first(samples_of("a.png", 1), int(segments.max()) + 1, FEW.samples))

    def given_sample(original, **kwargs):
        return torch.from_numpy(next(draws))[None]

    captums = Lime(lambda x: model(x).score_N, SkLearnRidge(alpha=1.0), similarity, given_sample)
    expected = captums.attribute(
        model.normalise(torch.from_numpy(pixels_HW3)[None]), feature_mask=segments, n_samples=FEW.samples
    )
    assert np.allclose(map_HW, expected[0, 0].numpy(), rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_the_region_that_the_score_hangs_on_is_found():
    """Grad-CAM cannot (see its tests): here the superpixels outside hardly count."""
    model, pixels_HW3 = one_region(), photo()
    map_HW = np.abs(lime(model, pixels_HW3, "a.png", LimeSettings(segments=24, samples=200), seed=1))
    means = block_means(map_HW, Grid(3, 4))
    region = (1 << 2) | (1 << 3)
    assert high_blocks(means, "a.png", 1).mask & region == region
    others = [mean for block, mean in enumerate(means) if not region >> block & 1]
    assert min(means[2:4]) > 2 * max(others)  # superpixels straddle the border


def test_what_lowers_the_score_is_negative():
    model, pixels_HW3 = one_region(weight=-0.1), np.full((96, 128, 3), 250, np.uint8)
    map_HW = lime(model, pixels_HW3, "a.png", LimeSettings(segments=24, samples=200), seed=1)
    assert map_HW[16, 96] < 0
    assert abs(map_HW[80, 16]) < 0.2 * abs(map_HW[16, 96])


def test_coefficients_scale_with_the_score():
    """On SPAQ's 0 to 100 as on KonIQ's 1 to 5."""
    pixels_HW3 = photo()
    small, large = (lime(one_region(weight=w), pixels_HW3, "a.png", FEW, seed=1) for w in (0.01, 1.0))
    assert np.allclose(large, 100 * small, rtol=1e-2, atol=1e-3 * np.abs(large).max())


@pytest.mark.parametrize("batch", [4, 7])
def test_batches_are_padded_to_one_size_and_change_nothing(batch):
    model, pixels_HW3 = small_model(4).eval(), photo(64, 96)
    sizes = []
    hook = model.register_forward_hook(lambda module, given, out: sizes.append(len(given[0])))
    found = lime(model, pixels_HW3, "a.png", LimeSettings(segments=24, samples=30), seed=1, batch=batch)
    hook.remove()
    assert sizes == [batch] * -(-30 // batch)
    alone = lime(model, pixels_HW3, "a.png", LimeSettings(segments=24, samples=30), seed=1)
    assert np.allclose(found, alone, rtol=1e-2, atol=1e-3 * np.abs(alone).max())


def test_samples_are_of_the_seed_and_the_image():
    model, pixels_HW3 = one_region(), photo()
    again = [lime(model, pixels_HW3, "a.png", FEW, seed=1) for _ in range(2)]
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002 (nothing may come from it)
    assert np.array_equal(again[0], lime(model, pixels_HW3, "a.png", FEW, seed=1))
    assert np.array_equal(*again)
    assert not np.array_equal(again[0], lime(model, pixels_HW3, "b.png", FEW, seed=1))
    assert not np.array_equal(again[0], lime(model, pixels_HW3, "a.png", FEW, seed=2))


@given(st.text(max_size=20), st.integers(0, 2**31), st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_the_first_sample_is_the_photo_and_the_others_show_about_half(image_id, seed, features):
    shown = first(samples_of(image_id, seed), features, 400)
    assert shown[0].all()
    assert set(np.unique(shown)) <= {0, 1}
    assert abs(shown[1:].mean() - 0.5) < 0.5 / np.sqrt(399 * features) * 6


@pytest.mark.parametrize(
    ("pixels_HW3", "about"),
    [
        (photo(), 24),
        (np.random.default_rng(0).integers(0, 256, (96, 128, 3)).astype(np.uint8), 24),
        (np.zeros((96, 128, 3), np.uint8), 24),
        (photo(3, 4), 12),
    ],
    ids=["ramp", "noise", "black", "tiny"],
)
def test_superpixels_tile_the_photo_and_are_about_as_many_as_asked(pixels_HW3, about):
    found = superpixels(pixels_HW3, 24)
    assert found.shape == pixels_HW3.shape[:2]
    assert np.array_equal(np.unique(found), np.arange(found.max() + 1))
    assert 0.6 * about <= found.max() + 1 <= 1.4 * about


def test_a_missing_package_is_told_with_what_to_do(monkeypatch):
    check_installed()
    find = importlib.util.find_spec
    monkeypatch.setattr(ours.importlib.util, "find_spec", lambda name: None if name == "captum" else find(name))
    with pytest.raises(MissingPackageError, match=r"needs captum; run: pip install 'halfiqa_ray\[explain\]'"):
        check_installed()
