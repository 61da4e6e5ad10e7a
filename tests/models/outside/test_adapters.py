"""Adapters for models of other packages, each beside what that package says itself."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from halfiqa_ray.config import from_files
from halfiqa_ray.models.outside import find_outside, load_outside, outside_record
from halfiqa_ray.models.outside.metrics import laplacian_variance, rms_contrast
from tests.models.small import model_settings

CONFIGS = ("laplacian", "contrast", "brisque", "pyiqa_dbcnn", "pyiqa_topiq", "pyiqa_musiq", "timm_regressor")
needs_pyiqa = pytest.mark.skipif(
    importlib.util.find_spec("pyiqa") is None, reason="pyiqa is not installed: noncommercial, the user's to install"
)
needs_brisque = pytest.mark.skipif(importlib.util.find_spec("brisque") is None, reason="brisque is not installed")


@pytest.fixture
def pixels():
    """Photos of coarse noise under fine noise, (2, H, W, 3) uint8."""
    rng = np.random.default_rng(3)
    coarse = rng.uniform(40, 215, (2, 8, 12, 3)).repeat(16, 1).repeat(16, 2)
    return (coarse + rng.uniform(-20, 20, coarse.shape)).astype(np.uint8)


def named(name, height=128, width=192, **arguments):
    """The settings of a config that comes with the package, at a small size."""
    settings = find_outside(f"models/outside/{name}.yaml", model_settings())
    given = settings.outside.arguments | arguments
    outside = settings.outside.model_copy(update={"arguments": given})
    return settings.model_copy(update={"height": height, "width": width, "outside": outside})


def score(settings, pixels):
    model, _ = load_outside(settings)
    with torch.inference_mode():
        return model(model.normalise(torch.from_numpy(pixels))).score_N.numpy()


@pytest.mark.parametrize("name", CONFIGS)
def test_configs_say_what_they_need(name):
    settings = from_files(f"models/outside/{name}").model
    assert settings.outside.name == name
    text = (Path(__file__).parents[3] / f"configs/models/outside/{name}.yaml").read_text()
    assert "Command:" in text
    assert "Needs:" in text


def test_others_names_models_that_need_nothing_more(monkeypatch):
    settings = from_files("experiments/others")
    names = [find_outside(name, settings.model) for name in settings.zero.models]
    assert [each.outside.name for each in names if each] == ["laplacian", "contrast"]
    for each in filter(None, names):
        outside_record(each)


def test_plain_functions_beside_opencv_and_numpy(pixels):
    cv2 = pytest.importorskip("cv2")
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    for sharpness, contrast, photo in zip(laplacian_variance(images), rms_contrast(images), pixels, strict=True):
        grey = photo @ np.array([0.299, 0.587, 0.114])
        assert sharpness.item() == pytest.approx(cv2.Laplacian(grey, cv2.CV_64F).var(), rel=1e-5)
        assert contrast.item() == pytest.approx(grey.std() / 255, rel=1e-5)


@pytest.mark.parametrize("factory", ["timm:create_model", "torchvision.models:resnet18"])
def test_a_regressor_with_weights_of_its_own(factory, pixels, tmp_path):
    import timm
    import torchvision

    made = {
        "timm:create_model": lambda: timm.create_model("resnet18", num_classes=1),
        "torchvision.models:resnet18": lambda: torchvision.models.resnet18(num_classes=1),
    }
    torch.manual_seed(7)
    network = made[factory]().eval()
    file = str(tmp_path / "regressor.safetensors")
    save_file(network.state_dict(), file)
    settings = named("timm_regressor", factory=factory, weights=file)
    if not factory.startswith("timm"):
        arguments = {name: value for name, value in settings.outside.arguments.items() if name != "model_name"}
        settings = settings.model_copy(update={"outside": settings.outside.model_copy(update={"arguments": arguments})})
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(v)[:, None, None] for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    with torch.inference_mode():
        expected = network((images - mean) / std)[:, 0].numpy()
    np.testing.assert_allclose(score(settings, pixels), expected, atol=1e-5)
    outside_record(settings)  # its layer has a map and a gradient


@needs_brisque
def test_brisque_is_the_packages_own(pixels):
    from brisque import BRISQUE

    own = BRISQUE(url=False)
    features = own.calculate_brisque_features

    def numbers(*given, **more):  # NumPy 2.4 refuses the arrays of one number that brisque 0.2.0 makes
        return np.array([np.ravel(value)[0] for value in features(*given, **more)], dtype=object)

    own.calculate_brisque_features = numbers
    expected = 100 - np.array([float(own.score(photo)) for photo in pixels])
    np.testing.assert_allclose(score(named("brisque"), pixels), expected, atol=1e-3)
    outside_record(named("brisque"))


@pytest.fixture
def no_downloads(monkeypatch):
    """pyiqa's networks with random weights: they fetch those of backbones whatever they are told."""
    import pyiqa  # noqa: F401
    import timm
    import torchvision
    from pyiqa.archs import dbcnn_arch

    vgg16, create_model = torchvision.models.vgg16, timm.create_model
    monkeypatch.setattr(torchvision.models, "vgg16", lambda **given: vgg16())
    monkeypatch.setattr(timm, "create_model", lambda name, **given: create_model(name, **given | {"pretrained": False}))
    monkeypatch.setattr(dbcnn_arch, "load_pretrained_network", lambda *given, **more: None)


@needs_pyiqa
def test_dbcnn_of_pyiqa_is_pyiqas_own(no_downloads, pixels):
    import pyiqa

    settings = named("pyiqa_dbcnn", pretrained=False)
    torch.manual_seed(0)  # as the factory's weights are drawn
    own = pyiqa.create_metric("dbcnn", pretrained=False, device="cpu")
    with torch.inference_mode():
        expected = own(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255)[:, 0].numpy()
    assert np.ptp(expected) > 1e-4
    np.testing.assert_allclose(score(settings, pixels), expected, atol=1e-5)
    assert outside_record(settings).model.name == "pyiqa_dbcnn"  # Grad-CAM's layer too


@needs_pyiqa
@pytest.mark.parametrize("name", ["pyiqa_topiq", "pyiqa_musiq"])
def test_other_metrics_of_pyiqa_keep_the_contract(name, no_downloads, pixels):
    settings = named(name, pretrained=False)
    outside_record(settings)
    found = score(settings, pixels)
    assert found.shape == (2,)
    assert np.isfinite(found).all()
