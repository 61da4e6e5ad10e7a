"""A model that is not ours through rank, zero and explain over Ray, named by a file."""

import shutil

import pytest

from halfiqa_ray import schema, storage
from halfiqa_ray.models.outside import OutsideError
from halfiqa_ray.pipelines import explain, rank, zero
from halfiqa_ray.pipelines.plans.checkpoints import find_checkpoints
from halfiqa_ray.pipelines.plans.run import make_plan
from halfiqa_ray.stages.outputs import EXPLAIN_KEY
from tests.models.outside.factories import HERE, outside
from tests.pipelines.small_data import BAD, PHOTOS, TRAIN, everything, settings_of, stored

TESTED = {f"{i}.png" for i in range(TRAIN, PHOTOS)} - {BAD}


@pytest.fixture
def files(tmp_path):
    """Two settings files: a function, and a module with a layer."""
    function = f"{{name: bright, function: '{HERE}:brightness', scale: [0, 2]}}"
    module = f"{{name: small_net, factory: '{HERE}:small', layer: second}}"
    for name, text in (("bright", function), ("small_net", module)):
        (tmp_path / f"{name}.yaml").write_text(f"model: {{name: outside, height: 64, width: 96, outside: {text}}}\n")
    return [str(tmp_path / "bright.yaml"), str(tmp_path / "small_net.yaml")]


def test_it_takes_part_like_the_others(together, tmp_path, files, capsys):
    pytest.importorskip("captum")
    output = tmp_path / "out"
    shutil.copytree(together, output)
    sections = {
        "zero": {"models": ("triq", *files)},
        "explain": {"images": 3, "maps": 2, "models": ("triq", *files), "lime": {"segments": 8, "samples": 12}},
    }
    settings = settings_of(output, rank={"bootstrap": 20, "tables": True}, **sections)
    assert zero.run(settings) == 0
    runs = {run.split("model=")[1].split("/")[0]: rows for run, rows in everything(output)["zeroed"].items()}
    assert set(runs) == {"triq", "koncept", "bright", "small_net"}
    for name in ("bright", "small_net"):
        assert {row["image_id"] for row in runs[name]} == TESTED
        assert {row["ranking"] for row in runs[name]} == {row["ranking"] for row in runs["triq"]}
    [file] = storage.list_files(str(output / "zeroed" / "dataset=small" / "model=bright"), ".parquet", recursive=True)
    about = schema.metadata(storage.read_schema(file))
    assert about["mos_scale"] == {"low": 0, "high": 2}
    assert about["checkpoint"] == "outside:bright"
    assert about["outside"]["function"] == f"{HERE}:brightness"
    assert about["trained_on"] is None
    before = everything(output)
    assert zero.run(settings) == 0
    assert everything(output) == before  # nothing is predicted again
    assert rank.run(settings) == 0
    table = storage.read_table(storage.join(str(output), "tables", "table1.parquet")).to_pylist()
    assert {row["model"] for row in table if row["important"] is not None} >= {"bright", "small_net", "triq"}
    capsys.readouterr()
    assert explain.run(settings) == 0
    said = capsys.readouterr().out
    assert "bright: lime only; grad_cam needs model.outside.layer" in said
    methods = {
        run.split("model=")[1].split("/")[0]: {row["method"] for row in rows}
        for run, rows in stored(output, "explain", EXPLAIN_KEY).items()
    }
    assert methods == {"triq": {"grad_cam", "lime"}, "small_net": {"grad_cam", "lime"}, "bright": {"lime"}}


def test_models_are_told_apart_by_their_names(fresh, files, tmp_path):
    own = outside("column", name="bright")
    plan = make_plan(settings_of(fresh, rank={"checkpoint": str(fresh / "checkpoints/small/triq/default")}, model=own))
    assert [each.record.model.name for each in find_checkpoints(plan)] == ["bright", "koncept", "triq"]
    assert [each.uri for each in find_checkpoints(plan, ["outside"])] == ["outside:bright"]
    with pytest.raises(OutsideError, match="two models are called bright"):
        find_checkpoints(plan, ["outside", files[0]])
    with pytest.raises(ValueError, match=r"model.name is outside, and block subsets are scored with triq"):
        make_plan(settings_of(fresh, model=own))
