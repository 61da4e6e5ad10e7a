"""Filled against masked scores by loops over images, and Table I by fill, from planted rows."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import pearsonr

from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.tables import build, experiments, table1_text
from halfiqa_ray.tables.beyond import fills_text
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored.derived import read_fills
from halfiqa_ray.tables.stored.reading import find_run, read_images, vectors
from tests.tables import planted, planted_derived

GRID, COUNT = Grid(2, 3), 100
SHARES = {"zero": 0.9, "blur": 0.7, "black": 0.5}  # of the score in the planted half


def fill_rows(table, half, seed=0, **changes):
    """Rows of all fills: blurred those of every second image, black only the control's."""
    parts = []
    place = {image_id: number for number, image_id in enumerate(sorted(table["image_id"].to_pylist()))}
    for number, (fill, share) in enumerate(SHARES.items()):
        rankings = ("control_random",) if fill == "black" else ("level_plcc", "control_random")
        rows = planted_derived.zeroed(
            table, half, GRID, rankings, share, seed=seed + number, fill=fill, noise=0.1, **changes
        )
        keep = [r is not None or fill == "zero" for r in rows["ranking"].to_pylist()]
        if fill == "blur":
            keep = [k and place[i] % 2 == 0 for k, i in zip(keep, rows["image_id"].to_pylist(), strict=True)]
        parts.append(rows.filter(pa.array(keep)))
    return pa.concat_tables(parts)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    output = tmp_path_factory.mktemp("fills")
    table, half = planted.rows(COUNT, GRID, noise=0.15, share=0.8)
    planted.write(output, table, 3, grid=GRID)
    stored = fill_rows(table, half)
    planted_derived.write_zeroed(output, stored, "triq")
    planted_derived.write_zeroed(output, planted_derived.zeroed(table, half, GRID, seed=9), "koncept")
    run = find_run(str(output), "planted")
    images, resampling = read_images(run), Resampling(50, 1)
    statistics = build.make_run_tables(run, resampling=resampling, images=images)
    tables = experiments.make_experiments(str(output), run, images, statistics, "level_plcc", resampling)
    return table, stored, tables, (output, run, images)


def test_every_number_by_a_loop_over_images(made):
    table, stored, tables, _ = made
    of_image = {i: (s, n) for i, s, n in zip(table["image_id"].to_pylist(), *columns(table), strict=True)}
    rows = stored.to_pylist()
    whole = {row["image_id"]: row["score"] for row in rows if row["ranking"] is None}
    found = [row for row in tables["fills"].to_pylist() if row["scope"] == "test"]
    assert len(found) == 2 * (2 + 3)
    for row in found:
        fills = ("zero", "blur") if row["ranking"] == "level_plcc" else ("zero", "blur", "black")
        filled = {
            fill: {
                each["image_id"]: each
                for each in rows
                if (each["ranking"], each["zeroed_half"], each["fill"]) == (row["ranking"], row["taken_away"], fill)
            }
            for fill in fills
        }
        there = sorted(set.intersection(*(set(each) for each in filled.values())))
        ours, masked, original = [], [], []
        for image_id in there:
            each = filled[row["fill"]][image_id]
            ours.append(each["score"])
            masked.append(of_image[image_id][0][63 ^ each["zeroed_blocks"]])
            original.append((of_image[image_id][1], whole[image_id]))
        ours, masked, original = (np.array(values, np.float64) for values in (ours, masked, original))
        assert row["n"] == len(there) < len(filled["zero"])  # those that are blurred too
        assert row["plcc"] == pytest.approx(pearsonr(ours, masked).statistic, abs=1e-9)
        assert row["difference"] == pytest.approx(np.abs(ours - masked).mean() / 4, abs=1e-9)
        assert row["shift"] == pytest.approx((ours - masked).mean() / 4, abs=1e-9)
        assert row["masked_change"] == pytest.approx(np.abs(masked - original[:, 0]).mean() / 4, abs=1e-9)
        assert row["filled_change"] == pytest.approx(np.abs(ours - original[:, 1]).mean() / 4, abs=1e-9)
        assert row["difference_low"] <= row["difference"] <= row["difference_high"]


def columns(table):
    return vectors(table["subset_scores"]).astype(np.float64), table["score"].to_pylist()


