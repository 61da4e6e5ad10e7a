import numpy as np
import pytest
from scipy.stats import pearsonr

from halfiqa_ray.masking.controls import centre_half
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.tables import build, section2_text
from halfiqa_ray.tables.section2 import Resampling, fixed_halves, paper_numbers
from halfiqa_ray.tables.stored.reading import Run, find_run, vectors
from tests.tables import planted

GRID = Grid(3, 4)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """150 images of 15 photos: table, planted halves, Section 2 rows by (scope, name)."""
    output = tmp_path_factory.mktemp("planted")
    table, half = planted.rows(150, noise=0.02, share=0.95, photos=15)
    planted.write(output, table, 2)
    made = build.make_run_tables(find_run(str(output), "planted"), resampling=Resampling(200, 1))
    return table, half, made.section2


def by_name(section, scope="all"):
    return {row["name"]: row for row in section.to_pylist() if row["scope"] == scope}


@pytest.mark.parametrize("rule", ["level_plcc", "score_change", "shapley", "banzhaf"])
def test_every_rule_finds_the_planted_halves_and_masks_the_right_ones(run, rule):
    table, half, section = run
    scores = vectors(table["subset_scores"]).astype(float)
    each = np.arange(150)
    row = by_name(section)[rule]
    found = table[f"important_{rule}"].to_numpy().astype(int)
    if rule == "level_plcc":  # its planted values hardly depend on noise
        np.testing.assert_array_equal(found, half)
    full = scores[:, -1]
    assert row["trivial"] == pytest.approx(pearsonr(scores[each, found], full).statistic, abs=1e-10)
    assert row["important"] == pytest.approx(pearsonr(scores[each, 4095 ^ found], full).statistic, abs=1e-10)
    mos = table["mos"].to_numpy()
    assert row["trivial_mos"] == pytest.approx(pearsonr(scores[each, found], mos).statistic, abs=1e-10)
    assert row["important_mos"] == pytest.approx(pearsonr(scores[each, 4095 ^ found], mos).statistic, abs=1e-10)
    assert row["unmasked_mos"] == pytest.approx(pearsonr(full, mos).statistic, abs=1e-10)
    assert row["difference"] == pytest.approx(row["trivial"] - row["important"])
    assert row["trivial"] > 0.99 > 0.9 > row["important"]


def test_controls_are_alike_in_both_columns_and_between_the_bounds(run):
    rows = by_name(run[2])
    oracle, best = rows["oracle, image by image"], rows["best and worst fixed half"]
    for name in ("random half", "centre half", "another image's half"):
        row = rows[name]
        assert row["kind"] == "control"
        assert row["difference_low"] < 0 < row["difference_high"]
        assert row["difference"] < rows["level_plcc"]["difference"] / 2
        assert row["important"] > rows["level_plcc"]["important"]
    assert best["important"] <= rows["centre half"]["important"] <= best["trivial"]
    assert best["important"] <= rows["image_plcc"]["important"]
    assert oracle["trivial"] >= rows["level_plcc"]["trivial"] - 1e-3


def test_the_centre_row_and_the_fixed_rows_name_what_they_keep(run):
    table, _, section = run
    scores = vectors(table["subset_scores"]).astype(float)
    rows = by_name(section)
    for name in ("centre half", "image_plcc", "best and worst fixed half"):
        for side in ("trivial", "important"):
            kept = rows[name][f"kept_{side}_masked"]
            assert rows[name][side] == pytest.approx(pearsonr(scores[:, kept], scores[:, -1]).statistic, abs=1e-10)
    assert rows["centre half"]["kept_trivial_masked"] == centre_half(GRID)
    assert rows["level_plcc"]["kept_trivial_masked"] is None
    plcc = {half: pearsonr(scores[:, half], scores[:, -1]).statistic for half in GRID.halves()}
    assert rows["best and worst fixed half"]["kept_trivial_masked"] == max(plcc, key=plcc.get)
    assert rows["best and worst fixed half"]["kept_important_masked"] == min(plcc, key=plcc.get)


def test_the_oracle_takes_the_least_and_the_most_changing_half_of_each_image(run):
    table, _, section = run
    scores = vectors(table["subset_scores"]).astype(float)
    of_halves = scores[:, GRID.halves()]
    change = np.abs(of_halves - scores[:, -1:])
    each = np.arange(150)
    row = by_name(section)["oracle, image by image"]
    for side, choice in (("trivial", change.argmin(1)), ("important", change.argmax(1))):
        expected = pearsonr(of_halves[each, choice], scores[:, -1]).statistic
        assert row[side] == pytest.approx(expected, abs=1e-9)


def test_intervals_resample_photos_and_hold_their_values(run):
    for row in run[2].to_pylist():
        assert (row["resampled"], row["resamples"]) == ("source photo", 200)
        for name in ("trivial", "important", "difference", "trivial_mos", "difference_mos", "unmasked_mos"):
            assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"], (row["name"], name)
        if row["name"] != "random half":
            assert row["trivial_minus_random_low"] <= row["trivial_minus_random"] <= row["trivial_minus_random_high"]
    rule, random = by_name(run[2])["score_change"], by_name(run[2])["random half"]
    for side in ("trivial", "important"):
        assert rule[f"{side}_minus_random"] == pytest.approx(rule[side] - random[side])
        assert random[f"{side}_minus_random"] is None
    assert rule["trivial_minus_random_low"] > 0 > rule["important_minus_random_high"]
    scopes = {row["scope"]: row for row in run[2].to_pylist()}
    assert list(scopes) == ["all", "train", "test"]
    assert scopes["train"]["n"] + scopes["test"]["n"] == 150


