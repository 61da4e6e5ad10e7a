from itertools import chain

import numpy as np
import pytest
import torch

from halfiqa_ray.models.base import Prediction
from halfiqa_ray.models.fitting.agreement import agreement
from halfiqa_ray.models.fitting.losses import quality_loss
from halfiqa_ray.models.fitting.training import Fit, TrainingError, predict
from tests.models.small import bright_photos, small_model, train_settings

TIMES = ("seconds", "images_per_second", "finished")
NONE = {"epochs": 0}


def fit(seed=3, model=None, photos=14, **changes):
    pixels, train, validation = bright_photos(photos)
    model = model or small_model()
    return Fit(model, train_settings(**changes), seed, train, validation, pixels), pixels


def test_loss_of_levels_is_cross_entropy_with_the_votes():
    model = small_model()
    raw = torch.randn(4, 5, dtype=torch.float64)
    votes = torch.rand(4, 5, dtype=torch.float64)
    votes /= votes.sum(1, keepdim=True)
    p = np.exp(raw.numpy())
    p /= p.sum(1, keepdims=True)
    expected = -(votes.numpy() * np.log(p)).sum(1).mean()
    found = quality_loss(Prediction(raw[:, 0], None, raw), torch.zeros(4), votes, model)
    assert found.item() == pytest.approx(expected, rel=1e-12)


def test_loss_of_levels_stays_finite_where_probabilities_underflow():
    model = small_model()
    raw = torch.tensor([[0.0, 500, 0, 0, 0]], requires_grad=True)
    votes = torch.tensor([[1.0, 0, 0, 0, 0]])
    loss = quality_loss(model.head(raw), torch.ones(1), votes, model)
    loss.backward()
    assert loss.item() == pytest.approx(500)
    assert raw.grad.abs().sum() > 0


def test_loss_of_a_score_is_squared_error_of_the_standardised_target():
    started, _ = fit(model=small_model(output="score"))
    model, mos = started.model, started.train.mos_N
    assert model.head.target_mean.item() == pytest.approx(mos.mean(), rel=1e-6)
    assert model.head.target_std.item() == pytest.approx(mos.std(), rel=1e-6)
    raw = torch.randn(len(mos), 1)
    prediction = model.head(raw)
    found = quality_loss(prediction, torch.tensor(mos, dtype=torch.float32), torch.zeros(1), model)
    assert found.item() == pytest.approx(((prediction.score_N.numpy() - mos) / mos.std()).__pow__(2).mean(), rel=1e-4)


@pytest.mark.parametrize("output", ["levels", "score"])
def test_learns_and_ends_with_its_best_weights(output):
    started, pixels = fit(model=small_model(output=output), photos=48, main={"epochs": 10, "learning_rate": 3e-3})
    reports = list(started.epochs())
    assert [report.stage for report in reports] == ["main"] * 10 + ["finetune"] * 2
    assert np.mean([r.loss for r in reports[-3:]]) < reports[0].loss
    started.restore_best()
    best = max(report.plcc for report in reports)
    scores = predict(started.model, pixels, started.validation.places, 4)
    assert agreement(scores, started.validation.mos_N).plcc == pytest.approx(best, abs=1e-6)
    assert best > 0.8


def strip(report):
    return {k: v for k, v in vars(report).items() if k not in TIMES}


@pytest.mark.parametrize("stopped_after", [1, 2, 3, 4])
def test_a_resumed_fit_is_the_same_fit(tmp_path, stopped_after):
    """Stopped inside the first stage, at its end and inside the second: the weights are equal to the last bit."""
    straight, _ = fit()
    whole = [strip(report) for report in straight.epochs()]
    straight.restore_best()

    first, _ = fit()
    epochs = first.epochs()
    for _ in range(stopped_after):
        next(epochs)
    torch.save(first.state(), tmp_path / "fit.pt")
    second, _ = fit(model=small_model(seed=99))
    second.load_state(torch.load(tmp_path / "fit.pt", weights_only=True))
    rest = [strip(report) for report in second.epochs()]
    second.restore_best()
    assert rest == whole[stopped_after:]
    assert [strip(report) for report in second.history] == whole
    for name, tensor in straight.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name


