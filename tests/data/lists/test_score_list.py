import io
import zipfile

import openpyxl
import pytest

from halfiqa_ray.data.lists import score_list
from halfiqa_ray.data.problems import DataError, RowError
from tests.data.photo_files import write_lines


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_of_any_common_kind(tmp_path, delimiter, start, end):
    text = f'"Image_Name"{delimiter}MOS{end}{end}"a,b.jpg"{delimiter}3{end}'
    (tmp_path / "list.csv").write_bytes(start + text.encode())
    found = score_list.read(str(tmp_path / "list.csv"))
    assert found.header == ["image_name", "mos"]
    assert [(line.number, line.cells) for line in found.lines] == [(3, ["a,b.jpg", "3"])]
    assert found.column("nothing", "mos") == 1
    assert found.column("nothing") is None


def test_a_headerless_list_has_the_usual_width(tmp_path):
    found = score_list.read(write_lines(tmp_path / "l.csv", "odd.jpg,1,2", "a.jpg,1", "b.jpg,2"))
    assert found.header is None
    assert found.columns == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b"\n\n", "empty"), (b"name\n\xff\xfe", "UTF-8"), (b'name\n"' + b"x" * 200_000, "CSV")],
)
def test_unreadable_lists_name_the_file(tmp_path, content, reason):
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(DataError, match=rf"list\.csv.*{reason}"):
        score_list.read(str(tmp_path / "list.csv"))


def test_a_list_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"no list .*x\.csv"):
        score_list.read(str(tmp_path / "x.csv"))


def workbook(*rows):
    book, stream = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(stream)
    return stream.getvalue()


def test_xlsx_whatever_its_name(tmp_path):
    (tmp_path / "list.csv").write_bytes(workbook(["Image name", "MOS"], ["00001.jpg", 48.86], [None, None], [7, None]))
    found = score_list.read(str(tmp_path / "list.csv"))
    assert found.header == ["image name", "mos"]
    assert [(line.number, line.cells) for line in found.lines] == [(2, ["00001.jpg", "48.86"]), (4, ["7", ""])]


def test_xlsx_with_a_false_dimension(tmp_path):
    source, target = zipfile.ZipFile(io.BytesIO(workbook(["name", "MOS"], ["a.jpg", 1.5]))), io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            archive.writestr(name, source.read(name).replace(b'<dimension ref="A1:B2"', b'<dimension ref="A1"'))
    assert b'ref="A1"' in zipfile.ZipFile(target).read("xl/worksheets/sheet1.xml")
    (tmp_path / "list.xlsx").write_bytes(target.getvalue())
    assert score_list.read(str(tmp_path / "list.xlsx")).lines[0].cells == ["a.jpg", "1.5"]


def test_a_damaged_workbook(tmp_path):
    (tmp_path / "list.xlsx").write_bytes(workbook(["name", "MOS"])[:500])
    with pytest.raises(DataError, match=r"list\.xlsx is not a readable xlsx"):
        score_list.read(str(tmp_path / "list.xlsx"))


def test_a_workbook_that_unpacks_to_too_much(tmp_path, monkeypatch):
    data = workbook(["name", "MOS"])
    monkeypatch.setattr(score_list, "MAXIMUM_BYTES", len(data) + 1)
    (tmp_path / "list.xlsx").write_bytes(data)
    with pytest.raises(DataError, match="unpacks to more"):
        score_list.read(str(tmp_path / "list.xlsx"))


@pytest.mark.parametrize("cell", ["", "abc", "nan", "inf", "-Infinity", "3,5", "1_0", "0x10"])
def test_what_is_no_number(cell):
    with pytest.raises(RowError, match="the MOS"):
        score_list.number(cell, "the MOS")


def test_numbers():
    assert score_list.number(" 3.5e0 ", "x") == 3.5


def test_find_takes_the_setting_or_the_usual_name(tmp_path):
    path = write_lines(tmp_path / "b.csv", "x")
    assert score_list.find(None, str(tmp_path), ["a.csv", "b.csv"]) == path
    assert score_list.find("b.csv", str(tmp_path), []) == path
    with pytest.raises(DataError, match=r"c\.csv.*data\.scores"):
        score_list.find(None, str(tmp_path), ["c.csv"])
