import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import correlate2d
from scipy.special import expit, softmax

from halfiqa_ray.config import AihiqnetSettings
from halfiqa_ray.models.aihiqnet import AttentionHead, Pyramid, log_mean_softmax
from halfiqa_ray.models.build import build_model
from halfiqa_ray.models.keras_rules import he_normal_, pad_same
from tests.models.small import KONIQ, model_settings


def numbers(tensor):
    return tensor.detach().numpy()


def small(**changes):
    torch.manual_seed(0)
    return build_model(model_settings(name="aihiqnet", aihiqnet=AihiqnetSettings(width=8), **changes), KONIQ)


def test_attention_head_is_the_stated_formula():
    """Channel and spatial attention side by side, as the public code has them, written out in NumPy."""
    torch.manual_seed(0)
    head = AttentionHead(6, 5).double()
    torch.nn.init.normal_(head.channel.linear.bias)
    x = np.random.default_rng(0).normal(size=(2, 6, 5, 9))
    dense, bias = numbers(head.channel.linear.weight), numbers(head.channel.linear.bias)
    mean, largest = x.mean((2, 3)), x.max((2, 3))
    channel = (expit(mean @ dense.T + bias) + expit(largest @ dense.T + bias)) / 2
    kernel = numbers(head.spatial.weight)[0]
    spatial = np.stack(
        [expit(correlate2d(i.mean(0), kernel[0], "same") + correlate2d(i.max(0), kernel[1], "same")) for i in x]
    )
    features = (x * channel[:, :, None, None] * spatial[:, None]).mean((2, 3))
    expected = features @ numbers(head.output.weight).T + numbers(head.output.bias)
    np.testing.assert_allclose(numbers(head(torch.from_numpy(x))), expected, atol=1e-12)


@given(st.integers(1, 30), st.integers(1, 30))
def test_stride_two_starts_where_keras_starts(rows, columns):
    """TensorFlow's "SAME": the first window of an even size begins at pixel 0, that of an odd size one before it."""
    x = torch.randn(1, 1, rows, columns)
    kernel = torch.zeros(1, 1, 3, 3)
    kernel[0, 0, rows % 2, columns % 2] = 1  # the place in the window that pixel (0, 0) has
    result = torch.nn.functional.conv2d(pad_same(x, kernel=3, stride=2), kernel, stride=2)
    assert torch.equal(result, x[:, :, ::2, ::2])
    assert result.shape[2:] == (math.ceil(rows / 2), math.ceil(columns / 2))


def pass_through(pyramid):
    """Let the coarsest map alone through, unchanged."""
    with torch.no_grad():
        for convolution in (*pyramid.lateral, *pyramid.smooth):
            convolution.weight.zero_()
        pyramid.lateral[-1].weight.fill_(1)
        for smooth in pyramid.smooth:
            smooth.weight[0, 0, 1, 1] = 1
    return pyramid


def test_levels_are_resized_by_the_centres_of_pixels():
    """3 to 5 pixels: centres (i + 1/2) 3/5 fall into 0, 0, 1, 2, 2 (TensorFlow 2); corners give 0, 0, 1, 1, 2."""
    coarse = torch.arange(9.0).reshape(1, 1, 3, 3)
    fine = pass_through(Pyramid((1, 1), 1))([torch.zeros(1, 1, 5, 5), coarse])[0]
    places = torch.tensor([0, 0, 1, 2, 2])
    assert torch.equal(fine, coarse[:, :, places][:, :, :, places])


def test_what_goes_down_the_pyramid_is_not_smoothed():
    pyramid = pass_through(Pyramid((1, 1, 1), 1))
    maps = [torch.randn(1, 1, size, size) for size in (8, 4, 2)]
    before = pyramid(maps)
    with torch.no_grad():
        pyramid.smooth[1].weight.mul_(3)
    after = pyramid(maps)
    assert torch.equal(after[0], before[0])
    assert torch.equal(after[1], 3 * before[1])


