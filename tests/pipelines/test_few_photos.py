"""Few photos are worked on in the job's own process: the same rows, sooner than actors would have started."""

import shutil

import pytest

from halfiqa_ray import storage
from halfiqa_ray.config import ComputeSettings
from halfiqa_ray.pipelines import photo_stream, rank
from halfiqa_ray.pipelines.photo_stream import Stream, is_soon_here
from halfiqa_ray.runtime.resources import Scorers
from halfiqa_ray.stages.parts import marks_uri
from tests.pipelines.small_data import BAD, PHOTOS, everything, settings_of

HERE = "few: in the job's own process on cpu, 2 photos at once, 1 torch thread each"
ON_CPU = Scorers(actors=2, first=2, device="cpu", cpus=1, gpus=0, threads=1, batch_size=1)


def few(output, **sections):
    """The settings of the other runs, but that nobody asks for actors."""
    settings = settings_of(output, **sections)
    return settings.model_copy(update={"compute": ComputeSettings(device="cpu", threads=1)})


@pytest.fixture
def output(fresh, tmp_path):
    shutil.copytree(fresh, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def no_stream(monkeypatch):
    def parts(self, todo, counter):
        raise AssertionError("Ray Data was asked for few photos")

    monkeypatch.setattr(photo_stream, "PASSES_HERE", 10_000)
    monkeypatch.setattr(Stream, "parts", parts)


def test_both_passes_in_this_process_give_the_rows_of_actors_and_of_a_stop(
    cluster, output, together, no_stream, capsys
):
    """Bitwise, under the same keys; what is there is not computed again, and one bad photo is an error."""
    measured = storage.list_files(str(together / "measures"), ".json", recursive=True)
    for file in measured:  # the band means, which both take
        (output / file[len(str(together)) + 1 :]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, output / file[len(str(together)) + 1 :])
    assert rank.run(few(output)) == 0
    said = capsys.readouterr().out
    assert HERE in said
    assert f"photos scored: {PHOTOS} of {PHOTOS}" in said
    assert "1 photos failed" in said
    assert everything(output) == everything(together)
    [errors] = storage.list_files(str(output / "errors"), ".parquet", recursive=True)
    assert storage.read_table(errors)["image_id"].to_pylist() == [BAD]

    for table in ("rank", "zeroed"):  # as after a stop
        [first, *_] = storage.list_files(str(output / table), ".parquet", recursive=True)
        rows = storage.read_table(first)
        storage.write_table(first, rows.slice(rows.num_rows // 2))
    assert rank.run(few(output)) == 0
    said = capsys.readouterr().out
    assert f"{PHOTOS} images, 0 finished before" not in said
    assert HERE in said
    assert everything(output) == everything(together)


class Actors(Exception):
    """Ray Data was asked."""


def test_where_a_photo_may_end_the_process_actors_work_on_them(cluster, output, monkeypatch, capsys):
    """A job that was killed, photos at their own size, decoding without bounds, more photos than few, or on wish."""

    def parts(self, todo, counter):
        raise Actors

    monkeypatch.setattr(Stream, "parts", parts)
    monkeypatch.setattr(photo_stream, "PASSES_HERE", 10_000)
    alone = {"measure": False, "zero": False}
    unbounded = {"data": {"dataset": "small", "decode_seconds": 0}}
    for settings in (
        few(output, rank=alone | {"native": True}),
        few(output, rank=alone).model_copy(update={"data": few(output).data.model_copy(update=unbounded["data"])}),
        settings_of(output, rank=alone),
    ):
        with pytest.raises(Actors):
            rank.run(settings)
        assert "scoring actor" in capsys.readouterr().out

    settings = few(output, rank=alone)
    plan = rank.make_plan(settings)
    mark = storage.join(marks_uri(plan.errors, "score"), "0.json")
    storage.write_json(mark, {"deaths": 1, "image_ids": ["0.png"]})
    with pytest.raises(Actors):
        rank.run(settings)
    assert "scoring actor" in capsys.readouterr().out


def test_how_many_are_few():
    assert is_soon_here(ON_CPU, 10, 120)
    assert not is_soon_here(ON_CPU, 10, 1000)
    assert not is_soon_here(ON_CPU, 100_000, 100)  # which are only measured, but for some
    assert not is_soon_here(ON_CPU, 10, 0)  # nothing for the networks: tasks do it
    assert not is_soon_here(Scorers(1, 1, "cuda", 1, 1, 0, 16), 10, 120)
