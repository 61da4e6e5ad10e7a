"""Result folders that grow by small whole files, can be resumed, and are compacted at the end.

A run writes part files, each complete under its name or absent. What is in them is finished; a later run computes the
rest. Compaction turns them into few large files; it can be interrupted and repeated at any point.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
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


def working_uri(errors: str) -> str:
    """Folder of all marks (`watched`), from that of a run's errors; its name keeps it out of what is listed."""
    return storage.join(errors, "_working")


def marks_uri(errors: str, stage: str) -> str:
    """Folder of a stage's marks."""
    return storage.join(working_uri(errors), stage)


@dataclass(frozen=True)
class Output:
    """A folder of result rows, and which they are of a stream's rows (one an image)."""

    folder: str
    columns: pa.Schema  # with metadata
    key: tuple[str, ...] = ("image_id",)  # columns that tell a row from every other
    rows: Callable[[pa.Table], pa.Table] = lambda rows: rows.filter(pc.is_null(rows["error"]))
    brought: Callable[[pa.Table], pa.Table] = lambda rows: rows  # stored rows of an older version to these columns


@dataclass(frozen=True)
class WriteParts:
    """Stage: writes the rows of every output to its folder and error rows to ``errors``, one part file each.

    The name of a part is made from the keys of its rows, so that writing the same rows again replaces the file. A
    kill may leave an image in the first outputs and not in the others.
    """

    outputs: tuple[Output, ...]
    errors: str
    error_columns: pa.Schema

    def __call__(self, rows: pa.Table) -> pa.Table:
        """One row: how many images were ``written`` without an error, and how many ``failed``."""
        for output in self.outputs:
            _write_part(output.folder, output.rows(rows), output.columns, output.key)
        failed = rows.filter(pc.is_valid(rows["error"]))
        _write_part(self.errors, failed, self.error_columns, ("image_id",))
        return pa.table({"written": [rows.num_rows - failed.num_rows], "failed": [failed.num_rows]})


def _write_part(folder: str, rows: pa.Table, columns: pa.Schema, key: tuple[str, ...]) -> None:
    if rows.num_rows:
        # Built anew, not cast: columns that may hold no null are nullable in the stream.
        part = pa.table([rows[f.name].combine_chunks() for f in columns], schema=columns)
        storage.write_table(_file_of(folder, PART, part, key), part, ROW_GROUP)


def finished_ids(folder: str) -> set[str]:
    """Image ids of all rows in a folder of Parquet files."""
    done: set[str] = set()
    for file in storage.list_files(folder, ".parquet"):
        done.update(storage.read_table(file, ["image_id"])["image_id"].to_pylist())
    return done


def compact(
    folder: str,
    large: int = LARGE_FILE,
    key: tuple[str, ...] = ("image_id",),
    brought: Callable[[pa.Table], pa.Table] = lambda rows: rows,
) -> int:
    """Merge part files (and a last small data file) into files of about ``large`` bytes; returns how many remain.

    Sizes are in memory. A row whose ``key`` stands in two files, as after an interrupted compaction, is kept once.
    ``brought`` makes rows of older files those of today (`Output.brought`).
    """
    files = storage.list_files(folder, ".parquet")
    parts = [f for f in files if _name(f).startswith(PART)]
    if not parts:
        return len(files)
    whole = [f for f in files if f not in parts]
    small = [f for f in whole if storage.size(f) < large // 4]
    kept = [f for f in whole if f not in small]
    seen: set[tuple[Any, ...]] = set()
    for file in kept:
        seen.update(
            _keys(brought(storage.read_table(file, [n for n in storage.read_schema(file).names if n in key])), key)
        )
    written: list[str] = []
    batch: list[pa.Table] = []
    for file in [*small, *parts]:
        rows = brought(storage.read_table(file))
        fresh = [each not in seen for each in _keys(rows, key)]
        seen.update(_keys(rows, key))
        batch.append(rows.filter(pa.array(fresh, pa.bool_())))
        if sum(table.nbytes for table in batch) >= large:
            written.append(_write_data(folder, batch, key))
            batch = []
    if sum(table.num_rows for table in batch):
        written.append(_write_data(folder, batch, key))
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


def _write_data(folder: str, batch: list[pa.Table], key: tuple[str, ...]) -> str:
    # In order of key: sums over the rows must not hang on which part was written first.
    rows = pa.concat_tables(batch).sort_by([(name, "ascending") for name in key])
    file = _file_of(folder, DATA, rows, key)
    storage.write_table(file, rows, ROW_GROUP)
    return file


def _file_of(folder: str, prefix: str, rows: pa.Table, key: tuple[str, ...]) -> str:
    """The file of these rows: named after their keys, whatever their order."""
    keys = "\n".join(sorted("\0".join(map(str, each)) for each in _keys(rows, key)))
    return storage.join(folder, f"{prefix}{hashlib.sha256(keys.encode()).hexdigest()[:16]}.parquet")


def _keys(rows: pa.Table, key: tuple[str, ...]) -> list[tuple[Any, ...]]:
    return list(zip(*(rows[name].to_pylist() for name in key), strict=True))


def _name(uri: str) -> str:
    return uri.rsplit("/", 1)[-1]
