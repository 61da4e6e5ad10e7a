import numpy as np
import pyarrow as pa
import pytest

from halfiqa_ray import schema
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.masking.importance import important_half
from halfiqa_ray.statistics.binomial import binomial_interval
from halfiqa_ray.tables.beyond.localisation import COLUMNS, localise, read_truth, verdict
from halfiqa_ray.tables.beyond.localisation_text import page, sentence
from halfiqa_ray.tables.writing import write_table
from tests.tables import planted

GRID = Grid(3, 4)


def rows_of(importance, photos=12, splits=("test",), level_plcc=True):
    """Rank rows whose every rule has the given importance (N, 12)."""
    count = len(importance)
    columns = {
        "image_id": [f"folder/{i}.jpg" for i in range(count)],
        "split": [splits[i % len(splits)] for i in range(count)],
        "source_photo": pa.array([f"p{i % photos}" if photos else None for i in range(count)], pa.string()),
    }
    for rule in schema.IMAGE_RULES:
        there = level_plcc or rule != "level_plcc"
        columns[f"importance_{rule}"] = planted.lists(importance, there)
        half = important_half(importance)
        columns[f"important_{rule}"] = pa.array(half, mask=np.full(count, not there))
    return pa.table({name: columns[name] for name in COLUMNS})


def damaged(count, seed=0, blocks=4):
    draw = np.random.default_rng(seed)
    masks = (1 << np.argsort(draw.random((count, 12)), axis=1)[:, :blocks]).sum(1)
    return {f"{i}.jpg": int(mask) for i, mask in enumerate(masks)}


def importance_of(truth, sign, seed=1):
    """Importance that is higher (or lower) in damaged blocks, or does not care."""
    masks = np.array(list(truth.values()))
    inside = masks[:, None] >> np.arange(12) & 1
    return 5 + sign * inside + 0.1 * np.random.default_rng(seed).random(inside.shape)


def table_of(truth, sign, **settings):
    return localise(rows_of(importance_of(truth, sign)), truth, GRID, resamples=200, **settings).to_pylist()


@pytest.mark.parametrize(("sign", "finds", "share"), [(1, "damaged", 1.0), (-1, "clean", 0.0), (0, "neither", None)])
def test_what_a_rule_finds_is_said_the_right_way_round(sign, finds, share):
    truth = damaged(60)
    for row in table_of(truth, sign):
        assert row["finds"] == finds
        assert row["chance"] == pytest.approx(4 / 12)
        assert (row["n"], row["photos"]) == (60, 12)
        if share is not None:
            assert row["most"] == share
            assert row["least"] == 1 - share
            # 4 damaged blocks: all in the important half, or all outside it
            assert row["important_share"] == share
        assert (row["most_low"], row["most_high"]) == pytest.approx(binomial_interval(row["most_hits"], 60))
        assert row["important_share_chance"] == 0.5
        words = {"damaged": "are the damaged ones", "clean": "are the clean ones", "neither": "neither the damaged"}
        assert words[finds] in sentence(row)


def test_only_images_damaged_in_part_count(tmp_path):
    (tmp_path / "damage.csv").write_text(
        "image_name,source_photo,damaged_blocks\n0.jpg,p,0\n1.jpg,p,4095\n2.jpg,p,3\n3.jpg,p,2053\nother.jpg,p,1\n"
    )
    truth = read_truth(str(tmp_path / "damage.csv"), GRID)
    assert truth == {"2.jpg": 3, "3.jpg": 2053, "other.jpg": 1}
    found = localise(rows_of(np.ones((5, 12))), truth, GRID, resamples=20).to_pylist()
    assert all(row["n"] == 2 for row in found)
    # All blocks tie: the most important is block 0, the least is block 11.
    assert all((row["most_hits"], row["least_hits"]) == (2, 1) for row in found)


@pytest.mark.parametrize("value", ["", "-1", "4096", "x", "1.5"])
def test_a_truth_that_is_no_bit_mask_is_named_by_its_row(tmp_path, value):
    (tmp_path / "damage.csv").write_text(f"image_name,damaged_blocks\n0.jpg,3\n1.jpg,{value}\n")
    with pytest.raises(ValueError, match=r"damage.csv, row 3: damaged_blocks is"):
        read_truth(str(tmp_path / "damage.csv"), GRID)


