import csv

import numpy as np
import pyarrow.parquet as pq
import pytest

from halfiqa_ray import schema
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.tables import build, experiments
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored.reading import find_run, read_images
from tests.tables import planted, planted_derived

GRID = Grid(2, 3)
COLUMNS = {
    "table1": schema.TABLE1,
    "table1_controls": schema.TABLE1_CONTROLS,
    "averaged_measure": schema.AVERAGED_MEASURE,
    "table2": schema.TABLE2,
    "matching_histogram": schema.MATCHING_HISTOGRAM,
    "sufficiency": schema.SUFFICIENCY,
    "sufficient_fraction": schema.SUFFICIENT_FRACTION,
    "own_halves": schema.OWN_HALVES,
    "fills": schema.FILLS_TABLE,
    "faithfulness": schema.FAITHFULNESS,
    "faithfulness_curves": schema.FAITHFULNESS_CURVES,
    "shapley_estimates": schema.SHAPLEY_ESTIMATES,
    "agreement": schema.AGREEMENT,
    "positions": schema.POSITIONS,
    "position_bias": schema.POSITION_BIAS,
    "interaction": schema.INTERACTION,
    "interaction_distance": schema.INTERACTION_DISTANCE,
}
MEASURES = (
    "saliency",
    "frequency_flat",
    "frequency_csf",
    "frequency_csf_whitened",
    "objectness_pixel",
    "averaged_pixel",
)


