import pytest

from halfiqa_ray import schema, storage
from halfiqa_ray.data import manifest, problems
from halfiqa_ray.data.manifest import Row
from halfiqa_ray.data.problems import DataError, Problem


def test_rows_come_back_as_they_went(tmp_path):
    rows = [
        Row("b.jpg", "/r/b.jpg", 5, 7, 3, 3.5, (0.0, 0.1, 0.3, 0.6, 0.0), 0.5, 70.0, "train", "source", 4, 2, 31.5),
        Row("a.jpg", "/r/a.jpg"),
    ]
    table = manifest.to_table(rows, "file", {"dataset": "d"})
    storage.write_table(storage.join(manifest.folder(str(tmp_path), "d"), manifest.FILE_NAME), table)
    found = manifest.read_manifest(str(tmp_path), "d")
    assert found.schema.equals(schema.MANIFEST)
    assert schema.metadata(found.schema) == {"dataset": "d"}
    assert found["image_id"].to_pylist() == ["a.jpg", "b.jpg"]
    assert found["split_source"].to_pylist() == [None, "file"]
    last = found.to_pylist()[1]
    assert last["levels"] == pytest.approx([0, 0.1, 0.3, 0.6, 0], abs=1e-7)
    assert (last["mos"], last["width"], last["height"], last["spatial_information"]) == (3.5, 4, 2, 31.5)
    assert found.to_pylist()[0]["levels"] is None


def test_no_manifest_says_how_to_make_one(tmp_path):
    with pytest.raises(DataError, match=r"'d'.*jobs/prepare\.py"):
        manifest.read_manifest(str(tmp_path), "d")


def test_a_problem_says_where():
    found = [Problem("bad_number", "the MOS is 'x'", "l.csv", 7), Problem("empty_photo", "no bytes", "z.jpg")]
    table = problems.to_table(found)
    assert table.schema.equals(schema.ERRORS)
    assert table["message"].to_pylist() == ["l.csv, row 7: the MOS is 'x'", "z.jpg: no bytes"]
