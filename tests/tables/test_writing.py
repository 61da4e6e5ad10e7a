import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from halfiqa_ray import schema
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.tables import build
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored.reading import find_run
from halfiqa_ray.tables.writing import aligned_table, markdown_table, number, replace_rows, with_interval
from tests.tables import planted

SMALL = Grid(2, 2)


def write_run(output, key, synthetic, seed=0, grid=SMALL):
    table, _ = planted.rows(30, grid, seed=seed)
    planted.write(output, table, key=key, grid=grid, synthetic=synthetic)
    run = find_run(str(output), "planted", key)
    return build.write_run_tables(str(output), build.make_run_tables(run, resampling=Resampling(20)))


def test_tables_of_several_runs_stand_together_and_a_repeated_run_replaces_its_own(tmp_path):
    write_run(tmp_path, "bbbbbbbb", False)
    write_run(tmp_path, "aaaaaaaa", True)
    folder = tmp_path / "tables"
    before = {name: pq.read_table(folder / f"{name}.parquet") for name in ("section2", "subset_statistics")}
    assert before["section2"].num_rows == 2 * 3 * 10
    assert before["subset_statistics"].num_rows == 2 * 3 * 16
    assert before["section2"]["run"].to_pylist() == ["aaaaaaaa"] * 30 + ["bbbbbbbb"] * 30
    text = write_run(tmp_path, "aaaaaaaa", True, seed=5)
    after = pq.read_table(folder / "section2.parquet")
    assert after.num_rows == 60
    assert after.slice(30).equals(before["section2"].slice(30))
    assert not after.slice(0, 30).equals(before["section2"].slice(0, 30))
    assert after.schema.remove_metadata().equals(schema.SECTION2)
    assert str(folder) in text


def test_synthetic_data_are_said_in_every_file_and_in_the_print(tmp_path):
    text = write_run(tmp_path, "aaaaaaaa", True)
    write_run(tmp_path, "bbbbbbbb", False)
    folder = tmp_path / "tables"
    assert "SYNTHETIC DATA" in text
    page = (folder / "section2.md").read_text()
    before, after = page.split("## planted, run bbbbbbbb")
    assert "SYNTHETIC DATA" in before
    assert "SYNTHETIC DATA" not in after
    with (folder / "section2.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 60
    for row in rows:
        assert row["synthetic"] == ("true" if row["run"] == "aaaaaaaa" else "false")
        assert row["notice"].startswith("SYNTHETIC DATA") == (row["run"] == "aaaaaaaa")
    for name in ("section2", "subset_statistics", "dataset_importance"):
        stored = pq.read_table(folder / f"{name}.parquet")
        assert schema.metadata(stored.schema)["synthetic"] is True
        assert "SYNTHETIC DATA" in schema.metadata(stored.schema)["notice"]
        assert set(zip(stored["run"].to_pylist(), stored["synthetic"].to_pylist(), strict=True)) == {
            ("aaaaaaaa", True),
            ("bbbbbbbb", False),
        }


def test_runs_with_other_grids_stand_in_the_same_tables(tmp_path):
    write_run(tmp_path, "aaaaaaaa", False)
    write_run(tmp_path, "bbbbbbbb", False, grid=Grid(2, 3))
    stored = pq.read_table(tmp_path / "tables" / "dataset_importance.parquet").to_pylist()
    assert {(row["run"], len(row["importance"])) for row in stored} == {("aaaaaaaa", 4), ("bbbbbbbb", 6)}


def test_a_stored_table_of_an_older_version_is_left_out(tmp_path):
    uri = tmp_path / "old.parquet"
    fresh = pa.table({"dataset": ["a"], "run": ["1"], "synthetic": [False]})
    pq.write_table(pa.table({"dataset": ["b"], "run": ["2"]}), uri)
    assert replace_rows(str(uri), fresh).num_rows == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((0.97, 0.9651, 0.975), "0.970 [0.965, 0.975]"),
        ((0.97, None, None), "0.970"),
        ((None, None, None), ""),
        ((float("nan"), 0.1, 0.2), ""),
        ((-0.5, -0.75, 0.25, True), "-0.500 [-0.750, +0.250]"),
    ],
)
def test_numbers_with_intervals(arguments, expected):
    assert with_interval(*arguments) == expected


def test_missing_numbers_are_empty():
    assert number(None) == number(float("nan")) == ""
    assert number(0.12345, 2) == "0.12"
    assert number(2, 1, signed=True) == "+2.0"


def test_layouts():
    assert markdown_table(["a", "b"], [["1|2", ""]]) == "| a | b |\n| --- | --- |\n| 1\\|2 |  |"
    assert aligned_table(["a", "b"], [["long", "x"], ["", "y"]]) == "a     b\nlong  x\n      y"