def test_the_default_rule_comes_first_and_score_change_next_to_it(run):
    names = [row["name"] for row in run[2].to_pylist() if row["scope"] == "all"]
    assert names[:2] == ["level_plcc", "score_change"]
    assert [row["name"] for row in run[2].to_pylist() if row["default_rule"]] == ["level_plcc"] * 3


def test_a_scalar_head_leaves_level_plcc_blank_and_says_why(tmp_path):
    grid = Grid(2, 2)
    table, _ = planted.rows(40, grid, levels=False, splits=())
    planted.write(tmp_path, table, grid=grid)
    section = build.make_run_tables(find_run(str(tmp_path), "planted"), resampling=Resampling(20)).section2
    rows = by_name(section)
    assert rows["level_plcc"]["n"] == 0
    assert rows["level_plcc"]["trivial"] is rows["level_plcc"]["important_high"] is None
    assert "no quality levels" in rows["level_plcc"]["note"]
    assert rows["another image's half"]["note"].startswith("its half by score_change")
    line = next(line for line in section2_text.PAGE.console(section).splitlines() if line.startswith("level_plcc"))
    assert "no quality levels" in line
    assert "nan" not in section2_text.PAGE.console(section).lower() + section2_text.PAGE.markdown(section).lower()


def test_few_photos_are_said_and_fewer_give_no_interval(tmp_path):
    grid = Grid(2, 2)
    for photos in (1, 7, 8):
        table, _ = planted.rows(40, grid, photos=photos, splits=())
        planted.write(tmp_path / str(photos), table, grid=grid)
        run = find_run(str(tmp_path / str(photos)), "planted")
        section = build.make_run_tables(run, resampling=Resampling(20)).section2
        text = section2_text.PAGE.console(section)
        row = by_name(section)["score_change"]
        assert row["trivial"] is not None
        assert row["resampled_units"] == photos
        if photos < 8:
            assert row["trivial_low"] is None
            assert "o interval from fewer than 8 source photos" in text
            assert "95% intervals" not in text
        else:
            assert row["trivial_low"] is not None
            assert "Intervals from only 8 source photos" in text


def test_a_handful_of_images_has_no_interval(tmp_path):
    """Of three images the resamples' percentiles are -1 and 1, whatever was measured."""
    grid = Grid(2, 2)
    table, _ = planted.rows(19, grid, splits=())
    planted.write(tmp_path, table, grid=grid)
    section = build.make_run_tables(find_run(str(tmp_path), "planted"), resampling=Resampling(20)).section2
    assert all(row[name] is None for row in section.to_pylist() for name in row if name.endswith(("_low", "_high")))
    for text in (section2_text.PAGE.console(section), section2_text.PAGE.markdown(section)):
        assert "no interval from fewer than 20 images" in text


def test_odd_grids_keep_the_smaller_half_when_the_trivial_one_is_masked(tmp_path):
    grid = Grid(1, 5)
    table, _ = planted.rows(40, grid, splits=(), noise=0.2)
    planted.write(tmp_path, table, grid=grid)
    section = build.make_run_tables(find_run(str(tmp_path), "planted"), resampling=Resampling(20)).section2
    for name in ("image_plcc", "centre half", "best and worst fixed half"):
        row = by_name(section)[name]
        assert row["kept_trivial_masked"].bit_count() == 2
        assert row["kept_important_masked"].bit_count() == 3


def test_fixed_halves_where_no_correlation_exists():
    nothing = np.full(4096, np.nan)
    assert fixed_halves(GRID, nothing, 0) == {"image_plcc": None, "best and worst fixed half": None}


def real(dataset, layout=None, synthetic=False, rows=3, columns=4):
    grid = {"rows": rows, "columns": columns}
    return Run(dataset, "0123abcd", (), {"grid": grid, "layout": layout, "synthetic": synthetic})


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (real("koniq10k", "koniq10k"), (0.97, 0.67)),
        (real("KonIQ-10k", "pyiqa"), (0.97, 0.67)),
        (real("mine", "spaq"), (0.96, 0.68)),
        (real("spaq"), (0.96, 0.68)),
        (real("koniq10k", "koniq10k", synthetic=True), None),
        (real("koniq10k", "koniq10k", rows=4), None),
        (real("photos", "folder"), None),
        (real("demo-koniq", "folder"), None),
    ],
)
def test_the_paper_stands_beside_its_own_data_sets_only(run, expected):
    assert paper_numbers(run) == expected


def test_the_paper_and_the_difference_from_it_stand_in_the_rows_of_rules(tmp_path):
    table, _ = planted.rows(60, splits=())
    planted.write(tmp_path, table, synthetic=False)
    section = build.make_run_tables(find_run(str(tmp_path), "planted"), resampling=Resampling(20)).section2
    for row in section.to_pylist():
        if row["kind"] == "rule":
            assert (row["paper_trivial"], row["paper_important"]) == (0.97, 0.67)
            assert row["important_minus_paper"] == pytest.approx(row["important"] - 0.67)
        else:
            assert row["paper_trivial"] is row["trivial_minus_paper"] is None
    text = section2_text.PAGE.console(section)
    assert "0.97 / 0.67" in text
    assert "SYNTHETIC" not in text + section2_text.PAGE.markdown(section)