def test_the_seed_decides():
    runs = [[strip(report) for report in fit(seed=seed)[0].epochs()] for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_stops_early_without_gain():
    started, _ = fit(main={"epochs": 9}, finetune=NONE, patience=2, minimum_gain=2)
    reports = list(started.epochs())
    assert [report.best for report in reports] == [True, False, False]
    assert reports[-1].epochs_left == 6


def test_every_step_asks_for_the_planned_photos_and_flips_some():
    started, pixels = fit(main={"epochs": 2}, finetune=NONE)
    list(started.epochs())
    training = [batch for batch in pixels.asked if max(batch) < len(started.train)]
    assert len(training) == 2 * (len(started.train) // 4)
    for epoch in range(2):
        shown = list(chain.from_iterable(training[epoch * 2 : epoch * 2 + 2]))
        assert len(shown) == len(set(shown)) == 8


def test_flip_mirrors_columns(monkeypatch):
    started, pixels = fit()
    pixels.pixels_NHWC[:] = np.arange(96, dtype=np.uint8)[None, None, :, None]
    seen = []
    normalise = started.model.normalise
    monkeypatch.setattr(started.model, "normalise", lambda x: seen.append(x.clone()) or normalise(x))
    next(started.epochs())
    firsts = torch.cat(seen)[: len(started.train) // 4 * 4, 0, 0, 0]
    assert set(firsts.tolist()) == {0, 95}


def test_frozen_batchnorm_keeps_its_statistics_and_trains_its_weights():
    for frozen in ("backbone", "none"):
        started, _ = fit(freeze_batchnorm=frozen)
        before = {name: tensor.clone() for name, tensor in started.model.state_dict().items()}
        next(started.epochs())
        after = started.model.state_dict()
        moved = any(not torch.equal(after[n], before[n]) for n in after if "running_" in n)
        assert moved == (frozen == "none")
        assert not torch.equal(after["backbone.layer1.0.bn1.weight"], before["backbone.layer1.0.bn1.weight"])


def test_backbone_rate_zero_leaves_the_backbone_alone():
    started, _ = fit(backbone_rate=0, freeze_batchnorm="backbone")
    before = {name: tensor.clone() for name, tensor in started.model.named_parameters()}
    next(started.epochs())
    for name, tensor in started.model.named_parameters():
        assert torch.equal(tensor, before[name]) == name.startswith("backbone."), name


def test_a_loss_that_is_not_finite_names_the_images():
    started, _ = fit()
    started.train.labels_N5[2] = np.nan
    with pytest.raises(
        TrainingError, match=r"loss became nan in stage main, epoch 1, step \d+, at the images .*\b2\.jpg"
    ):
        next(started.epochs())


def test_two_workers_see_the_photos_of_one(monkeypatch):
    """Each takes its share of the same steps, and together they score every validation photo once."""
    asked = []
    for rank in range(2):
        pixels, train, validation = bright_photos()
        part = Fit(small_model(), train_settings(), 3, train, validation, pixels, rank=rank, world=2)
        next(part.epochs())
        asked.append(pixels.asked)
    alone, pixels = fit()
    next(alone.epochs())
    steps = len(alone.train) // 4
    for step in range(steps):
        assert sorted(asked[0][step] + asked[1][step]) == sorted(pixels.asked[step])
    scored = [sorted(chain.from_iterable(batches[steps:])) for batches in (*asked, pixels.asked)]
    assert sorted(scored[0] + scored[1]) == scored[2] == sorted(alone.validation.places.tolist())


def test_too_little_data_is_told():
    pixels, train, validation = bright_photos(3)
    with pytest.raises(ValueError, match="at least 1 to train and 2 to validate, got 2 and 1"):
        Fit(small_model(), train_settings(), 1, train, validation, pixels)


def test_validation_plcc_is_over_all_workers_predictions_not_the_mean_of_theirs():
    """Each worker scores every second photo; the sum of what they hold is what one worker alone would have."""
    pixels, train, validation = bright_photos(30)
    alone = Fit(small_model(), train_settings(), 3, train, validation, pixels).scores(validation)
    parts = [
        Fit(small_model(), train_settings(), 3, train, validation, pixels, rank=rank, world=2).scores(validation)
        for rank in range(2)
    ]
    assert np.array_equal(parts[0] != 0, np.arange(len(validation)) % 2 == 0)
    # The batches are cut otherwise, so float32 sums differ in their last digits, and PLCC of ten close scores in more.
    np.testing.assert_allclose(parts[0] + parts[1], alone, rtol=1e-5)
    over_all = agreement(parts[0] + parts[1], validation.mos_N).plcc
    each = [agreement(part[rank::2], validation.mos_N[rank::2]).plcc for rank, part in enumerate(parts)]
    assert over_all == pytest.approx(agreement(alone, validation.mos_N).plcc, abs=1e-4)
    assert abs(np.mean(each) - over_all) > 0.01


def test_constant_predictions_have_no_plcc_and_never_count_as_better():
    started, _ = fit()
    next(started.epochs())
    torch.nn.init.zeros_(started.model.head_output.weight)
    torch.nn.init.zeros_(started.model.head_output.bias)
    scores = started.scores(started.validation)
    assert np.ptp(scores) == 0
    assert agreement(scores, started.validation.mos_N).plcc is None
    assert not started._is_best(None)
