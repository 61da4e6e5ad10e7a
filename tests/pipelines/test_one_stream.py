"""Rank, measure and zero in one stream over Ray, apart from each other, resumed, and for more than before."""

import json
import shutil

import pyarrow as pa
import pytest

from halfiqa_ray import schema, storage
from halfiqa_ray.data.manifest import folder, sample
from halfiqa_ray.pipelines import measure, photo_stream, rank, zero
from tests.pipelines.small_data import BAD, PHOTOS, TRAIN, everything, settings_of

RANKINGS = {
    *("level_plcc", "score_change", "averaged_boundary_connectivity"),
    *("control_random", "control_centre", "control_other"),
}


def last_record(output, job):
    return json.loads(storage.read_bytes(storage.list_files(str(output / "runs"), ".json")[-1])) | {"job": job}


def test_every_output_has_its_rows(together):
    found = everything(together)
    [[_, ranked]] = found["rank"].items()
    assert {row["image_id"] for row in ranked} == {f"{i}.png" for i in range(PHOTOS)} - {BAD}
    [[_, measured]] = found["measures"].items()
    assert len(measured) == 6 * (PHOTOS - 1)
    assert sorted(run.split("/")[2] for run in found["zeroed"]) == ["model=koncept", "model=triq"]
    tested = {f"{i}.png" for i in range(TRAIN, PHOTOS)} - {BAD}
    for run, rows in found["zeroed"].items():
        assert len(rows) == len(tested) * (1 + 2 * len(RANKINGS))
        for image_id in tested:
            mine = [row for row in rows if row["image_id"] == image_id]
            assert {row["ranking"] for row in mine} == RANKINGS | {None}
            halves = {(row["ranking"], row["zeroed_half"]): row["zeroed_blocks"] for row in mine}
            own = next(row for row in ranked if row["image_id"] == image_id)
            for rule in ("level_plcc", "score_change"):
                assert halves[rule, "important"] == own[f"important_{rule}"]
            assert all(halves[r, "important"] ^ halves[r, "trivial"] == 63 for r in RANKINGS)
            others = [row["important_level_plcc"] for row in ranked if row["image_id"] in tested - {image_id}]
            assert halves["control_other", "important"] in others
        about = schema.metadata(storage.read_schema(storage.list_files(str(together / run), ".parquet")[0]))
        assert about["rank_key"][:8] in next(iter(found["rank"]))
        assert about["measure_key"][:8] in next(iter(found["measures"]))
        assert about["run_key"][:8] in run
        assert f"model={about['model']}" in run
        assert about["synthetic"] is True
    facts = last_record(together, "rank")
    assert facts["counts"] == {"in": PHOTOS, "out": PHOTOS - 1, "failed": 1}
    # One backbone pass a photo; of the test photos and each model 1 + 2 x 5 (the sixth ranking comes after).
    planned = facts["planned"]
    assert planned["forward_passes"] == PHOTOS + (PHOTOS - TRAIN) * 2 * 11
    assert (planned["photos"], planned["models"], planned["rankings"]) == (PHOTOS, 2, 6)


@pytest.mark.slow
def test_one_part_at_a_time_gives_the_same_rows(cluster, fresh, together, tmp_path, capsys, monkeypatch):
    """Bitwise, under the same keys; here the second pass is by actors, there it was in the job's own process."""
    monkeypatch.setattr(photo_stream, "PASSES_HERE", 0)
    apart = tmp_path / "apart"
    shutil.copytree(fresh, apart)
    alone = {"rank": {"measure": False, "zero": False}}
    with pytest.raises(ValueError, match=r"run jobs/rank\.py"):
        zero.run(settings_of(apart))
    assert rank.run(settings_of(apart, **alone)) == 0
    assert not storage.exists(str(apart / "measures"))
    assert not storage.exists(str(apart / "zeroed"))
    assert measure.run(settings_of(apart)) == 0
    capsys.readouterr()
    assert zero.run(settings_of(apart)) == 0
    said = capsys.readouterr().out
    assert "2 models (koncept, triq), 5 rankings" in said
    assert f"{(PHOTOS - TRAIN - 1) * 2 * 11} forward passes at most" in said
    assert "second pass" in said
    assert everything(apart) == everything(together)

    # More rankings, and single blocks of some: only those are predicted, and what was there stays.
    more = {"rankings": ["shapley", "saliency", "image_plcc"], "single_block_images": 3}
    assert zero.run(settings_of(apart, zero=more)) == 0
    tested = [f"{i}.png" for i in range(TRAIN, PHOTOS)]
    singles = set(sample(tested, 3, settings_of(apart).seed, "single blocks")) - {BAD}
    before, after = everything(together)["zeroed"], everything(apart)["zeroed"]
    for run, rows in after.items():
        assert [row for row in rows if row["ranking"] in RANKINGS | {None}] == before[run]
        counts = {r: sum(row["ranking"] == r for row in rows) for r in (*more["rankings"], "single_block")}
        assert counts == {"shapley": 16, "saliency": 16, "image_plcc": 16, "single_block": 6 * len(singles)}
        assert len({row["zeroed_blocks"] for row in rows if row["ranking"] == "image_plcc"}) == 2


