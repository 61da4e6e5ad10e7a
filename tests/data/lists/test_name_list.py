import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfiqa_ray.data.lists import name_list, score_list
from halfiqa_ray.data.problems import DataError
from tests.data.photo_files import write_lines


def read(path, *columns):
    return name_list.read(score_list.read(path), *columns)


def test_reads_one_column(tmp_path):
    path = write_lines(tmp_path / "l.csv", "image_name,other,set", "x\\a.jpg,1,training", "b.jpg,2,", "c.jpg,3")
    found = read(path, "split", "set")
    assert found.values == {"x/a.jpg": "training", "b.jpg": None}
    assert [(problem.kind, problem.row) for problem in found.problems] == [("bad_columns", 4)]
    assert read(path, "split") is None


def test_a_name_in_two_splits_has_none(tmp_path):
    path = write_lines(tmp_path / "l.csv", "image_name,split", "a.jpg,train", "b.jpg,test", "a.jpg,test", "b.jpg,test")
    found = read(path, "split")
    assert found.values == {"a.jpg": None, "b.jpg": "test"}
    assert [(problem.kind, problem.row) for problem in found.problems] == [("split_conflict", 4)]
    assert "row 2" in str(found.problems[0])


def test_a_list_without_names(tmp_path):
    with pytest.raises(DataError, match=r"l\.csv has no header with image_name"):
        read(write_lines(tmp_path / "l.csv", "a.jpg,train"), "split")


@pytest.mark.parametrize(
    ("images", "names", "expected"),
    [
        (["a.jpg"], ["a.jpg"], {"a.jpg": "a.jpg"}),
        (["TestImage/00001.jpg"], ["00001.png"], {"TestImage/00001.jpg": "00001.png"}),
        (["x/a.jpg", "y/a.jpg"], ["x/a.jpg", "y/a.jpg"], {"x/a.jpg": "x/a.jpg", "y/a.jpg": "y/a.jpg"}),
        (["x/a.jpg"], ["x/a.png"], {"x/a.jpg": "x/a.png"}),
        (["a.jpg", "a.png"], ["a.jpg", "a.png"], {"a.jpg": "a.jpg", "a.png": "a.png"}),
        (["a.jpg", "sub/a.jpg"], ["a.jpg"], {"a.jpg": "a.jpg"}),  # the name is spoken for
        (["x/a.jpg", "y/a.jpg"], ["a.jpg"], None),
        (["a.jpg"], ["a.png", "a.bmp"], None),
        (["a.png", "a.bmp"], ["a.jpg"], None),
        (["a.jpg"], ["b.jpg"], {}),
    ],
)
def test_which_name_means_which_photo(images, names, expected):
    found = name_list.match(images, names)
    if expected is None:
        assert not found.names
        assert set(found.ambiguous) == set(images)
    else:
        assert found.names == expected
        assert not found.ambiguous
        assert found.unused == len(names) - len(expected)


paths = st.lists(st.sampled_from([f"{d}{n}.{e}" for d in ("", "x/", "y/") for n in "abc" for e in ("jpg", "png")]))


@given(paths, paths)
def test_no_name_serves_two_photos(images, names):
    found = name_list.match(images, names)
    assert len(set(found.names.values())) == len(found.names)
    assert not set(found.names) & set(found.ambiguous)
    assert set(found.names) <= set(images)
    assert set(found.names.values()) <= set(names)
    exact = set(images) & set(names)
    assert all(found.names[image] == image for image in exact)