def test_a_truth_without_its_columns_is_refused(tmp_path):
    (tmp_path / "damage.csv").write_text("image_name\n0.jpg\n")
    with pytest.raises(ValueError, match="no column damaged_blocks"):
        read_truth(str(tmp_path / "damage.csv"), GRID)


def test_names_are_matched_by_id_or_file_name_and_never_guessed():
    rows = rows_of(importance_of(damaged(4), 1))
    by_id = {f"folder/{name}": mask for name, mask in damaged(4).items()}
    assert localise(rows, by_id, GRID, resamples=20).to_pylist()[0]["most_hits"] == 4
    twice = pa.concat_tables([rows, rows.set_column(0, "image_id", pa.array([f"b/{i}.jpg" for i in range(4)]))])
    with pytest.raises(ValueError, match="two images have the same file name"):
        localise(twice, damaged(4), GRID)


def test_crops_of_few_photos_do_not_count_as_many_images():
    """Half of the photos are hit in all their crops: Wilson over images is sure, the photos are not."""
    truth = damaged(80, blocks=3)
    importance = importance_of(truth, 1)
    missed = np.arange(80) % 4 < 2
    importance[missed] = importance_of(truth, -1)[missed]
    row = localise(rows_of(importance, photos=8), truth, GRID, resamples=400).to_pylist()[0]
    assert row["most"] == 0.5
    assert row["most_low"] > row["chance"]
    assert row["most_photo_low"] < row["chance"]
    assert row["finds"] == verdict(row) == "neither"
    assert "8 photos this says little about others" in sentence(row)


def test_one_photo_is_no_evidence():
    truth = damaged(40)
    row = localise(rows_of(importance_of(truth, 1), photos=1), truth, GRID, resamples=20).to_pylist()[0]
    assert row["most_photo_low"] is row["important_share_low"] is None
    assert row["finds"] == "neither"
    assert "one photo" in sentence(row)


def test_the_untrained_control_stands_beside_and_the_difference_is_paired():
    truth = damaged(60)
    ours, theirs = rows_of(importance_of(truth, 1)), rows_of(importance_of(truth, 0))
    # The control lacks some images and has them in another order.
    theirs = theirs.take(pa.array(np.random.default_rng(0).permutation(60)[:50]))
    found = localise(ours, truth, GRID, theirs, resamples=200).to_pylist()
    rows = {(row["model"], row["rule"], row["scope"]): row for row in found}
    trained, untrained = rows["trained", "shapley", "all"], rows["untrained", "shapley", "all"]
    assert (trained["n"], untrained["n"]) == (60, 50)
    assert (trained["finds"], untrained["finds"]) == ("damaged", "neither")
    assert trained["most_minus_untrained"] == pytest.approx(1 - untrained["most"])
    assert trained["most_minus_untrained_low"] > 0
    assert untrained["most_minus_untrained"] is None
    assert "answer: neither" in sentence(trained, untrained)
    alike = localise(ours, truth, GRID, ours, resamples=50).to_pylist()
    assert "the same answer" in sentence(alike[0], alike[1])


def test_scopes_missing_rules_and_no_images():
    truth = damaged(30)
    rows = rows_of(importance_of(truth, 1), splits=("train", "test"), level_plcc=False)
    found = localise(rows, truth, GRID, resamples=20)
    by_key = {(row["scope"], row["rule"]): row for row in found.to_pylist()}
    assert by_key["train", "shapley"]["n"] == by_key["test", "shapley"]["n"] == 15
    assert by_key["all", "level_plcc"]["n"] == 0
    assert by_key["all", "level_plcc"]["most"] is None
    assert "no images" in sentence(by_key["all", "level_plcc"])
    nothing = localise(rows, {}, GRID, resamples=20)
    assert {row["n"] for row in nothing.to_pylist()} == {0}
    for table in (found, nothing):
        assert "nan" not in (page("shapley").console(table) + page("shapley").markdown(table)).lower()


def test_text_and_files_say_that_data_are_synthetic(tmp_path):
    table = localise(rows_of(importance_of(damaged(30), 1)), damaged(30), GRID, dataset="d", run="r", resamples=20)
    write_table(str(tmp_path), "localisation", table, page("shapley").markdown)
    for name in ("localisation.md", "localisation.csv"):
        assert "SYNTHETIC DATA" in (tmp_path / "tables" / name).read_text()
    text = page("shapley").console(table)
    assert "SYNTHETIC DATA" in text
    assert text.count("shapley, test:") == 1