def test_measures_on_the_models_device_are_those_of_the_cpu(cluster, fresh, together, tmp_path, capsys):
    """By actors, under the same key: equal but for rounding, with the same halves."""
    output = tmp_path / "on_device"
    shutil.copytree(fresh, output)
    settings = settings_of(output, rank={"zero": False})
    compute = settings.compute.model_copy(update={"measures": "scoring"})
    assert rank.run(settings.model_copy(update={"compute": compute})) == 0
    assert "at every pixel on cpu, by torch" in capsys.readouterr().out
    assert last_record(output, "rank")["stages"]["finish_measures"]["photos"] == PHOTOS
    found, expected = everything(output), everything(together)
    assert found["rank"] == expected["rank"]
    [[run, rows]] = found["measures"].items()
    for row, of_cpu in zip(rows, expected["measures"][run], strict=True):
        assert row.pop("block_means") == pytest.approx(of_cpu["block_means"], rel=1e-4, abs=1e-5)
        assert row == {name: value for name, value in of_cpu.items() if name != "block_means"}


def test_a_run_that_was_stopped_anywhere_is_completed(cluster, together, tmp_path, capsys):
    """Images are missing from some outputs, as after a kill between two files: those rows come back, bit for bit."""
    output = tmp_path / "stopped"
    shutil.copytree(together, output)
    expected = everything(output)
    lost = {
        "rank": {"0.png", "4.png"},
        "measures": {"0.png", "1.png"},
        "model=koncept": {"5.png"},
        "model=triq": {"7.png"},
    }
    for file in storage.list_files(str(output), ".parquet", recursive=True):
        for part, ids in lost.items():
            if f"/{part}/" in file:
                rows = storage.read_table(file)
                keep = [i not in ids for i in rows["image_id"].to_pylist()]
                storage.write_table(file, rows.filter(pa.array(keep)))
    assert rank.run(settings_of(output)) == 0
    said = capsys.readouterr().out
    assert f"{PHOTOS - 6} finished before, 6 to score" in said  # 0, 1, 4, 5, 7 and the unreadable one
    assert "photos sampled" not in said  # the band means are stored
    assert everything(output) == expected
    assert last_record(output, "rank")["counts"] == {"in": PHOTOS, "out": PHOTOS - 1, "failed": 1}


@pytest.mark.slow
def test_a_mended_photo_is_done_on_the_next_run(cluster, together, tmp_path):
    """And the images whose partner it is get its half, as if it had never been broken."""
    output, photos = tmp_path / "mended", tmp_path / "photos"
    shutil.copytree(together, output)
    shutil.copytree(together.parent / "photos", photos)
    shutil.copy(photos / "8.png", photos / BAD)
    file = storage.join(folder(str(output), "small"), "manifest.parquet")
    rows = storage.read_table(file)
    uris = pa.array([str(photos / i) for i in rows["image_id"].to_pylist()])
    rows = rows.set_column(1, rows.schema.field("uri"), uris).replace_schema_metadata(rows.schema.metadata)
    storage.write_table(file, rows)
    assert rank.run(settings_of(output)) == 0
    undisturbed = tmp_path / "undisturbed"
    for name in ("manifest", "checkpoints"):
        shutil.copytree(output / name, undisturbed / name)
    shutil.copytree(output / "measures", undisturbed / "measures", ignore=shutil.ignore_patterns("*.parquet"))
    assert rank.run(settings_of(undisturbed)) == 0
    found = everything(output)
    assert found == everything(undisturbed)
    assert all(len(rows) == (PHOTOS - TRAIN) * 13 for rows in found["zeroed"].values())
    assert storage.list_files(str(output / "errors"), ".parquet", recursive=True) == []
