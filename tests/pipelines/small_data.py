"""A small data set with two models, the settings that rank it quickly, and all rows of an output."""

import numpy as np
import pyarrow as pa

from halfiqa_ray import schema, storage
from halfiqa_ray.config import Settings
from halfiqa_ray.data.manifest import folder
from halfiqa_ray.stages.outputs import MEASURES_KEY, ZEROED_KEY
from tests.stages.test_subsets import write_checkpoint, write_photos
from tests.stages.test_zeroing import write_koncept

PHOTOS, TRAIN, BAD = 13, 4, "6.png"


def write_data(output, photos):
    """A data set of small photos in two splits, one of them unreadable, and two models, one of another input size."""
    photos.mkdir()
    rows = write_photos(photos, PHOTOS, size=(120, 80))
    (photos / BAD).write_bytes(b"not a photo")
    columns = {
        f.name: rows[f.name] if f.name in rows.column_names else pa.nulls(PHOTOS, f.type) for f in schema.MANIFEST
    }
    columns["mos"] = pa.array(np.linspace(1, 5, PHOTOS))
    columns["split"] = pa.array(["train"] * TRAIN + ["test"] * (PHOTOS - TRAIN))
    about = {"dataset": "small", "mos_scale": {"low": 1, "high": 5}, "synthetic": True, "split_hash": "s"}
    table = pa.table(columns, schema=schema.with_metadata(schema.MANIFEST, about))
    storage.write_table(storage.join(folder(str(output), "small"), "manifest.parquet"), table)
    write_checkpoint(output / "checkpoints" / "small" / "triq" / "default")
    write_koncept(output / "checkpoints" / "small" / "koncept" / "default")


def settings_of(output, rank=(), **sections):
    few = {"grid": {"rows": 2, "columns": 3}, "rows_per_file": 24, "tables": False}
    return Settings(
        output=str(output),
        data={"dataset": "small"},
        rank=few | dict(rank),
        compute={"device": "cpu", "threads": 1, "actors": 1},
        **{"measure": {"frequency": {"whitening": "data_set", "sample": 5}}} | sections,
    )


def stored(output, table, key):
    """Every row of every run of a table, sorted; no key may stand there twice. File (without its name) and rows."""
    found = {}
    for file in storage.list_files(str(output / table), ".parquet", recursive=True):
        run = file[len(str(output)) + 1 :].rsplit("/", 1)[0]
        found.setdefault(run, []).extend(storage.read_table(file).to_pylist())
    for rows in found.values():
        rows.sort(key=lambda row: [str(row[name]) for name in key])
        keys = [tuple(row[name] for name in key) for row in rows]
        assert len(keys) == len(set(keys))
    return found


def everything(output):
    tables = {"rank": ("image_id",), "measures": MEASURES_KEY, "zeroed": ZEROED_KEY}
    return {table: stored(output, table, key) for table, key in tables.items()}
