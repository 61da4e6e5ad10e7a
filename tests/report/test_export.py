import io
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from halfiqa_ray import storage
from halfiqa_ray.config import Settings
from halfiqa_ray.report import export as exporting
from halfiqa_ray.report.dimming import DIMMED
from halfiqa_ray.report.export import Wanted, export, export_photos
from halfiqa_ray.tables.stored.reading import find_run, read_images
from tests.report import planted_report
from tests.report.planted_report import GRID, HOSTILE

NAMES = ("../../../etc/passwd", "/absolute.jpg", "a/b.jpg", "b.jpg", "a/b.JPG", "..", "CON.jpg", *HOSTILE)


def settings(output, kind="all", **changes):
    return Settings(output=str(output), report={"export": kind, **changes})


@pytest.fixture
def output(tmp_path):
    planted_report.plant(tmp_path, NAMES, count=14)
    return tmp_path


def exported(output):
    folder = output / "figures" / "halves" / "planted" / f"{planted_report.KEY}-level_plcc"
    return folder, {path.name: path.stat().st_mtime_ns for path in folder.glob("*.jpg")}


@given(st.lists(st.text(max_size=400), max_size=20, unique=True), st.integers(0, 65535))
def test_names_are_safe_and_no_two_images_share_one(image_ids, half):
    names = [name for image_id in image_ids for name in Wanted(image_id, None, half).files]
    assert len({name.lower() for name in names}) == 2 * len(image_ids)  # on file systems without case too
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9_]+-[0-9a-f]{16}-[0-9a-f]{4}-(important|trivial)_masked\.jpg", name)
        assert len(name.encode()) <= 120


def test_all_photos_are_written_with_either_half_masked_and_stay_in_the_folder(output, capsys):
    before = {path for path in output.rglob("*") if path.is_file()}
    (index,) = export(settings(output), find_run(str(output), "planted"))
    folder, files = exported(output)
    assert {path.parent for path in output.rglob("*") if path.is_file() and path not in before} == {folder}
    rows = storage.read_table(index).to_pylist()
    assert {row["image_id"] for row in rows} == set(read_images(find_run(str(output), "planted")).image_id)
    assert {row[each] for row in rows for each in ("important_masked", "trivial_masked")} == set(files)
    uris = dict(zip(*planted_uris(output), strict=True))
    for row in rows:
        with Image.open(uris[row["image_id"]]) as image:
            pixels = np.asarray(image).astype(float)
        inside = (row["important"] >> GRID.cells(*pixels.shape[:2]) & 1).astype(bool)
        for name, masked in ((row["important_masked"], inside), (row["trivial_masked"], ~inside)):
            with Image.open(folder / name) as image:
                shown = np.asarray(image).astype(float)
            assert np.abs(shown - pixels)[~masked].mean() < 10  # JPEG once more, of noise
            assert np.abs(shown - DIMMED * pixels)[masked].mean() < 10
    assert "halves exported: 14 photos" in capsys.readouterr().out


def planted_uris(output):
    manifest = storage.read_table(f"{output}/manifest/dataset=planted/manifest.parquet")
    return manifest["image_id"].to_pylist(), manifest["uri"].to_pylist()


def test_what_is_there_and_current_is_left_alone(output, capsys):
    run = find_run(str(output), "planted")
    export(settings(output), run)
    folder, first = exported(output)
    export(settings(output), run)
    assert exported(output)[1] == first
    assert "14 were there, 0 failed" in capsys.readouterr().out
    gone = sorted(first)[3]
    (folder / gone).unlink()  # as after a kill between two files
    photo = dict(zip(*planted_uris(output), strict=True))["b.jpg"]
    os.utime(photo, (time.time() + 60, time.time() + 60))  # the photo was changed
    export(settings(output), run)
    second = exported(output)[1]
    assert second.keys() == first.keys()
    changed = {name for name in first if second[name] != first[name]}
    stem = Wanted("b.jpg", photo, 0).stem
    assert changed == {name for name in first if name.startswith((stem, gone.rpartition("-")[0]))}
    assert len(changed) == 4


