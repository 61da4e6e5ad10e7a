import csv
import hashlib
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from halfiqa_ray.config import DataSettings
from halfiqa_ray.data.demo import designs, plan, scores, whole
from halfiqa_ray.data.demo import make as demo
from halfiqa_ray.data.demo.designs import DESIGNS
from halfiqa_ray.data.demo.distortions import DISTORTIONS, LUMA, STRENGTHS
from halfiqa_ray.data.demo.photos import MOTORCYCLE_DISPARITY, PHOTOS, SPLITS, _package_file
from halfiqa_ray.data.demo.plan import GRID
from halfiqa_ray.data.lists.readers import read_listing

SMALL = {"train": 13, "validation": 7, "test": 9, "test_same_photo": 8}


@pytest.fixture(scope="module")
def koniq(tmp_path_factory):
    root = tmp_path_factory.mktemp("koniq")
    return root, demo.make_demo(str(root), "koniq10k", 1)


@pytest.fixture(scope="module")
def spaq(tmp_path_factory):
    root = tmp_path_factory.mktemp("spaq")
    return root, demo.make_demo(str(root), "spaq", 1)


@pytest.fixture(scope="module")
def whole_photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    return root, demo.make_demo(str(root), "pyiqa", 1)


@pytest.fixture
def small(monkeypatch):
    for layout in ("koniq10k", "spaq"):
        design = DESIGNS[layout]
        less = designs.crops(design.scores, design.score_list, SMALL, design.sizes, design.folder)
        monkeypatch.setitem(DESIGNS, layout, less)


def rows(path):
    with Path(path).open(newline="") as stream:
        return list(csv.DictReader(stream))


def digests(root):
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(root).rglob("*"))
        if path.is_file()
    }


def opened(record, photos):
    """The crop that a row of damage.csv names, cut from the source photo afresh, and the stored image."""
    photo = next(photo for photo in PHOTOS if photo.name == record["source_photo"])
    if photo.name not in photos:
        photos[photo.name] = photo.pixels()
    x, y, w, h = (int(record[key]) for key in ("x", "y", "crop_width", "crop_height"))
    source = Image.fromarray(photos[photo.name][photo.files.index(record["file"])]).crop((x, y, x + w, y + h))
    return np.asarray(source.resize((int(record["width"]), int(record["height"])), Image.Resampling.LANCZOS))


def test_koniq_list_has_the_official_columns_and_its_own_votes_behind_every_mos(koniq):
    root, summary = koniq
    first = (root / "koniq10k_scores_and_distributions.csv").read_text().splitlines()[0]
    assert first == '"image_name","c1","c2","c3","c4","c5","c_total","MOS","SD","MOS_zscore"'
    records = rows(root / "koniq10k_scores_and_distributions.csv")
    assert len(records) == sum(summary.images.values()) == len({record["image_name"] for record in records})
    for record in records:
        assert (root / record["image_name"]).is_file()
        votes = np.repeat(np.arange(1, 6), [int(record[f"c{k}"]) for k in range(1, 6)])
        assert len(votes) == int(record["c_total"])
        assert float(record["MOS"]) == pytest.approx(votes.mean(), abs=1e-12)
        assert float(record["SD"]) == pytest.approx(votes.std(ddof=1), abs=1e-12)


def test_scores_follow_the_stated_formula(koniq):
    root, _ = koniq
    scores = {record["image_name"]: record for record in rows(root / "koniq10k_scores_and_distributions.csv")}
    errors = []
    for record in rows(root / "damage.csv"):
        damaged = int(record["damaged_blocks"]).bit_count() / 12
        weight = DISTORTIONS[record["distortion"]].weight if damaged else 0
        expected = 4.3 - 3.1 * weight * int(record["strength"]) / 4 * damaged**0.5
        assert float(record["expected_mos"]) == pytest.approx(expected, abs=1e-6)
        score = scores[record["image_name"]]
        errors.append((float(score["MOS"]) - expected) / (0.65 / int(score["c_total"]) ** 0.5))
    # 0.65: the raters' 0.6 with the rounding to whole votes. Folding the tails into 1 and 5 shifts the ends.
    assert np.abs(errors).max() < 5
    assert abs(np.mean(errors)) < 0.3


