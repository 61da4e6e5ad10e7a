import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure
from scipy.stats import pearsonr

from halfiqa_ray import schema, storage
from halfiqa_ray.models.checkpoints import checkpoint_uri, predictions_uri
from halfiqa_ray.models.fitting.agreement import Agreement, agreement
from halfiqa_ray.report.figures.scatter import _points, draw_scatter, predictions, write_scatter, zeroed
from halfiqa_ray.report.figures.style import IMPORTANT, MOST_POINTS
from halfiqa_ray.report.stored import Missing
from tests.models.small import model_settings, small_model
from tests.models.test_checkpoints import record_of


def test_a_panel_a_split_with_every_point_in_it(tmp_path):
    rows = {
        "image_id": ["a", "b", "c", "d", "e"],
        "split": ["test", "test", "test", "validation", "validation"],
        "mos": [1.0, 2.0, 4.0, 3.0, 4.5],
        "score": [0.4, 2.5, 5.6, 3.1, None],  # beyond the scale, and one photo that could not be read
    }
    table = pa.table(rows, schema=schema.PREDICTIONS)
    metrics = {"test": agreement(rows["score"][:3], rows["mos"][:3]), "validation": agreement([3.1], [3.0])}
    record = record_of(small_model(), metrics=metrics)
    figure = draw_scatter(table, record)
    test, validation = figure.axes
    assert test.collections[0].get_offsets().tolist() == [[1.0, 0.4], [2.0, 2.5], [4.0, 5.6]]
    assert test.get_xlim() == test.get_ylim() == validation.get_ylim() == (0.4, 5.6)
    assert f"PLCC {metrics['test'].plcc:.3f}" in test.get_title()
    assert "PLCC none" in validation.get_title()
    storage.write_table(predictions_uri(str(tmp_path)), table)
    written = write_scatter(str(tmp_path), record)
    assert [storage.read_bytes(file)[:5] for file in written] == [b"\x89PNG\r", b"<svg "]


def checkpoint(output, model, plcc, split="test", run="default", **changes):
    """A checkpoint folder without weights: predictions and what model.json says of them."""
    settings = model_settings().model_copy(update={"name": model})
    found = {split: Agreement(n=3, plcc=plcc, srcc=0.5, rmse=0.1)}
    record = record_of(small_model(), dataset="planted", model=settings, metrics=found, **changes)
    uri = checkpoint_uri(str(output), "planted", model, run)
    storage.write_json(f"{uri}/model.json", record.model_dump(mode="json"))
    rows = {"image_id": list("abc"), "split": [split] * 3, "mos": [1.0, 2.0, 3.0], "score": [1.0, plcc, 4.0]}
    storage.write_table(predictions_uri(uri), pa.table(rows, schema=schema.PREDICTIONS))


def test_predictions_of_every_model_in_the_papers_order(tmp_path, planted):
    run = planted[1]
    checkpoint(tmp_path, "own", 0.25)
    checkpoint(tmp_path, "dbcnn", 0.5)
    checkpoint(tmp_path, "triq", 0.75)
    checkpoint(tmp_path, "koncept", 0.9, run="another")
    drawn = predictions(str(tmp_path), run)
    titles = [axis.get_title() for axis in drawn.figure.axes if axis.get_title()]
    assert titles == [
        f"{name}, n 3\nPLCC {plcc}" for name, plcc in (("TRIQ", "0.750"), ("DBCNN", "0.500"), ("own", "0.250"))
    ]
    assert drawn.figure.axes[1].collections[0].get_offsets().tolist() == [[1.0, 1.0], [2.0, 0.5], [3.0, 4.0]]
    assert "TRIQ PLCC 0.750, SRCC 0.500" in drawn.alt
    storage.write_text(f"{checkpoint_uri(str(tmp_path), 'planted', 'dbcnn', 'default')}/model.json", "{}")
    drawn = predictions(str(tmp_path), run)
    assert "dbcnn/default/model.json is not a checkpoint record of this version" in drawn.caption


def test_without_a_test_split_the_validation_images_are_shown_and_without_any_the_job_is_named(tmp_path, planted):
    run = planted[1]
    with pytest.raises(Missing, match="jobs/train"):
        predictions(str(tmp_path), run)
    checkpoint(tmp_path, "triq", 0.5, split="validation")
    assert "(split validation)" in predictions(str(tmp_path), run).caption


def test_zeroed_predictions_are_the_stored_scores(planted):
    output, run, _ = planted
    drawn = zeroed(output, run, "level_plcc")
    triq = pq.read_table(f"{output}/zeroed/dataset=planted/model=triq", partitioning=None).to_pylist()
    original = {row["image_id"]: row["score"] for row in triq if row["zeroed_half"] == "none"}
    plcc = {}
    for place, half in enumerate(("trivial", "important")):
        rows = [row for row in triq if row["zeroed_half"] == half and row["ranking"] == "level_plcc"]
        wanted = {(original[row["image_id"]], row["score"]) for row in rows}
        assert {tuple(point) for point in drawn.figure.axes[0].collections[place].get_offsets().tolist()} == wanted
        plcc[half] = pearsonr(*zip(*wanted, strict=True)).statistic
    said = f"PLCC {plcc['important']:.3f} with the important, {plcc['trivial']:.3f} with the trivial half zeroed"
    assert f"TRIQ {said}" in drawn.alt
    assert "TRIQ, n 12" in drawn.figure.axes[0].get_title()


def test_a_rule_that_was_not_zeroed_is_replaced_and_said(planted):
    output, run, _ = planted
    drawn = zeroed(output, run, "shapley")
    assert "score_change is shown instead" in drawn.caption
    assert "score_change is shown instead" in drawn.figure.get_suptitle()
    with pytest.raises(Missing, match="jobs/zero"):
        zeroed(f"{output}/nowhere", run, "shapley")


def test_many_points_are_one_picture():
    axis = Figure().subplots()
    for count in (MOST_POINTS, MOST_POINTS + 1):
        _points(axis, np.zeros(count), np.zeros(count), IMPORTANT)
    assert [points.get_rasterized() for points in axis.collections] == [False, True]
