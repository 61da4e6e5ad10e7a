import os

import pytest

from halfiqa_ray import storage
from halfiqa_ray.config import DataSettings
from halfiqa_ray.data.lists.readers import read_listing
from halfiqa_ray.data.photos.decoding import HEIF_IS_READ
from halfiqa_ray.data.problems import DataError
from tests.data.photo_files import jpeg, write_photos


def test_every_photo_is_a_row(tmp_path):
    write_photos(tmp_path, "b.jpg", "a/c.PNG")
    (tmp_path / "zero.jpg").touch()
    (tmp_path / "x.jxl").touch()
    (tmp_path / "out.jpg").symlink_to("/etc/passwd")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nothing")
    (tmp_path / ".hidden.jpg").touch()
    os.mkfifo(tmp_path / "pipe.jpg")
    listing = read_listing(DataSettings(root=str(tmp_path)))
    assert [row.image_id for row in listing.rows] == ["a/c.PNG", "b.jpg"]
    assert listing.rows[1].uri == str(tmp_path / "b.jpg")
    assert listing.mos_scale is None
    assert {(problem.kind, problem.image_id) for problem in listing.problems} == {
        ("empty_photo", "zero.jpg"),
        ("leaves_root", "out.jpg"),
        ("missing_photo", "gone.jpg"),
        ("not_a_file", "pipe.jpg"),
    }
    assert listing.notes == [
        "1 files are no photos of a format that is read, by their extension: .jxl 1: export them as JPEG, PNG or TIFF",
        "1 files and folders are hidden (their name begins with a dot): left out",
    ]


def test_an_object_store_prefix(bucket):
    storage.write_bytes(f"{bucket}/my photos/a b.jpg", jpeg())
    listing = read_listing(DataSettings(root=f"{bucket}/my photos"))
    assert [row.uri for row in listing.rows] == [f"{bucket}/my photos/a b.jpg"]


def test_the_content_hash_sees_what_changes(tmp_path):
    write_photos(tmp_path, "a.jpg", "b.jpg")
    settings = DataSettings(root=str(tmp_path))
    first = read_listing(settings).content_hash()
    assert read_listing(settings).content_hash() == first
    (tmp_path / "a.jpg").write_bytes(jpeg(9))
    second = read_listing(settings).content_hash()
    assert second != first
    (tmp_path / "b.jpg").unlink()
    assert read_listing(settings).content_hash() != second


def test_scores_that_would_be_ignored_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"data\.scores"):
        read_listing(DataSettings(root=str(tmp_path), scores="x.csv"))


def test_a_folder_of_formats_that_are_not_read_says_so(tmp_path):
    for number in range(12):
        (tmp_path / f"IMG_{number:04}.JXL").write_bytes(b"x")
        (tmp_path / f"IMG_{number:04}.MOV").write_bytes(b"x")
    with pytest.raises(DataError, match=r"no photos in data\.root.*a format that is read.*\.jxl 12: export.*\.mov 12"):
        read_listing(DataSettings(root=str(tmp_path)))


@pytest.mark.skipif(HEIF_IS_READ, reason="pillow-heif is installed")
def test_a_folder_of_an_iphone_says_what_to_do(tmp_path):
    (tmp_path / "IMG_0001.HEIC").write_bytes(b"x")
    with pytest.raises(DataError, match=r"\.heic 1: export it as JPEG, or install pillow-heif"):
        read_listing(DataSettings(root=str(tmp_path)))