@given(st.sampled_from(sorted(DISTORTIONS)), st.sampled_from(STRENGTHS), st.integers(1, 11))
def test_more_damage_never_scores_better(name, strength, blocks):
    here = scores.expected_mos(name, strength, blocks / 12)
    assert 1 <= scores.expected_mos(name, 4, 1.0) <= here < scores.BEST
    assert scores.expected_mos(name, strength, (blocks + 1) / 12) < here
    if strength < 4:
        assert scores.expected_mos(name, strength + 1, blocks / 12) < here


@pytest.mark.parametrize("fixture", ["koniq", "spaq"])
def test_no_crop_shares_a_pixel_with_a_crop_of_another_split(fixture, request):
    root, _ = request.getfixturevalue(fixture)
    records = rows(root / "damage.csv")
    assert set(SPLITS) == {record["split"] for record in records}
    for photo in PHOTOS:
        with Image.open(photo.paths()[0]) as image:
            size = image.size
        mine = [record for record in records if record["source_photo"] == photo.name]
        splits = {record["split"] for record in mine}
        assert splits == {"test"} or ("test" not in splits and "train" in splits)
        boxes = []
        for record in mine:
            x, y, w, h = (int(record[key]) for key in ("x", "y", "crop_width", "crop_height"))
            assert 0 <= x <= x + w <= size[0]
            assert 0 <= y <= y + h <= size[1]
            assert w >= int(record["width"])  # never upscaled
            assert h >= int(record["height"])
            assert w / h == pytest.approx(int(record["width"]) / int(record["height"]), rel=0.02)
            # What the right view of the stereo pair shows lies up to 60 columns further right in the left view.
            reach = MOTORCYCLE_DISPARITY if "motorcycle_right" in record["file"] else 0
            boxes.append((record["split"], x, y, x + w + reach, y + h))
        for a, b in itertools.combinations(boxes, 2):
            kinds = {a[0].replace("validation", "train"), b[0].replace("validation", "train")}
            if len(kinds) == 2:
                assert a[3] <= b[1] or b[3] <= a[1] or a[4] <= b[2] or b[4] <= a[2], (photo.name, a, b)


def test_the_stereo_margin_covers_the_true_disparity():
    with np.load(_package_file("skimage/data/motorcycle_disp.npz")) as file:
        disparity = file["arr_0"]
    assert 0 < disparity[np.isfinite(disparity)].max() <= MOTORCYCLE_DISPARITY


def test_partial_damage_lies_exactly_on_its_blocks_before_jpeg():
    for sample in plan.samples(SMALL, DESIGNS["spaq"].sizes, 3):
        height, width = sample.pixels.shape[:2]
        damaged = np.isin(GRID.cells(height, width), [b for b in range(12) if sample.blocks >> b & 1])
        np.testing.assert_array_equal(sample.pixels[~damaged], sample.pristine[~damaged])
        assert plan.is_visible(sample)


@pytest.mark.parametrize(("fixture", "folder"), [("koniq", "."), ("spaq", "TestImage"), ("whole_photos", ".")])
def test_stored_images_are_the_source_crops_damaged_where_the_list_says(fixture, folder, request):
    root, _ = request.getfixturevalue(fixture)
    photos = {}
    for record in rows(root / "damage.csv")[::3]:
        before = opened(record, photos)
        with Image.open(root / folder / record["image_name"]) as image:
            assert image.size == (int(record["width"]), int(record["height"]))
            change = (np.asarray(image.convert("RGB")).astype(float) - before) @ LUMA
        cells = GRID.cells(*before.shape[:2])
        blocks = int(record["damaged_blocks"])
        change_b = np.array([np.sqrt((change[cells == b] ** 2).mean()) for b in range(12)])
        damaged = np.array([bool(blocks >> b & 1) for b in range(12)])
        # JPEG at quality 96 alone changes busy blocks by at most 4 grey levels.
        assert (change_b[~damaged] < 4).all(), record
        if 0 < blocks < GRID.full:
            assert (change_b[damaged] > 4.5).all(), record


