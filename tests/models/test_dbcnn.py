import numpy as np
import pytest
import torch
from torch import nn

from halfiqa_ray.config import BackboneSettings, DbcnnSettings
from halfiqa_ray.models.backbones import WeightsError
from halfiqa_ray.models.build import build_model
from halfiqa_ray.models.dbcnn import bilinear_pool
from halfiqa_ray.models.scnn import Scnn, load_scnn
from tests.models.small import KONIQ, model_settings

WIDTHS = DbcnnSettings().scnn_widths


def small(**changes):
    torch.manual_seed(0)
    return build_model(model_settings(name="dbcnn", output="score", **changes), KONIQ)


def test_bilinear_pooling_is_the_stated_formula():
    rng = np.random.default_rng(0)
    first, second = rng.uniform(size=(2, 3, 4, 5)), rng.uniform(size=(2, 7, 4, 5))
    expected = np.sqrt(np.einsum("nchw,ndhw->ncd", first, second) / 20 + 1e-8).reshape(2, 21)
    expected /= np.sqrt((expected**2).sum(1, keepdims=True))
    pooled = bilinear_pool(torch.from_numpy(first), torch.from_numpy(second))
    assert pooled.dtype == torch.float64
    np.testing.assert_allclose(pooled.numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_an_empty_map_has_a_finite_gradient(dtype):
    """The root of 0 has an infinite slope, and in float16 so would that of 0 + 1e-8, which is 0."""
    first, second = (torch.zeros(1, channels, 2, 3, dtype=dtype, requires_grad=True) for channels in (4, 5))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype != torch.float32):
        pooled = bilinear_pool(first, second)
    assert pooled.dtype == torch.float32
    assert torch.allclose(pooled, torch.full((1, 20), 20**-0.5))
    pooled[0, 0].backward()
    assert torch.isfinite(first.grad).all()
    assert torch.isfinite(second.grad).all()


def test_pooling_is_in_float32_whatever_autocast_says():
    first, second = torch.rand(2, 8, 6, 7), torch.rand(2, 9, 6, 7)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = bilinear_pool(first, second)
    assert torch.equal(half, bilinear_pool(first, second))


class RoundsDown(nn.Module):
    """A backbone of stride 16 that rounds sizes down, as VGG's poolings do."""

    def forward(self, images_NCHW):
        return [nn.functional.avg_pool2d(images_NCHW, 16)]


def test_the_second_branch_is_resized_corner_to_corner():
    """72 x 104 pixels: VGG gives 4 x 6 places, S-CNN 5 x 7; linear interpolation between them, end points kept."""
    model = small().eval()
    model.backbone = RoundsDown()
    images = torch.randn(1, 3, 72, 104)
    with torch.inference_mode():
        first, second = model.branches(images)
        scnn = model.scnn(images)[0].double().numpy()
    assert first.shape == (1, 3, 4, 6)
    assert scnn.shape == (128, 5, 7)
    rows = np.apply_along_axis(lambda line: np.interp(np.linspace(0, 4, 4), range(5), line), 1, scnn)
    expected = np.apply_along_axis(lambda line: np.interp(np.linspace(0, 6, 6), range(7), line), 2, rows)
    np.testing.assert_allclose(second[0].numpy(), expected, atol=1e-5)


def test_vgg_ends_with_its_last_relu():
    """Thirteen convolutions, four of the five poolings."""
    with torch.device("meta"):
        model = small(backbone=BackboneSettings(name="vgg16", weights="none"))
    layers = [type(layer) for layer in model.backbone.modules()]
    assert (layers.count(nn.Conv2d), layers.count(nn.MaxPool2d)) == (13, 4)
    assert layers[-1] is nn.ReLU


def test_a_backbone_with_negative_values_gives_a_finite_score():
    model = small(backbone=BackboneSettings(name="test_efficientnet", weights="none"))
    images = torch.randn(2, 3, 64, 96)
    assert model.backbone(images)[-1].min() < 0
    assert torch.isfinite(model(images).score_N).all()


def test_scnn_is_the_published_row_of_layers():
    scnn, shapes = Scnn(WIDTHS).eval(), []
    for layer in scnn.features:
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda module, inputs, result: shapes.append(tuple(result.shape[1:3])))
    assert scnn(torch.zeros(1, 3, 64, 96)).shape == (1, 128, 4, 6)
    rows = [(48, 64), (48, 32), (64, 32), (64, 16), (64, 16), (64, 8), (128, 8), (128, 8), (128, 4)]
    assert shapes == rows  # channels and rows after each convolution
    assert sum(parameter.numel() for parameter in scnn.parameters()) == 531_120


@pytest.fixture
def published():
    """A state dict with the layout of the authors' scnn.pkl: of DataParallel, with the head of the pretraining."""
    torch.manual_seed(3)
    tensors = {f"module.{name}": torch.rand_like(value.float()) for name, value in Scnn(WIDTHS).state_dict().items()}
    tensors = {name: value for name, value in tensors.items() if "num_batches" not in name}
    head = {"projection.0.weight": (256, 128, 1, 1), "projection.1.running_var": (256,), "classifier.bias": (39,)}
    return tensors | {f"module.{name}": torch.rand(shape) for name, shape in head.items()}


@pytest.mark.parametrize("legacy", [False, True])
def test_published_weights_load_into_the_branch_and_nowhere_else(tmp_path, published, legacy):
    file = str(tmp_path / "scnn.pkl")
    torch.save(published, file, _use_new_zipfile_serialization=not legacy)  # the authors' file is of the old kind
    model = small(dbcnn=DbcnnSettings(scnn_weights=file))
    own = {n: v for n, v in model.scnn.state_dict().items() if "num_batches" not in n}
    assert len(own) == 54
    for name, value in own.items():
        assert torch.equal(value, published[f"module.{name}"]), name
    random_start = small().backbone.state_dict()
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(value, random_start[name]), name


def test_what_does_not_fit_scnn_is_named(tmp_path, published):
    first = "module.features.0.weight"
    cases = {
        "missing": ({n: v for n, v in published.items() if n != first}, r"1 of 54 .* missing \(first features\.0\.wei"),
        "shape": (
            published | {first: torch.zeros(2)},
            r"features\.0\.weight has shape \(2,\), expected \(48, 3, 3, 3\)",
        ),
        "unknown": (published | {"module.fc.weight": torch.zeros(1)}, r"1 tensors that are not S-CNN's \(first fc\.w"),
    }
    for case, (tensors, message) in cases.items():
        file = str(tmp_path / f"{case}.pth")
        torch.save(tensors, file)
        with pytest.raises(WeightsError, match=message) as caught:
            load_scnn(Scnn(WIDTHS), file)
        assert str(caught.value).startswith(f"model.dbcnn.scnn_weights: {file}")


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    file = tmp_path / "scnn.pkl"
    file.write_bytes(b"cos\nsystem\n(S'echo no'\ntR.")
    with pytest.raises(WeightsError, match=r"model\.dbcnn\.scnn_weights: .*scnn\.pkl is damaged or not a weights file"):
        load_scnn(Scnn(WIDTHS), str(file))
