"""A photo that kills the process that scores it: one row of the errors table, and all other photos are scored."""

import dataclasses
import json
import os
import shutil
import signal

import pyarrow as pa
import pytest

from halfiqa_ray import storage
from halfiqa_ray.data import manifest
from halfiqa_ray.models.checkpoints import CheckpointError, load_checkpoint, read_record, save_checkpoint
from halfiqa_ray.pipelines import photo_stream, rank
from halfiqa_ray.pipelines.photo_stream import ScoringActor
from halfiqa_ray.stages.watched import KILLED, TRIES
from halfiqa_ray.tables.stored.reading import read_run
from tests.pipelines.test_rank import BAD, made, output, settings_of  # noqa: F401  (fixtures)

POISON = "9.png"


class Poisoned:
    """Kills its process, as the system does that has no more memory, at one photo."""

    def __init__(self, stage, deaths):
        self.stage, self.deaths = stage, deaths

    def __call__(self, rows):
        alive = [row["image_id"] for row in rows.select(["image_id", "error"]).to_pylist() if not row["error"]]
        if POISON in alive:
            with open(self.deaths, "a") as file:  # noqa: PTH123
                file.write(json.dumps(alive) + "\n")
            os.kill(os.getpid(), signal.SIGKILL)
        return self.stage(rows)


class PoisonedActor(ScoringActor):
    def __init__(self, stage, counter, watch):
        super().__init__(stage, counter, watch)
        deaths = os.path.join(os.path.dirname(stage["subsets"]), "deaths")  # noqa: PTH118, PTH120
        self.stage = dataclasses.replace(self.stage, stage=Poisoned(self.stage.stage, deaths))


@pytest.mark.slow
def test_a_photo_that_kills_its_actor_is_an_error_and_the_rest_is_scored(
    cluster,
    made,  # noqa: F811
    output,  # noqa: F811
    monkeypatch,
    capsys,
):
    _, checkpoint, rows = made
    # Four blocks of five photos: a smaller last one would be put before another, whose last photo is alone then.
    rows = rows.slice(0, 20)
    file = storage.join(manifest.folder(str(output), "small"), manifest.FILE_NAME)
    storage.write_table(file, storage.read_table(file).slice(0, rows.num_rows))
    deaths = storage.join(checkpoint.rsplit("/", 1)[0], "deaths")
    settings = settings_of(output, checkpoint)
    compute = settings.compute.model_copy(update={"actors": 1})  # blocks of several photos
    settings = settings.model_copy(update={"compute": compute})
    with monkeypatch.context() as poisoned:
        poisoned.setattr(photo_stream, "ScoringActor", PoisonedActor)
        assert rank.run(settings) == 0
    said = capsys.readouterr().out
    assert "3 photos failed" in said
    assert f"1 {KILLED}" in said
    blocks = [json.loads(line) for line in storage.read_bytes(deaths).decode().splitlines()]
    assert len(blocks[0]) > 1
    assert blocks[1:] == [[POISON]] * TRIES
    scored = set(read_run(str(output), "small")["image_id"].to_pylist())
    assert scored == set(rows["image_id"].to_pylist()) - {*BAD, POISON}
    [errors] = storage.list_files(str(output / "errors"), ".parquet", recursive=True)
    found = {row["image_id"]: row for row in storage.read_table(errors).to_pylist()}
    assert set(found) == {*BAD, POISON}
    assert f"{POISON}: {TRIES} processes ended" in found[POISON]["message"]

    # With what killed it gone, the next run scores it, and no mark is left.
    assert rank.run(settings) == 0
    assert "2 photos failed" in capsys.readouterr().out
    assert not list(output.rglob("_working"))
    assert pa.compute.sum(read_run(str(output), "small", columns=["image_id", "score"])["score"]).is_valid
    assert read_run(str(output), "small").num_rows == rows.num_rows - len(BAD)


class ReplacingActor(ScoringActor):
    """At its first photos it puts another checkpoint in the place of its own, and dies."""

    def __init__(self, stage, counter, watch):
        super().__init__(stage, counter, watch)
        self.checkpoint = stage["subsets"]

    def __call__(self, rows):
        model, record = load_checkpoint(self.checkpoint)
        next(model.parameters()).data += 1
        save_checkpoint(self.checkpoint, model, record)
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_checkpoint_that_is_replaced_while_the_job_runs_is_refused(
    cluster,
    made,  # noqa: F811
    output,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    checkpoint = shutil.copytree(made[1], tmp_path / "checkpoint")
    before = read_record(str(checkpoint)).weights_sha256
    monkeypatch.setattr(photo_stream, "ScoringActor", ReplacingActor)
    with pytest.raises(CheckpointError, match=r"model\.safetensors was replaced while the job ran") as caught:
        rank.run(settings_of(output, str(checkpoint)))
    after = read_record(str(checkpoint)).weights_sha256
    assert before != after
    assert before in str(caught.value)
    assert after in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not storage.list_files(str(output / "rank"), ".parquet", recursive=True)
