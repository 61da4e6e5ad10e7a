"""Every folder of rows that the jobs write opens in other readers as it is: nothing but Parquet lies in it."""

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest

from halfiqa_ray import storage

FOLDERS = ("manifest", "rank", "measures", "zeroed", "errors")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_opens_in_every_reader(together, name):
    folder = f"{together}/{name}"
    assert storage.list_files(folder, ".parquet", recursive=True)
    opened = ds.dataset(folder, partitioning="hive")
    ids = sorted(opened.to_table(columns=["image_id"])["image_id"].to_pylist())
    assert ids
    assert sorted(pd.read_parquet(folder, columns=["image_id"])["image_id"]) == ids
    files = f"{folder}/**/*.parquet"
    assert sorted(pl.scan_parquet(files).select("image_id").collect()["image_id"]) == ids
    assert sorted(row[0] for row in duckdb.sql(f"SELECT image_id FROM read_parquet('{files}')").fetchall()) == ids


def test_what_is_no_parquet_has_a_name_that_readers_pass_over(together):
    others = []
    for name in FOLDERS:
        for file in (path for path in (together / name).rglob("*") if path.is_file()):
            inside = file.relative_to(together).parts
            assert file.suffix == ".parquet" or any(part.startswith("_") for part in inside), file
            others += [] if file.suffix == ".parquet" else [file.name]
    assert any(name.startswith("_band_means-") for name in others)
