import openpyxl
import pytest

from halfiqa_ray.config import DataSettings
from halfiqa_ray.data.lists import spaq
from halfiqa_ray.data.problems import DataError
from tests.data.photo_files import write_lines, write_photos

HEADER = ["Image name", "MOS", "Brightness", "Colorfulness", "Contrast", "Noisiness", "Sharpness"]


def read(root, **settings):
    return spaq.read(DataSettings(layout="spaq", root=str(root), **settings))


def write_workbook(path, *rows):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path, "TestImage/00001.jpg", "TestImage/00002.jpg")


def test_the_official_workbook(photos):
    rows = ["00001.jpg", 48.86, 1, 2, 3, 4, 5], ["00002.jpg", 62.5, 1, 2, 3, 4, 5]
    write_workbook(photos / "Annotations" / "MOS and Image attribute scores.xlsx", HEADER, *rows)
    listing = read(photos)
    assert not listing.problems
    assert listing.mos_scale == (0.0, 100.0)
    assert [(row.image_id, row.mos) for row in listing.rows] == [
        ("TestImage/00001.jpg", 48.86),
        ("TestImage/00002.jpg", 62.5),
    ]
    assert {row.levels for row in listing.rows} == {None}
    assert {row.mos_std for row in listing.rows} == {None}


def test_the_authors_png_names_mean_the_jpg_photos(photos):
    write_lines(photos / "l.csv", "00001.png,48.86", "00002.png,62.5", "00003.png,77.25")
    listing = read(photos, scores="l.csv")
    assert [row.image_id for row in listing.rows] == ["TestImage/00001.jpg", "TestImage/00002.jpg"]
    assert [(problem.kind, problem.row) for problem in listing.problems] == [("missing_photo", 3)]
    assert listing.notes == ["2 photos have another extension than the list says; matched without it"]


def test_a_stem_of_two_photos_is_ambiguous(photos):
    write_photos(photos, "TestImage/00001.jpeg")
    write_lines(photos / "l.csv", "00001.png,48.86", "00002.png,62.5")
    listing = read(photos, scores="l.csv")
    assert [(problem.kind, problem.row) for problem in listing.problems] == [("ambiguous_name", 1)]
    assert "00001.jpeg" in str(listing.problems[0])


def test_a_deviation_where_there_is_one(photos):
    write_lines(photos / "l.csv", "Image name,MOS,MOS_std", "00001.jpg,48.86,12.5", "00002.jpg,62.5,")
    assert [row.mos_std for row in read(photos, scores="l.csv").rows] == [12.5, None]


@pytest.mark.parametrize(
    ("cell", "kind"),
    [("100.5", "mos_out_of_range"), ("-1", "mos_out_of_range"), ("NaN", "bad_number"), ("", "bad_number")],
)
def test_bad_scores(photos, cell, kind):
    write_lines(photos / "l.csv", "00001.png,48.86", f"00002.png,{cell}")
    listing = read(photos, scores="l.csv")
    assert [(problem.kind, problem.row) for problem in listing.problems] == [(kind, 2)]


def test_a_suspicion_of_the_wrong_scale(photos):
    write_lines(photos / "l.csv", "00001.png,4.8", "00002.png,1.2")
    assert any("5 or less" in note for note in read(photos, scores="l.csv").notes)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [(("a.jpg,1,2", "b.jpg,1,2"), "no SPAQ score list"), (("Image name,score", "a,1"), "no column MOS")],
)
def test_other_lists_are_refused(photos, lines, reason):
    write_lines(photos / "l.csv", *lines)
    with pytest.raises(DataError, match=reason):
        read(photos, scores="l.csv")
