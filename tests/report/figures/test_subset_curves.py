import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from halfiqa_ray import schema, storage
from halfiqa_ray.report import stored
from halfiqa_ray.report.figures.subset_curves import subsets, sufficiency
from halfiqa_ray.tables.stored.curves import LEAST, MOST
from tests.report import planted_report


def table(output, name, /, **equal):
    rows = storage.read_table(f"{output}/tables/{name}.parquet")
    for column, value in equal.items():
        rows = rows.filter(pc.equal(rows[column], value))
    return rows


def lines(axis):
    return {line.get_label(): line for line in axis.lines}


def test_the_curves_hold_the_tables_numbers(planted):
    output, run, _ = planted
    drawn = sufficiency(output, run, "shapley")
    axis = drawn.figure.axes[0]
    found = lines(axis)
    for order in (MOST, LEAST):
        rows = table(output, "sufficiency", scope="all", name="shapley", order=order)
        line = found[f"shapley, {order}"]
        np.testing.assert_array_equal(line.get_xdata(), rows["blocks_kept"])
        np.testing.assert_array_equal(line.get_ydata(), rows["plcc"])
        assert f"{rows['plcc'][2].as_py():.3f}" in drawn.alt  # half of 6 blocks
    rows = table(output, "sufficiency", scope="all", kind="random")
    np.testing.assert_array_equal(found["random order (mean of all subsets)"].get_ydata(), rows["plcc"])
    ends = table(output, "sufficiency", scope="all", name="shapley", order=MOST)
    band = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert {*ends["plcc_low"].to_pylist(), *ends["plcc_high"].to_pylist()} <= set(band)
    assert "24 images" in drawn.caption
    assert "synthetic" in drawn.caption
    assert "SYNTHETIC" in drawn.figure.get_suptitle()


def test_all_subsets_stand_by_how_many_blocks_they_mask(planted):
    output, run, _ = planted
    axis = subsets(output, run, "level_plcc").figure.axes[0]
    ranges = axis.collections[0].get_segments()
    assert len(ranges) == 5
    for masked, segment in enumerate(ranges, 1):
        plcc = table(output, "subset_statistics", scope="all", blocks_kept=6 - masked)["plcc"].to_numpy()
        assert segment[:, 1].tolist() == [plcc.min(), plcc.max()]
        assert lines(axis)["median"].get_ydata()[masked - 1] == np.median(plcc)
    way = table(output, "section2", scope="all", name="level_plcc").to_pylist()[0]
    points = [lines(axis)[f"each photo's {half} half"].get_ydata()[0] for half in ("trivial", "important")]
    assert points == [way["trivial"], way["important"]]
    ends = [
        line.get_ydata().tolist() for line in axis.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 2
    ]
    assert ends == [[way[f"{half}_{end}"] for end in ("low", "high")] for half in ("trivial", "important")]


def test_a_model_without_levels_gets_another_rule_and_it_is_said(tmp_path):
    planted_report.plant(tmp_path, levels=False, mos=False, photos=1, splits=())
    run = planted_report.make_tables(tmp_path)
    for figure in (sufficiency(str(tmp_path), run, "level_plcc"), subsets(str(tmp_path), run, "level_plcc")):
        said = "level_plcc has no halves here; score_change is shown instead"
        assert said in figure.caption
        assert said in figure.figure.get_suptitle()
        assert "no interval from fewer than 8 source photos" in figure.caption
        assert "nan" not in figure.alt
    assert f"score_change, {MOST}" in lines(sufficiency(str(tmp_path), run, "level_plcc").figure.axes[0])


def test_only_the_rows_of_the_run_are_drawn(tmp_path):
    planted_report.plant(tmp_path, key="11111111", count=12)
    old = planted_report.make_tables(tmp_path)
    planted_report.plant(tmp_path, key="22222222", seed=1, created="2026-02-01T00:00:00+00:00")
    new = planted_report.make_tables(tmp_path)
    assert (old.key, new.key) == ("11111111", "22222222")
    for run, images in ((old, 12), (new, 24)):
        drawn = sufficiency(str(tmp_path), run, "level_plcc")
        (rows,) = table(
            tmp_path, "sufficiency", run=run.key, scope="all", name="level_plcc", order=MOST, blocks_kept=1
        ).to_pylist()
        assert lines(drawn.figure.axes[0])[f"level_plcc, {MOST}"].get_ydata()[0] == rows["plcc"]
        assert f"{images} images" in drawn.caption


def test_what_is_missing_is_named(tmp_path, planted):
    planted_report.plant(tmp_path)
    run = planted[1]
    with pytest.raises(stored.Missing, match=r"no .*/sufficiency.parquet: jobs/tables.py"):
        sufficiency(str(tmp_path), run, "level_plcc")
    rows = storage.read_table(f"{planted[0]}/tables/sufficiency.parquet")
    storage.write_table(f"{tmp_path}/tables/sufficiency.parquet", rows.drop_columns(["plcc_low"]))
    with pytest.raises(stored.Missing, match="another version and lacks plcc_low"):
        sufficiency(str(tmp_path), run, "level_plcc")
    others = rows.set_column(1, rows.schema.field("run"), pa.array(["ffffffff"] * rows.num_rows))
    storage.write_table(f"{tmp_path}/tables/sufficiency.parquet", others)
    with pytest.raises(stored.Missing, match="no rows of run 0123abcd"):
        sufficiency(str(tmp_path), run, "level_plcc")


def test_an_interval_that_does_not_hold_its_value_is_drawn_as_it_is(tmp_path, planted):
    output, run, _ = planted
    rows = storage.read_table(f"{output}/tables/section2.parquet").to_pylist()
    for row in rows:
        row["trivial_high"] = row["trivial_low"] = row["trivial"] and row["trivial"] - 0.1
    edited = pa.Table.from_pylist(rows, schema.SECTION2)
    storage.write_table(f"{tmp_path}/tables/section2.parquet", edited)
    table = storage.read_table(f"{output}/tables/subset_statistics.parquet")
    storage.write_table(f"{tmp_path}/tables/subset_statistics.parquet", table)
    assert not subsets(str(tmp_path), run, "level_plcc").missing
