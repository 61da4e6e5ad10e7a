"""Checkpoints that cannot do what a job asks of them are told before it starts."""

import pytest

from halfiqa_ray import storage
from halfiqa_ray.config import DataSettings, GridSettings, RankSettings, Settings
from halfiqa_ray.models import shipped
from halfiqa_ray.models.checkpoints import WEIGHTS, CheckpointError, read_record
from halfiqa_ray.pipelines.plans.checkpoints import check_models, find_checkpoints
from halfiqa_ray.pipelines.plans.run import Plan
from halfiqa_ray.stages.keys import checkpoint_of, key_of_run
from tests.stages.test_subsets import write_checkpoint
from tests.stages.test_zeroing import write_koncept


def plan_of(checkpoint, rows, columns, native=False):
    rank = RankSettings(grid=GridSettings(rows=rows, columns=columns), native=native)
    settings = Settings(data=DataSettings(dataset="small"), rank=rank)
    return Plan(settings, checkpoint, read_record(checkpoint), None, "key")


def test_a_checkpoint_that_does_not_fit_is_told_before_any_photo(tmp_path):
    triq, koncept = write_checkpoint(tmp_path / "triq"), write_koncept(tmp_path / "koncept")
    check_models(plan_of(triq, 2, 3), [koncept])
    with pytest.raises(CheckpointError, match="as 2 x 3 tokens, which cannot be cut into 3 x 4 blocks"):
        check_models(plan_of(triq, 3, 4))
    check_models(plan_of(triq, 3, 4, native=True))  # hangs on each photo's size
    with pytest.raises(CheckpointError, match="holds koncept; block subsets are scored with triq"):
        check_models(plan_of(koncept, 2, 3))
    storage.delete(storage.join(koncept, WEIGHTS))
    with pytest.raises(CheckpointError, match=r"model.safetensors is missing"):
        check_models(plan_of(triq, 2, 3), [koncept])
    storage.write_bytes(storage.join(triq, WEIGHTS), b"damaged")
    with pytest.raises(CheckpointError, match="SHA-256"):
        check_models(plan_of(triq, 2, 3))
    check_models(plan_of(triq, 2, 3), ranks=False)


def test_models_that_come_with_the_package_go_by_their_names(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "files", lambda package: tmp_path)
    triq = write_checkpoint(tmp_path / "weights/people/triq")
    write_koncept(tmp_path / "weights/people/koncept")
    named = Settings(rank=RankSettings(checkpoint="people/triq"))
    assert checkpoint_of(named) == "people/triq"  # a name means the same on every node
    assert key_of_run(named, None) == key_of_run(Settings(), triq)
    found = find_checkpoints(plan_of(triq, 2, 3), ["people/koncept", "people/triq"])
    assert [each.uri for each in found] == ["people/koncept", "people/triq"]
