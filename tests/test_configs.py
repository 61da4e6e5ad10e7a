"""Every configuration is one that the jobs take, and says how to use it."""

from pathlib import Path

import pytest

from halfiqa_ray.config import parse
from halfiqa_ray.models.build import model_names
from halfiqa_ray.models.fitting.schedule import stages

CONFIGS = Path(__file__).parents[1] / "configs"
MODELS = ("aihiqnet", "dbcnn", "koncept", "swin_iqa", "triq")


def read(*names):
    files = [word for name in names for word in ("--config", str(CONFIGS / name))]
    return parse("train.py", "", ["model", "train"], files)


def test_there_are_five_models():
    assert tuple(model_names()) == MODELS


@pytest.mark.parametrize("data", ["koniq10k", "spaq"])
@pytest.mark.parametrize("model", MODELS)
def test_full_recipes(model, data):
    settings = read(f"data/{data}.yaml", f"models/{model}.yaml")
    assert settings.model.name == model
    assert settings.data.dataset == data
    assert [stage.name for stage in stages(settings.train)] == ["main", "finetune"]
    assert settings.train.flip
    text = (CONFIGS / f"models/{model}.yaml").read_text()
    for word in ("Command:", "Hardware:", "Expected:"):
        assert word in text, word


@pytest.mark.parametrize(("rows", "columns", "fits"), [(1, 1, False), (1, 2, True), (4, 4, True), (3, 6, False)])
def test_a_grid_has_halves_and_not_too_many_subsets(capsys, rows, columns, fits):
    flags = ["--rank.grid.rows", str(rows), "--rank.grid.columns", str(columns)]
    if fits:
        assert parse("rank.py", "", ["rank"], flags).rank.grid.columns == columns
        return
    with pytest.raises(SystemExit) as refused:
        parse("rank.py", "", ["rank"], flags)
    assert refused.value.code == 2
    assert f"a grid of {rows} x {columns} has {rows * columns} blocks" in capsys.readouterr().err


def test_aihiqnet_predicts_one_score_on_spaq():
    settings = read("data/spaq.yaml", "models/aihiqnet.yaml", "models/aihiqnet_spaq.yaml")
    assert (settings.model.name, settings.model.output) == ("aihiqnet", "score")
    assert settings.train.main.epochs == 100


@pytest.mark.parametrize("model", [m for m in MODELS if m != "triq"])
def test_small_recipes_take_the_demo_data(model):
    settings = read("made_up/koniq10k.yaml", f"made_up/{model}.yaml")
    assert settings.model.name == model
    assert settings.data == read("made_up/koniq10k.yaml").data
    assert sum(stage.settings.epochs for stage in stages(settings.train)) <= 10


def test_the_published_recipes_stages():
    """Facts of the authors' code, listed in each file's header."""
    dbcnn, koncept = read("models/dbcnn.yaml").train, read("models/koncept.yaml").train
    assert (dbcnn.main.trains, dbcnn.main.optimiser, dbcnn.main.learning_rate) == ("output_layer", "sgd", 1e-3)
    assert (dbcnn.finetune.trains, dbcnn.finetune.optimiser, dbcnn.finetune.learning_rate) == ("all", "adam", 1e-5)
    assert (koncept.main.epochs, koncept.finetune.epochs, koncept.batch_size) == (40, 20, 16)
    triq = read("models/triq.yaml").train
    assert (triq.main.epochs, triq.finetune.learning_rate, triq.patience) == (120, 1e-6, 40)


@pytest.mark.parametrize("model", MODELS)
def test_recipes_for_biq2021(model):
    settings = read("data/biq2021.yaml", f"models/biq2021/{model}.yaml")
    assert settings.model.name == model
    assert (settings.data.dataset, settings.data.layout) == ("biq2021", "biq2021")
    assert stages(settings.train)
    text = (CONFIGS / f"models/biq2021/{model}.yaml").read_text()
    for word in ("Command:", "Hardware:", "Expected:"):
        assert word in text, word
