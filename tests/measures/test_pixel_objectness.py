"""The LargeFOV network: its size, its geometry by filters that scipy has too, and its weights through a file."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from halfiqa_ray.measures.caffemodel import CaffemodelError, read_caffemodel
from halfiqa_ray.measures.pixel_objectness import LargeFov, PixelObjectness, network_from
from halfiqa_ray.measures.pixels import bilinear
from tests.measures.caffemodel_files import caffemodel

CONVOLUTIONS = [
    *(f"conv{stage}_{i}" for stage, count in enumerate((2, 2, 3, 3, 3), start=1) for i in range(1, count + 1)),
    "fc6",
    "fc7",
    "fc8_voc12",
]
MEAN_BGR = np.array([104.008, 116.669, 122.675])


def blobs_of(network):
    return {
        name: [p.detach().numpy() for p in module.parameters()]
        for name, module in network.named_children()
        if isinstance(module, nn.Conv2d)
    }


def passing_network(channel, fc6_tap=(1, 1), gain=0.05):
    """Passes one input channel through the middle of every filter; the object logit is ``gain`` times what arrives."""
    network = LargeFov()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for name, module in network.named_children():
            if isinstance(module, nn.Conv2d):
                source = channel if name == "conv1_1" else 0
                row, column = fc6_tap if name == "fc6" else (module.kernel_size[0] // 2, module.kernel_size[1] // 2)
                target, weight = (1, gain) if name == "fc8_voc12" else (0, 1)
                module.weight[target, source, row, column] = weight
    return network.eval()


def what_arrives(values, fc6_shift=(0, 0)):
    """The same path with scipy: three halvings and two plain maxima, a mean, a shift, an enlargement by 8."""
    values = np.maximum(values.astype(np.float64), 0)
    for step in (2, 2, 2, 1, 1):
        values = ndimage.maximum_filter(values, 3, mode="constant", cval=-np.inf)[::step, ::step]
    values = ndimage.uniform_filter(values, 3, mode="constant")
    values = ndimage.shift(values, fc6_shift, order=0, cval=0)
    rows, columns = values.shape
    wide = np.array([np.interp(np.arange(8 * columns - 7) / 8, np.arange(columns), row) for row in values])
    return np.array([np.interp(np.arange(8 * rows - 7) / 8, np.arange(rows), column) for column in wide.T]).T


def softmax_of_object(logit):
    return 1 / (1 + np.exp(-logit))


@pytest.fixture(scope="module")
def random_network():
    torch.manual_seed(0)
    network = LargeFov().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                nn.init.kaiming_normal_(parameter)
            else:
                nn.init.normal_(parameter, std=0.1)
    return network


def test_layers_and_weights():
    network = LargeFov()
    assert list(blobs_of(network)) == CONVOLUTIONS
    assert sum(p.numel() for p in network.parameters()) == 20_485_954


@pytest.mark.parametrize(("tap", "shift"), [((1, 1), (0, 0)), ((0, 1), (12, 0)), ((1, 2), (0, -12))])
def test_geometry(tap, shift):
    values = np.random.default_rng(2).normal(0, 60, (137, 161)).astype(np.float32)
    images = torch.zeros(1, 3, *values.shape)
    images[0, 2] = torch.from_numpy(values)
    with torch.inference_mode():
        logits = passing_network(2, tap)(images)[0].numpy()
    assert not logits[0].any()
    np.testing.assert_allclose(logits[1], 0.05 * what_arrives(values, shift), atol=1e-4)


def test_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"multiple of 8 plus 1, got \(64, 65\)"):
        LargeFov()(torch.zeros(1, 3, 64, 65))


@pytest.mark.parametrize("v1", [True, False])
def test_weights_through_a_file(tmp_path, random_network, v1):
    file = tmp_path / "pixel_objectness.caffemodel"
    file.write_bytes(caffemodel(blobs_of(random_network), v1=v1, legacy=v1))
    loaded = PixelObjectness.load(str(file))
    for name, parameter in random_network.state_dict().items():
        assert torch.equal(loaded.network.state_dict()[name], parameter)
    assert len(loaded.weights_sha256) == 64


def test_all_that_does_not_match_is_listed(random_network):
    blobs = blobs_of(random_network)
    del blobs["conv3_2"]
    blobs["conv1_1"] = [blobs["conv1_1"][0][:, :1], blobs["conv1_1"][1]]
    blobs["conv2_1"] = blobs["conv2_1"][:1]
    blobs["fc8_voc12"] = [blobs["fc8_voc12"][0], np.array([0, np.nan], np.float32)]
    blobs["fc8"] = [np.ones(3, np.float32)]
    with pytest.raises(CaffemodelError) as raised:
        network_from(read_caffemodel(caffemodel(blobs)))
    for problem in (
        "unexpected layer fc8;",
        "lacks layer conv3_2",
        "conv1_1 weight has shape (64, 1, 3, 3), (64, 3, 3, 3) was expected",
        "layer conv2_1 has 1 blobs, weight and bias were expected",
        "fc8_voc12 bias has values that are not finite",
    ):
        assert problem in str(raised.value)
    assert str(raised.value).count(";") == 4


def test_a_file_that_is_not_there_or_not_one(tmp_path):
    with pytest.raises(CaffemodelError, match=r"missing; fetch pixel_objectness.caffemodel from github"):
        PixelObjectness.load(str(tmp_path / "none.caffemodel"))
    file = tmp_path / "page.caffemodel"
    file.write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(CaffemodelError, match=r"page\.caffemodel: byte \d+"):
        PixelObjectness.load(str(file))


@pytest.mark.parametrize(("channel", "rgb"), [(0, 2), (2, 0)])
def test_a_photo_smaller_than_the_input(channel, rgb):
    """BGR, the mean taken off, nothing resized, mean-coloured padding below and to the right."""
    pixels = np.random.default_rng(4).integers(0, 256, (81, 130, 3), dtype=np.uint8)
    padded = np.zeros((513, 513))
    padded[:81, :130] = pixels[..., rgb] - MEAN_BGR[channel]
    expected = softmax_of_object(0.05 * what_arrives(padded))[:81, :130]
    probability = PixelObjectness(passing_network(channel), "")(pixels)
    assert probability.dtype == np.float32
    np.testing.assert_allclose(probability, expected, atol=1e-4)


def test_a_photo_larger_than_the_input():
    """A bright square stays where it is when the photo is shrunk to 385 x 513 and its map enlarged again."""
    pixels = np.zeros((768, 1024, 3), np.uint8)
    pixels[400:560, 640:880] = 255
    probability = PixelObjectness(passing_network(1), "")(pixels)
    assert probability.shape == (768, 1024)
    inside = np.zeros((768, 1024))
    inside[400:560, 640:880] = 1
    # The poolings widen it by a few cells of eight pixels at half size, the same on every side.
    assert probability[inside > 0].min() > 0.9
    rows, columns = np.nonzero(probability > 0.7)
    assert (rows.min() + rows.max()) / 2 == pytest.approx(479.5, abs=12)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(759.5, abs=12)
    assert probability[:300].max() == pytest.approx(0.5)


def test_bilinear_is_torchs():
    values = np.random.default_rng(5).normal(size=(7, 11)).astype(np.float32)
    for size in ((20, 31), (7, 40), (3, 5)):
        expected = nn.functional.interpolate(torch.from_numpy(values)[None, None], size=size, mode="bilinear")[0, 0]
        np.testing.assert_allclose(bilinear(values, *size), expected.numpy(), atol=1e-5)
