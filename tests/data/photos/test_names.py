"""Which photo a list's name means: one reading, or none."""

import unicodedata

import pytest

from halfiqa_ray.data.photos import names
from halfiqa_ray.data.photos.listing import Photo, PhotoIndex
from halfiqa_ray.data.problems import RowError

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


def find(name, *photos):
    """The photo, or the kind of the problem."""
    try:
        return PhotoIndex("/r", {photo: Photo(1, 0) for photo in photos}).find("", name)
    except RowError as error:
        return error.kind


@pytest.mark.parametrize(
    ("name", "photos", "expected"),
    [
        # Only a picture's extension is cut off, never what follows the last dot.
        ("DSC.0001", ["DSC.0001.jpg", "DSC.jpg"], "DSC.0001.jpg"),
        ("DSC.0001", ["DSC.jpg"], "missing_photo"),
        ("DSC.0001.jpg", ["DSC.0001.png", "DSC.png"], "DSC.0001.png"),
        ("holiday.2023.01", ["holiday.2023.01.jpg", "holiday.2023.jpg"], "holiday.2023.01.jpg"),
        ("a.txt", ["a.jpg"], "missing_photo"),
        ("a.final", ["a.jpg"], "missing_photo"),
        ("v1.5", ["v1.jpg", "v1.5.JPG"], "v1.5.JPG"),
        ("a.", ["a.jpg"], "missing_photo"),
        (".jpg", ["a.jpg"], "missing_photo"),
        # A name that ends as a picture may also be one without extension.
        ("a.png", ["a.png.jpg"], "a.png.jpg"),
        ("a.png", ["a.jpg", "a.png.jpg"], "ambiguous_name"),
        ("a.png", ["a.png", "a.jpg", "a.png.jpg"], "a.png"),
        ("ss02 (1014).jpg", ["ss02 (1014).JPG"], "ss02 (1014).JPG"),
        ("a.jpg", ["a.JPG", "a.jpeg"], "ambiguous_name"),
        # Numbers that a spreadsheet rewrote match nothing.
        ("1", ["00001.jpg"], "missing_photo"),
        ("1", ["00001.jpg", "1.jpg"], "ambiguous_name"),
        ("1", ["1.jpg"], "1.jpg"),
        ("00001", ["00001.jpg"], "00001.jpg"),
        ("1.jpg", ["00001.jpg"], "missing_photo"),
        ("1.00045E+10", ["10004473376.jpg", "1.jpg"], "missing_photo"),
        ("1,00045E+10", ["10004473376.jpg"], "missing_photo"),
        ("1.0", ["1.jpg"], "missing_photo"),
        # Unicode's forms.
        (f"{COMPOSED}.jpg", [f"{DECOMPOSED}.jpg"], f"{DECOMPOSED}.jpg"),
        (f"{DECOMPOSED}.jpg", [f"{COMPOSED}.jpg"], f"{COMPOSED}.jpg"),
        (f"{COMPOSED}.jpg", [f"{COMPOSED}.jpg", f"{DECOMPOSED}.jpg"], f"{COMPOSED}.jpg"),
        (f"{COMPOSED}.png", [f"{COMPOSED}.jpg", f"{DECOMPOSED}.jpg"], "ambiguous_name"),
        (f"{COMPOSED}", [f"{DECOMPOSED}.jpg"], f"{DECOMPOSED}.jpg"),
        (f"{DECOMPOSED}/a.jpg", [f"{COMPOSED}/a.jpg"], f"{COMPOSED}/a.jpg"),
        ("cafe.jpg", [f"{COMPOSED}.jpg"], "missing_photo"),
        # Letters and folders are as they are.
        ("IMG_1.jpg", ["img_1.jpg"], "missing_photo"),
        ("a.jpg", ["sub/a.jpg"], "missing_photo"),
        ("2023-01-05 00:00:00", ["1-5.jpg"], "missing_photo"),
    ],
)
def test_one_reading_or_none(name, photos, expected):
    assert find(name, *photos) == expected
    assert find(name, *reversed(photos)) == expected


@pytest.mark.parametrize(
    ("name", "photos", "words"),
    [
        ("1", ["00001.jpg"], "drops leading zeros made it, likely of 00001.jpg"),
        ("1.00045E+10", ["10004473376.jpg", "10009999999.jpg"], "likely of 10004473376.jpg; format"),
        ("1,00045E+10", ["x/10004473376.jpg"], "likely of x/10004473376.jpg"),
        ("1E+10", ["10004473376.jpg", "10009999999.jpg"], "likely of 10004473376.jpg or 10009999999.jpg"),
        ("IMG_1.jpg", ["img_1.JPG"], "is img_1.JPG meant?"),
        ("a.jpg", ["sub/a.jpg"], "is sub/a.jpg meant?"),
        ("2023-01-05 00:00:00", ["1-5.jpg"], "makes dates"),
        ("05. Jan", ["1-5.jpg"], "makes dates"),
        ("IMG_1.HEIC", ["IMG_1.jpg"], "is IMG_1.jpg made from it?"),
        ("a.tmp", ["a.jpg"], "'a.tmp' is not in /r"),
        ("=A1", ["a.jpg"], "it is a formula"),
    ],
)
def test_the_message_shows_what_was_likely_meant(name, photos, words):
    with pytest.raises(RowError) as caught:
        PhotoIndex("/r", {photo: Photo(1, 0) for photo in photos}).find("", name)
    assert words in str(caught.value)
    assert name in str(caught.value)


def test_numbers_are_shortened_as_spreadsheets_do():
    assert names.rounded(10004473376, 5) == "1.00045E+10".replace("+", "")
    assert names.shortened("1.00045E+10") == (names.rounded(10004473376, 5), 5)
    assert names.shortened("a.00045E+10") is None
