"""Result folders that grow by small whole files, can be resumed, and are compacted at the end.

A run writes part files, each complete under its name or absent. What is in them is finished; a later run computes the
rest. Compaction turns them into few large files; it can be interrupted and repeated at any point.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from halfiqa_ray import schema, storage

PART, DATA = "part-", "data-"
LARGE_FILE = 128 << 20
ROW_GROUP = 512


def run_uri(output: str, stage: str, dataset: str, key: str) -> str:
    """Folder of one run's rows, ``stage/dataset=D/run=KEY`` below the output."""
    return storage.join(output, stage, f"dataset={dataset}", f"run={key[:8]}")


def errors_uri(output: str, stage: str, dataset: str, key: str) -> str:
    """Folder of one run's errors."""
    return storage.join(output, "errors", f"stage={stage}", f"dataset={dataset}", f"run={key[:8]}")


@dataclass(frozen=True)
class WriteParts:
    """Stage: writes a table's good rows to ``folder`` and its error rows to ``errors``, one part file each.

    The name of a part is made from the image ids in it, so that writing the same rows again replaces the file.
    """

    folder: str
    errors: str
    columns: pa.Schema  # with metadata
    error_columns: pa.Schema

    def __call__(self, rows: pa.Table) -> pa.Table:
        """One row: how many rows were ``written`` and how many ``failed``."""
        failed = pc.is_valid(rows["error"])
        good, bad = rows.filter(pc.invert(failed)), rows.filter(failed)
        for part, uri, columns in ((good, self.folder, self.columns), (bad, self.errors, self.error_columns)):
            if part.num_rows:
                # Built anew, not cast: columns that may hold no null are nullable in the stream.
                arrays = [part[f.name].combine_chunks() for f in columns]
                storage.write_table(_file_of(uri, PART, part), pa.table(arrays, schema=columns), ROW_GROUP)
        return pa.table({"written": [good.num_rows], "failed": [bad.num_rows]})


def finished_ids(folder: str) -> set[str]:
    """Image ids of all rows in a folder of Parquet files."""
    done: set[str] = set()
    for file in storage.list_files(folder, ".parquet"):
        done.update(storage.read_table(file, ["image_id"])["image_id"].to_pylist())
    return done


def compact(folder: str, large: int = LARGE_FILE) -> int:
    """Merge part files (and a last small data file) into files of about ``large`` bytes; returns how many remain.

    Sizes are in memory. An image that stands in two files, as after an interrupted compaction, is kept once.
    """
    files = storage.list_files(folder, ".parquet")
    parts = [f for f in files if _name(f).startswith(PART)]
    if not parts:
        return len(files)
    store, _ = storage.filesystem(folder)
    whole = [f for f in files if f not in parts]
    small = [f for f in whole if store.get_file_info(storage.filesystem(f)[1]).size < large // 4]
    kept = [f for f in whole if f not in small]
    seen: set[str] = set()
    for file in kept:
        seen.update(storage.read_table(file, ["image_id"])["image_id"].to_pylist())
    written: list[str] = []
    batch: list[pa.Table] = []
    for file in [*small, *parts]:
        rows = storage.read_table(file)
        fresh = [image_id not in seen for image_id in rows["image_id"].to_pylist()]
        seen.update(rows["image_id"].to_pylist())
        batch.append(rows.filter(pa.array(fresh, pa.bool_())))
        if sum(table.nbytes for table in batch) >= large:
            written.append(_write_data(folder, batch))
            batch = []
    if sum(table.num_rows for table in batch):
        written.append(_write_data(folder, batch))
    for file in [*small, *parts]:
        if file not in written:
            storage.delete(file)
    return len(kept) + len(written)


def settle_errors(folder: str, finished: set[str]) -> pa.Table:
    """Bring a run's error files to one, a row an image that is still not finished; returns the rows.

    An image that failed and was finished by a later run is no longer an error.
    """
    latest: dict[str, dict[str, Any]] = {}
    files = storage.list_files(folder, ".parquet")
    for file in files:
        for row in storage.read_table(file).to_pylist():
            latest[row["image_id"]] = row
    rows = [row for image_id, row in sorted(latest.items()) if image_id not in finished]
    table = pa.Table.from_pylist(rows, schema.ERRORS)
    target = storage.join(folder, "errors.parquet")
    if rows:
        storage.write_table(target, table)
    for file in files:
        if not (rows and file == target):
            storage.delete(file)
    return table


def _write_data(folder: str, batch: list[pa.Table]) -> str:
    rows = pa.concat_tables(batch)
    file = _file_of(folder, DATA, rows)
    storage.write_table(file, rows, ROW_GROUP)
    return file


def _file_of(folder: str, prefix: str, rows: pa.Table) -> str:
    """The file of these rows: named after their image ids, whatever their order."""
    ids = "\n".join(sorted(rows["image_id"].to_pylist()))
    return storage.join(folder, f"{prefix}{hashlib.sha256(ids.encode()).hexdigest()[:16]}.parquet")


def _name(uri: str) -> str:
    return uri.rsplit("/", 1)[-1]
