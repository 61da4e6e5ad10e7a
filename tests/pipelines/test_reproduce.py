from contextlib import nullcontext
from functools import partial

import pytest

from halfiqa_ray.config import parse
from halfiqa_ray.pipelines import reproduce

READ = partial(parse, "reproduce.py", "", ["reproduce"])


def test_flags_win_over_every_file():
    arguments = ["--config", "a.yaml", "--seed", "3", "--config=b.yaml", "--strict"]
    assert reproduce.laid_over(arguments, ["c.yaml", "d.yaml"]) == [
        *("--config", "a.yaml", "--config=b.yaml", "--config", "c.yaml", "--config", "d.yaml"),
        *("--seed", "3", "--strict"),
    ]


@pytest.mark.parametrize("name", ["made_up", "paper"])
def test_stages_run_in_order_for_every_data_set_and_model(name, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(reproduce, "ray_session", lambda settings: nullcontext())
    for stage in ("prepare", "train", "rank", "explain", "report"):
        module = getattr(reproduce, stage)
        monkeypatch.setattr(
            module,
            "run",
            lambda s, *_, stage=stage: ran.append((stage, s.data.dataset, s.model.name, s.model.output)) or 0,
        )
    code = reproduce.run(READ, ["--config", f"configs/experiments/{name}.yaml", "--seed", "5"])
    assert code == 0
    models = ["triq", "aihiqnet", "koncept", "dbcnn", "swin_iqa"]
    datasets = [dataset for stage, dataset, *_ in ran if stage == "prepare"]
    assert datasets == {"made_up": ["koniq10k-demo", "spaq-demo"], "paper": ["koniq10k", "spaq"]}[name]
    trained = [(dataset, model) for stage, dataset, model, _ in ran if stage == "train"]
    expected = [(dataset, model) for dataset in datasets for model in models]
    assert (trained if name == "paper" else sorted(trained)) == (expected if name == "paper" else sorted(expected))
    assert [(stage, dataset, model) for stage, dataset, model, _ in ran if stage != "train"] == [
        *(("prepare", dataset, "triq") for dataset in datasets),
        *((stage, dataset, "triq") for dataset in datasets for stage in ("rank", "explain")),
        ("report", datasets[-1], "triq"),
    ]
    assert {stage for stage, *_ in ran[2:12]} == {"train"}
    if name == "paper":
        assert [output for _, dataset, model, output in ran if model == "aihiqnet"] == ["levels", "score"]
    assert capsys.readouterr().out.count("rank, measure, zero, tables") == 4


def test_an_experiment_without_models_is_told(tmp_path):
    with pytest.raises(ValueError, match="names no data set, or one without models"):
        reproduce.run(READ, [])
