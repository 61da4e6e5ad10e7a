"""What holds for all models alike, and a sixth one from the text of CONTRIBUTING.md."""

import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from halfiqa_ray import models
from halfiqa_ray.config import (
    AihiqnetSettings,
    BackboneSettings,
    DbcnnSettings,
    KonceptSettings,
    ModelSettings,
    SwinIqaSettings,
    parse,
)
from halfiqa_ray.models.build import build_model, model_names
from halfiqa_ray.models.checkpoints import load_checkpoint, save_checkpoint
from halfiqa_ray.models.dbcnn import Dbcnn
from halfiqa_ray.models.fitting.losses import quality_loss
from halfiqa_ray.models.fitting.training import Fit
from halfiqa_ray.models.triq import Triq
from tests.models.small import KONIQ, bright_photos, model_settings, train_settings
from tests.models.test_checkpoints import record_of

ROOT = Path(__file__).parents[2]
NAMES = ("triq", "aihiqnet", "koncept", "dbcnn", "swin_iqa")
SWIN = {"embed_dim": 32, "depths": [2, 2, 2, 2], "num_heads": [1, 2, 4, 8]}
SMALL = {
    "triq": {},
    "aihiqnet": {"aihiqnet": AihiqnetSettings(width=8)},
    "koncept": {"output": "score", "koncept": KonceptSettings(hidden=(16, 8), dropout=(0.25, 0.5))},
    "dbcnn": {"output": "score"},
    "swin_iqa": {
        "backbone": BackboneSettings(name="swin_tiny_patch4_window7_224", weights="none", options=SWIN),
        "swin_iqa": SwinIqaSettings(width=16),
    },
}


def small(name, **changes):
    settings = model_settings(name=name, **{**SMALL[name], **changes})
    torch.manual_seed(0)
    return build_model(settings, KONIQ), settings


def published(name) -> ModelSettings:
    """The settings of configs/models/, without the hub's weights."""
    path = ROOT / "configs" / "models" / f"{name}.yaml"
    return parse("train.py", "", ["model"], ["--config", str(path), "--model.backbone.weights", "none"]).model


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "backbone", "rest", "total"),
    [
        ("triq", 23_508_032, 109_733, 23_617_765),
        ("aihiqnet", 23_508_032, 8_063_232 + 335_875, 31_907_139),  # pyramid, five heads
        ("koncept", 54_306_464, 5_515_265, 59_821_729),
        ("dbcnn", 14_714_688, 531_120 + 65_537, 15_311_345),  # S-CNN, output
        ("swin_iqa", 86_876_536, 492_544 + 65_792 + 1_285, 87_436_157),  # projections, attention, output
    ],
)
def test_published_size_and_output(name, backbone, rest, total):
    """Parameters as counted from the authors' descriptions; a pass without numbers shows that the shapes fit."""
    settings = published(name)
    with torch.device("meta"):
        model = build_model(settings, KONIQ)
        images = torch.empty(2, 3, settings.height, settings.width)
        assert (count(model.backbone), count(model)) == (backbone, total)
        assert backbone + rest == total
        if isinstance(model, Triq):
            tokens = model.tokens(model.project_and_pool(model.feature_matrix(images)))
            assert tokens.shape == (2, 769, 32)
        elif isinstance(model, Dbcnn):  # its pooling leaves autocast, which this device has not
            shapes = [tuple(x.shape) for x in model.branches(images)]
            assert shapes == [(2, 512, 24, 32), (2, 128, 24, 32)]
        else:
            assert model(images).raw_NO.shape == (2, 5 if settings.output == "levels" else 1)


def one_step(model, height, width):
    """Forward, loss and backward of two images; every weight must get a finite gradient."""
    model.train()
    prediction = model(torch.randn(2, 3, height, width))
    labels = torch.tensor([[0, 0.25, 0.5, 0.25, 0], [0, 0, 0, 0.5, 0.5]])
    loss = quality_loss(prediction, torch.tensor([3.0, 4.5]), labels, model)
    loss.backward()
    assert torch.isfinite(loss)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("name", NAMES)
def test_one_step_of_the_published_architecture(name):
    # Inception's unpadded first layers leave nothing of fewer rows than 75.
    height, width = (96, 128) if name == "koncept" else (64, 96)
    settings = published(name).model_copy(update={"height": height, "width": width})
    torch.manual_seed(0)
    one_step(build_model(settings, KONIQ), height, width)


@pytest.mark.parametrize("output", ["levels", "score"])
@pytest.mark.parametrize("name", NAMES)
def test_one_step_of_a_small_one_with_either_output(name, output):
    one_step(small(name, output=output)[0], 64, 96)


