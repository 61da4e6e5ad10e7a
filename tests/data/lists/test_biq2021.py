import random

import pytest

from halfiqa_ray import schema
from halfiqa_ray.config import Settings
from halfiqa_ray.data.lists import biq2021
from halfiqa_ray.data.lists.biq2021 import LISTS
from halfiqa_ray.data.manifest import Row, read_manifest
from halfiqa_ray.data.problems import DataError
from halfiqa_ray.data.splits import TEST, TRAIN, VALIDATION, with_validation
from halfiqa_ray.pipelines import prepare, spatial_information
from tests.data.photo_files import write_lines, write_photos

PHOTOS = ("ss01 (1).jpg", "ss01 (10).jpg", "ss02 (1014).JPG", "ss03 (7).jpg", "ss03 (8).jpg")
TRAIN_ROWS = ("ss01 (1).jpg,0.8471,,", "ss01 (10).jpg,0.2874,,", "ss02 (1014).jpg,0.5,,")  # .JPG on disk
TEST_ROWS = ("ss03 (7).jpg,0.7321", "ss03 (8).jpg,1")


def write_lists(root, train=TRAIN_ROWS, test=TEST_ROWS):
    write_lines(root / LISTS[TRAIN], "Image Name,MOS,,", *train)
    write_lines(root / LISTS[TEST], "Image Name,MOS", *test)
    return root


@pytest.fixture
def photos(tmp_path):
    return write_lists(write_photos(tmp_path, *(f"Images/{name}" for name in PHOTOS)))


def settings(root, output="results", **data):
    data = {"dataset": "b", "layout": "biq2021", "root": str(root), **data}
    return Settings(output=str(output), data=data)


def read(root, **data):
    return biq2021.read(settings(root, **data).data)


def test_both_lists_are_the_official_split(photos):
    listing = read(photos)
    assert not listing.problems
    assert listing.mos_scale == (0, 1)
    assert listing.split_column == "list"
    assert {row.image_id: (row.mos, row.split) for row in listing.rows} == {
        "Images/ss01 (1).jpg": (0.8471, TRAIN),
        "Images/ss01 (10).jpg": (0.2874, TRAIN),
        "Images/ss02 (1014).JPG": (0.5, TRAIN),  # the list says .jpg
        "Images/ss03 (7).jpg": (0.7321, TEST),
        "Images/ss03 (8).jpg": (1, TEST),
    }
    assert all(str(photos / list_name) in listing.file for list_name in LISTS.values())
    assert "1 photos have another extension than the list says; matched without it" in listing.notes


def test_photos_in_the_root_and_lists_elsewhere(tmp_path):
    root = write_photos(tmp_path / "photos", *PHOTOS)
    write_lists(tmp_path / "lists")
    assert len(read(root, scores=str(tmp_path / "lists")).rows) == 5


def test_a_photo_in_both_lists_is_in_neither_split(photos):
    write_lists(photos, test=(*TEST_ROWS, "ss02 (1014).JPG,0.5"))
    listing = read(photos)
    assert "Images/ss02 (1014).JPG" not in {row.image_id for row in listing.rows}
    assert [(problem.kind, problem.row) for problem in listing.problems] == [("split_conflict", 4)] * 2
    assert {problem.file for problem in listing.problems} == {str(photos / name) for name in LISTS.values()}


@pytest.mark.parametrize("mos", ["1.0001", "-0.1", "84.71"])
def test_a_mos_outside_0_to_1_is_refused(photos, mos):
    write_lists(photos, test=(TEST_ROWS[0], f"ss03 (8).jpg,{mos}"))
    listing = read(photos)
    assert [(problem.kind, problem.row) for problem in listing.problems] == [("mos_out_of_range", 3)]
    assert len(listing.rows) == 4