def plant(output, dataset="planted", count=40, seed=0, derived=True, grid=GRID, **metadata):
    table, half = planted.rows(count, grid, seed=seed, photos=count // 2)
    planted.write(output, table, grid=grid, dataset=dataset, **metadata)
    if derived:
        means = {name: planted_derived.means_of(half, grid, 0.5, i) for i, name in enumerate(MEASURES)}
        rows = planted_derived.measures(table, means, grid)
        planted_derived.write_measures(output, rows, grid=grid, dataset=dataset)
        for i, model in enumerate(("triq", "dbcnn")):
            rows = planted_derived.zeroed(table, half, grid, seed=i, single=i == 1)
            synthetic = metadata.get("synthetic", True)
            planted_derived.write_zeroed(output, rows, model, dataset=dataset, synthetic=synthetic)


def write(output, dataset="planted", rule="level_plcc", key=None):
    """Make and write all tables of a data set; returns what is printed."""
    run = find_run(str(output), dataset, key)
    images, resampling = read_images(run), Resampling(30, 1)
    made = build.make_run_tables(run, rule, resampling, images=images)
    build.write_run_tables(str(output), made)
    found = experiments.make_experiments(str(output), run, images, made, rule, resampling)
    experiments.write_tables(str(output), found)
    return experiments.console(found)


def no_gaps(text):
    words = text.lower().replace("planted", "")
    assert "nan" not in words
    assert "none" not in words.replace("none for", "")


def test_all_tables_are_written_in_three_forms_and_say_that_data_are_synthetic(tmp_path):
    plant(tmp_path)
    text = write(tmp_path)
    assert text.count("SYNTHETIC DATA") == 6  # Tables I and II, averaged measure, sufficiency and fractions, positions
    for name, columns in COLUMNS.items():
        uri = tmp_path / "tables" / name
        table = pq.read_table(uri.with_suffix(".parquet"))
        assert table.schema.remove_metadata().equals(columns)
        if name == "shapley_estimates":  # six blocks need no estimates
            assert table.num_rows == 0
            continue
        assert schema.metadata(table.schema)["synthetic"] is True
        assert table.num_rows
        page = uri.with_suffix(".md").read_text()
        assert "SYNTHETIC DATA" in page
        no_gaps(page)
        with uri.with_suffix(".csv").open() as stream:
            rows = list(csv.DictReader(stream))
        assert len(rows) == table.num_rows
        assert all(row["notice"].startswith("SYNTHETIC DATA") for row in rows)
    no_gaps(text)


def test_real_data_carry_no_notice(tmp_path):
    plant(tmp_path, synthetic=False)
    text = write(tmp_path)
    pages = [(tmp_path / "tables" / f"{name}.md").read_text() for name in COLUMNS]
    assert "SYNTHETIC" not in text + "".join(pages)


def test_a_model_that_learned_from_made_up_data_is_told_on_real_photos(tmp_path):
    table, half = planted.rows(40, GRID)
    planted.write(tmp_path, table, grid=GRID, synthetic=False)
    planted_derived.write_zeroed(tmp_path, planted_derived.zeroed(table, half, GRID), "triq", synthetic=True)
    write(tmp_path)
    rows = pq.read_table(tmp_path / "tables" / "table1.parquet").to_pylist()
    assert {row["synthetic"] for row in rows if row["model"] == "triq"} == {True}
    assert {row["synthetic"] for row in rows if row["model"] == "dbcnn"} == {False}


def test_with_rank_rows_alone_all_else_is_blank_and_named(tmp_path):
    plant(tmp_path, derived=False)
    text = write(tmp_path)
    no_gaps(text)
    assert "jobs/zero.py writes it" in text
    assert "jobs/measure.py writes it" in text
    rows = pq.read_table(tmp_path / "tables" / "table2.parquet").to_pylist()
    assert {row["n"] for row in rows if row["kind"] == "measure"} == {0}
    assert {row["n"] for row in rows if row["kind"] == "control" and row["scope"] == "all"} == {40}
    agreement = pq.read_table(tmp_path / "tables" / "agreement.parquet").to_pylist()
    assert {row["kind"] for row in agreement} == {"rules", "model"}
    assert all("no scores with single blocks zeroed" in row["note"] for row in agreement if row["kind"] == "model")


def test_data_sets_of_one_output_are_also_counted_together(tmp_path):
    plant(tmp_path, "koniq10k", 40)
    plant(tmp_path, "spaq", 20, 1)
    plant(tmp_path, "other-blocks", 20, 2, grid=Grid(2, 2))
    plant(tmp_path, "real", 20, 3, synthetic=False)
    control, _ = planted.rows(20, GRID)  # newer, but of another model
    later = {"created": "2027-01-01T00:00:00+00:00", "checkpoint_run": "untrained"}
    planted.write(tmp_path, control, key="ffff0000", grid=GRID, dataset="koniq10k", **later)
    write(tmp_path, "koniq10k", key="0123abcd")
    text = write(tmp_path, "spaq")
    assert "koniq10k + spaq, run 0123abcd + 0123abcd" in text
    rows = pq.read_table(tmp_path / "tables" / "table2.parquet").to_pylist()
    assert {row["dataset"] for row in rows} == {"koniq10k", "spaq", "koniq10k + spaq"}
    chosen = {"scope": "all", "rule": "image_plcc", "name": "saliency", "reading": "n > T", "threshold": 1}
    found = {row["dataset"]: row for row in rows if all(row[k] == v for k, v in chosen.items())}
    pooled = found["koniq10k + spaq"]
    assert (pooled["n"], pooled["matched"]) == (60, found["koniq10k"]["matched"] + found["spaq"]["matched"])


def test_the_models_own_halves_stand_beside_triqs(tmp_path):
    plant(tmp_path)
    write(tmp_path)
    rows = pq.read_table(tmp_path / "tables" / "agreement.parquet").to_pylist()
    found = {
        row["other"]: row for row in rows if (row["kind"], row["rule"], row["scope"]) == ("model", "level_plcc", "all")
    }
    assert list(found) == ["triq", "dbcnn", "aihiqnet", "koncept", "swin_iqa"]
    # DBCNN's blocks weigh what the planted half weighs; only the test split was zeroed.
    assert found["dbcnn"]["n"] == 20
    assert found["dbcnn"]["overlap"] > 0.8
    assert found["triq"]["n"] == 0


@pytest.mark.parametrize("rule", ["image_plcc", "shapley"])
def test_another_default_rule_leads_its_tables(tmp_path, rule):
    plant(tmp_path)
    text = write(tmp_path, rule=rule)
    assert f"{rule} (default rule)" in text
    table1 = pq.read_table(tmp_path / "tables" / "table1.parquet").to_pylist()
    row = next(row for row in table1 if (row["model"], row["default_rule"]) == ("triq", True))
    assert row["note"].endswith(f"not zeroed by {rule}")
    assert np.array([row["default_rule"] for row in table1 if row["ranking"] == "score_change"]).sum() == 0
