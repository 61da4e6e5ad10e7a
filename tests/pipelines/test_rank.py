"""The rank job over Ray, alone: rows, errors, resume, tables. (With all else in one stream: test_one_stream.)"""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest

from halfiqa_ray import schema, storage
from halfiqa_ray.config import ComputeSettings, DataSettings, GridSettings, RankSettings, Settings
from halfiqa_ray.data.manifest import folder
from halfiqa_ray.pipelines import rank
from halfiqa_ray.stages.decode import Decode
from halfiqa_ray.stages.subsets import ScoreSubsets
from halfiqa_ray.tables.stored.reading import read_run, vectors
from tests.stages.test_subsets import write_checkpoint, write_photos

PHOTOS = 21
BAD = ("4.png", "17.png")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data set of small photos, two of them unreadable, its manifest, and a checkpoint."""
    root = tmp_path_factory.mktemp("rank")
    photos = root / "photos"
    photos.mkdir()
    rows = write_photos(photos, PHOTOS)
    for name in BAD:
        (photos / name).write_bytes(b"not a photo")
    rows = rows.set_column(4, "mos", pa.array(np.linspace(1, 5, PHOTOS)))
    columns = [rows[f.name] if f.name in rows.column_names else pa.nulls(PHOTOS, f.type) for f in schema.MANIFEST]
    scale = {"low": 1, "high": 5}
    about = {"dataset": "small", "layout": "koniq10k", "mos_scale": scale, "synthetic": True, "split_hash": "s"}
    table = pa.table(columns, schema=schema.with_metadata(schema.MANIFEST, about))
    output = root / "out"
    storage.write_table(storage.join(folder(str(output), "small"), "manifest.parquet"), table)
    return output, write_checkpoint(root / "checkpoint"), rows


def settings_of(output, checkpoint, **changes):
    return Settings(
        output=str(output),
        data=DataSettings(dataset="small", layout="koniq10k"),
        rank=RankSettings(
            checkpoint=checkpoint,
            grid=GridSettings(rows=2, columns=3),
            rows_per_file=4,
            bootstrap=50,
            measure=False,
            zero=False,
        ),
        compute=ComputeSettings(device="cpu", threads=1, actors=1),  # for few photos there would be none
        **changes,
    )


@pytest.fixture
def output(made, tmp_path):
    """A copy of the output folder with nothing but the manifest."""
    shutil.copytree(made[0], tmp_path / "out")
    return tmp_path / "out"


def part_rows(output):
    files = storage.list_files(str(output / "rank"), ".parquet", recursive=True)
    return [row for file in files for row in storage.read_table(file, ["image_id"])["image_id"].to_pylist()]


def test_every_photo_becomes_a_row_or_an_error(cluster, made, output, capsys):
    _, checkpoint, rows = made
    assert rank.run(settings_of(output, checkpoint)) == 0
    said = capsys.readouterr().out
    assert "2 photos failed" in said
    table = read_run(str(output), "small")
    assert set(table["image_id"].to_pylist()) == set(rows["image_id"].to_pylist()) - set(BAD)
    assert table.num_rows == PHOTOS - len(BAD)
    direct = ScoreSubsets(checkpoint, GridSettings(rows=2, columns=3), threads=1)(Decode(64, 96)(rows))
    direct = direct.filter(pa.array([e is None for e in direct["error"].to_pylist()])).sort_by("image_id")
    assert np.array_equal(vectors(table["subset_scores"]), vectors(direct["subset_scores"]))
    about = schema.metadata(storage.read_schema(storage.list_files(str(output / "rank"), ".parquet", True)[0]))
    assert about["dataset"] == "small"
    assert about["grid"] == {"rows": 2, "columns": 3}
    assert about["synthetic"] is True
    [errors] = storage.list_files(str(output / "errors"), ".parquet", recursive=True)
    assert storage.read_table(errors)["image_id"].to_pylist() == sorted(BAD)
    [record] = storage.list_files(str(output / "runs"), ".json")
    facts = json.loads(storage.read_bytes(record))
    assert facts["status"] == "finished"
    assert facts["counts"] == {"in": PHOTOS, "out": PHOTOS - len(BAD), "failed": len(BAD)}
    stages = {name: took["photos"] for name, took in facts["stages"].items()}
    assert stages == {"decode": PHOTOS, "score": PHOTOS, "subsets": PHOTOS, "write": PHOTOS}
    assert all(took["seconds"] > 0 for took in facts["stages"].values())
    assert storage.exists(str(output / "tables" / "section2.parquet"))

    # Again: nothing is scored twice.
    assert rank.run(settings_of(output, checkpoint)) == 0
    assert f"{PHOTOS - len(BAD)} finished before, {len(BAD)} to score" in capsys.readouterr().out
    assert sorted(part_rows(output)) == sorted(set(part_rows(output)))
    assert rank.run(settings_of(output, checkpoint, strict=True)) == 1


def test_a_run_goes_on_where_it_was(cluster, made, output, capsys):
    """Some images scored before, as after a kill: the rest is scored, no row is lost or doubled."""
    _, checkpoint, _ = made
    settings = settings_of(output, checkpoint)
    first = settings.model_copy(update={"rank": settings.rank.model_copy(update={"limit": 8})})
    assert rank.run(first) == 0
    before = part_rows(output)
    assert len(before) == 7
    assert rank.run(settings) == 0
    assert "7 finished before, 14 to score" in capsys.readouterr().out
    assert sorted(part_rows(output)) == sorted(set(part_rows(output)))
    assert len(part_rows(output)) == PHOTOS - len(BAD)


def test_another_grid_is_another_run(made):
    output, checkpoint, _ = made
    one = rank.make_plan(settings_of(output, checkpoint))
    other = settings_of(output, checkpoint)
    other = other.model_copy(update={"rank": other.rank.model_copy(update={"grid": GridSettings(rows=2, columns=2)})})
    assert rank.make_plan(other).key != one.key


def test_what_is_missing_is_named(made, tmp_path):
    output, checkpoint, _ = made
    with pytest.raises(ValueError, match=r"jobs/prepare\.py"):
        rank.make_plan(settings_of(tmp_path / "nothing", checkpoint))
    with pytest.raises(ValueError, match=r"jobs/train\.py"):
        rank.make_plan(settings_of(output, str(tmp_path / "no checkpoint")))


def test_unknown_split_lists_the_known(made):
    plan = rank.make_plan(settings_of(made[0], made[1]))
    with pytest.raises(ValueError, match="the manifest has test"):
        rank.chosen_rows(plan.manifest, RankSettings(splits=("tset",)))


def test_more_gpus_than_the_cluster_has_is_said_at_once(cluster, made, output):
    settings = settings_of(output, made[1])
    settings = settings.model_copy(update={"compute": ComputeSettings(device="cuda")})
    with pytest.raises(RuntimeError, match="the cluster has 0"):
        rank.run(settings)
