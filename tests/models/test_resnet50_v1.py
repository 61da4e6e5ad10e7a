"""ResNet-50 against ``keras.applications.ResNet50`` with random weights and BatchNorm statistics."""

import numpy as np
import pytest
import torch

from halfiqa_ray.models.published import keras_h5, resnet50_keras
from halfiqa_ray.models.resnet50_v1 import ResNet50V1
from tests.models.published import keras_models


@pytest.fixture(scope="module")
def keras_resnet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resnet50")
    values = keras_models.run("resnet50", folder)
    return values, keras_h5.read(str(folder / "weights.h5"), 2**30)


def imported(strides, weights):
    model = ResNet50V1(strides)
    names = resnet50_keras.names(model.state_dict())
    result = model.load_state_dict({ours: weights[theirs] for ours, theirs in names.items()}, strict=False)
    assert all(name.endswith("num_batches_tracked") for name in result.missing_keys)
    return model.eval(), names


def test_all_stages_equal_kerass(keras_resnet):
    values, weights = keras_resnet
    model, names = imported((4, 8, 16, 32), weights)
    assert set(names.values()) == weights.keys()
    images_NCHW = torch.from_numpy(values["images_NHWC"]).permute(0, 3, 1, 2)
    with torch.inference_mode():
        maps = model(images_NCHW)
    assert model.channels == (256, 512, 1024, 2048)
    for place, found_NCHW in enumerate(maps):
        expected_NHWC = values[f"output{place}"]
        assert expected_NHWC.std() > 0.1
        scale = np.abs(expected_NHWC).max()
        np.testing.assert_allclose(found_NCHW.permute(0, 2, 3, 1) / scale, expected_NHWC / scale, atol=1e-5)


def test_norms_have_kerass_epsilon_and_momentum(keras_resnet):
    ours = {(m.eps, 1 - m.momentum) for m in ResNet50V1((32,)).modules() if isinstance(m, torch.nn.BatchNorm2d)}
    assert len(ours) == 1
    np.testing.assert_allclose(keras_resnet[0]["norm_rules"], list(ours), rtol=1e-12)


def test_a_choice_of_strides_gives_those_maps(keras_resnet):
    weights = keras_resnet[1]
    images_NCHW = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        every = imported((4, 8, 16, 32), weights)[0](images_NCHW)
        some = imported((8, 16), weights)[0]
        chosen = some(images_NCHW)
    assert len(some.stages) == 3
    assert some.channels == (512, 1024)
    assert [tuple(found.shape) for found in every] == [
        (1, 256, 16, 24),
        (1, 512, 8, 12),
        (1, 1024, 4, 6),
        (1, 2048, 2, 3),
    ]
    assert torch.equal(chosen[0], every[1])
    assert torch.equal(chosen[1], every[2])


def test_parameters_are_as_many_as_in_keras():
    # 23,587,712 in all, https://keras.io/api/applications: 53,120 of them are BatchNorm statistics.
    model = ResNet50V1((32,))
    assert sum(parameter.numel() for parameter in model.parameters()) == 23_587_712 - 53_120


@pytest.mark.parametrize("strides", [(), (2,), (32, 16), (16, 16), (64,)])
def test_other_strides_are_refused(strides):
    with pytest.raises(ValueError, match="resnet50_v1 has maps of stride"):
        ResNet50V1(strides)
