import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import pearsonr, spearmanr

from halfiqa_ray import schema, storage
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.tables.beyond import carry_over
from halfiqa_ray.tables.section2 import Resampling
from tests.tables import planted, planted_derived

GRID = Grid(2, 3)
RESAMPLING = Resampling(50, 1)


def about(dataset, model, sha256, trained_on):
    return {
        "dataset": dataset,
        "model": model,
        "checkpoint_run": "default",
        "checkpoint_sha256": sha256,
        "synthetic": False,
        "grid": {"rows": GRID.rows, "columns": GRID.columns},
    } | ({"trained_on": trained_on} if trained_on else {})


def store(output, kind, rows, metadata):
    dataset, model, run = (metadata[name] for name in ("dataset", "model", "checkpoint_sha256"))
    folder = f"{output}/{kind}/dataset={dataset}/model={model}/run={run}"
    table = rows.replace_schema_metadata(schema.with_metadata(rows.schema, metadata).metadata)
    storage.write_table(f"{folder}/part.parquet", table)


@pytest.fixture
def output(tmp_path):
    """Two data sets; one model that ranks the first of them, and one that predicted photos of both."""
    first, half = planted.rows(60, GRID, splits=("train", "test"))
    store(tmp_path, "rank", first, about("first", "triq", "aa", "first"))
    zeroed = planted_derived.zeroed(first, half, GRID)
    store(tmp_path, "zeroed", zeroed, about("first", "koncept", "bb", "second"))
    second, half = planted.rows(40, GRID, splits=(), seed=1)
    store(tmp_path, "zeroed", planted_derived.zeroed(second, half, GRID), about("second", "koncept", "bb", "second"))
    return str(tmp_path), first, zeroed


def test_every_checkpoint_on_every_data_set(output):
    folder, ranked, zeroed = output
    rows = carry_over.carry_over(folder, RESAMPLING).to_pylist()
    told = {(row["model"], row["dataset"], row["scope"]): row for row in rows}
    assert told["triq", "first", "train"]["photos_were"] == "trained on"
    assert told["triq", "first", "test"]["photos_were"] == "held back"
    assert told["koncept", "first", "test"]["photos_were"] == "of another data set"
    for (model, dataset, scope), row in told.items():
        if dataset != "first":
            continue
        stored = ranked if model == "triq" else zeroed.filter(pa.compute.equal(zeroed["zeroed_half"], "none"))
        some = stored.filter(pa.compute.equal(stored["split"], scope))
        score, mos = some["score"].to_numpy(), some["mos"].to_numpy()
        assert row["n"] == len(mos)
        assert row["plcc"] == pytest.approx(pearsonr(score, mos).statistic, abs=1e-6)
        assert row["srcc"] == pytest.approx(spearmanr(score, mos).statistic, abs=1e-9)
        assert (row["plcc_low"] is None) == (row["n"] < 20)


def test_what_is_not_known_is_not_said(tmp_path):
    rows, _ = planted.rows(30, GRID, splits=())
    store(tmp_path, "rank", rows, about("old", "triq", "cc", None))
    [row] = carry_over.carry_over(str(tmp_path), RESAMPLING).to_pylist()
    assert row["trained_on"] is row["photos_were"] is None
    assert "| unknown |" in carry_over.markdown(carry_over.carry_over(str(tmp_path), RESAMPLING))


def test_photos_without_mos_are_left_out_and_nothing_is_no_table(tmp_path):
    rows, _ = planted.rows(30, GRID, splits=())
    bare = rows.set_column(rows.schema.get_field_index("mos"), "mos", pa.array([None] * 30, pa.float64()))
    store(tmp_path, "rank", bare, about("bare", "triq", "dd", "other"))
    assert carry_over.carry_over(str(tmp_path), RESAMPLING).num_rows == 0


def test_an_image_that_stands_twice_counts_once(output):
    folder, ranked, _ = output
    before = carry_over.carry_over(folder, RESAMPLING).to_pylist()
    metadata = about("first", "triq", "aa", "first")
    table = ranked.replace_schema_metadata(schema.with_metadata(ranked.schema, metadata).metadata)
    storage.write_table(f"{folder}/rank/dataset=first/model=triq/run=aa/again.parquet", table.slice(0, 7))
    assert carry_over.carry_over(folder, RESAMPLING).to_pylist() == before
    assert np.isfinite([row["plcc"] for row in before]).all()
