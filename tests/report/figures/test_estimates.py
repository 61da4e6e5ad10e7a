from dataclasses import replace

import numpy as np
import pytest

from halfiqa_ray import schema, storage
from halfiqa_ray.report.figures.estimates import estimates
from halfiqa_ray.report.stored import Missing
from halfiqa_ray.tables.beyond.shapley_estimates import VALUES
from halfiqa_ray.tables.writing import table_of


@pytest.fixture(scope="module")
def run(planted):
    return replace(planted[1], metadata=planted[1].metadata | {"grid": {"rows": 3, "columns": 4}})


@pytest.fixture(scope="module")
def rows(run):
    rng, found = np.random.default_rng(1), []
    for estimator in ("permutations", "kernel_shap"):
        for cost in (1024, 64, 256):
            row = {"dataset": run.dataset, "run": run.key, "scope": "all", "synthetic": run.synthetic, "note": ""}
            row |= {"estimator": estimator, "evaluations": cost, "share": cost / 4096, "draws": 10, "n": 24}
            row |= {"resampled": "image", "resampled_units": 24}
            for value in VALUES:
                low, middle, high = np.sort(rng.random(3))
                row |= {value: middle, f"{value}_low": low, f"{value}_high": high}
            found.append(row)
    return table_of(found, schema.SHAPLEY_ESTIMATES)


def test_the_lines_hold_the_tables_numbers(run, rows, tmp_path):
    storage.write_table(f"{tmp_path}/tables/shapley_estimates.parquet", rows)
    drawn = estimates(str(tmp_path), run)
    for axis, value in zip(drawn.figure.axes, VALUES, strict=True):
        dotted, *lines = axis.lines
        assert dotted.get_ydata()[0] == (0 if value == "error" else 1)
        assert [line.get_label() for line in lines] == ["permutations", "kernel_shap"]
        for line in lines:
            stored = {r["evaluations"]: r[value] for r in rows.to_pylist() if r["estimator"] == line.get_label()}
            np.testing.assert_array_equal(line.get_xdata(), [64, 256, 1024])
            np.testing.assert_array_equal(line.get_ydata(), [stored[cost] for cost in (64, 256, 1024)])
    assert "24 images" in drawn.caption
    assert "4,096" in drawn.figure.legends[0].get_texts()[0].get_text()


def test_without_the_table_the_job_is_named(run, tmp_path):
    with pytest.raises(Missing, match=r"jobs/tables\.py"):
        estimates(str(tmp_path), run)