@pytest.mark.parametrize("name", NAMES)
def test_a_prediction_does_not_depend_on_its_neighbours(name):
    model, _ = small(name)
    model.eval()
    images = torch.randn(3, 3, 64, 96)
    others = torch.cat([100 * torch.randn(1, 3, 64, 96), images[1:2], torch.zeros(1, 3, 64, 96)])
    with torch.inference_mode():
        scores, changed = model(images).score_N, model(others).score_N
    assert scores[1].item() == pytest.approx(changed[1].item(), abs=1e-6)
    assert scores[0].item() != changed[0].item()


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_is_finite_and_near(name):
    model, _ = small(name)
    model.eval()
    images = torch.randn(4, 3, 64, 96)
    with torch.inference_mode():
        whole = model(images)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = model(images)
    assert half.score_N.dtype == half.raw_NO.dtype == torch.float32
    assert torch.isfinite(half.raw_NO).all()
    # bfloat16 has 8 bits: a per cent or so of the size of the numbers that are added up.
    assert torch.allclose(half.raw_NO, whole.raw_NO, atol=0.03 * (1 + whole.raw_NO.abs().max().item()))


@pytest.mark.parametrize("name", NAMES)
def test_checkpoints_round_trip(tmp_path, name):
    model, settings = small(name)
    model(torch.randn(4, 3, 64, 96))  # BatchNorm statistics that are not the first ones
    model.eval()
    save_checkpoint(str(tmp_path), model, record_of(model, model=settings))
    loaded, record = load_checkpoint(str(tmp_path))
    assert record.model == settings
    images = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        assert torch.equal(loaded(images).score_N, model(images).score_N)


def test_a_checkpoint_of_dbcnn_needs_no_other_file(tmp_path):
    start = tmp_path / "scnn.pkl"
    torch.save({f"module.{n}": v for n, v in small("dbcnn")[0].scnn.state_dict().items()}, start)
    model, settings = small("dbcnn", dbcnn=DbcnnSettings(scnn_weights=str(start)))
    save_checkpoint(str(tmp_path / "saved"), model, record_of(model, model=settings))
    start.unlink()
    assert load_checkpoint(str(tmp_path / "saved"))[1].model.dbcnn.scnn_weights == str(start)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_model_offers(name):
    model, _ = small(name)
    model.eval()
    map_NCHW = model.backbone(torch.zeros(1, 3, 64, 96))[-1]
    assert (64 // map_NCHW.shape[2], 96 // map_NCHW.shape[3]) == (model.stride, model.stride)
    assert isinstance(model.output_layer, nn.Module)
    last = list(model.output_layer.parameters())
    own = {parameter.data_ptr() for parameter in model.parameters()}
    assert last
    assert all(parameter.data_ptr() in own for parameter in last)
    assert {len(parameter) for parameter in last} == {model.head.outputs}


def test_models_by_name():
    assert set(model_names()) == set(NAMES)
    with pytest.raises(ValueError, match=r"no model 'nima'; there are aihiqnet, dbcnn, koncept, swin_iqa, triq"):
        build_model(model_settings(name="nima"), KONIQ)
    with pytest.raises(ValueError, match="no model 'backbones'"):  # a file there, but not of a model
        build_model(model_settings(name="backbones"), KONIQ)


@pytest.fixture
def contributed(tmp_path, monkeypatch):
    """The model file and the config that CONTRIBUTING.md shows, written where they belong but in another folder."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (source,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (config,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    name = re.search(r"name: (\w+)", config)[1]
    (tmp_path / f"{name}.py").write_text(source)
    (tmp_path / f"{name}.yaml").write_text(config)
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    yield name, str(tmp_path / f"{name}.yaml")
    sys.modules.pop(f"{models.__name__}.{name}", None)
    if hasattr(models, name):
        delattr(models, name)


def test_a_sixth_model_is_one_file_and_one_config(contributed):
    name, config = contributed
    tiny = ["--model.height", "64", "--model.width", "96"]
    backbone = ["--model.backbone.name", "test_resnet", "--model.backbone.weights", "none"]
    settings = parse("train.py", "", ["model"], ["--config", config, *tiny, *backbone]).model
    torch.manual_seed(0)
    model = build_model(settings, KONIQ)
    assert name in model_names()
    pixels, train, validation = bright_photos()
    one_epoch = train_settings(main={"epochs": 1, "warmup_epochs": 0}, finetune={"epochs": 0})
    (report,) = Fit(model, one_epoch, 1, train, validation, pixels).epochs()
    assert report.loss > 0
    assert report.rmse > 0


def test_its_own_settings_are_checked_by_its_file(contributed):
    name, _ = contributed
    assert build_model(model_settings(name=name, options={"dropout": 0.3}), KONIQ).dropout.p == 0.3
    for options, message in (
        (({"dropout": 2}), "dropout\n.*less than 1"),
        ({"drop_out": 0.1}, "drop_out\n.*not permitted"),
    ):
        with pytest.raises(ValueError, match=message):
            build_model(model_settings(name=name, options=options), KONIQ)


@pytest.mark.parametrize("name", NAMES)
def test_the_colour_that_zero_stands_for_normalises_to_zero(name):
    model, _ = small(name)
    colour = torch.tensor(model.zeroed_colour).round().to(torch.uint8).expand(1, 64, 96, 3)
    # Half a grey level, the most that rounding moves a colour by, in units of the deviation.
    assert model.normalise(colour).abs().max() <= 0.5 / 255 / min(model.preprocessing.std) + 1e-6
