"""The stored files in Polars, pandas and Ray Data: the values that pyarrow reads, lists as they should be."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from halfiqa_ray.tables.stored.reading import vectors
from tests.queries.results import RUNS

PLAIN = ["image_id", "split", "mos", "score", "important_level_plcc", "scored_width"]


@pytest.fixture
def stored(planted_output):
    """Where rank rows lie, and those of both data sets, in order."""
    output, rows = planted_output
    every = pa.concat_tables([rows["planted"], rows["tiny"]]).replace_schema_metadata(None)
    folders = [name for name, table in rows.items() for _ in range(table.num_rows)]
    every = every.append_column("dataset", pa.array(folders))
    every = every.append_column("run", pa.array([RUNS[name] for name in folders]))
    return str(output / "rank"), every.sort_by([("dataset", "ascending"), ("image_id", "ascending")])


def test_polars(stored):
    folder, expected = stored
    folders = {"dataset": pl.String, "run": pl.String}
    found = pl.scan_parquet(f"{folder}/*/*/*.parquet", hive_partitioning=True, hive_schema=folders)
    found = found.sort("dataset", "image_id").collect()
    for name in [*PLAIN, "dataset", "run"]:
        assert found[name].to_list() == expected[name].to_pylist(), name
    assert found["subset_scores"].dtype == pl.Array(pl.Float32, 4096)
    assert found["shapley"].dtype == pl.Array(pl.Float32, 12)
    np.testing.assert_array_equal(found["subset_scores"].to_numpy(), vectors(expected["subset_scores"]))
    # A list with nulls in it: masked subsets in which nothing varies have no level_plcc.
    assert found["level_plcc"].to_list() == expected["level_plcc"].to_pylist()


def test_pandas(stored):
    folder, expected = stored
    folders = ds.partitioning(pa.schema([("dataset", pa.string()), ("run", pa.string())]), flavor="hive")
    found = pd.read_parquet(folder, partitioning=folders).sort_values(["dataset", "image_id"])
    for name in [*PLAIN, "dataset", "run"]:
        assert found[name].tolist() == expected[name].to_pylist(), name
    scores = np.stack(found["subset_scores"])
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, vectors(expected["subset_scores"]))
    np.testing.assert_array_equal(np.stack(found["level_plcc"]), vectors(expected["level_plcc"]))


def test_ray(cluster, stored):
    import ray
    from ray.data.datasource import Partitioning

    folder, expected = stored
    folders = Partitioning("hive", field_types={"dataset": str, "run": str})
    rows = ray.data.read_parquet(folder, partitioning=folders)
    found = pa.concat_tables(rows.iter_batches(batch_size=None, batch_format="pyarrow"))
    found = found.sort_by([("dataset", "ascending"), ("image_id", "ascending")])
    for name in [*PLAIN, "dataset", "run"]:
        assert found[name].to_pylist() == expected[name].to_pylist(), name
    assert found.schema.field("subset_scores").type == pa.list_(pa.float32(), 4096)
    np.testing.assert_array_equal(vectors(found["subset_scores"]), vectors(expected["subset_scores"]))
