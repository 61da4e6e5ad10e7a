import pytest

from halfiqa_ray.config import DataSettings
from halfiqa_ray.data.lists import koniq
from halfiqa_ray.data.lists.votes import mean_level
from halfiqa_ray.data.problems import DataError
from tests.data.photo_files import write_lines, write_photos

OFFICIAL = "image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,MOS_zscore"
SETS = "image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,set"
# The same photos as the published lists have them.
OFFICIAL_ROWS = (
    "10004473376.jpg,0,0,25,73,7,105,3.828571429,0.527,77.38",
    "10007357496.jpg,0,3,45,47,1,96,3.479166667,0.58,68.73",
)
AUTHOR_ROWS = ("10004473376.jpg,0,0,25,73,7,3.828571429", "10007357496.jpg,0,3,45,47,1,3.479166667")
SETS_ROWS = (
    "10004473376.jpg,0.0,0.0,0.238095238095,0.695238095238,0.0666666666667,105,77.3836206897,0.527277894494,training",
    "10007357496.jpg,0.0,0.03125,0.46875,0.489583333333,0.0104166666667,96,68.7285714286,0.580003024795,test",
)
NAMES = ("10004473376.jpg", "10007357496.jpg")


def read(root, **settings):
    return koniq.read(DataSettings(layout="koniq10k", root=str(root), **settings))


def problem_kinds(listing):
    return {problem.row: problem.kind for problem in listing.problems}


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path, *(f"1024x768/{name}" for name in NAMES))


@pytest.mark.parametrize(
    ("file", "lines"),
    [
        ("koniq10k_scores_and_distributions.csv", (OFFICIAL, *OFFICIAL_ROWS)),
        ("koniq10k_distributions_sets.csv", (SETS, *SETS_ROWS)),
        ("koniq10k_images_scores.csv", AUTHOR_ROWS),
    ],
)
def test_the_three_lists_say_the_same(photos, file, lines):
    write_lines(photos / file, *lines)
    listing = read(photos)
    assert not listing.problems
    assert listing.mos_scale == (1.0, 5.0)
    assert [row.image_id for row in listing.rows] == [f"1024x768/{name}" for name in NAMES]
    assert [row.mos for row in listing.rows] == pytest.approx([3.828571429, 3.479166667], abs=1e-8)
    assert listing.rows[0].levels == pytest.approx([0, 0, 25 / 105, 73 / 105, 7 / 105], abs=1e-9)
    assert sum(listing.rows[1].levels) == pytest.approx(1, abs=1e-15)
    assert mean_level(listing.rows[1].levels) == pytest.approx(3.479166667, abs=1e-8)


def test_the_list_is_known_by_content_not_by_name(photos):
    write_lines(photos / "koniq10k_scores_and_distributions.csv", SETS, *SETS_ROWS)
    assert [row.mos for row in read(photos).rows] == pytest.approx([3.828571429, 3.479166667], abs=1e-8)


def test_the_0_to_100_scale_is_kept_apart(photos):
    write_lines(photos / "sets.csv", SETS, *SETS_ROWS)
    listing = read(photos, scores="sets.csv")
    assert [row.mos_zscore for row in listing.rows] == [77.3836206897, 68.7285714286]
    assert [row.split for row in listing.rows] == ["training", "test"]
    assert listing.split_column == "set"
    assert "fractions" in listing.notes[0]
    write_lines(photos / "official.csv", OFFICIAL, *OFFICIAL_ROWS)
    listing = read(photos, scores="official.csv")
    assert [row.mos_zscore for row in listing.rows] == [77.38, 68.73]
    assert [row.mos_std for row in listing.rows] == [0.527, 0.58]
    assert listing.split_column is None


def test_each_bad_row_is_listed_with_its_place(photos):
    bad = (
        "missing.jpg,0,0,25,73,7,105,3.8286,0.5,77",  # 4
        "10004473376.jpg,0,0,25,73,7,105,nan,0.5,77",
        "10004473376.jpg,0,0,25,73,7,105,many,0.5,77",
        "10004473376.jpg,0,0,25,73,7,105,77.4,0.5,77",  # the other scale in one row: 7
        "10004473376.jpg,0,-1,25,73,7,104,3.8,0.5,77",
        "10004473376.jpg,0,0,0,0,0,0,3.8,0.5,77",
        "10004473376.jpg,0,0,25,73,7,106,3.8286,0.5,77",  # 10
        "10004473376.jpg,0,0.5,25,73,7,105.5,3.8286,0.5,77",
        "10004473376.jpg,0,0,25,73,7,105,2.1,0.5,77",  # 12
        "10004473376.jpg,0,0,25,73,7,105,3.8286,0.5",
        "10004473376.jpg,0,0,25,73,7,105,3.8286,0.5,77,1",  # 14
        "../10004473376.jpg,0,0,25,73,7,105,3.8286,0.5,77",
        "/10004473376.jpg,0,0,25,73,7,105,3.8286,0.5,77",  # 16
        "10004473376.jpg,0,0,25,73,7,105,3.8286,-0.5,77",
        "10004473376.jpg,0,x,25,73,7,105,3.8286,0.5,77",  # 18
    )
    path = write_lines(photos / "official.csv", OFFICIAL, *OFFICIAL_ROWS, *bad)
    listing = read(photos, scores=path)
    assert [row.line for row in listing.rows] == [2, 3]
    assert problem_kinds(listing) == {
        4: "missing_photo",
        5: "bad_number",
        6: "bad_number",
        7: "mos_out_of_range",
        8: "bad_votes",
        9: "bad_votes",
        10: "bad_votes",
        11: "bad_votes",
        12: "mos_disagrees",
        13: "bad_columns",
        14: "bad_columns",
        15: "leaves_root",
        16: "leaves_root",
        17: "bad_number",
        18: "bad_number",
    }
    for problem in listing.problems:
        assert str(problem).startswith(f"{path}, row {problem.row}: ")
    assert "2.1" in str(listing.problems[8])
    assert "3.8286" in str(listing.problems[8])


