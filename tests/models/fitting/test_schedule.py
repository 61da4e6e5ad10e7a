import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfiqa_ray.config import StageSettings, TrainSettings
from halfiqa_ray.models.fitting.schedule import Stage, batches, flipped, learning_rate, stages


def test_the_papers_two_stages_are_the_defaults():
    first, second = stages(TrainSettings())
    shared = {"epochs": 120, "warmup_epochs": 10, "optimiser": "adam", "weight_decay": 0, "decay": "cosine"}
    assert first == Stage("main", StageSettings(learning_rate=5e-5, hold_epochs=30, **shared))
    assert second == Stage("finetune", StageSettings(learning_rate=1e-6, hold_epochs=10, **shared))
    assert len(stages(TrainSettings(finetune=StageSettings(epochs=0)))) == 1


def test_a_stage_shorter_than_its_warmup_is_refused():
    with pytest.raises(ValueError, match=r"train\.finetune\.warmup_epochs 10 .* train\.finetune\.epochs 15"):
        stages(TrainSettings(finetune=StageSettings(epochs=15)))
    assert stages(TrainSettings(finetune=StageSettings(epochs=15, decay="none")))


def test_warms_up_holds_and_decays():
    stage = StageSettings(epochs=10, learning_rate=2, warmup_epochs=2, hold_epochs=3)
    rates = np.array([learning_rate(stage, step, 4) for step in range(40)])
    np.testing.assert_allclose(rates[:8], 2 * np.arange(1, 9) / 8)
    assert (rates[8:21] == 2).all()
    angle = np.pi * np.arange(0, 20) / 20
    np.testing.assert_allclose(rates[20:], 1 + np.cos(angle))
    assert rates.min() > 0
    steady = stage.model_copy(update={"decay": "none"})
    assert [learning_rate(steady, step, 4) for step in range(40)] == [*rates[:8], *[2.0] * 32]


@given(st.integers(1, 30), st.integers(1, 9), st.floats(0, 1), st.floats(0, 1))
def test_the_rate_is_positive_never_above_the_highest_and_falls_after_the_hold(epochs, steps, a, b):
    warmup, hold = epochs * a / 2, epochs * b / 2
    stage = StageSettings(epochs=epochs, learning_rate=1, warmup_epochs=warmup, hold_epochs=hold)
    rates = np.array([learning_rate(stage, step, steps) for step in range(epochs * steps)])
    assert (rates > 0).all()
    assert rates.max() <= 1
    peak = int(rates.argmax())
    assert (np.diff(rates[:peak]) >= 0).all()
    assert (np.diff(rates[peak:]) <= 0).all()


@given(
    images=st.integers(1, 60),
    size=st.integers(1, 12),
    world=st.integers(1, 4),
    seed=st.integers(0, 9),
    epoch=st.integers(0, 9),
)
def test_workers_share_every_step_of_one_permutation(images, size, world, seed, epoch):
    step = min(images, size)
    if step % world:
        with pytest.raises(ValueError, match="cannot be shared evenly"):
            batches(seed, epoch, images, size, 0, world)
        return
    shares = [batches(seed, epoch, images, size, rank, world) for rank in range(world)]
    alone = batches(seed, epoch, images, size, 0, 1)
    for number, together in enumerate(np.concatenate(shares, 1)):
        assert sorted(together) == sorted(alone[number])
    assert len(set(alone.ravel())) == alone.size == images // step * step


def test_order_and_flips_follow_seed_epoch_and_image_only():
    first = batches(1, 0, 40, 8, 0, 1)
    assert np.array_equal(first, batches(1, 0, 40, 8, 0, 1))
    assert not np.array_equal(first, batches(1, 1, 40, 8, 0, 1))
    assert not np.array_equal(first, batches(2, 0, 40, 8, 0, 1))
    names = [f"{number}.jpg" for number in range(1000)]
    mirrored = flipped(1, 0, names)
    assert np.array_equal(mirrored[::-1], flipped(1, 0, names[::-1]))
    assert 430 < mirrored.sum() < 570
    assert 400 < (mirrored != flipped(1, 1, names)).sum() < 600