def test_the_empty_columns_may_be_left_out_and_may_hold_no_second_score(photos):
    write_lists(photos, train=("ss01 (1).jpg,0.8471", "ss01 (10).jpg,0,2874,", *TRAIN_ROWS[2:]))
    listing = read(photos)
    assert [(problem.kind, problem.row) for problem in listing.problems] == [("bad_columns", 3)]
    assert "which is the MOS" in str(listing.problems[0])
    assert len(listing.rows) == 4


@pytest.mark.parametrize("part", [TRAIN, TEST])
def test_a_missing_list_is_named(photos, part):
    (photos / LISTS[part]).unlink()
    with pytest.raises(DataError, match=r"there is no list .*" + LISTS[part].split(" (")[0]):
        read(photos)


@pytest.mark.parametrize("lines", [("ss01 (1).jpg,0.5",), ("Image Name,Score", "ss01 (1).jpg,0.5")])
def test_another_list_is_refused(photos, lines):
    write_lines(photos / LISTS[TEST], *lines)
    with pytest.raises(DataError, match=r"Test \(Images and MOS\)\.csv"):
        read(photos)


def scored(count):
    rng = random.Random(1)
    return [Row(f"{n:04}.jpg", "", mos=rng.random(), spatial_information=rng.random()) for n in range(count)]


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_validation_photos_are_cut_alike_in_mos_and_spatial_information(share):
    rows, size = scored(800), round(1 / share)
    chosen = with_validation(rows, (0, 1), 1, share)
    assert set(chosen.values()) == {TRAIN, VALIDATION}
    for low in range(4):  # a quarter of the scale each; neighbours in spatial information give one photo
        inside = sorted(
            (row for row in rows if min(3, int(4 * row.mos)) == low), key=lambda row: row.spatial_information
        )
        for start in range(0, len(inside) // size * size, size):
            group = [chosen[row.image_id] for row in inside[start : start + size]]
            assert group.count(VALIDATION) == 1


def test_the_cut_hangs_on_seed_and_photos_alone():
    rows = scored(203)
    first = with_validation(rows, (0, 1), 1, 0.05)
    shuffled = random.Random(2).sample(rows, len(rows))
    assert with_validation(shuffled, (0, 1), 1, 0.05) == first
    assert with_validation(rows, (0, 1), 2, 0.05) != first


def write_many(root, train, test):
    names = [f"ss01 ({n}).jpg" for n in range(train + test)]
    write_photos(root, *(f"Images/{name}" for name in names))
    rows = [f"{name},{n / (train + test):.3f}" for n, name in enumerate(names)]
    return write_lists(root, [f"{row},," for row in rows[:train]], rows[train:])


def measured(rows, *_):
    """In the place of decoding: a number a photo."""
    for row in rows:
        row.width, row.height, row.spatial_information = 16, 12, float(len(row.image_id))
    return []


def test_prepare_cuts_validation_from_the_training_photos_and_leaves_the_test_photos(tmp_path, monkeypatch):
    monkeypatch.setattr(spatial_information, "measure", measured)
    root, output = write_many(tmp_path / "data", 40, 10), tmp_path / "out"
    assert prepare.run(settings(root, output)) == 0
    table = read_manifest(str(output), "b")
    splits = dict(zip(table["image_id"].to_pylist(), table["split"].to_pylist(), strict=True))
    assert [splits[f"Images/ss01 ({n}).jpg"] for n in range(40, 50)] == [TEST] * 10
    assert list(splits.values()).count(VALIDATION) == 2  # of 40, by default one in twenty
    about = schema.metadata(table.schema)
    assert (about["validation_share"], about["split_source"], about["seed"]) == (0.05, "column", 1)
    # None is cut when none is wanted: no photo is then decoded.
    monkeypatch.setattr(spatial_information, "measure", None)
    assert prepare.run(settings(root, tmp_path / "none", validation_share=0)) == 0
    assert VALIDATION not in read_manifest(str(tmp_path / "none"), "b")["split"].to_pylist()
