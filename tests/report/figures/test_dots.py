import re

import pyarrow as pa

from halfiqa_ray import storage
from halfiqa_ray.report.figures.dots import explained, section2, table1
from halfiqa_ray.report.figures.style import IMPORTANT, TRIVIAL
from halfiqa_ray.schema import EXPLANATIONS_TABLE
from halfiqa_ray.tables.writing import table_of
from tests.report import planted_report


def dots(axis, look, filled):
    """Values of a half's markers from top to bottom."""
    found = []
    for line in axis.lines:
        is_filled = line.get_markerfacecolor() != "none"
        if (
            line.get_marker() == look.marker
            and line.get_color() == look.colour
            and is_filled == filled
            and len(line.get_xdata())
        ):
            found.append((line.get_ydata()[0], line.get_xdata()[0]))
    return [value for _, value in sorted(found)]


def rows(output, name, scope):
    return [row for row in storage.read_table(f"{output}/tables/{name}.parquet").to_pylist() if row["scope"] == scope]


def test_every_dot_is_a_number_of_the_table(planted):
    output, run, _ = planted
    for mos, suffix in ((False, ""), (True, "_mos")):
        drawn = table1(output, run, mos)
        wanted = rows(output, "table1", "test")
        for half, look in (("trivial", TRIVIAL), ("important", IMPORTANT)):
            assert dots(drawn.figure.axes[0], look, True) == [
                r[half + suffix] for r in wanted if r[half + suffix] is not None
            ]
        some = next(row for row in wanted if row["model"] == "triq" and row["default_rule"])
        assert f"important {some['important' + suffix]:.3f}" in drawn.alt
    found = rows(output, "section2", "all")
    axis = section2(output, run).figure.axes[0]
    assert dots(axis, TRIVIAL, True) == [row["trivial"] for row in found if row["trivial"] is not None]


def test_intervals_are_drawn_around_their_dots(planted):
    output, run, _ = planted
    axis = section2(output, run).figure.axes[0]
    spans = {(line.get_xdata()[0], line.get_xdata()[1]) for line in axis.lines if len(line.get_xdata()) == 2}
    for row in rows(output, "section2", "all"):
        if row["trivial_low"] is not None:
            assert (row["trivial_low"], row["trivial_high"]) in spans


def test_the_papers_values_are_open_and_only_beside_its_rule(planted):
    output, run, _ = planted
    drawn = table1(output, run)
    wanted = [r for r in rows(output, "table1", "test") if r["default_rule"] and r["paper_trivial"] is not None]
    assert len(wanted) == 5  # also of the models that are not there
    assert dots(drawn.figure.axes[0], TRIVIAL, False) == [row["paper_trivial"] for row in wanted]
    assert "Open markers: the paper's Table I, on KonIQ-10k" in drawn.caption


def test_models_and_rankings_that_are_not_there_are_named_with_the_job(planted):
    output, run, _ = planted
    caption = table1(output, run).caption
    assert re.search(r"Not there: .*Swin-IQA by level_plcc \(nothing is stored: jobs/zero.py", caption)
    assert output not in caption
    assert "averaged_boundary_connectivity, whose objectness is not the paper's" in caption


def test_a_model_without_numbers_of_ours_or_the_papers_is_named_and_not_drawn(tmp_path, planted):
    output, run, _ = planted
    stored = storage.read_table(f"{output}/tables/table1.parquet")
    papers = {f.name: None for f in stored.schema if f.name.startswith("paper_")}
    unprinted = pa.Table.from_pylist([row | papers for row in stored.to_pylist()], schema=stored.schema)
    storage.write_table(f"{tmp_path}/tables/table1.parquet", unprinted)
    drawn = table1(str(tmp_path), run)
    written = {text.get_text() for text in drawn.figure.axes[0].texts}
    assert "Swin-IQA" not in written
    assert "TRIQ" in written
    assert "Swin-IQA by level_plcc" in drawn.caption
    assert "Swin-IQA" in {text.get_text() for text in table1(output, run).figure.axes[0].texts}  # the paper's numbers


def test_halves_zeroed_in_few_images_are_named_and_not_drawn(tmp_path, planted):
    output, run, _ = planted
    stored = storage.read_table(f"{output}/tables/table1.parquet")
    changed = [row | {"n": 4} if row["ranking"] == "score_change" and row["n"] else row for row in stored.to_pylist()]
    storage.write_table(f"{tmp_path}/tables/table1.parquet", pa.Table.from_pylist(changed, schema=stored.schema))
    drawn = table1(str(tmp_path), run)
    wanted = [r for r in rows(output, "table1", "test") if r["trivial"] is not None and r["ranking"] != "score_change"]
    assert dots(drawn.figure.axes[0], TRIVIAL, True) == [row["trivial"] for row in wanted]
    assert "in the table: halves zeroed in 4 images at most (score_change)" in drawn.caption
    assert "Not drawn" not in table1(output, run).caption


def test_halves_by_explanations_stand_beside_the_others(tmp_path, planted):
    run = planted[1]
    start = {
        "dataset": run.dataset,
        "run": run.key,
        "scope": "test",
        "models": 1,
        "default_rule": False,
        "n": 9,
        "n_mos": 9,
    }
    start |= {"resampled": "image", "resampled_units": 9, "resamples": 20, "synthetic": True}
    lines = [
        ("triq", "rule", "level_plcc"),
        ("triq", "explanation", "lime_triq"),
        ("mean", "own explanation", "grad_cam"),
    ]
    lines += [("dbcnn", "explanation", "lime_triq")]  # neither the ranking model nor the mean
    table = table_of(
        [
            start | {"model": model, "kind": kind, "ranking": ranking, "important": 0.5 + place / 10, "trivial": 0.9}
            for place, (model, kind, ranking) in enumerate(lines)
        ],
        EXPLANATIONS_TABLE,
    )
    storage.write_table(f"{tmp_path}/tables/explanations.parquet", table)
    drawn = explained(str(tmp_path), run)
    assert dots(drawn.figure.axes[0], IMPORTANT, True) == [0.5, 0.6, 0.7]
    labels = [text.get_text() for text in drawn.figure.axes[0].get_yticklabels()]
    assert labels == ["level_plcc", "lime_triq", "grad_cam (own)"]


def test_no_mos_and_nothing_zeroed_break_nothing(tmp_path):
    planted_report.plant(tmp_path, mos=False, splits=(), photos=1)
    run = planted_report.make_tables(tmp_path)
    drawn = table1(str(tmp_path), run, mos=True)
    assert dots(drawn.figure.axes[0], TRIVIAL, True) == []
    assert "No model has zeroed scores" in drawn.alt
    assert "jobs/zero.py" in drawn.caption
