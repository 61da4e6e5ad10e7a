"""Grad-CAM against captum, against the formula by hand, and on models with a known answer."""

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn

from halfiqa_ray.explain.gradcam import attention_rollout, attention_weights, grad_cam
from halfiqa_ray.masking.transformer import SelfAttention, layers_of
from halfiqa_ray.models.build import build_model
from tests.explain.planted import Planted, one_region
from tests.models.small import KONIQ, model_settings, small_model


def images_of(model, count=3, seed=0):
    size = model.preprocessing.height, model.preprocessing.width
    pixels_NHWC = np.random.default_rng(seed).integers(0, 256, (count, *size, 3)).astype(np.uint8)
    return model.normalise(torch.from_numpy(pixels_NHWC))


def small_models():
    swin = {"name": "swin_tiny_patch4_window7_224", "weights": "none"}
    small_swin = {"embed_dim": 12, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 3, 3), "window_size": 2}
    yield "koncept", model_settings(name="koncept", koncept={"hidden": (8,), "dropout": (0.1,)}, output="score")
    yield "aihiqnet", model_settings(name="aihiqnet", aihiqnet={"width": 8})
    yield "dbcnn", model_settings(name="dbcnn", dbcnn={"scnn_widths": (4,) * 9}, output="score")
    yield "swin_iqa", model_settings(name="swin_iqa", swin_iqa={"width": 8}, backbone=swin | {"options": small_swin})


class Probed(nn.Module):
    """A backbone whose deepest map goes through a layer of its own, which captum can be pointed at."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.deepest = backbone, nn.Identity()

    def forward(self, images_NCHW):
        maps = self.backbone(images_NCHW)
        return [*maps[:-1], self.deepest(maps[-1])]


def captums(model, images_NCHW):
    model.backbone = Probed(model.backbone)
    try:
        return LayerGradCam(lambda x: model(x).score_N, model.backbone.deepest).attribute(images_NCHW).detach()[:, 0]
    finally:
        model.backbone = model.backbone.backbone


def on_input(map_NHW, images_NCHW):
    return nn.functional.interpolate(map_NHW[:, None], images_NCHW.shape[2:], mode="bilinear")[:, 0]


@pytest.mark.parametrize(("name", "settings"), list(small_models()))
def test_the_map_of_every_model_is_captums(name, settings):
    torch.manual_seed(5)
    model = build_model(settings, KONIQ).eval()
    images_NCHW = images_of(model)
    score_N, map_NHW = grad_cam(model, images_NCHW)
    expected_NHW = on_input(captums(model, images_NCHW), images_NCHW)
    assert map_NHW.shape == (3, *images_NCHW.shape[2:])
    assert expected_NHW.abs().max() > 0
    assert torch.allclose(map_NHW, expected_NHW, rtol=1e-4, atol=1e-6 * float(expected_NHW.abs().max()))
    with torch.no_grad():
        assert torch.allclose(score_N, model(images_NCHW).score_N, atol=1e-5)
    assert not map_NHW.requires_grad
    assert not score_N.requires_grad


@pytest.mark.parametrize("pooled", [False, True])
def test_triqs_map_is_captums_times_the_attention_of_the_quality_token(pooled):
    """The attention is that of torch's own layer with the same weights."""
    model = small_model(2, height=512, width=96, triq={"width": 8, "heads": 2, "mlp": 16, "head": 8, "pooled": pooled})
    model.eval()
    images_NCHW = images_of(model, 2)
    _, map_NHW = grad_cam(model, images_NCHW)
    with torch.no_grad():
        x_NTD = model.tokens(model.project_and_pool(model.feature_matrix(images_NCHW)))
        joint_NTT = torch.eye(x_NTD.shape[1]).expand(2, -1, -1)
        for layer in layers_of(model):
            weights_NTT = torchs(layer.attention)(x_NTD, x_NTD, x_NTD, need_weights=True)[1]
            mixed_NTT = weights_NTT + torch.eye(x_NTD.shape[1])
            joint_NTT = mixed_NTT / mixed_NTT.sum(-1, keepdim=True) @ joint_NTT
            x_NTD = layer(x_NTD, None)
    attention_NHW = joint_NTT[:, 0, 1:].reshape(2, *((8, 1) if pooled else (16, 3)))
    if pooled:
        attention_NHW = attention_NHW.repeat_interleave(2, 1).repeat_interleave(3, 2)
    expected_NHW = on_input(captums(model, images_NCHW) * attention_NHW, images_NCHW)
    assert torch.allclose(map_NHW, expected_NHW, rtol=1e-3, atol=1e-5 * float(expected_NHW.abs().max()))


