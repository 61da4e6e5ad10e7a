"""The manifest: one row a photo, with what is known of it, in the form that every later job reads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from halfiqa_ray import schema, storage
from halfiqa_ray.data.problems import DataError, Problem

FILE_NAME = "manifest.parquet"
Scale = tuple[float, float]  # lowest and highest MOS


@dataclass(slots=True)
class Row:
    """One photo. ``levels``: shares of the votes 1..5 (sum 1). ``mos`` is on the data set's native scale."""

    image_id: str  # path below the data root, with extension
    uri: str
    bytes: int = 0
    modified: int = 0  # nanoseconds since 1970, as the storage says; with ``bytes`` it tells a changed photo
    line: int | None = None  # row in the score list
    mos: float | None = None
    levels: tuple[float, ...] | None = None
    mos_std: float | None = None
    mos_zscore: float | None = None
    split: str | None = None
    source_photo: str | None = None
    width: int | None = None
    height: int | None = None
    spatial_information: float | None = None


@dataclass
class Listing:
    """What a reader found: usable rows, the problems that cost the others, and what is true of all of them."""

    root: str
    rows: list[Row]
    problems: list[Problem]
    file: str | None = None  # the score list
    file_sha256: str | None = None
    mos_scale: Scale | None = None  # None: no scores
    split_column: str | None = None
    validation_share: float = 0.0  # of the training photos, for a split that has no validation photos
    source_note: str = ""  # where the data come from and under which terms
    notes: list[str] = field(default_factory=list)  # for the user: what was recognised and chosen

    def content_hash(self) -> str:
        """SHA-256 (hex) of everything the reader found; it changes when a photo, a score or a problem does."""
        digest = hashlib.sha256(repr((self.root, self.file, self.file_sha256, self.mos_scale)).encode())
        for row in self.rows:
            digest.update(repr(row).encode())
        for problem in self.problems:
            digest.update(repr(problem).encode())
        return digest.hexdigest()


def to_table(rows: Sequence[Row], split_source: str | None, metadata: Mapping[str, Any]) -> pa.Table:
    """Rows as a table (schema.MANIFEST), sorted by image_id, with ``metadata`` in its schema."""
    ordered = sorted(rows, key=lambda row: row.image_id)
    columns: dict[str, list[Any]] = {
        name: [getattr(row, name) for row in ordered] for name in schema.MANIFEST.names if name != "split_source"
    }
    columns["split_source"] = [None if split is None else split_source for split in columns["split"]]
    return pa.table(columns, schema=schema.with_metadata(schema.MANIFEST, dict(metadata)))


def folder(output: str, dataset: str) -> str:
    """Where the manifest of a data set lies under the output URI."""
    return storage.join(output, "manifest", f"dataset={dataset}")


def uri(output: str, dataset: str) -> str:
    """The manifest of a data set under the output URI; it is there when `prepare` has made it."""
    return storage.join(folder(output, dataset), FILE_NAME)


def read_manifest(output: str, dataset: str) -> pa.Table:
    """The manifest (schema.MANIFEST), its metadata in ``schema.metadata(table.schema)``.

    Raises DataError that says how to make it when there is none, or it is of another version of the schema.
    """
    file = uri(output, dataset)
    try:
        table = storage.read_table(file)
    except FileNotFoundError as error:
        raise DataError(
            f"there is no manifest of data set {dataset!r} at {file}: run jobs/prepare.py with the same output "
            "and data settings first"
        ) from error
    if missing := set(schema.MANIFEST.names) - set(table.column_names):
        raise DataError(f"{file} lacks the columns {sorted(missing)}: run jobs/prepare.py again")
    return table.select(schema.MANIFEST.names)


def sample(image_ids: list[str], count: int, seed: int, purpose: str) -> list[str]:
    """``count`` of the images, or all: those with the lowest SHA-256 of seed, purpose and image id, sorted by id."""

    def place(image_id: str) -> bytes:
        return hashlib.sha256(f"{seed}\0{purpose}\0{image_id}".encode("utf-8", "surrogatepass")).digest()

    return sorted(sorted(image_ids, key=place)[:count])
