"""Spatial information of many photos: a Ray Data stream whose results are kept, so that no photo is decoded twice."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import ray.data

from halfiqa_ray import schema, storage
from halfiqa_ray.config import Settings
from halfiqa_ray.data.manifest import Row
from halfiqa_ray.data.photos.images import Bounds
from halfiqa_ray.data.problems import Problem
from halfiqa_ray.runtime.progress import make_progress
from halfiqa_ray.runtime.resources import check_room
from halfiqa_ray.runtime.session import ray_session
from halfiqa_ray.stages.spatial_information import MEASURED, MeasureSpatialInformation

VERSION = 1  # of how it is measured; results of another version are measured again
ROWS_PER_PART = 256
SECONDS_PER_PART = 30
PHOTOS_PER_TASK = 16

Key = tuple[str, int, int]  # image_id, bytes, modified: a photo that changed is another photo


def measure(rows: Sequence[Row], settings: Settings, folder: str) -> list[Problem]:
    """Fill ``width``, ``height`` and ``spatial_information`` of the rows; returns the photos that cannot be read.

    Results are kept in ``folder`` as they come: a kill costs at most the last 256 photos or 30 seconds, and those in
    flight. Failures are not kept, so that the next run tries those photos again.
    """
    kept = KeptResults(folder)
    missing = [row for row in rows if _key(row) not in kept.known]
    failures: dict[str, dict[str, Any]] = {}
    if missing:
        print(f"spatial information: {len(missing):,} photos to decode, {len(rows) - len(missing):,} known", flush=True)
        failures = _stream(missing, settings, kept)
        kept.compact({_key(row) for row in rows})
    problems = []
    for row in rows:
        if (found := kept.known.get(_key(row))) is not None:
            row.width, row.height = found["width"], found["height"]
            row.spatial_information = found["spatial_information"]
        else:
            failure = failures[row.image_id]
            problems.append(Problem(failure["error"], failure["message"], None, row.line, row.image_id, row.uri))
    return problems


class KeptResults:
    """Rows of ``MEASURED`` in a folder of Parquet files; ``known`` has them all by key."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.known: dict[Key, dict[str, Any]] = {}
        self.waiting: list[dict[str, Any]] = []
        self.written = time.monotonic()
        for uri in storage.list_files(folder, ".parquet"):
            try:
                table = storage.read_table(uri)
            except ValueError as error:  # written by something else: whole files are all that we write
                print(f"spatial information: {error}; its photos are decoded again", flush=True)
                continue
            if schema.metadata(table.schema).get("version") == VERSION:
                self.known |= {_key_of(row): row for row in table.to_pylist()}

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Take new rows, and write a file when there are enough of them or the last one is long ago."""
        self.known |= {_key_of(row): row for row in rows}
        self.waiting += rows
        if len(self.waiting) >= ROWS_PER_PART or time.monotonic() - self.written > SECONDS_PER_PART:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        if self.waiting:
            self._write(self.waiting)
        self.waiting, self.written = [], time.monotonic()

    def compact(self, wanted: set[Key]) -> None:
        """One file with the results in ``wanted`` in place of all files; a stop in between only leaves repeats."""
        files = storage.list_files(self.folder, ".parquet")
        if len(files) > 1:
            self._write([row for key, row in self.known.items() if key in wanted])
            for uri in files:
                storage.delete(uri)

    def _write(self, rows: list[dict[str, Any]]) -> None:
        table = pa.Table.from_pylist(rows, schema=schema.with_metadata(MEASURED, {"version": VERSION}))
        storage.write_table(storage.join(self.folder, f"part-{uuid.uuid4().hex}.parquet"), table)


def _stream(missing: Sequence[Row], settings: Settings, kept: KeptResults) -> dict[str, dict[str, Any]]:
    """Decode and measure photos into ``kept``; returns the rows of those that failed, by image_id."""
    columns = ("image_id", "uri", "bytes", "modified")
    photos = pa.table({name: [getattr(row, name) for row in missing] for name in columns})
    failures: dict[str, dict[str, Any]] = {}
    with ray_session(settings, [row.uri for row in missing]):
        check_room("decoding", {"CPU": settings.compute.decode_cpus}, 1, "lower compute.decode_cpus")
        measured = (
            ray.data.from_arrow(photos)
            .repartition(target_num_rows_per_block=PHOTOS_PER_TASK)
            .map_batches(
                MeasureSpatialInformation(Bounds.of(settings.data)),
                batch_size=None,
                batch_format="pyarrow",
                num_cpus=settings.compute.decode_cpus,
            )
        )
        progress = make_progress(len(missing), "photos decoded", settings.compute.progress_seconds)
        batch: pa.Table
        try:
            for batch in measured.iter_batches(batch_size=None, batch_format="pyarrow"):
                rows = batch.to_pylist()
                failed = {row["image_id"]: row for row in rows if row["error"] is not None}
                kept.add([row for row in rows if row["error"] is None])
                failures |= failed
                progress.advance(len(rows), len(failed))
        finally:
            kept.flush()
            progress.close()
    return failures


def _key(row: Row) -> Key:
    return row.image_id, row.bytes, row.modified


def _key_of(row: dict[str, Any]) -> Key:
    return row["image_id"], row["bytes"], row["modified"]
