"""Small data that jobs of other processes can rank."""

import pyarrow as pa
import pytest

from halfiqa_ray import schema, storage
from halfiqa_ray.data.manifest import folder
from tests.stages.test_subsets import write_checkpoint, write_photos


@pytest.fixture
def small(tmp_path):
    """A function that makes photos, a manifest below an output for each URI, and a checkpoint; flags of the job."""

    def make(count, outputs, root=str(tmp_path)):
        photos = tmp_path / "photos"
        photos.mkdir()
        rows = write_photos(photos, count)
        columns = [rows[f.name] if f.name in rows.column_names else pa.nulls(count, f.type) for f in schema.MANIFEST]
        if storage.is_remote(root):
            for file in photos.iterdir():
                storage.write_bytes(f"{root}/photos/{file.name}", file.read_bytes())
            columns[1] = pa.array([f"{root}/photos/{name}" for name in rows["image_id"].to_pylist()])
        about = {"dataset": "small", "mos_scale": {"low": 1, "high": 5}, "synthetic": True, "split_hash": "s"}
        table = pa.table(columns, schema=schema.with_metadata(schema.MANIFEST, about))
        for output in outputs:
            storage.write_table(storage.join(folder(output, "small"), "manifest.parquet"), table)
        write_checkpoint(tmp_path / "checkpoint")
        for file in (tmp_path / "checkpoint").iterdir():
            storage.write_bytes(f"{root}/checkpoint/{file.name}", file.read_bytes())
        flags = f"--data.dataset small --rank.checkpoint {root}/checkpoint --rank.grid.rows 2 --rank.grid.columns 3"
        return f"{flags} --rank.zero false --rank.measure false --rank.tables false --compute.device cpu"

    return make
