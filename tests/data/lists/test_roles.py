import re

import pytest

from halfiqa_ray.config import DataSettings
from halfiqa_ray.data.lists.readers import read_listing
from halfiqa_ray.data.problems import DataError
from tests.data.photo_files import write_lines, write_photos


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path, "a.jpg", "b.jpg")


def read(photos, *lines, layout="pyiqa", **settings):
    write_lines(photos / "l.csv", *lines)
    return read_listing(DataSettings(layout=layout, root=str(photos), scores="l.csv", **settings))


def scores(listing):
    return {row.image_id: row.mos for row in listing.rows}


@pytest.mark.parametrize("layout", ["pyiqa", "spaq"])
@pytest.mark.parametrize(
    "other",
    ["MOS", "dmos", "score", "Score", "rating", "mean", "zscore", "MOS_zscore", "mos100", "mean_mos", "quality"],
)
@pytest.mark.parametrize("first", [True, False])
def test_two_columns_that_could_be_the_mos_are_refused_whatever_their_order(photos, layout, other, first):
    names = ("mos", other) if first else (other, "mos")
    rows = ("a,3.8,77", "b,3.4,68") if first else ("a,77,3.8", "b,68,3.4")
    with pytest.raises(DataError, match=r"could be the MOS: .*data\.mos_column") as caught:
        read(photos, f"image_name,{','.join(names)}", *rows, layout=layout)
    assert "'mos' (column" in str(caught.value)
    assert f"{other!r} (column" in str(caught.value)
    assert "3.4 to 3.8" in str(caught.value)
    listing = read(photos, f"image_name,{','.join(names)}", *rows, layout=layout, mos_column=other)
    assert scores(listing) == {"a.jpg": 77, "b.jpg": 68}


@pytest.mark.parametrize("other", ["mos_std", "MOS SD", "std", "n_mos", "mos_ci95", "sharpness", "brand"])
def test_columns_that_are_no_rivals(photos, other):
    assert scores(read(photos, f"name,mos,{other}", "a.jpg,50,2", "b.jpg,60,3")) == {"a.jpg": 50, "b.jpg": 60}


def test_a_rival_of_words_or_of_the_same_numbers_is_none(photos):
    assert scores(read(photos, "name,mos,quality", "a.jpg,50,good", "b.jpg,60,bad")) == {"a.jpg": 50, "b.jpg": 60}
    assert scores(read(photos, "name,mos,score", "a.jpg,50,50", "b.jpg,60,60")) == {"a.jpg": 50, "b.jpg": 60}


def test_no_mos_but_something_like_it(photos):
    with pytest.raises(DataError, match=r"no column MOS.*\['Image', 'My Score'\].*data\.mos_column.*'My Score'"):
        read(photos, "Image,My Score", "a.jpg,50", "b.jpg,60")


def test_a_named_column_that_is_not_there(photos):
    with pytest.raises(DataError, match=r"no column 'x' \(data\.mos_column\); it has the columns \['Name', 'MOS'\]"):
        read(photos, "Name,MOS", "a.jpg,50", mos_column="x")


def test_exact_spelling_tells_two_columns_apart(photos):
    lines = ("name,mos,MOS", "a.jpg,70,3", "b.jpg,60,2")
    assert scores(read(photos, *lines, mos_column="MOS")) == {"a.jpg": 3, "b.jpg": 2}
    assert scores(read(photos, *lines, mos_column="mos")) == {"a.jpg": 70, "b.jpg": 60}
    with pytest.raises(DataError, match="several columns called 'Mos'"):
        read(photos, *lines, mos_column="Mos")


def test_two_columns_of_names_are_refused(photos):
    lines = ("image,file_name,mos", "b,a.jpg,70", "a,b.jpg,60")
    with pytest.raises(DataError, match=r"'image' \(column 1\), 'file_name' \(column 2\); set data\.name_column"):
        read(photos, *lines)
    assert scores(read(photos, *lines, name_column="file_name")) == {"a.jpg": 70, "b.jpg": 60}


def test_hugging_faces_file_name(tmp_path):
    write_photos(tmp_path, "train/a.jpg", "test/c.jpg")
    listing = read(tmp_path, "file_name,mos", "train/a.jpg,10", "test/c.jpg,90")
    assert scores(listing) == {"train/a.jpg": 10, "test/c.jpg": 90}


@pytest.mark.parametrize(
    "name", ["Image Name", "image-name", "IMG_NAME", "ImageName", "filename", " file name ", "photo"]
)
def test_spellings_of_the_column_of_names(photos, name):
    assert scores(read(photos, f"MOS,{name}", "50,a.jpg", "60,b.jpg")) == {"a.jpg": 50, "b.jpg": 60}


def test_the_index_that_pandas_writes(photos):
    assert scores(read(photos, ",image_name,mos", "0,a.jpg,50", "1,b.jpg,60")) == {"a.jpg": 50, "b.jpg": 60}


def test_a_column_of_a_list_that_is_not_read(tmp_path):
    with pytest.raises(DataError, match="reads no list"):
        read_listing(DataSettings(root=str(tmp_path), mos_column="MOS"))


VOTES = "name,c1,c2,c3,c4,c5,mos"


def test_the_votes_decide_on_the_scale(photos):
    """Photos so bad that their MOS on 0 to 100 would pass for one on 1 to 5, beside others."""
    rows = [f"{n}.jpg,.9,.1,0,0,0,{n}" for n in range(1, 4)] + [f"{n}.jpg,0,0,0,.1,.9,{90 + n}" for n in range(4, 8)]
    write_photos(photos, *(f"{n}.jpg" for n in range(1, 8)))
    found = scores(read(photos, VOTES, *rows))
    assert found == pytest.approx({f"{n}.jpg": 1.1 if n < 4 else 4.9 for n in range(1, 8)})
    listing = read(photos, VOTES, "a.jpg,.9,.1,0,0,0,1.1", "b.jpg,0,0,0,.1,.9,4.9", rows[2])
    assert scores(listing) == pytest.approx({"a.jpg": 1.1, "b.jpg": 4.9})
    assert [problem.kind for problem in listing.problems] == ["mos_disagrees"]


def test_a_row_on_the_levels_scale_in_a_list_of_the_other(photos):
    rows = ("a.jpg,.9,.1,0,0,0,6", "a.jpg,.8,.2,0,0,0,12", "b.jpg,0,0,0,.1,.9,4.9", "b.jpg,0,0,.1,.9,0,70")
    problems = read(photos, VOTES, *rows).problems
    assert [problem.kind for problem in problems if problem.row == 4] == ["mos_disagrees"]


def test_votes_in_the_other_order_are_refused(tmp_path):
    names = [f"{n:02}.jpg" for n in range(20)]
    write_photos(tmp_path, *names)
    rows = [f"{name},{n},0,0,0,{20 - n},{30 + 2 * n}" for n, name in enumerate(names)]
    with pytest.raises(DataError, match=r"correlate with -1\.00"):
        read(tmp_path, VOTES, *rows)


@pytest.mark.parametrize(("top", "meant"), [(0.9, r"\[0, 1\]"), (4.9, r"\[1, 5\]"), (9.9, r"\[0, 10\]")])
def test_a_suspicion_of_another_scale_is_told(photos, top, meant):
    listing = read(photos, "name,mos", f"a.jpg,{top}", "b.jpg,0.5")
    assert any(re.search(meant, note) for note in listing.notes)