def test_table1_has_a_row_a_fill_below_the_papers(made):
    _, _, tables, _ = made
    rows = [row for row in tables["table1"].to_pylist() if row["scope"] == "test" and row["n"]]
    of_triq = [(row["ranking"], row["fill"]) for row in rows if row["model"] == "triq"]
    controls = [("control_random", fill) for fill in ("zero", "blur", "black")]
    assert of_triq == [("level_plcc", "zero"), ("level_plcc", "blur"), *controls]
    assert {row["fill"] for row in rows if row["model"] == "koncept"} == {"zero"}
    zero, blur = (next(r for r in rows if (r["model"], r["fill"]) == ("triq", fill)) for fill in ("zero", "blur"))
    assert 20 <= blur["n"] < zero["n"]
    assert f"{blur['n']} of {zero['n']} images" in blur["note"]
    assert zero["paper_important"] is not None or blur["paper_important"] is None
    assert blur["paper_important"] is None
    pairs = {(row["model"], row["fill"]) for row in tables["table1_controls"].to_pylist()}
    assert pairs == {("triq", "zero"), ("triq", "blur"), ("koncept", "zero")}
    for text in (
        table1_text.TABLE1.console(tables["table1"]),
        table1_text.TABLE1.markdown(tables["table1"]),
        fills_text.PAGE.console(tables["fills"]),
    ):
        assert "filled by" in text
        assert "zero (paper)" in text
        assert "blur" in text
        assert "nan" not in text


def test_rows_of_before_there_were_fills_are_those_of_zero(made, tmp_path):
    """The same numbers from files without the column; and with the default alone nothing is said of fills."""
    table, stored, tables, _ = made
    older = stored.filter(pa.array([fill in ("zero", "none") for fill in stored["fill"].to_pylist()]))
    planted.write(tmp_path, table, 3, grid=GRID)
    planted_derived.write_zeroed(tmp_path, older.drop_columns(["fill"]), "triq")
    run = find_run(str(tmp_path), "planted")
    images, resampling = read_images(run), Resampling(50, 1)
    models, others = read_fills(str(tmp_path), run, images)
    assert others == {}
    found = experiments.zeroing_tables(str(tmp_path), run, images, models, "level_plcc", resampling)["table1"]
    text = table1_text.TABLE1.console(found)
    assert "filled by" not in text
    of_zero = [
        row | {"note": None}
        for row in tables["table1"].to_pylist()
        if row["model"] == "triq" and row["fill"] == "zero" and row["n"]
    ]
    ours = [row | {"note": None} for row in found.to_pylist() if row["model"] == "triq" and row["n"]]
    assert [without(row, "learned_from") for row in ours] == [without(row, "learned_from") for row in of_zero]


def without(row, name):
    return {key: value for key, value in row.items() if key != name}


def test_only_another_fill(made, tmp_path):
    """Nothing is zeroed by the paper's: Table I has the rows that there are, and no blank ones beside them."""
    table, stored, _, _ = made
    blurred = stored.filter(pa.array([fill in ("blur", "none") for fill in stored["fill"].to_pylist()]))
    planted.write(tmp_path, table, 3, grid=GRID)
    planted_derived.write_zeroed(tmp_path, blurred, "triq")
    run = find_run(str(tmp_path), "planted")
    images, resampling = read_images(run), Resampling(30, 1)
    models, filled = read_fills(str(tmp_path), run, images)
    made = experiments.zeroing_tables(str(tmp_path), run, images, models, "level_plcc", resampling, filled=filled)
    rows = [row for row in made["table1"].to_pylist() if row["model"] == "triq" and row["scope"] == "test"]
    assert [(row["ranking"], row["fill"]) for row in rows] == [("level_plcc", "blur"), ("control_random", "blur")]


def test_without_zeroed_halves_it_says_so(tmp_path):
    table, _ = planted.rows(COUNT, GRID)
    planted.write(tmp_path, table, 3, grid=GRID)
    run = find_run(str(tmp_path), "planted")
    images, resampling = read_images(run), Resampling(30, 1)
    statistics = build.make_run_tables(run, resampling=resampling, images=images)
    found = experiments.stored_score_tables(run, images, statistics, [], [], "level_plcc", resampling)["fills"]
    [row] = found.to_pylist()
    assert row["n"] == 0
    assert "jobs/zero.py" in row["note"]
