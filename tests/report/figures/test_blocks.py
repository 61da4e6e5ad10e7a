import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from halfiqa_ray import storage
from halfiqa_ray.report.figures.blocks import agreement, outline, positions
from halfiqa_ray.report.stored import Missing
from halfiqa_ray.tables.writing import interval_cell
from tests.report import planted_report


def rows(output, name, /, **equal):
    table = storage.read_table(f"{output}/tables/{name}.parquet").to_pylist()
    return [row for row in table if row["scope"] == "all" and all(row[k] == v for k, v in equal.items())]


def test_the_heat_maps_hold_the_shares_of_the_table(planted):
    output, run, _ = planted
    drawn = positions(output, run)
    panels = [axis for axis in drawn.figure.axes if axis.get_title()]
    assert len(panels) == 4
    for axis in panels:
        rule = axis.get_title().split(",")[0]
        wanted = [row["important"] for row in rows(output, "positions", rule=rule)]
        np.testing.assert_array_equal(axis.images[0].get_array().ravel(), wanted)
        assert [text.get_text() for text in axis.texts] == [f"{share:.2f}" for share in wanted]
        (bias,) = rows(output, "position_bias", rule=rule)
        assert axis.get_title().endswith(f"position: {bias['answer']}")
        assert f"{rule}: most often block {int(np.argmax(wanted))}" in drawn.alt
        assert axis.images[0].get_clim() == (0, 1)  # around the expected 0.5


def test_the_matrix_holds_the_correlations_of_the_table(planted):
    output, run, _ = planted
    drawn = agreement(output, run)
    axis = drawn.figure.axes[0]
    value_RC = axis.images[0].get_array().filled(np.nan)
    across = [text.get_text().replace("\n", "") for text in axis.get_xticklabels()]
    down = [text.get_text() for text in axis.get_yticklabels()]
    found = [row for row in rows(output, "agreement") if row["spearman"] is not None]
    for row in found:
        other = (
            row["other"]
            if row["kind"] != "model"
            else {"triq": "zeroing in TRIQ", "dbcnn": "zeroing in DBCNN"}[row["other"]]
        )
        assert value_RC[down.index(other), across.index(row["rule"])] == row["spearman"]
        if row["kind"] == "rules":
            assert value_RC[down.index(row["rule"]), across.index(other)] == row["spearman"]
    assert np.isfinite(value_RC).sum() == len(found) + sum(row["kind"] == "rules" for row in found)
    best = max(found, key=lambda row: row["spearman"])
    assert f"Highest: {best['rule']} with {best['other']} {interval_cell(best, 'spearman')}" in drawn.alt
    assert axis.images[0].get_clim() == (-1, 1)


@given(arrays(np.bool_, st.tuples(st.integers(1, 4), st.integers(1, 4))))
def test_an_outline_is_where_inside_meets_outside(inside):
    edges = {frozenset(map(tuple, edge)) for edge in outline(inside)}
    wanted = set()
    for row, col in np.argwhere(inside):
        for dr, dc in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            r, c = row + dr, col + dc
            if not (0 <= r < inside.shape[0] and 0 <= c < inside.shape[1] and inside[r, c]):
                middle = np.array([col + dc / 2, row + dr / 2])
                along = np.array([abs(dr), abs(dc)]) / 2
                wanted.add(frozenset((tuple(middle - along), tuple(middle + along))))
    assert edges == wanted


def test_without_levels_and_measures_what_is_there_is_drawn(tmp_path):
    planted_report.plant(tmp_path, levels=False, mos=False, photos=1, splits=())
    run = planted_report.make_tables(tmp_path)
    titles = [axis.get_title() for axis in positions(str(tmp_path), run).figure.axes]
    assert sum(title.startswith(("score_change", "shapley", "banzhaf")) for title in titles) == 3
    labels = [text.get_text() for text in agreement(str(tmp_path), run).figure.axes[0].get_yticklabels()]
    assert labels == ["score_change", "shapley", "banzhaf"]
    with pytest.raises(Missing, match="agreement"):
        agreement(str(tmp_path / "nowhere"), run)