def test_the_coarsest_level_starts_where_keras_starts():
    pyramid = Pyramid((1, 1), 1)
    with torch.no_grad():
        pyramid.coarsest.weight.zero_()
        pyramid.coarsest.weight[0, 0, 0, 0] = 1
    coarse = torch.randn(1, 1, 6, 8)
    assert torch.equal(pyramid([torch.zeros(1, 1, 12, 16), coarse])[-1], coarse[:, :, ::2, ::2])


def test_levels_of_the_pyramid():
    model = small()
    levels = model.pyramid(model.backbone(torch.randn(1, 3, 96, 160)))
    assert [tuple(level.shape[1:]) for level in levels] == [(8, 24, 40), (8, 12, 20), (8, 6, 10), (8, 3, 5), (8, 2, 3)]


@given(st.integers(0, 10_000), st.floats(0.1, 20))
def test_logits_of_the_mean_of_softmaxes(seed, spread):
    logits = np.random.default_rng(seed).normal(scale=spread, size=(5, 3, 5))
    raw = log_mean_softmax(torch.from_numpy(logits))
    expected = softmax(logits, -1).mean(0)
    np.testing.assert_allclose(numbers(raw.exp()), expected, rtol=1e-9)
    np.testing.assert_allclose(numbers(raw.softmax(-1)), expected, rtol=1e-9)


def test_a_probability_that_underflows_keeps_its_logarithm_and_gradient():
    logits = torch.zeros(5, 1, 5)
    logits[..., 0] = 300
    logits.requires_grad_()
    raw = log_mean_softmax(logits)
    assert raw.softmax(-1)[0, 4] == 0
    assert raw[0, 4].item() == pytest.approx(-300)
    torch.nn.functional.cross_entropy(raw, torch.tensor([[0, 0, 0, 0, 1.0]])).backward()
    # The gradient of the mean's logarithm: a fifth of each head's own.
    assert torch.allclose(logits.grad.sum(0), torch.tensor([[1.0, 0, 0, 0, -1]]))


@pytest.mark.parametrize("output", ["levels", "score"])
def test_prediction_is_the_mean_over_the_heads(output):
    """Of probabilities, which is not the softmax of the mean logits; or of scores."""
    model = small(output=output).eval()
    seen = []
    with torch.inference_mode():
        for head in model.heads:
            head.output.weight.mul_(30)  # opinions far enough apart for the two means to differ
            head.register_forward_hook(lambda module, inputs, result: seen.append(result.clone()))
        prediction = model(torch.randn(3, 3, 64, 96))
    heads = torch.stack(seen).double()
    assert heads.shape == (5, 3, 5 if output == "levels" else 1)
    if output == "levels":
        mean = heads.softmax(-1).mean(0)
        assert (mean - heads.mean(0).softmax(-1)).abs().max() > 0.01
        assert torch.allclose(prediction.levels_N5.double(), mean, atol=1e-5)
    else:
        expected = 3 + heads.mean(0)[:, 0]  # KonIQ's scale: middle 3, a quarter of its range is 1
        assert torch.allclose(prediction.score_N.double(), expected, atol=1e-5)


def test_he_normal_has_its_variance_and_its_cut():
    layer = torch.nn.Linear(200, 2000)
    torch.manual_seed(0)
    he_normal_(layer)
    deviation = math.sqrt(2 / 200)
    assert layer.weight.std().item() == pytest.approx(deviation, rel=0.01)
    assert layer.weight.abs().max().item() == pytest.approx(2 * deviation / 0.8796, rel=0.001)
    assert torch.all(layer.bias == 0)


def test_each_head_has_weights_of_its_own_and_they_are_the_output_layer():
    model = small()
    outputs = {parameter.data_ptr() for parameter in model.output_layer.parameters()}
    own = {p.data_ptr() for name, p in model.named_parameters() if name.startswith("heads.") and ".output." in name}
    assert outputs == own
    assert len(own) == 10
