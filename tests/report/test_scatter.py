import pyarrow as pa

from halfiqa_ray import schema, storage
from halfiqa_ray.models.agreement import agreement
from halfiqa_ray.models.checkpoints import predictions_uri
from halfiqa_ray.report.scatter import draw_scatter, write_scatter
from tests.models.small import small_model
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
    assert [storage.read_bytes(file)[:5] for file in written] == [b"\x89PNG\r", b"<?xml"]
