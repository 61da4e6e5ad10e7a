"""Estimates from stored scores against shapiq's, and against loops."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from halfiqa_ray.masking.estimates import ESTIMATORS
from halfiqa_ray.masking.games import shapley
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.tables.beyond import shapley_estimates_text
from halfiqa_ray.tables.beyond.shapley_estimates import DRAWS, shapley_estimates
from halfiqa_ray.tables.section2 import Resampling
from halfiqa_ray.tables.stored.curves import read_importance
from halfiqa_ray.tables.stored.reading import find_run, read_images, vectors
from tests.tables import planted

COUNT, SEED = 30, 1


def made(output, grid):
    table, _ = planted.rows(COUNT, grid, noise=0.3)
    planted.write(output, table, 2, grid=grid)
    run = find_run(str(output), "planted")
    images = read_images(run)
    exact_NK = read_importance(images, grid)["shapley"]
    return table, shapley_estimates(run, images, Resampling(50, SEED), exact_NK)


def test_every_number_by_a_loop(tmp_path):
    grid = Grid(2, 4)
    table, found = made(tmp_path, grid)
    value_NS = vectors(table["subset_scores"]).astype(float)
    exact_NK = shapley(value_NS)
    rows = {(row["estimator"], row["evaluations"]): row for row in found.to_pylist() if row["scope"] == "all"}
    assert set(rows) == {("permutations", 64), ("kernel_shap", 64)}  # 256 are all subsets: no estimate
    for name, make in ESTIMATORS.items():
        errors, ranked, overlaps = [], [], []
        for draw in range(DRAWS):
            estimate_NK = value_NS @ make(8, 64, np.random.default_rng([SEED, 64, draw]))
            errors.append(np.abs(estimate_NK - exact_NK).mean())
            for estimate_K, exact_K in zip(np.abs(estimate_NK), np.abs(exact_NK), strict=True):
                ranked.append(spearmanr(estimate_K, exact_K).statistic)
                halves = [set(np.argsort(-v, kind="stable")[:4].tolist()) for v in (estimate_K, exact_K)]
                overlaps.append(len(halves[0] & halves[1]) / 4)
        row = rows[name, 64]
        assert row["error"] == pytest.approx(np.mean(errors), abs=1e-7)
        assert row["spearman"] == pytest.approx(np.mean(ranked), abs=1e-9)
        assert row["overlap"] == pytest.approx(np.mean(overlaps), abs=1e-12)
        assert row["relative"] == pytest.approx(np.mean(errors) / np.abs(exact_NK).mean(), rel=1e-5)
        assert row["share"] == 64 / 256
        assert row["n"] == COUNT
    text = shapley_estimates_text.PAGE.console(found)
    assert "kernel_shap" in text
    assert "nan" not in text


def test_small_grids_need_no_estimates(tmp_path):
    _, found = made(tmp_path, Grid(2, 3))
    assert found.num_rows == 0
