"""A true list in any dialect gives its numbers or is refused, row by row or whole: it never gives another number."""

import csv
import io
import os
import unicodedata

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from halfiqa_ray.config import DataSettings
from halfiqa_ray.data.lists.readers import read_listing
from halfiqa_ray.data.problems import DataError
from tests.data.photo_files import write_photos

LISTS = int(os.environ.get("DIALECT_LISTS", "300"))  # that the test tries
PHOTOS = (
    *("00001.jpg", "00002.jpg", "1.png", "10004473376.jpg", "DSC.jpg", "DSC.0001.jpg", "DSC.0002.jpg"),
    *("holiday.2023.01.jpg", "a,b.jpg", "a;b.jpg", "0a84_0,0.jpg", 'say "hi".jpg', "ss02 (1014).JPG", "x|y.jpg"),
    *("café.jpg", "5,5.jpg", "7.jpg", "1-5.jpg"),
)
NAME_HEADERS = ("image_name", "img_name", "Image Name", "file_name", "ImageName", " filename ", "NAME")
MOS_HEADERS = ("mos", "MOS", " Mos ")
SCRIPTS = {
    "exact": lambda name: name,
    "png": lambda name: stem(name) + ".png",
    "bare": lambda name: stem(name),
    "decomposed": lambda name: unicodedata.normalize("NFD", name),
    "number": lambda name: rewritten(stem(name)),
    "windows": lambda name: ".\\" + name,
}


def stem(name):
    return name.rpartition(".")[0]


def rewritten(name):
    """A name as a spreadsheet makes a number of it, and shortens it."""
    if not name.isdigit():
        return name
    return str(int(name)) if len(name) < 11 else f"{int(name):.5E}"


@st.composite
def dialects(draw):
    """How somebody writes a list."""
    of = lambda *values: draw(st.sampled_from(values))  # noqa: E731
    return {
        "file": of("csv", "csv", "csv", "csv", "csv", "xlsx"),
        "delimiter": of(*",;\t|"),
        "decimal": of(".", ",", ",", "mixed"),
        "quoting": of(csv.QUOTE_MINIMAL, csv.QUOTE_ALL, None),
        "encoding": of("utf-8", "utf-8-sig", "utf-16"),
        "end": of("\n", "\r\n", "\r"),
        "sep": of(False, False, True),
        "header": of(True, True, False),
        "names": of(*SCRIPTS),
        "columns": draw(st.permutations(["name", "mos", *draw(st.sets(st.sampled_from(["SD", "note", "", "MOS2"])))])),
        "name_header": of(*NAME_HEADERS),
        "mos_header": of(*MOS_HEADERS),
        "title": of(False, False, True),
        "trailing": of(False, False, True),
    }


def is_sound(dialect):
    """Whether a careful reader has no doubt about it: then nothing may be refused."""
    csv_is_sound = dialect["file"] == "xlsx" or dialect["quoting"] is not None
    named = dialect["header"] and not {"MOS2", ""} & set(dialect["columns"]) and not dialect["trailing"]
    return csv_is_sound and named and dialect["decimal"] != "mixed" and dialect["names"] in ("exact", "png", "windows")


def cells(dialect, scores, signs):
    """Rows of text, the header first."""
    names = {"name": dialect["name_header"], "mos": dialect["mos_header"], "MOS2": "dmos"}
    if dialect["header"]:
        yield [names.get(column, column) for column in dialect["columns"]]
    columns = dialect["columns"] if dialect["header"] else ["name", "mos"]
    for (photo, mos), sign in zip(scores.items(), signs, strict=True):
        sign = sign if dialect["decimal"] == "mixed" else dialect["decimal"]
        said = {
            "name": SCRIPTS[dialect["names"]](photo),
            "mos": f"{mos}".replace(".", sign),
            "SD": "" if mos < 50 else "1.5".replace(".", sign),
            "note": "fine, I think; yes",
            "": "3",
            "MOS2": f"{100 - mos:.2f}".replace(".", sign),
        }
        yield [said[column] for column in columns]


def write(path, dialect, rows):
    """The list as a file of this dialect."""
    rows = [["Scores of our laboratory"], *rows] if dialect["title"] and dialect["header"] else rows
    if dialect["file"] == "xlsx":
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append([float(cell) if is_number(cell) else cell for cell in row])
        book.save(path)
        return
    rows = [[*row, ""] if dialect["trailing"] else row for row in rows]
    stream = io.StringIO(newline="")
    if dialect["quoting"] is None:
        stream.write("".join(dialect["delimiter"].join(row) + dialect["end"] for row in rows))
    else:
        writer = csv.writer(
            stream, delimiter=dialect["delimiter"], quoting=dialect["quoting"], lineterminator=dialect["end"]
        )
        writer.writerows(rows)
    said = f"sep={dialect['delimiter']}{dialect['end']}" if dialect["sep"] else ""
    path.write_bytes((said + stream.getvalue()).encode(dialect["encoding"]))


def is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"), *PHOTOS)


mos = st.one_of(st.integers(0, 100), st.decimals(0, 100, places=2).map(float), st.decimals(0, 100, places=3).map(float))


@settings(max_examples=LISTS, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    dialect=dialects(),
    scores=st.dictionaries(st.sampled_from(PHOTOS), mos, min_size=2, max_size=8),
    signs=st.lists(st.sampled_from(",."), min_size=8, max_size=8),
)
def test_the_same_manifest_or_a_refusal_never_another_number(photos, dialect, scores, signs):
    path = photos / f"list.{dialect['file']}"
    rows = list(cells(dialect, scores, signs[: len(scores)]))
    write(path, dialect, rows)
    layout = "pyiqa" if dialect["header"] else "spaq"
    try:
        listing = read_listing(DataSettings(layout=layout, root=str(photos), scores=str(path)))
    except DataError as error:
        assert not is_sound(dialect), error  # noqa: PT017
        assert str(path) in str(error)  # noqa: PT017
        return
    found = {row.image_id: row.mos for row in listing.rows}
    assert found == {photo: scores[photo] for photo in found}
    told = {problem.row for problem in listing.problems}
    assert len(found) + len(told) == len(scores)
    assert not told & {row.line for row in listing.rows}
    if is_sound(dialect):
        assert not listing.problems
