import datetime

import openpyxl
import pytest

from halfiqa_ray.config import DataSettings
from halfiqa_ray.data.lists.readers import read_listing
from halfiqa_ray.data.problems import DataError
from tests.data.photo_files import write_photos

HEADER = ["Image name", "MOS"]
ROWS = (["00001.jpg", 45], ["00002.jpg", 65])


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path, "TestImage/00001.jpg", "TestImage/00002.jpg")


def read(photos, sheets, hidden=(), **settings):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
        if title in hidden:
            sheet.sheet_state = hidden[title]
    book.save(photos / "l.xlsx")
    return read_listing(DataSettings(layout="spaq", root=str(photos), scores="l.xlsx", **settings))


def scores(listing):
    return [row.mos for row in listing.rows]


OLD = (HEADER, ["00001.jpg", 1], ["00002.jpg", 2])


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_the_visible_sheet_that_has_the_columns(photos, state):
    sheets = {"Read me": (["See the second sheet"],), "old": OLD, "MOS": (HEADER, *ROWS), "empty": ()}
    listing = read(photos, sheets, {"old": state})
    assert scores(listing) == [45, 65]
    assert "the sheet 'MOS' is read; other sheets: 'Read me', 'old' (hidden)" in listing.notes


def test_a_sheet_of_names_without_scores_is_no_rival(photos):
    assert scores(read(photos, {"EXIF": (["Image name", "ISO"], ["00001.jpg", 100]), "s": (HEADER, *ROWS)})) == [45, 65]


@pytest.mark.parametrize("header", [[HEADER], []])
def test_two_sheets_that_may_be_the_list_are_refused(photos, header):
    with pytest.raises(DataError, match="several sheets that may be the list: 'train', 'test'"):
        read(photos, {"train": (*header, ROWS[0]), "test": (*header, ROWS[1])})


def test_a_hidden_sheet_alone_is_refused(photos):
    with pytest.raises(DataError, match=r"on hidden sheets only, \['old'\]"):
        read(photos, {"notes": (["nothing here"],), "old": OLD}, {"old": "hidden"})


def test_formulas_without_results_are_told_of(photos):
    with pytest.raises(DataError, match=r"row 2.*'=AVERAGE\(C2:D2\)'.*formula without a result"):
        read(photos, {"s": ([*HEADER, "r1", "r2"], ["00001.jpg", "=AVERAGE(C2:D2)", 40, 50])})
    listing = read(photos, {"s": ([*HEADER, "r1"], ["00001.jpg", "=C2*2", 40], ["00002.jpg", 65, 1])})
    assert scores(listing) == [65]
    assert [(problem.kind, problem.row) for problem in listing.problems] == [("bad_number", 2)]


def test_a_name_that_is_a_formula(photos):
    listing = read(photos, {"s": (HEADER, ['=CONCATENATE("0000","1")', 45], ["00002.jpg", 65])})
    assert scores(listing) == [65]
    assert "it is a formula" in str(listing.problems[0])


def test_numbers_for_names_mean_no_padded_photo(photos):
    listing = read(photos, {"s": (HEADER, [1, 45], [2.0, 65], ["00002.jpg", 70])})
    assert scores(listing) == [70]
    assert [problem.kind for problem in listing.problems] == ["missing_photo"] * 2
    assert "likely of TestImage/00001.jpg" in str(listing.problems[0])


def test_long_numbers_for_names_are_exact(tmp_path):
    write_photos(tmp_path, "10004473376.jpg")
    assert scores(read(tmp_path, {"s": (HEADER, [10004473376.0, 45])})) == [45]


def test_dates_in_the_place_of_numbers(photos):
    listing = read(photos, {"s": (HEADER, ["00001.jpg", datetime.datetime(2023, 5, 3)], ["00002.jpg", 65])})
    assert scores(listing) == [65]
    assert "made a date" in str(listing.problems[0])


def test_one_name_over_two_columns_is_refused(photos):
    """A merged cell "MOS" above two columns of scores."""
    with pytest.raises(DataError, match="which is the MOS"):
        read(photos, {"s": ([*HEADER, None, "SD"], ["00001.jpg", 45, 55, 1], ["00002.jpg", 65, 75, 1])})
    with pytest.raises(DataError, match="3 cells, expected 2"):
        read(photos, {"s": (HEADER, ["00001.jpg", 45, 55], ["00002.jpg", 65, 75])})


def test_numbers_and_texts_with_commas_mixed(photos):
    listing = read(photos, {"s": (HEADER, ["00001.jpg", "48,86"], ["00002.jpg", 62.5])})
    assert scores(listing) == [62.5]
    assert "with commas and with points" in str(listing.problems[0])