def test_enough_planted_defects_and_every_distortion_in_every_split(koniq):
    root, summary = koniq
    records = rows(root / "damage.csv")
    partial = [record for record in records if 0 < int(record["damaged_blocks"]) < GRID.full]
    assert sum(record["split"].startswith("test") for record in partial) >= 60
    assert all(1 <= int(record["damaged_blocks"]).bit_count() <= 6 for record in partial)
    for split in SPLITS:
        mine = [record for record in records if record["split"] == split]
        assert {record["distortion"] for record in mine} == {"none", *DISTORTIONS}
        assert summary.photos[split] == len({record["source_photo"] for record in mine})
        assert sum(record["split"] == split for record in partial) == summary.partly_damaged[split]


@given(st.integers(1, 3), st.integers(1, 4))
def test_rectangles_are_all_places_of_the_shape(height, width):
    found = plan.rectangles((height, width))
    assert len(set(found)) == (4 - height) * (5 - width)
    for mask in found:
        cells = np.array([mask >> b & 1 for b in range(12)]).reshape(3, 4)
        filled = np.argwhere(cells)
        assert cells.sum() == height * width
        assert tuple(np.ptp(filled, axis=0) + 1) == (height, width)


def test_lists_agree_with_each_other(koniq):
    root, _ = koniq
    split = {record["image_name"]: record["split"] for record in rows(root / "split.csv")}
    sources = {record["image_name"]: record for record in rows(root / "source_photos.csv")}
    for record in rows(root / "damage.csv"):
        name = record["image_name"]
        assert split[name] == sources[name]["split"] == record["split"]
        assert sources[name]["source_photo"] == record["source_photo"]


def test_whole_photos_are_all_there_undamaged_in_part_and_all_over(whole_photos):
    root, summary = whole_photos
    records = rows(root / "damage.csv")
    assert len(records) == whole.COUNT == summary.images["test"] == sum(summary.images.values())
    for photo in PHOTOS:
        mine = [record for record in records if record["source_photo"] == photo.name]
        damaged = sorted(int(record["damaged_blocks"]) for record in mine)
        assert damaged[0] == 0 < damaged[1]
        assert damaged.count(GRID.full) == whole.ENTIRE
        assert len(damaged) == 1 + whole.PARTIAL + whole.ENTIRE
        assert {max(int(record["width"]), int(record["height"])) <= whole.LONGER_SIDE for record in mine} == {True}
        assert all(int(record["crop_width"]) >= int(record["width"]) for record in mine)
    assert {record["distortion"] for record in records} == {"none", *DISTORTIONS}


def test_marker_says_synthetic_and_names_every_photo_with_licence(koniq):
    root, _ = koniq
    marker = json.loads((root / "SYNTHETIC.json").read_text())
    assert marker["synthetic"] is True
    assert marker["complete"] is True
    assert "not from people" in marker["notice"]
    assert marker["source_photos"] == len(PHOTOS) == len(marker["photos"])
    for photo in marker["photos"]:
        assert photo["licence"]
        assert photo["attribution"]
        for file, digest in photo["files"].items():
            assert hashlib.sha256(_package_file(file).read_bytes()).hexdigest() == digest
    used = {record["source_photo"] for record in rows(root / "damage.csv")}
    assert used == {photo["name"] for photo in marker["photos"]}


def test_spaq_workbook_and_photo_sizes(spaq):
    root, summary = spaq
    book = openpyxl.load_workbook(root / "Annotations" / "MOS and Image attribute scores.xlsx", read_only=True)
    header, *values = list(book.worksheets[0].iter_rows(values_only=True))
    assert header == ("Image name", "MOS", "Brightness", "Colorfulness", "Contrast", "Noisiness", "Sharpness")
    assert len(values) == sum(summary.images.values())
    expected = {record["image_name"]: float(record["expected_mos"]) for record in rows(root / "damage.csv")}
    for name, mos, *attributes in values:
        assert (root / "TestImage" / name).is_file()
        assert all(0 <= value <= 100 for value in [mos, *attributes])
        assert mos == pytest.approx(25 * (expected[name] - 1), abs=15)
    sizes = {(int(record["width"]), int(record["height"])) for record in rows(root / "damage.csv")}
    assert len(sizes) >= 6
    assert {width > height for width, height in sizes} == {True, False}


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("layout", ["koniq10k", "spaq"])
def test_same_bytes_every_time_and_nothing_to_do_when_complete(tmp_path, layout):
    assert demo.make_demo(str(tmp_path / "a"), layout, 5).written
    demo.make_demo(str(tmp_path / "b"), layout, 5)
    first = digests(tmp_path / "a")
    assert first == digests(tmp_path / "b")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")}
    again = demo.make_demo(str(tmp_path / "a"), layout, 5)
    assert not again.written
    assert again.images == SMALL
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("*")}


