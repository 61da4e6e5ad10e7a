import numpy as np
import pyarrow.compute as pc
import pytest

from halfiqa_ray import storage
from halfiqa_ray.report.figures.faithfulness import faithfulness
from halfiqa_ray.report.stored import Missing


def test_the_curves_hold_the_tables_numbers(planted):
    output, run, _ = planted
    drawn = faithfulness(output, run, "shapley")
    rows = storage.read_table(f"{output}/tables/faithfulness_curves.parquet")
    rows = rows.filter(pc.equal(rows["scope"], "all"))
    deletion, insertion = drawn.figure.axes
    assert {line.get_label() for line in deletion.lines} == {
        *("shapley", "averaged_boundary_connectivity", "random order")
    }
    for axis, value in ((deletion, "deletion"), (insertion, "insertion")):
        assert len(axis.collections) == len(axis.lines)
        for line in axis.lines:
            some = rows.filter(pc.equal(rows["name"], line.get_label()))
            np.testing.assert_array_equal(line.get_xdata(), range(7))
            np.testing.assert_array_equal(line.get_ydata(), some[value])
            assert f"{some[value][3].as_py():.3f}" in drawn.alt  # half of 6 blocks
    assert "24 images" in drawn.caption


def test_without_the_table_the_job_is_named(planted, tmp_path):
    with pytest.raises(Missing, match=r"jobs/tables\.py"):
        faithfulness(str(tmp_path), planted[1], "shapley")
