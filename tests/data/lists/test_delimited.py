import codecs
import gzip
import io
import json
import pickle
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from halfiqa_ray.config import DataSettings
from halfiqa_ray.data.lists import delimited, score_list
from halfiqa_ray.data.lists.readers import read_listing
from halfiqa_ray.data.problems import DataError
from tests.data.photo_files import write_lines, write_photos


def rows(text):
    data = text if isinstance(text, bytes) else text.encode()
    lines, delimiter = delimited.lines_of("l.csv", data)
    return [line.cells for line in lines], delimiter


@pytest.mark.parametrize(
    ("text", "expected", "delimiter"),
    [
        ("00001.jpg;48,86\n00002.jpg;35,20\n", [["00001.jpg", "48,86"], ["00002.jpg", "35,20"]], ";"),
        ("a_0,0.jpg\t48.86\na_0,1.jpg\t35.20\n", [["a_0,0.jpg", "48.86"], ["a_0,1.jpg", "35.20"]], "\t"),
        ("a;b.jpg,1\na;c.jpg,2\n", [["a;b.jpg", "1"], ["a;c.jpg", "2"]], ","),
        ("name|mos\na,b|1,5\n", [["name", "mos"], ["a,b", "1,5"]], "|"),
        ('name,mos\n"a,b.jpg","1,5"\n', [["name", "mos"], ["a,b.jpg", "1,5"]], ","),
        ("name;mos\n1;2,5\n2;3\n", [["name", "mos"], ["1", "2,5"], ["2", "3"]], ";"),
        # The first line alone has more of the wrong one.
        ("a,b,c,d.jpg;1\nb.jpg;2\nc.jpg;3\n", [["a,b,c,d.jpg", "1"], ["b.jpg", "2"], ["c.jpg", "3"]], ";"),
        ("Scores, of 2019; lab A\nimage_name;mos\na.jpg;1,5\n", None, ";"),
        ("image_name\na.jpg\n", [["image_name"], ["a.jpg"]], ""),
        ("a.jpg 3\nb.jpg 4\n", [["a.jpg 3"], ["b.jpg 4"]], ""),
        ('name,mos\n"=""00001""",3\n', [["name", "mos"], ["00001", "3"]], ","),
    ],
)
def test_the_whole_list_decides_on_the_delimiter(text, expected, delimiter):
    found, chosen = rows(text)
    assert chosen == delimiter
    if expected is not None:
        assert found == expected


@pytest.mark.parametrize("text", ["00001;48,86\n00002;35,20\n", "48,86;00001.jpg\n35,20;00002.jpg\n", "a|b;c\nd|e;f\n"])
def test_a_tie_is_refused_and_both_readings_are_shown(text):
    with pytest.raises(DataError, match=r"l\.csv can be read in several ways: with the .* row 1 is .*; with the "):
        rows(text)


@pytest.mark.parametrize("first", ["sep=;\r\n", '"sep=;"\r\n', "SEP=;\n", "sep=;;;\r\n", "sep=;\r"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_excels_first_line_is_no_data(first, mark):
    lines, delimiter = delimited.lines_of("l.csv", mark + (first + "name;mos\r\na,b.jpg;1,5\r\n").encode())
    assert delimiter == ";"
    assert [(line.number, line.cells) for line in lines] == [(2, ["name", "mos"]), (3, ["a,b.jpg", "1,5"])]


def test_any_delimiter_may_be_said():
    assert rows("sep=:\nname:mos\na:1\n")[0] == [["name", "mos"], ["a", "1"]]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_that_say_what_they_are(encoding, end):
    text = end.join(["name\tmos", "é.jpg\t1,5", ""])
    assert rows(text.encode(encoding))[0] == [["name", "mos"], ["é.jpg", "1,5"]]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("name,mos\né.jpg,1\n".encode("latin-1"), r"l\.csv, row 2 is not UTF-8"),
        ("name,mos\na.jpg,1\n".encode("utf-16-le"), "zero bytes"),
        ("name,mos\né.jpg,1\n".encode("utf-16")[:-1], "UTF-16"),
        (b'name,mos\n"a.jpg,1\nb.jpg,2\n', "row 2: not readable as CSV"),  # its quote never ends
    ],
)
def test_text_that_cannot_be_read(data, reason):
    with pytest.raises(DataError, match=reason):
        rows(data)


def parquet():
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"name": ["a"], "mos": [1.0]}), sink)
    return sink.getvalue().to_pybytes()