def test_bad_fractions(photos):
    rows = (SETS_ROWS[0].replace("0.69523", "0.29523"), SETS_ROWS[1].replace("68.7285714286", "168.7"))
    write_lines(photos / "sets.csv", SETS, *SETS_ROWS, *rows)
    assert problem_kinds(read(photos, scores="sets.csv")) == {4: "bad_votes", 5: "mos_out_of_range"}


def test_a_row_of_one_vote_stays_a_count(photos):
    write_photos(photos, "1024x768/one.jpg")
    write_lines(photos / "l.csv", *AUTHOR_ROWS, "one.jpg,0,0,0,1,0,4")
    listing = read(photos, scores="l.csv")
    assert listing.rows[2].levels == (0, 0, 0, 1, 0)
    assert "counts" in listing.notes[0]


def test_repeated_names(photos):
    write_photos(photos, "1024x768/c.jpg")
    lines = (*AUTHOR_ROWS, AUTHOR_ROWS[0], "c.jpg,0,0,0,0,9,5", "c.png,0,0,0,9,0,4")
    write_lines(photos / "l.csv", *lines)
    listing = read(photos, scores="l.csv")
    assert [row.line for row in listing.rows] == [1, 2]  # the same values count once; c has two, and nobody knows which
    assert problem_kinds(listing) == dict.fromkeys((3, 4, 5), "duplicate_name")
    assert "rows 4, 5" in str(listing.problems[1])


def test_a_photo_of_no_bytes(photos):
    (photos / "1024x768" / NAMES[0]).write_bytes(b"")
    write_lines(photos / "l.csv", *AUTHOR_ROWS)
    assert problem_kinds(read(photos, scores="l.csv")) == {1: "empty_photo"}


@pytest.mark.parametrize("folder", ["512x384/", ""])
def test_photos_in_the_other_places(tmp_path, folder):
    write_photos(tmp_path, *(folder + name for name in NAMES))
    write_lines(tmp_path / "l.csv", *AUTHOR_ROWS)
    assert [row.image_id for row in read(tmp_path, scores="l.csv").rows] == [folder + name for name in NAMES]


def test_sizes_never_mix(photos):
    write_photos(photos, f"512x384/{NAMES[0]}", "512x384/x.jpg")
    write_lines(photos / "l.csv", *AUTHOR_ROWS, "x.jpg,0,0,0,1,0,4")
    listing = read(photos, scores="l.csv")
    assert {row.image_id.split("/")[0] for row in listing.rows} == {"1024x768"}
    assert problem_kinds(listing) == {3: "missing_photo"}
    assert "also in 512x384" in listing.notes[1]


def test_a_headerless_list_with_a_broken_first_row(photos):
    write_lines(photos / "l.csv", "10004473376.jpg,0,0,25,seventy,7,3.8", *AUTHOR_ROWS)
    assert problem_kinds(read(photos, scores="l.csv")) == {1: "bad_number"}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (("a.jpg,3.5", "b.jpg,3.5"), "no KonIQ-10k score list"),
        (("image_name,MOS", "a.jpg,3.5"), r"lacks the columns \['c1', "),
        ((OFFICIAL,), "no usable row"),
        ((OFFICIAL, "a.jpg,0,0,25,73,7,105,nan,0.5,77"), "no usable row.*row 2"),
    ],
)
def test_other_lists_are_refused(photos, lines, reason):
    write_lines(photos / "l.csv", *lines)
    with pytest.raises(DataError, match=reason):
        read(photos, scores="l.csv")


def test_no_list(photos):
    with pytest.raises(DataError, match=r"koniq10k_scores_and_distributions\.csv.*data\.scores"):
        read(photos)


def test_an_unknown_split_column(photos):
    write_lines(photos / "l.csv", SETS, *SETS_ROWS)
    with pytest.raises(DataError, match=r"no column 'fold'"):
        read(photos, scores="l.csv", split_column="fold")
