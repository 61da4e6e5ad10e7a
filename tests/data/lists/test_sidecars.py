import pytest

from halfiqa_ray.data.lists import sidecars
from halfiqa_ray.data.manifest import Row
from halfiqa_ray.data.problems import DataError
from tests.data.photo_files import write_lines


def test_nothing_beside_the_photos(tmp_path):
    assert sidecars.read(str(tmp_path)) == sidecars.Sidecars()


def test_synthetic_data_say_so(tmp_path):
    write_lines(tmp_path / "SYNTHETIC.json", '{"notice": "made up"}')
    found = sidecars.read(str(tmp_path))
    assert (found.synthetic, found.notice) == (True, "made up")


def test_a_marker_without_a_notice_still_marks(tmp_path):
    write_lines(tmp_path / "SYNTHETIC.json", "[]")
    assert sidecars.read(str(tmp_path)).synthetic


def test_a_damaged_marker(tmp_path):
    write_lines(tmp_path / "SYNTHETIC.json", "{")
    with pytest.raises(DataError, match=r"SYNTHETIC\.json"):
        sidecars.read(str(tmp_path))


def test_source_photos(tmp_path):
    lines = ("image_name,source_photo,split", "a.jpg,coffee,train", "b.jpg,coffee,test", "d.jpg,rocket,test")
    write_lines(tmp_path / "source_photos.csv", *lines)
    found = sidecars.read(str(tmp_path))
    assert found.splits.values == {"a.jpg": "train", "b.jpg": "test", "d.jpg": "test"}
    rows = [Row("a.jpg", ""), Row("b.png", ""), Row("c.jpg", ""), Row("x/d.jpg", ""), Row("y/d.jpg", "")]
    problems = sidecars.fill_source_photos(rows, found.source_photos)
    assert [row.source_photo for row in rows] == ["coffee", "coffee", None, None, None]
    assert [problem.image_id for problem in problems] == ["x/d.jpg", "y/d.jpg"]
