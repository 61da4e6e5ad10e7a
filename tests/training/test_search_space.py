"""Search spaces: what is refused before anything starts, and what is drawn."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from halfiqa_ray.config import Settings, TuneSettings, parse
from halfiqa_ray.training.search_space import (
    SearchSpaceError,
    _combination,
    check_space,
    draw_trials,
    value_of,
    with_values,
)
from tests.models.small import KONIQ, model_settings, train_settings

ROOT = Path(__file__).parents[2]
RATE, HEADS = "train.main.learning_rate", "model.triq.heads"


def settings_with(space, seed=1, **tune):
    return Settings(seed=seed, model=model_settings(), train=train_settings(), tune=TuneSettings(space=space, **tune))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "tune.space is empty"),
        ({"train.main.learningrate": {"choice": [1]}}, f"no?t a setting .*did you mean {RATE}"),
        ({"seed": {"choice": [1]}}, "seed is not a setting of the model"),
        ({"train.run": {"choice": ["a"]}}, "train.run is not a setting"),
        ({"train.workers": {"choice": [1]}}, "train.workers is not a setting"),
        ({"model.name": {"choice": ["triq"]}}, "model.name is not a setting"),
        ({"train.main": {"choice": [1]}}, "train.main is not a setting"),
        ({"model.options": {"choice": [{}]}}, "model.options is not a setting"),
        ({"model.options.a.b": {"choice": [1]}}, "model.options.a.b is not a setting"),
        ({RATE: {"normal": [0, 1]}}, "needs one of choice, uniform, log_uniform, integer, got normal"),
        ({RATE: {"choice": [1], "uniform": [0, 1]}}, "needs one of"),
        ({RATE: {}}, "needs one of"),
        ({RATE: {"choice": []}}, "nothing to choose"),
        ({RATE: {"uniform": [1e-3]}}, "two numbers"),
        ({RATE: {"uniform": ["a", "b"]}}, "two numbers"),
        ({RATE: {"uniform": [True, 2]}}, "two numbers"),
        ({HEADS: {"integer": [1.5, 3]}}, "two whole numbers"),
        ({RATE: {"uniform": [2e-3, 1e-3]}}, "low below high"),
        ({RATE: {"log_uniform": [0, 1e-3]}}, "low above 0 below high"),
        ({RATE: {"uniform": [1e-3, float("inf")]}}, "low below high"),
        ({RATE: {"uniform": [0, 1e-3]}}, f"{RATE} cannot be 0: Input should be greater than 0"),
        ({RATE: {"choice": [1e-3, -1]}}, f"{RATE} cannot be -1"),
        ({"train.main.decay": {"choice": ["cosine", "step"]}}, "train.main.decay cannot be step"),
        ({HEADS: {"uniform": [1, 3]}}, f"{HEADS} cannot be .*: Input should be a valid integer"),
    ],
)
def test_what_cannot_be_searched_is_refused_by_name(space, message):
    with pytest.raises(SearchSpaceError, match=message):
        check_space(settings_with(space))


def test_settings_of_ones_own_model_may_be_searched():
    settings = settings_with({"model.options.share": {"uniform": [0, 1]}, "model.backbone.options.x": {"choice": [1]}})
    check_space(settings)
    assert with_values(settings, {"model.options.share": 0.5}).model.options == {"share": 0.5}


def test_values_replace_settings_by_name_and_nothing_else():
    settings = settings_with({RATE: {"choice": [1]}})
    changed = with_values(settings, {RATE: 0.5, "model.koncept.dropout": [0.1, 0.2, 0.3]})
    assert value_of(changed, RATE) == 0.5
    assert value_of(changed, "model.koncept.dropout") == (0.1, 0.2, 0.3)
    assert with_values(changed, {RATE: 1e-3, "model.koncept.dropout": (0.25, 0.25, 0.5)}) == settings
    with pytest.raises(ValidationError):
        with_values(settings, {RATE: -1})


@given(
    kind=st.sampled_from(["uniform", "log_uniform"]),
    ends=st.tuples(st.floats(1e-9, 1e3), st.floats(1e-9, 1e3)).filter(lambda ends: ends[0] < ends[1]),
    seed=st.integers(0, 99),
)
def test_draws_lie_between_the_ends_and_are_short(kind, ends, seed):
    (value,) = _combination(settings_with({RATE: {kind: list(ends)}}, seed=seed), 1, 0).values()
    assert ends[0] <= value <= ends[1]
    assert value in ends or value == float(f"{value:.3g}")


def test_kinds_draw_as_they_say():
    space = {
        "a": {"log_uniform": [1e-6, 1]},
        "b": {"uniform": [0, 1]},
        "c": {"integer": [1, 3]},
        "d": {"choice": "xyz"},
    }
    settings = settings_with({})
    settings = settings.model_copy(update={"tune": settings.tune.model_copy(update={"space": space})})
    drawn = [_combination(settings, number, 0) for number in range(600)]
    # The middle of the logarithms, or of the numbers: binomial with 600 tries, 4 deviations wide.
    assert abs(sum(one["a"] < 1e-3 for one in drawn) - 300) < 50
    assert abs(sum(one["b"] < 0.5 for one in drawn) - 300) < 50
    for name, values in (("c", {1, 2, 3}), ("d", {"x", "y", "z"})):
        assert {one[name] for one in drawn} == values
        assert all(abs(sum(one[name] == value for one in drawn) - 200) < 50 for value in values)


def test_trials_are_different_take_what_the_model_takes_and_depend_on_the_seed_alone():
    space = {RATE: {"log_uniform": [1e-5, 1e-2]}, HEADS: {"choice": [2, 3]}, "model.triq.width": {"choice": [8, 9]}}
    trials, refused = draw_trials(settings_with(space, trials=12), KONIQ)
    assert [trial.number for trial in trials] == list(range(1, 13))
    assert {(trial.values[HEADS], trial.values["model.triq.width"]) for trial in trials} == {(2, 8), (3, 9)}
    assert refused
    assert all("is not divisible by triq.heads" in reason for reason in refused)
    assert draw_trials(settings_with(space, trials=12), KONIQ) == (trials, refused)
    assert draw_trials(settings_with(space, trials=5), KONIQ)[0] == trials[:5]
    assert draw_trials(settings_with(space, trials=12, seed=2), KONIQ)[0] != trials
    # Another searched setting leaves the rates as they were, where nothing is refused.
    free = {RATE: space[RATE]}
    more = {**free, "train.main.weight_decay": {"uniform": [0, 1]}}
    rates = [[t.values[RATE] for t in draw_trials(settings_with(s, trials=4), KONIQ)[0]] for s in (free, more)]
    assert rates[0] == rates[1]


def test_schedules_that_do_not_fit_are_drawn_again():
    space = {"train.main.warmup_epochs": {"choice": [0, 1, 2, 50]}}
    trials, refused = draw_trials(settings_with(space, trials=3), KONIQ)
    assert {trial.values["train.main.warmup_epochs"] for trial in trials} == {0, 1, 2}
    assert all("do not fit into train.main.epochs 3" in reason for reason in refused)


def test_a_space_without_enough_combinations_is_told():
    with pytest.raises(SearchSpaceError, match=r"trial 3 of 3: .*drawn before .*lower tune.trials"):
        draw_trials(settings_with({RATE: {"choice": [1e-3, 2e-3]}}, trials=3), KONIQ)
    with pytest.raises(SearchSpaceError, match=r"the last \(model.triq.heads 3: .*not divisible"):
        draw_trials(settings_with({HEADS: {"choice": [3]}}, trials=1), KONIQ)


@pytest.mark.parametrize(
    ("space", "models"), [("triq", ["triq"]), ("recipe", ["triq", "aihiqnet", "koncept", "swin_iqa"])]
)
def test_the_spaces_that_are_there_read_and_say_how_to_use_them(space, models):
    path = ROOT / "configs" / "tune" / f"{space}.yaml"
    for model in models:
        files = ["--config", str(ROOT / "configs" / "models" / f"{model}.yaml"), "--config", str(path)]
        settings = parse("tune.py", "", ["tune"], files)
        check_space(settings)
        assert settings.tune.name == space
        assert all(with_values(settings, _combination(settings, number, 0)) for number in range(9))
        # What the model's own config says lies inside of the space.
        for name, ways in settings.tune.space.items():
            ((kind, options),) = ways.items()
            value = value_of(settings, name)
            inside = value in options if kind == "choice" else options[0] <= value <= options[1]
            assert inside, (model, name)
    for word in ("Command:", "Hardware:", "Expected:", f"configs/tune/{space}.yaml"):
        assert word in path.read_text()