def archive(**members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return stream.getvalue()


def npy():
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    return stream.getvalue()


FORMATS = {
    "pickle": pickle.dumps({1: {"train": [0]}}),
    "pickle protocol 2": pickle.dumps({1: {"train": [0]}}, protocol=2),
    "pickle protocol 0": pickle.dumps({1: {"train": [0]}}, protocol=0),
    "Parquet": parquet(),
    "JSON": json.dumps([{"name": "a", "mos": 1}]).encode(),
    "JSON lines": b'{"name": "a", "mos": 1}\n{"name": "b", "mos": 2}\n',
    "NumPy": npy(),
    "ZIP": archive(a="x"),
    "MATLAB": b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(100),
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "gzip": gzip.compress(b"name,mos\n"),
    "xls": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100),
    "web page": b"\n<!DOCTYPE html><html></html>",
    "git lfs pull": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "dvc pull": b"outs:\n- md5: 0\n  path: a.csv\n",
    "git annex get": b"/annex/objects/SHA256E-s1--0.csv\n",
}


@pytest.mark.parametrize("kind", FORMATS)
def test_other_formats_are_named(tmp_path, kind):
    (tmp_path / "list.csv").write_bytes(FORMATS[kind])
    with pytest.raises(DataError, match=rf"list\.csv is .*{kind.split()[0]}" if "git" not in kind else kind):
        score_list.read(str(tmp_path / "list.csv"))


class Opened:
    """What would be noticed, were it opened."""

    def __reduce__(self):
        return (print, ("opened",))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_never_opened(tmp_path, capsys, protocol):
    (tmp_path / "split.csv").write_bytes(pickle.dumps([Opened(), {"a": 1}], protocol))
    with pytest.raises(DataError, match="never opened"):
        score_list.read(str(tmp_path / "split.csv"))
    assert "opened" not in capsys.readouterr().out


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path, "a.jpg", "b.jpg")


def read(photos, **settings):
    return read_listing(DataSettings(layout="pyiqa", root=str(photos), scores="l.csv", **settings))


def test_a_title_above_the_header(photos):
    write_lines(photos / "l.csv", "Scores of our laboratory;;", "", "Image Name;MOS", "a.jpg;1,5", "b.jpg;20")
    listing = read(photos)
    assert [(row.line, row.mos) for row in listing.rows] == [(4, 1.5), (5, 20)]
    assert "rows 1 to 1 of the list lie above its header: left out" in listing.notes


def test_a_second_header_in_another_order_is_refused(photos):
    write_lines(photos / "l.csv", "name,mos,std", "a.jpg,50,2", "name,std,mos", "b.jpg,3,60")
    with pytest.raises(DataError, match=r"row 3 is another header"):
        read(photos)


def test_the_same_header_again_is_one_bad_row(photos):
    write_lines(photos / "l.csv", "name,mos", "a.jpg,50", "name,mos", "b.jpg,60")
    listing = read(photos)
    assert [row.mos for row in listing.rows] == [50, 60]
    assert [(problem.kind, problem.row) for problem in listing.problems] == [("bad_number", 3)]


def test_a_header_that_is_not_understood_is_shown_as_it_is_written(photos):
    write_lines(photos / "l.csv", "Foto;Wert", "a.jpg;3", "b.jpg;4")
    for layout in ("pyiqa", "spaq", "koniq10k"):
        with pytest.raises(DataError, match=r"\['Foto', 'Wert'\]") as caught:
            read_listing(DataSettings(layout=layout, root=str(photos), scores="l.csv"))
        assert "file_name" in str(caught.value) or "filename" in str(caught.value)
    listing = read(photos, name_column="Foto", mos_column="wert")
    assert [row.mos for row in listing.rows] == [3, 4]


def test_a_list_of_another_delimiter_says_which_are_known(photos):
    write_lines(photos / "l.csv", "img_name mos", "a.jpg 50", "b.jpg 60")
    with pytest.raises(DataError, match=r"no comma, semicolon, tab or bar in them: row 1 is \['img_name mos'\]"):
        read(photos)


def test_a_header_in_a_comment(photos):
    write_lines(photos / "l.csv", "# img_name, mos", "a.jpg, 50", "b.jpg, 60")
    assert [row.mos for row in read(photos).rows] == [50, 60]


@pytest.mark.parametrize("more", [",", ",,", ",5"])
def test_a_cell_too_many_is_never_cut_off(photos, more):
    write_lines(photos / "l.csv", "name,mos", "a.jpg,48,86", f"b.jpg,48{more}")
    with pytest.raises(DataError, match="no usable row"):
        read(photos)
