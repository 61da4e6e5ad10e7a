import csv
import io
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from halfiqa_ray import schema, storage
from halfiqa_ray.config import Settings
from halfiqa_ray.data import draft, splits
from halfiqa_ray.data.manifest import read_manifest
from halfiqa_ray.data.photos.images import Bounds, decode
from halfiqa_ray.data.problems import DataError
from halfiqa_ray.data.spatial_information import spatial_information
from halfiqa_ray.pipelines import prepare
from halfiqa_ray.stages.spatial_information import MEASURED, MeasureSpatialInformation
from tests.data.photo_files import jpeg, write_lines, write_photos

ROOT = Path(__file__).parents[2]


def koniq_rows(count):
    """Rows of KonIQ-10k's author list: names, vote counts, MOS."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(count):
        counts = rng.multinomial(100, rng.dirichlet(np.ones(5)))
        rows.append((f"{i:03d}.jpg", *counts.tolist(), counts @ np.arange(1, 6) / 100))
    return rows


def write_koniq(root, count, photo=jpeg):
    """A KonIQ-10k of ``count`` photos in a folder or bucket."""
    stream = io.StringIO()
    csv.writer(stream).writerows(koniq_rows(count))
    storage.write_text(f"{root}/koniq10k_images_scores.csv", stream.getvalue())
    for i in range(count):
        storage.write_bytes(f"{root}/512x384/{i:03d}.jpg", photo(i, contrast=5 + i))
    return str(root)


def settings(output, root, strict=False, seed=1, layout="koniq10k", **data):
    return Settings(
        output=str(output), strict=strict, seed=seed, data={"dataset": "d", "layout": layout, "root": str(root), **data}
    )


def kept(output):
    return storage.list_files(f"{output}/manifest/dataset=d/_spatial_information", ".parquet")


def errors(output):
    files = storage.list_files(f"{output}/errors/stage=prepare/dataset=d", ".parquet")
    return [row for file in files for row in storage.read_table(file).to_pylist()]


def test_the_stage_alone(tmp_path):
    root = write_photos(tmp_path, "a.jpg")
    (root / "b.jpg").write_bytes(jpeg()[:200])
    rows = [{"image_id": name, "uri": str(root / name), "bytes": 1, "modified": 2} for name in ("a.jpg", "b.jpg")]
    found = MeasureSpatialInformation(Bounds(10**6))(pa.Table.from_pylist(rows))
    assert found.schema.equals(MEASURED)
    good, bad = found.to_pylist()
    assert good["spatial_information"] == spatial_information(decode(jpeg(), 10**6))
    assert (good["width"], good["height"], good["error"]) == (16, 12, None)
    assert (bad["error"], bad["spatial_information"], bad["bytes"]) == ("broken_photo", None, 1)


def test_own_split_from_lists_to_manifest(tmp_path, cluster, capsys):
    root, output = write_koniq(tmp_path / "data", 60), tmp_path / "out"
    (tmp_path / "data" / "512x384" / "007.jpg").write_bytes(jpeg()[:300])
    assert prepare.run(settings(output, root)) == 0
    table = read_manifest(str(output), "d")
    assert table.num_rows == 59
    assert table.schema.equals(schema.MANIFEST)
    about = schema.metadata(table.schema)
    assert about["mos_scale"] == {"low": 1.0, "high": 5.0}
    assert about["synthetic"] is False
    assert "KonIQ-10k" in about["source_note"]
    rows = {row["image_id"]: row for row in table.to_pylist()}
    first = rows["512x384/000.jpg"]
    assert first["spatial_information"] == spatial_information(decode(jpeg(0, contrast=5), 10**6))
    assert (first["width"], first["height"], first["split_source"]) == (16, 12, "own")
    assert first["uri"] == f"{root}/512x384/000.jpg"
    assert Counter(row["split"] for row in rows.values())["train"] in (47, 48)
    assert about["split_hash"] == splits.split_hash({name: row["split"] for name, row in rows.items()})
    assert [(row["image_id"], row["error"]) for row in errors(output)] == [("512x384/007.jpg", "broken_photo")]
    assert "koniq10k_images_scores.csv, row 8: " in errors(output)[0]["message"]
    said = capsys.readouterr().out
    assert "1 broken_photo" in said
    assert "row 8" in said
    assert "Kolmogorov-Smirnov" in said
    assert len(kept(output)) == 1


def never(*_):
    raise AssertionError("no photo may be decoded here")


def test_a_second_run_decodes_nothing(tmp_path, cluster, capsys, monkeypatch):
    root, output = write_koniq(tmp_path / "data", 30), tmp_path / "out"
    assert prepare.run(settings(output, root)) == 0
    manifest = output / "manifest" / "dataset=d" / "manifest.parquet"
    before, stamp = manifest.read_bytes(), manifest.stat().st_mtime_ns
    monkeypatch.setattr("halfiqa_ray.pipelines.spatial_information._stream", never)
    capsys.readouterr()
    assert prepare.run(settings(output, root)) == 0
    assert "nothing has changed" in capsys.readouterr().out
    assert manifest.stat().st_mtime_ns == stamp
    # Another seed is another split of the same measurements.
    assert prepare.run(settings(output, root, seed=2)) == 0
    assert manifest.read_bytes() != before
    assert prepare.run(settings(output, root)) == 0
    assert read_manifest(str(output), "d").equals(pq.read_table(pa.BufferReader(before)))


def test_only_new_and_changed_photos_are_decoded(tmp_path, cluster, capsys):
    root, output = write_koniq(tmp_path / "data", 25), tmp_path / "out"
    missing = tmp_path / "data" / "512x384" / "003.jpg"
    missing.unlink()
    assert prepare.run(settings(output, root)) == 0
    assert [row["error"] for row in errors(output)] == ["missing_photo"]
    missing.write_bytes(jpeg(99))
    (tmp_path / "data" / "512x384" / "004.jpg").write_bytes(jpeg(98, 20, 10))
    capsys.readouterr()
    assert prepare.run(settings(output, root)) == 0
    assert "2 photos to decode, 23 known" in capsys.readouterr().out
    rows = {row["image_id"]: row for row in read_manifest(str(output), "d").to_pylist()}
    assert len(rows) == 25
    assert (rows["512x384/004.jpg"]["height"], rows["512x384/004.jpg"]["width"]) == (20, 10)
    assert errors(output) == []
    assert len(kept(output)) == 1


def test_a_failure_is_tried_again(tmp_path, cluster, monkeypatch):
    root, output = write_koniq(tmp_path / "data", 12), tmp_path / "out"
    photo = tmp_path / "data" / "512x384" / "005.jpg"
    listing = draft.read_listing

    def vanish(data):
        found = listing(data)
        photo.rename(photo.with_suffix(".gone"))  # between listing and decoding: as a hiccup of the storage
        return found

    monkeypatch.setattr(draft, "read_listing", vanish)
    assert prepare.run(settings(output, root)) == 0
    assert [row["error"] for row in errors(output)] == ["missing_photo"]
    photo.with_suffix(".gone").rename(photo)
    monkeypatch.setattr(draft, "read_listing", listing)
    assert prepare.run(settings(output, root)) == 0
    assert read_manifest(str(output), "d").num_rows == 12


def test_strict_refuses_and_leaves_the_manifest(tmp_path, capsys):
    root, output = write_koniq(tmp_path / "data", 12), tmp_path / "out"
    split = write_lines(tmp_path / "split.csv", "image_name,split", *(f"{i:03d}.jpg,train" for i in range(12)))
    assert prepare.run(settings(output, root, strict=True, split_file=split)) == 0
    before = read_manifest(str(output), "d")
    (tmp_path / "data" / "512x384" / "003.jpg").unlink()
    assert prepare.run(settings(output, root, strict=True, split_file=split)) == 1
    assert "no manifest was written" in capsys.readouterr().out
    assert read_manifest(str(output), "d").equals(before)
    assert [row["error"] for row in errors(output)] == ["missing_photo"]
    # What a run that is not strict accepted is no excuse for one that is.
    assert prepare.run(settings(output, root, split_file=split)) == 0
    assert read_manifest(str(output), "d").num_rows == 11
    assert prepare.run(settings(output, root, strict=True, split_file=split)) == 1


def test_strict_sees_photos_that_do_not_decode(tmp_path, cluster):
    root, output = write_koniq(tmp_path / "data", 12), tmp_path / "out"
    (tmp_path / "data" / "512x384" / "003.jpg").write_bytes(b"no photo")
    assert prepare.run(settings(output, root, strict=True)) == 1
    assert [row["error"] for row in errors(output)] == ["not_a_photo"]
    with pytest.raises(DataError, match=r"prepare\.py"):
        read_manifest(str(output), "d")


def test_a_published_split_needs_no_decoding_and_no_ray(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("halfiqa_ray.runtime.session.ray_session", never)
    root, output = write_koniq(tmp_path / "data", 4), tmp_path / "out"
    lines = ("image_name,split", "000.png,training", "001.png,val", "002.png,test", "999.png,test")
    split = write_lines(tmp_path / "split.csv", *lines)
    assert prepare.run(settings(output, root, split_file=split)) == 0
    table = read_manifest(str(output), "d")
    assert table["split"].to_pylist() == ["train", "validation", "test", None]
    assert table["split_source"].to_pylist() == ["file", "file", "file", None]
    assert table["spatial_information"].null_count == 4
    said = capsys.readouterr().out
    assert f"1 photos are not in {split}" in said
    assert f"1 names in {split}" in said


def test_the_split_column_and_none(tmp_path):
    header = "image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,set"
    lines = [f"{i:03d}.jpg,0,0,.5,.5,0,100,60,.5,{('training', 'validation', 'test')[i]}" for i in range(3)]
    root = write_koniq(tmp_path / "data", 3)
    sets = write_lines(tmp_path / "data" / "sets.csv", header, *lines)
    assert prepare.run(settings(tmp_path / "out", root, scores=sets)) == 0
    assert read_manifest(str(tmp_path / "out"), "d")["split"].to_pylist() == ["train", "validation", "test"]
    assert prepare.run(settings(tmp_path / "out", root, scores=sets, split="none")) == 0
    table = read_manifest(str(tmp_path / "out"), "d")
    assert table["split"].null_count == table["split_source"].null_count == 3


def test_demo_data_are_marked_and_know_their_photos(tmp_path):
    root, output = write_koniq(tmp_path / "data", 3), tmp_path / "out"
    write_lines(tmp_path / "data" / "SYNTHETIC.json", '{"notice": "made up by a formula"}')
    lines = ("000.jpg,coffee,train", "001.jpg,coffee,test_same_photo", "002.jpg,rocket,test")
    write_lines(tmp_path / "data" / "source_photos.csv", "image_name,source_photo,split", *lines)
    assert prepare.run(settings(output, root)) == 0
    table = read_manifest(str(output), "d")
    about = schema.metadata(table.schema)
    assert (about["synthetic"], about["synthetic_notice"]) == (True, "made up by a formula")
    assert table["source_photo"].to_pylist() == ["coffee", "coffee", "rocket"]
    assert table["split"].to_pylist() == ["train", "test_same_photo", "test"]


def test_a_folder_of_photos_has_no_split(tmp_path):
    root = write_photos(tmp_path / "photos", "a.jpg", "b/c.png")
    assert prepare.run(settings(tmp_path / "out", root, layout="folder")) == 0
    table = read_manifest(str(tmp_path / "out"), "d")
    assert table["image_id"].to_pylist() == ["a.jpg", "b/c.png"]
    assert schema.metadata(table.schema)["mos_scale"] is None
    write_photos(tmp_path / "photos", "d.jpg")
    assert prepare.run(settings(tmp_path / "out", root, layout="folder")) == 0
    assert read_manifest(str(tmp_path / "out"), "d").num_rows == 3


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"split": "file"}, r"data\.split_file"),
        ({"split": "column"}, "no split column"),
        ({"split_file": "LIST"}, "no column split"),
        ({"root": "nowhere"}, "nowhere"),
        ({"root": "EMPTY", "scores": "LIST"}, r"none of the photos.*4 missing_photo.*data\.root"),
    ],
)
def test_what_cannot_be_read_at_all(tmp_path, data, reason):
    root = write_koniq(tmp_path / "data", 4)
    (tmp_path / "empty").mkdir()
    stands_for = {"LIST": f"{root}/koniq10k_images_scores.csv", "EMPTY": str(tmp_path / "empty")}
    data = {"root": root} | {name: stands_for.get(value, value) for name, value in data.items()}
    if data.get("split_file"):
        write_lines(Path(data["split_file"]), "image_name,fold", "a.jpg,1")
        data["scores"] = write_lines(tmp_path / "scores.csv", "000.jpg,0,0,0,0,9,5")
    with pytest.raises(DataError, match=reason):
        prepare.run(settings(tmp_path / "out", **data))


def test_object_store_from_lists_to_manifest(bucket, cluster):
    root, output = write_koniq(f"{bucket}/my data", 12), f"{bucket}/out"
    assert prepare.run(settings(output, root)) == 0
    rows = read_manifest(output, "d").to_pylist()
    assert len(rows) == 12
    assert rows[3]["uri"] == f"{bucket}/my data/512x384/003.jpg"
    assert rows[3]["spatial_information"] == spatial_information(decode(jpeg(3, contrast=8), 10**6))
    before = storage.read_bytes(f"{output}/manifest/dataset=d/manifest.parquet")
    assert prepare.run(settings(output, root)) == 0
    assert storage.read_bytes(f"{output}/manifest/dataset=d/manifest.parquet") == before


def run_job(*arguments, **options):
    return subprocess.run(
        [sys.executable, "jobs/prepare.py", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        **options,
    )


def test_the_job_says_what_is_wrong(tmp_path):
    ran = run_job("--data.root", str(tmp_path / "nowhere"))
    assert (ran.returncode, ran.stdout.count("\n")) == (2, 1)
    assert ran.stderr.startswith("prepare.py: cannot list the photos in data.root")
    assert "Traceback" not in ran.stderr


@pytest.mark.slow
def test_a_killed_job_goes_on(tmp_path):
    photo = jpeg(0, 600, 800)
    root, output = write_koniq(tmp_path / "data", 600, lambda *_, **__: photo), tmp_path / "out"
    command = ["--output", str(output), "--data.dataset", "d", "--data.layout", "koniq10k", "--data.root", root]
    job = subprocess.Popen([sys.executable, "jobs/prepare.py", *command], cwd=ROOT, start_new_session=True)
    limit = time.monotonic() + 120
    while not kept(output) and time.monotonic() < limit:
        time.sleep(0.05)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    saved = sum(storage.read_table(file).num_rows for file in kept(output))
    assert 0 < saved < 600
    ran = run_job(*command)
    assert ran.returncode == 0, ran.stderr
    assert f"{600 - saved:,} photos to decode, {saved:,} known" in ran.stdout
    table = read_manifest(str(output), "d")
    assert table.num_rows == len(set(table["image_id"].to_pylist())) == 600
    assert table["spatial_information"].null_count == 0