def test_another_half_takes_the_place_of_the_old_one(output):
    run = find_run(str(output), "planted")
    folder = str(output / "halves")
    photo = dict(zip(*planted_uris(output), strict=True))["b.jpg"]
    for half in (7, 56):
        assert export_photos([Wanted("b.jpg", photo, half)], folder, run, 10**6, 10) == []
        assert sorted(path.name for path in Path(folder).iterdir()) == sorted(Wanted("b.jpg", photo, half).files)


def test_photos_that_cannot_be_read_are_counted_said_and_stored(output, capsys):
    run = find_run(str(output), "planted")
    uris = dict(zip(*planted_uris(output), strict=True))
    Path(uris["b.jpg"]).unlink()
    Path(uris["/absolute.jpg"]).write_bytes(b"no photo")
    (index,) = export(settings(output), run)
    assert storage.read_table(index).num_rows == 12
    printed = capsys.readouterr().out
    assert "halves exported: 12 photos" in printed
    assert "2 failed" in printed
    assert f"{uris['b.jpg']}: there is no such file" in printed
    errors = str(output / "errors" / "stage=export" / "dataset=planted" / f"run={run.key}" / "errors.parquet")
    found = {row["image_id"]: row["error"] for row in storage.read_table(errors).to_pylist()}
    assert found == {"b.jpg": "missing_photo", "/absolute.jpg": "not_a_photo"}
    for seed, name in enumerate(found):
        Path(uris[name]).write_bytes(planted_report.jpeg(seed, 32, 48))
    export(settings(output), run)
    assert not storage.exists(errors)


def test_only_the_shown_or_none(output):
    run = find_run(str(output), "planted")
    assert export(settings(output, "none"), run) == []
    export(settings(output, "shown", images=["b.jpg"]), run)
    assert len(exported(output)[1]) == 2
    assert all(name.startswith("b-") for name in exported(output)[1])
    export(settings(output, "shown", count=3), run)
    assert len(exported(output)[1]) in (6, 8)  # b.jpg may be among them


def test_no_more_photos_are_in_memory_than_workers(output, monkeypatch):
    run = find_run(str(output), "planted")
    opened = exporting.open_upright
    now, most = [], []

    def counted(uri, run, maximum_pixels):
        now.append(uri)
        most.append(len(now))
        time.sleep(0.01)
        pixels = opened(uri, run, maximum_pixels)
        now.remove(uri)
        return pixels

    monkeypatch.setattr(exporting, "open_upright", counted)
    export(settings(output), run)
    assert 1 < max(most) <= exporting.WORKERS


def test_to_an_object_store(tmp_path, bucket, capsys):
    planted_report.plant(tmp_path, HOSTILE, count=5)
    run = find_run(str(tmp_path), "planted")
    photo = dict(zip(*planted_uris(tmp_path), strict=True))
    wanted = [Wanted(image_id, uri, 7) for image_id, uri in photo.items()]
    for uri in photo.values():
        os.utime(uri, (time.time() - 60, time.time() - 60))  # S3 tells whole seconds
    folder = f"{bucket}/figures/halves/planted"
    assert export_photos(wanted, folder, run, 10**6, 0.0) == []
    names = {uri.rpartition("/")[2] for uri in storage.list_files(folder, ".jpg")}
    assert names == {name for one in wanted for name in one.files}
    with Image.open(io.BytesIO(storage.read_bytes(f"{folder}/{wanted[0].files[0]}"))) as image:
        assert image.size == (48, 32)
    assert export_photos(wanted, folder, run, 10**6, 10) == []
    printed = capsys.readouterr().out
    assert "halves exported: 1 of 5, 0 failed" in printed  # a line of progress
    assert "0 photos in" in printed
    assert "5 were there" in printed
