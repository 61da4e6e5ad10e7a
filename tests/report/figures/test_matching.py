import numpy as np
import pytest
from scipy.stats import hypergeom

from halfiqa_ray import storage
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.report.figures.matching import histogram, matching
from halfiqa_ray.report.stored import Missing
from tests.report import planted_report
from tests.report.planted_report import AVERAGED


@pytest.fixture(scope="module")
def twelve(tmp_path_factory):
    """The paper's grid, with the paper's data set in the name."""
    output = tmp_path_factory.mktemp("twelve")
    grid = Grid(3, 4)
    table, half = planted_report.plant(output, grid=grid, dataset="koniq10k", synthetic=False)
    planted_report.measure(output, table, half, grid=grid, dataset="koniq10k")
    return str(output), planted_report.make_tables(output, "koniq10k")


def rows(output, name, /, **equal):
    table = storage.read_table(f"{output}/tables/{name}.parquet").to_pylist()
    return [row for row in table if row["scope"] == "all" and all(row[k] == v for k, v in equal.items())]


def curves(drawn):
    (legend,) = drawn.figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    return names, drawn.figure.axes[0]


def curves_of(axis):
    return [line for line in axis.lines if line.get_linestyle() != "None"]


def test_the_points_are_table_2s_in_both_readings(twelve):
    output, run = twelve
    drawn = matching(output, run, "level_plcc")
    names, axis = curves(drawn)
    lines = dict(zip([n for n in names if "paper" not in n][1:], curves_of(axis), strict=True))
    assert set(lines) == {
        "saliency",
        "frequency_csf_whitened",
        "objectness_boundary_connectivity",
        AVERAGED,
        "another image's half",
    }
    for name, line in lines.items():
        x, y = line.get_xdata(), line.get_ydata()
        for row in rows(output, "table2", name=name, rule="level_plcc"):
            least = row["threshold"] + (row["reading"] == "n > T")
            assert y[np.rint(x) == least] == pytest.approx(100 * row["share"])
    assert "stands in for the paper's objectness and is not it" in drawn.caption
    assert "SYNTHETIC" not in drawn.figure.get_suptitle()


def test_the_papers_measures_are_open_where_they_are_the_papers(twelve):
    output, run = twelve
    names, axis = curves(matching(output, run, "level_plcc"))
    assert [name for name in names if name.endswith("the paper")] == ["saliency, the paper", "frequency, the paper"]
    opened = [line for line in axis.lines if line.get_markerfacecolor() == "none"]
    assert opened[0].get_ydata().tolist() == pytest.approx([100, 96, 69.2, 52.4, 37.8])
    assert np.rint(opened[0].get_xdata()).tolist() == [2, 3, 4, 5, 6]  # n > T


def test_chance_is_hypergeometric(twelve):
    output, run = twelve
    drawn = histogram(output, run, "level_plcc")
    chance = next(line for line in drawn.figure.axes[0].lines if len(line.get_xdata()))
    np.testing.assert_allclose(chance.get_ydata(), 100 * hypergeom.pmf(np.arange(7), 12, 6, 6))
    area = matching(output, run, "level_plcc").figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert 100 * hypergeom.sf(3, 12, 6, 6) == pytest.approx(area[np.argmin(np.abs(area - 28.4))])


def test_the_bars_are_the_shares_of_the_table(planted):
    output, run, _ = planted
    drawn = histogram(output, run, "shapley")
    found = 0
    for axis in drawn.figure.axes:
        if axis.get_title():
            name = axis.get_title().split("\n")[0]
            wanted = rows(output, "matching_histogram", name=name, rule="shapley")
            bars = [bar.get_height() for bar in axis.patches[:4]]
            assert bars == pytest.approx([100 * row["share"] for row in wanted])
            mean = sum(row["matching_number"] * row["share"] for row in wanted)
            assert f"{name} {mean:.2f}" in drawn.alt
            found += 1
    assert found == 7  # five measures, two controls


def test_without_measures_the_job_is_named(tmp_path):
    planted_report.plant(tmp_path, levels=False)
    run = planted_report.make_tables(tmp_path)
    drawn = matching(str(tmp_path), run, "level_plcc")  # the control is there
    assert "score_change is shown instead" in drawn.caption
    with pytest.raises(Missing, match="matching_histogram"):
        histogram(str(tmp_path / "nowhere"), run, "level_plcc")
