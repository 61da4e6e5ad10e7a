import pytest

from halfiqa_ray.config import DataSettings
from halfiqa_ray.data.lists import pyiqa
from halfiqa_ray.data.lists.readers import read_listing
from halfiqa_ray.data.problems import DataError
from tests.data.photo_files import write_lines, write_photos


def settings(root, **more):
    return DataSettings(layout="pyiqa", root=str(root), **more)


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path, "a.jpg", "b.jpg")


def test_scores_and_deviation(photos):
    write_lines(photos / "meta_info_Set.csv", "img_name,mos,std", "a.jpg,50.5,3", "b.jpg,7,2")
    listing = pyiqa.read(settings(photos))
    assert [(row.image_id, row.mos, row.mos_std) for row in listing.rows] == [("a.jpg", 50.5, 3), ("b.jpg", 7, 2)]
    assert listing.mos_scale == (0.0, 100.0)
    assert listing.split_column is None


def test_the_scale_is_a_setting(photos):
    write_lines(photos / "meta_info_Set.csv", "img_name,mos", "a.jpg,0.4", "b.jpg,1.4")
    listing = pyiqa.read(settings(photos, mos_scale=(0, 1)))
    assert listing.mos_scale == (0, 1)
    assert [problem.kind for problem in listing.problems] == ["mos_out_of_range"]


def test_votes_are_read_as_koniqs(photos):
    header = "img_name,mos,std,split,c1,c2,c3,c4,c5,c_total"
    write_lines(
        photos / "meta_info_K.csv", header, "a.jpg,77,.5,train,0,0,.25,.5,.25,100", "b.jpg,20,.5,val,.5,.5,0,0,0,9"
    )
    listing = pyiqa.read(settings(photos))
    assert [(row.mos, row.mos_zscore, row.split) for row in listing.rows] == [(4, 77, "train"), (1.5, 20, "val")]
    assert listing.mos_scale == (1.0, 5.0)


HEADER = "img_name,mos,official_split,ratio802_seed123_split_01"


def test_several_split_columns_need_a_choice(photos):
    write_lines(photos / "meta_info_K.csv", HEADER, "a.jpg,77,train,test", "b.jpg,77,val,train")
    with pytest.raises(DataError, match=r"official_split.*data\.split_column"):
        pyiqa.read(settings(photos))
    listing = pyiqa.read(settings(photos, split_column="ratio802_seed123_split_01"))
    assert [row.split for row in listing.rows] == ["test", "train"]
    assert listing.split_column == "ratio802_seed123_split_01"
    for unneeded in ({"split": "own"}, {"split": "none"}, {"split_file": "x.csv"}):
        assert pyiqa.read(settings(photos, **unneeded)).split_column is None


def test_several_lists_need_a_choice(photos):
    for name in ("meta_info_A.csv", "meta_info_B.csv"):
        write_lines(photos / name, "img_name,mos", "a.jpg,1")
    with pytest.raises(DataError, match=r"meta_info_A.*data\.scores"):
        pyiqa.read(settings(photos))
    assert len(pyiqa.read(settings(photos, scores="meta_info_B.csv")).rows) == 1


def test_other_lists_are_refused(photos):
    write_lines(photos / "meta_info_A.csv", "a.jpg,1", "b.jpg,2")
    with pytest.raises(DataError, match="no header with img_name and mos"):
        pyiqa.read(settings(photos))


def test_a_scale_that_another_layout_would_ignore_is_refused(photos):
    with pytest.raises(DataError, match=r"data\.mos_scale"):
        read_listing(DataSettings(layout="spaq", root=str(photos), mos_scale=(0, 10)))
