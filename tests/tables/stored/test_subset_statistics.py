import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.tables import build
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored import gather
from halfiqa_ray.tables.stored.reading import find_run, vectors
from tests.tables import planted

SMALL = Grid(2, 3)
FEW = Resampling(20, 1)


def tables_of(output, table, files=3, grid=SMALL, **metadata):
    planted.write(output, table, files, grid=grid, **metadata)
    return build.make_run_tables(find_run(str(output), "planted"), resampling=FEW)


@pytest.mark.parametrize("chunk_bytes", [1 << 28, 5 * 80 * 4 + 80 * 64])
def test_every_subset_agrees_with_scipy(tmp_path, monkeypatch, chunk_bytes):
    monkeypatch.setattr(gather, "CHUNK_BYTES", chunk_bytes)  # the second holds 5 columns of 80 images
    table, _ = planted.rows(80, SMALL, noise=0.3)
    found = tables_of(tmp_path, table).subset_statistics
    scores, mos = vectors(table["subset_scores"]).astype(float), table["mos"].to_numpy()
    splits = np.array(table["split"].to_pylist())
    assert found.num_rows == 3 * 64
    for row in found.to_pylist():
        some = slice(None) if row["scope"] == "all" else splits == row["scope"]
        x, full, y = scores[some, row["subset"]], scores[some, -1], mos[some]
        assert (row["n"], row["n_mos"]) == (len(x), len(x))
        assert row["blocks_kept"] == row["subset"].bit_count()
        assert row["rmse"] == pytest.approx(np.sqrt(((x - full) ** 2).mean()), abs=1e-12)
        assert row["rmse_mos"] == pytest.approx(np.sqrt(((x - y) ** 2).mean()), abs=1e-12)
        if row["subset"] == 0:  # all masked: one constant for all images
            assert row["plcc"] is row["srcc"] is row["plcc_mos"] is row["srcc_mos"] is None
            continue
        assert row["plcc"] == pytest.approx(pearsonr(x, full).statistic, abs=1e-10)
        assert row["srcc"] == pytest.approx(spearmanr(x, full).statistic, abs=1e-10)
        assert row["plcc_mos"] == pytest.approx(pearsonr(x, y).statistic, abs=1e-10)
        assert row["srcc_mos"] == pytest.approx(spearmanr(x, y).statistic, abs=1e-10)


def test_how_rows_lie_in_files_changes_nothing(tmp_path):
    table, _ = planted.rows(60, SMALL, noise=0.3)
    shuffled = table.take(np.random.default_rng(1).permutation(60))
    one, many = tables_of(tmp_path / "a", table, 1), tables_of(tmp_path / "b", shuffled, 9)
    for name in ("subset_statistics", "dataset_importance", "section2"):
        for a, b in zip(getattr(one, name).to_pylist(), getattr(many, name).to_pylist(), strict=True):
            assert a.keys() == b.keys()
            for column in a:
                if isinstance(a[column], (float, list)):
                    assert a[column] == pytest.approx(b[column], abs=1e-12), (name, column)
                else:
                    assert a[column] == b[column], (name, column)


def test_photos_without_mos_or_splits(tmp_path):
    table, _ = planted.rows(30, SMALL, splits=(), mos=False, noise=0.3)
    found = tables_of(tmp_path, table)
    rows = found.subset_statistics.to_pylist()
    assert {row["scope"] for row in rows} == {"all"}
    assert all(row["n_mos"] == 0 and row["plcc_mos"] is row["srcc_mos"] is row["rmse_mos"] is None for row in rows)
    assert rows[5]["plcc"] is not None
    section = found.section2.to_pylist()
    assert all(row["trivial_mos"] is None and "no MOS" in row["note"] for row in section)


def test_the_data_set_wide_importance_is_read_off_the_subsets(tmp_path):
    table, _ = planted.rows(100, SMALL, noise=0.5)
    found = tables_of(tmp_path, table)
    plcc = {(row["scope"], row["subset"]): row["plcc"] for row in found.subset_statistics.to_pylist()}
    for row in found.dataset_importance.to_pylist():
        for block in range(6):
            masking = [s for s in range(1, 63) if not s >> block & 1]
            expected = 1 - np.mean([plcc[row["scope"], s] for s in masking])
            assert row["importance"][block] == pytest.approx(expected, abs=1e-12)
        ranked = sorted(range(6), key=lambda block: (-row["importance"][block], block))
        assert row["important"] == sum(1 << block for block in ranked[:3])
        assert (row["rows"], row["columns"], row["rule"]) == (2, 3, "image_plcc")


def test_one_image_and_two(tmp_path):
    for count in (1, 2):
        table, _ = planted.rows(count, SMALL, splits=())
        found = tables_of(tmp_path / str(count), table)
        assert found.subset_statistics.num_rows == 64
        section = found.section2.to_pylist()
        assert len(section) == 10
        if count == 1:
            assert all(row["trivial"] is None and row["trivial_low"] is None and row["note"] for row in section)


def test_a_run_without_images_is_refused(tmp_path):
    table, _ = planted.rows(3, SMALL)
    with pytest.raises(ValueError, match="has no images"):
        tables_of(tmp_path, table.slice(0, 0), 1)