@pytest.mark.usefixtures("small")
def test_a_broken_or_interrupted_folder_is_made_whole(tmp_path, monkeypatch):
    root = tmp_path / "demo"
    demo.make_demo(str(root), "koniq10k", 5)
    whole = digests(root)
    next(root.glob("0003*.jpg")).unlink()
    assert demo.make_demo(str(root), "koniq10k", 5).written
    assert digests(root) == whole

    written = []

    def fail_at_tenth(sample):
        written.append(sample)
        if len(written) == 10:
            raise KeyboardInterrupt
        return encode(sample)

    encode = demo._encode
    with monkeypatch.context() as patch:
        patch.setattr(demo, "_encode", fail_at_tenth)
        with pytest.raises(KeyboardInterrupt):
            demo.make_demo(str(root), "koniq10k", 6)
    assert json.loads((root / "SYNTHETIC.json").read_text())["complete"] is False
    assert demo.make_demo(str(root), "koniq10k", 5).written
    assert digests(root) == whole


@pytest.mark.usefixtures("small")
def test_another_seed_replaces_the_images_and_leaves_none_behind(tmp_path):
    demo.make_demo(str(tmp_path), "koniq10k", 5)
    before = digests(tmp_path)
    demo.make_demo(str(tmp_path), "koniq10k", 6)
    after = digests(tmp_path)
    assert after["split.csv"] != before["split.csv"]
    assert {name for name in after if name.endswith(".jpg")} == {r["image_name"] for r in rows(tmp_path / "split.csv")}


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="holiday"):
        demo.make_demo(str(tmp_path), "koniq10k", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


@pytest.mark.usefixtures("small")
def test_the_other_layout_needs_a_folder_of_its_own(tmp_path):
    demo.make_demo(str(tmp_path), "koniq10k", 1)
    before = digests(tmp_path)
    with pytest.raises(FileExistsError, match="spaq layout"):
        demo.make_demo(str(tmp_path), "spaq", 1)
    assert digests(tmp_path) == before


def test_unknown_layout_is_refused(tmp_path):
    with pytest.raises(ValueError, match="biq2021"):
        demo.make_demo(str(tmp_path / "x"), "biq2021", 1)


def test_a_missing_package_is_named():
    with pytest.raises(FileNotFoundError, match="demo extra"):
        _package_file("no_such_package/photo.png")


@pytest.mark.parametrize(("fixture", "layout"), [("koniq", "koniq10k"), ("spaq", "spaq"), ("whole_photos", "pyiqa")])
def test_the_real_readers_read_it_without_a_problem(fixture, layout, request):
    root, summary = request.getfixturevalue(fixture)
    listing = read_listing(DataSettings(layout=layout, root=str(root)))
    assert listing.problems == []
    assert len(listing.rows) == sum(summary.images.values())
    assert listing.mos_scale == {"koniq10k": (1, 5), "spaq": (0, 100), "pyiqa": (0, 100)}[layout]
    expected = {record["image_name"]: float(record["expected_mos"]) for record in rows(root / "damage.csv")}
    wanted = [expected[Path(row.image_id).name] for row in listing.rows]
    assert np.corrcoef(wanted, [row.mos for row in listing.rows])[0, 1] > 0.98


def test_job_writes_the_folder_that_the_configuration_names(koniq):
    root, _ = koniq
    job = [sys.executable, "jobs/demo_data.py", "--data.root", str(root), "--data.layout"]
    done = subprocess.run([*job, "koniq10k"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "already complete" in done.stdout
    refused = subprocess.run([*job, "folder"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "choose one of" in refused.stderr
