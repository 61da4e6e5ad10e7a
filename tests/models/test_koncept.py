import numpy as np
import pytest
import torch
from torch import nn

from halfiqa_ray.config import KonceptSettings
from halfiqa_ray.models.base import Preprocessing
from halfiqa_ray.models.build import build_model
from halfiqa_ray.models.koncept import Koncept
from tests.models.small import KONIQ, model_settings

SMALL = KonceptSettings(hidden=(16, 8), dropout=(0.25, 0.5))


class AsIs(nn.Module):
    """A backbone whose map is its input."""

    def forward(self, images_NCHW):
        return [images_NCHW]


def on_maps(channels, settings=SMALL):
    torch.manual_seed(0)
    half = (0.5, 0.5, 0.5)
    return Koncept(AsIs(), channels, settings, Preprocessing(64, 96, half, half), KONIQ).double()


def test_every_place_of_the_map_counts_alike():
    """A fixed 8 x 8 pooling, as one port has it, sees the top left of KonCept's own 10 x 14 map alone."""
    model = on_maps(6).eval()
    map_NCHW = torch.randn(1, 6, 10, 14, dtype=torch.float64, requires_grad=True)
    model(map_NCHW).score_N.sum().backward()
    gradient = map_NCHW.grad[0]
    assert gradient.abs().max() > 0
    assert torch.allclose(gradient, gradient[:, :1, :1].expand_as(gradient))


def test_the_bottom_right_of_a_photo_moves_the_score():
    torch.manual_seed(0)
    model = build_model(model_settings(name="koncept", output="score", koncept=SMALL), KONIQ).eval()
    images = torch.randn(1, 3, 384, 512)  # a map of 12 x 16
    changed = images.clone()
    changed[:, :, 352:, 480:] = 0
    with torch.inference_mode():
        assert (model(images).score_N - model(changed).score_N).abs().item() > 1e-5


def test_head_is_the_stated_formula():
    """Dense, ReLU, BatchNorm (Keras' epsilon), in this order, written out in NumPy."""
    model = on_maps(6).eval()
    rng = np.random.default_rng(0)
    for layer in model.hidden:
        for tensor, low, high in (
            (layer.norm.running_mean, -1, 1),
            (layer.norm.running_var, 1e-4, 3e-3),  # where the epsilon of 0.001 shows
            (layer.norm.weight, 0.5, 2),
            (layer.norm.bias, -1, 1),
            (layer.linear.bias, -1, 1),
        ):
            tensor.data.copy_(torch.from_numpy(rng.uniform(low, high, tensor.shape)))
    x = rng.normal(size=(3, 6, 4, 5))
    expected = x.mean((2, 3))
    values = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    for number in range(2):
        layer = f"hidden.{number}"
        dense = np.maximum(expected @ values[f"{layer}.linear.weight"].T + values[f"{layer}.linear.bias"], 0)
        scale = values[f"{layer}.norm.weight"] / np.sqrt(values[f"{layer}.norm.running_var"] + 1e-3)
        expected = (dense - values[f"{layer}.norm.running_mean"]) * scale + values[f"{layer}.norm.bias"]
    expected = expected @ values["output.weight"].T + values["output.bias"]
    raw = model(torch.from_numpy(x)).raw_NO
    np.testing.assert_allclose(raw.detach().numpy(), expected, rtol=1e-10)


def test_running_statistics_move_by_a_hundredth_a_step():
    """Keras' momentum of 0.99; torch's own default would take a tenth."""
    model = on_maps(6)
    x = torch.randn(8, 6, 4, 5, dtype=torch.float64)
    model(x)
    batch_mean = model.hidden[0].linear(x.mean((2, 3))).relu().mean(0)
    assert torch.allclose(model.hidden[0].norm.running_mean, 0.01 * batch_mean)


def test_dropout_rates_are_those_of_their_layers_and_off_in_evaluation():
    model = on_maps(6)
    assert [layer.dropout.p for layer in model.hidden] == [0.25, 0.5]
    x = torch.randn(4, 6, 4, 5, dtype=torch.float64)
    assert not torch.equal(model(x).score_N, model(x).score_N)
    model.eval()
    assert torch.equal(model(x).score_N, model(x).score_N)


def test_what_cannot_be_is_said():
    with pytest.raises(ValueError, match=r"model\.koncept: 2 hidden layers but 1 dropout rates"):
        on_maps(6, KonceptSettings(hidden=(16, 8), dropout=(0.25,)))
    one = torch.randn(1, 6, 4, 5, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"need 2 or more images .* train\.batch_size"):
        on_maps(6)(one)
    assert torch.isfinite(on_maps(6).eval()(one).score_N).all()