def torchs(attention: SelfAttention):
    width = attention.query.in_features
    layer = nn.MultiheadAttention(width, attention.heads, batch_first=True)
    with torch.no_grad():
        parts = (attention.query, attention.key, attention.value)
        layer.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        layer.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    return layer.eval()


def test_attention_that_goes_to_one_token_stays_there():
    """All of layer 1's attention to token 3, nothing else: half of it comes through, by the residual's share."""
    to_third = torch.zeros(1, 2, 5, 5)
    to_third[..., 3] = 1
    rolled = attention_rollout([to_third])
    assert torch.allclose(rolled, torch.tensor([[0.0, 0.0, 0.5, 0.0]]))
    rows = attention_weights(SelfAttention(8, 2), torch.randn(1, 5, 8)).sum(-1)
    assert torch.allclose(rows, torch.ones_like(rows))


def test_a_linear_head_has_the_map_of_the_formula():
    """With score = sum of w * map, the gradient is w: the map is sum over c of mean(w_c) * map_c."""
    weights_CHW = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(1))
    model = Planted(weights_CHW).eval()
    images_NCHW = images_of(model, 2)
    _, map_NHW = grad_cam(model, images_NCHW)
    cells = nn.functional.avg_pool2d(images_NCHW, 8)
    expected_NHW = on_input((weights_CHW.mean((1, 2))[None, :, None, None] * cells).sum(1), images_NCHW)
    assert torch.allclose(map_NHW, expected_NHW, atol=1e-6)
    assert (map_NHW < 0).any(), "evidence against a high score keeps its sign"
    assert (map_NHW > 0).any()


def test_images_of_a_batch_do_not_touch_each_other():
    model = small_model(1).eval()
    images_NCHW = images_of(model, 4)
    together = grad_cam(model, images_NCHW)[1]
    for i in (0, 3):
        alone = grad_cam(model, images_NCHW[i : i + 1])[1][0]
        assert torch.allclose(alone, together[i], rtol=1e-4, atol=1e-9)


def test_no_hook_and_no_gradient_is_left_behind():
    model = small_model(1).eval()
    grad_cam(model, images_of(model, 1))
    assert not model.backbone._forward_hooks
    assert not any(layer.attention._forward_pre_hooks for layer in layers_of(model))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_only_region_that_counts_is_the_one_that_is_found():
    """A backbone that sees nothing outside the region: so is the map."""
    model = one_region(sees_elsewhere=False)
    images_NCHW = images_of(model, 2)
    _, map_NHW = grad_cam(model, images_NCHW)
    outside_NHW = map_NHW.clone()
    outside_NHW[:, : 32 + 8, 64 - 8 :] = 0  # half a cell is smeared
    assert float(outside_NHW.abs().max()) == 0
    assert float(map_NHW.abs().max()) > 0


def test_grad_cam_cannot_tell_places_that_share_a_channel():
    """Why it is compared and not trusted: the mean gradient of a channel forgets where the score came from.

    The score hangs on the top right only, and the map lights up wherever the picture is bright.
    """
    model = one_region()
    pixels_HW3 = np.full((96, 128, 3), 128, np.uint8)
    pixels_HW3[64:, :32] = 255
    _, map_NHW = grad_cam(model, model.normalise(torch.from_numpy(pixels_HW3)[None]))
    assert map_NHW[0, 80, 16] > 10 * map_NHW[0, 16, 112].abs()
