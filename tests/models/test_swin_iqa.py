import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from torch import nn

from halfiqa_ray.config import BackboneSettings, SwinIqaSettings
from halfiqa_ray.models.base import Preprocessing
from halfiqa_ray.models.build import build_model
from halfiqa_ray.models.swin_iqa import SwinIqa
from tests.models.small import KONIQ, model_settings

OPTIONS = {"embed_dim": 32, "depths": [2, 2, 2, 2], "num_heads": [1, 2, 4, 8]}


def small(height, width, **options):
    torch.manual_seed(0)
    swin = BackboneSettings(name="swin_tiny_patch4_window7_224", weights="none", options=OPTIONS | options)
    settings = model_settings(
        name="swin_iqa", height=height, width=width, backbone=swin, swin_iqa=SwinIqaSettings(width=16)
    )
    return build_model(settings, KONIQ)


class Stages(nn.Module):
    """A backbone that gives the same four maps whatever the photo."""

    def __init__(self, maps):
        super().__init__()
        self.maps = maps

    def forward(self, images_NCHW):
        return self.maps


def test_head_is_the_stated_formula():
    """Multiply the map by its weights, then average it: written out in NumPy."""
    rng = np.random.default_rng(0)
    sizes = ((4, 8, 12), (6, 4, 6), (8, 2, 3), (10, 1, 2))
    maps = [rng.normal(size=(2, *size)) for size in sizes]
    half = (0.5, 0.5, 0.5)
    torch.manual_seed(0)
    model = SwinIqa(
        Stages([torch.from_numpy(x) for x in maps]), [s[0] for s in sizes], 5, Preprocessing(32, 48, half, half), KONIQ
    ).double()
    values = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    vectors = []
    for stage, x in enumerate(maps):
        projected = np.einsum("oc,nchw->nohw", values[f"project.{stage}.weight"][:, :, 0, 0], x)
        weight, bias = values["attention.linear.weight"].T, values["attention.linear.bias"]
        channel = (expit(projected.mean((2, 3)) @ weight + bias) + expit(projected.max((2, 3)) @ weight + bias)) / 2
        vectors.append((projected * channel[:, :, None, None]).mean((2, 3)))
    expected = softmax(np.mean(vectors, 0) @ values["output.weight"].T + values["output.bias"], -1)
    found = model(torch.zeros(2, 3, 32, 48, dtype=torch.float64)).levels_N5
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize(("height", "width"), [(200, 264), (96, 128)])
def test_sizes_that_windows_do_not_divide(height, width):
    """Windows of 7 on maps of 50 x 66 (and 24 x 32) places: every pixel to the last still moves the score."""
    model = small(height, width).eval()
    images = torch.randn(1, 3, height, width, requires_grad=True)
    prediction = model(images)
    assert prediction.levels_N5.sum().item() == pytest.approx(1, abs=1e-6)
    prediction.score_N.sum().backward()
    assert torch.isfinite(images.grad).all()
    assert (images.grad.abs().amax(1) > 0).all()


def test_maps_come_channels_first_at_the_four_strides():
    maps = small(200, 264).backbone(torch.zeros(1, 3, 200, 264))
    assert [tuple(x.shape) for x in maps] == [(1, 32, 50, 66), (1, 64, 25, 33), (1, 128, 13, 17), (1, 256, 7, 9)]


def test_other_sizes_when_asked_for_and_the_same_result_at_its_own():
    strict, free = small(96, 128).eval(), small(96, 128, strict_img_size=False).eval()
    images, others = torch.randn(1, 3, 96, 128), torch.randn(1, 3, 72, 200)
    with torch.inference_mode():
        assert torch.equal(strict(images).score_N, free(images).score_N)
        assert torch.isfinite(free(others).score_N).all()
        with pytest.raises(AssertionError, match=r"Input height \(72\) doesn't match model \(96\)"):
            strict(others)
