import numpy as np
import pytest
import torch

from halfiqa_ray.config import StageSettings
from halfiqa_ray.models.fitting.optimisers import create_optimiser, precision_on
from halfiqa_ray.models.fitting.training import Fit, TrainingError
from tests.models.small import bright_photos, small_model, train_settings


def fit(seed=3, model=None, **changes):
    pixels, train, validation = bright_photos()
    return Fit(model or small_model(), train_settings(**changes), seed, train, validation, pixels)


def test_every_weight_is_trained_once_and_the_backbone_at_its_share():
    model = small_model()
    optimiser = create_optimiser(model, StageSettings(), backbone_rate=0.2)
    shares = {p: group["share"] for group in optimiser.param_groups for p in group["params"]}
    assert shares.keys() == set(model.parameters())
    for name, parameter in model.named_parameters():
        assert shares[parameter] == (0.2 if name.startswith("backbone.") else 1)
    groups = optimiser.param_groups
    assert (groups[0]["betas"], groups[0]["eps"]) == ((0.9, 0.999), 1e-7)


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)]
)
def test_kinds(name, kind):
    stage = StageSettings(optimiser=name, weight_decay=5e-4, momentum=0.8)
    optimiser = create_optimiser(small_model(), stage, 1)
    assert type(optimiser) is kind
    assert {group["weight_decay"] for group in optimiser.param_groups} == {5e-4}
    if name == "sgd":
        assert optimiser.param_groups[0]["momentum"] == 0.8


def test_a_stage_of_the_output_layer_moves_nothing_else_and_the_next_moves_all():
    """The two stages of DBCNN."""
    started = fit(
        main={"trains": "output_layer", "optimiser": "sgd", "epochs": 1, "warmup_epochs": 0, "hold_epochs": 0}
    )
    start = {name: tensor.clone() for name, tensor in started.model.named_parameters()}
    reports = started.epochs()
    next(reports)
    for name, tensor in started.model.named_parameters():
        assert torch.equal(tensor, start[name]) != name.startswith("head_output."), name
    next(reports)
    moved = [name for name, tensor in started.model.named_parameters() if not torch.equal(tensor, start[name])]
    assert "position_table" in moved
    assert "backbone.conv1.0.weight" in moved


def test_frozen_parts_stay_and_all_else_moves():
    started = fit(frozen=["backbone.conv1", "head_hidden"], main={"weight_decay": 0.1})
    start = {name: tensor.clone() for name, tensor in started.model.named_parameters()}
    next(started.epochs())
    for name, tensor in started.model.named_parameters():
        assert torch.equal(tensor, start[name]) == name.startswith(("backbone.conv1.", "head_hidden.")), name


@pytest.mark.parametrize(
    ("frozen", "message"),
    [
        (["backbone.conv7"], r"Triq has no part 'backbone.conv7'; did you mean backbone.conv1"),
        ([""], "leave no weight to train"),
    ],
)
def test_parts_that_cannot_be_frozen(frozen, message):
    with pytest.raises(ValueError, match=message):
        fit(frozen=frozen)


def test_half_precision_learns_nearly_what_float32_learns():
    """On a CPU too, so that the path is tested where there is no GPU."""
    losses = {}
    for precision in ("float32", "bfloat16", "float16"):
        started = fit(precision=precision, freeze_batchnorm="all")
        losses[precision] = [report.loss for report in started.epochs()]
        assert all(tensor.dtype == torch.float32 for tensor in started.model.parameters())
    for precision in ("bfloat16", "float16"):
        np.testing.assert_allclose(losses[precision], losses["float32"], rtol=0.03)
        assert losses[precision] != losses["float32"]


def test_the_loss_scale_travels_in_the_state():
    started = fit(precision="float16")
    reports = started.epochs()
    next(reports)
    started.scaler.update(new_scale=128.0)
    resumed = fit(precision="float16", model=small_model(seed=9))
    resumed.load_state(started.state())
    assert resumed.scaler.get_scale() == 128


def test_auto_is_float32_without_a_gpu():
    assert precision_on("auto", torch.device("cpu")) == torch.float32
    assert precision_on("bfloat16", torch.device("cpu")) == torch.bfloat16


def test_a_photo_that_cannot_be_read_is_left_out():
    """The fit is the one that never had it in its steps, and validation is of the others."""
    pixels, train, validation = bright_photos()
    gone = int(validation.places[1])
    pixels.problems = {0: ("broken_photo", "0.jpg: cut short"), gone: ("broken_photo", "cut short")}
    pixels.pixels_NHWC[[0, gone]] = 0
    started = Fit(small_model(), train_settings(), 3, train, validation, pixels)
    asked = []
    forward = started.model.forward
    started.model.forward = lambda images: asked.append(len(images)) or forward(images)
    reports = list(started.epochs())
    assert sum(asked[:2]) in (7, 8)  # two steps of four; photo 0 is in one of them, or in what waits
    assert sum(n for n in asked if n == 3) > 0
    scores = started.scores(validation)
    assert np.flatnonzero(np.isnan(scores)).tolist() == [1]
    assert reports[-1].rmse is not None


def test_a_step_without_a_readable_photo_says_why():
    pixels, train, validation = bright_photos()
    pixels.problems = {place: ("broken_photo", f"{place}.jpg: cut short") for place in range(14)}
    with pytest.raises(TrainingError, match=r"none of the 4 photos of a step can be read: 0\.jpg: cut short"):
        next(Fit(small_model(), train_settings(), 3, train, validation, pixels).epochs())
