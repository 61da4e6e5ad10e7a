"""What a run of the rank job is, and where its rows lie; plans of measuring, zeroing and explaining extend it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import pyarrow as pa

from halfiqa_ray import schema, storage
from halfiqa_ray.config import RankSettings, Settings
from halfiqa_ray.data.manifest import read_manifest
from halfiqa_ray.data.photos.images import Bounds
from halfiqa_ray.models.checkpoints import CheckpointRecord, read_record
from halfiqa_ray.stages.decode import Decode, Size
from halfiqa_ray.stages.keys import checkpoint_of, run_key
from halfiqa_ray.stages.parts import errors_uri, run_uri


@dataclass(frozen=True)
class Plan:
    """What a run is: its checkpoint, its key and where its rows go. Each answer is worked out once."""

    settings: Settings
    checkpoint: str
    record: CheckpointRecord
    manifest: pa.Table
    key: str

    @cached_property
    def rows(self) -> pa.Table:
        """Manifest rows of the photos to rank. Raises ValueError when there are none."""
        return chosen_rows(self.manifest, self.settings.rank)

    @cached_property
    def folder(self) -> str:
        """Folder of the run's rows."""
        return run_uri(self.settings.output, "rank", self.settings.data.dataset, self.key)

    @cached_property
    def errors(self) -> str:
        """Folder of the run's errors."""
        return errors_uri(self.settings.output, "rank", self.settings.data.dataset, self.key)

    @cached_property
    def blocks(self) -> int:
        """Number of blocks of the grid."""
        return self.settings.rank.grid.rows * self.settings.rank.grid.columns

    @cached_property
    def size(self) -> list[int] | None:
        """Height and width that photos are brought to; None when each keeps its own."""
        size = self.record.preprocessing
        return None if self.settings.rank.native else [size.height, size.width]

    @cached_property
    def about_photos(self) -> dict[str, Any]:
        """What stands in every file that is made of these photos, whatever the model."""
        rank, manifest = self.settings.rank, schema.metadata(self.manifest.schema)
        return {
            "dataset": self.settings.data.dataset,
            "layout": manifest.get("layout"),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "grid": {"rows": rank.grid.rows, "columns": rank.grid.columns},
            "native": rank.native,
            "portrait": rank.portrait,
            "synthetic": bool(manifest.get("synthetic")),
        }

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """What stands in every file of the run."""
        about = self.about_photos | about_model(self.checkpoint, self.record, self.about_photos)
        return about | {"run_key": self.key, "size": self.size}

    def decode(self, more: tuple[Size, ...] = ()) -> Decode:
        """The stage that brings photos to the size to score, and to ``more`` sizes."""
        size, rank = self.record.preprocessing, self.settings.rank
        return Decode(size.height, size.width, rank.native, rank.portrait, Bounds.of(self.settings.data), more)


def about_model(checkpoint: str, record: CheckpointRecord, about_photos: dict[str, Any]) -> dict[str, Any]:
    """What stands in every file of a model's scores."""
    return {
        "mos_scale": {"low": record.mos_scale.low, "high": record.mos_scale.high},
        "model": record.model.name,
        "backbone": record.model.backbone.name,
        "checkpoint": checkpoint,
        "checkpoint_sha256": record.weights_sha256,
        "checkpoint_run": record.run,
        # Of demo photos, or of a model that learned from them: either way no number here is about people.
        "synthetic": about_photos["synthetic"] or record.synthetic,
    }


def make_plan(settings: Settings) -> Plan:
    """Read checkpoint record and manifest. Raises ValueError naming what is missing and the job that makes it."""
    manifest = read_manifest(settings.output, settings.data.dataset)
    checkpoint = checkpoint_of(settings)
    record = read_record(checkpoint)
    return Plan(settings, storage.absolute(checkpoint), record, manifest, run_key(record, settings.rank))


def chosen_rows(rows: pa.Table, rank: RankSettings) -> pa.Table:
    """Manifest rows of the wanted splits, the first ``limit`` of them. Raises ValueError when none is left."""
    if rank.splits:
        rows = of_splits(rows, rank.splits, "rank.splits")
    if rank.limit:
        rows = rows.slice(0, rank.limit)
    if not rows.num_rows:
        raise ValueError("the manifest has no images: look at errors/stage=prepare under the output")
    return rows


def of_splits(rows: pa.Table, wanted: tuple[str, ...], setting: str) -> pa.Table:
    """The rows of these splits. Raises ValueError naming the setting when there is no such split."""
    splits = rows["split"].to_pylist()
    if unknown := set(wanted) - set(splits):
        there = ", ".join(sorted({s for s in splits if s})) or "no splits"
        raise ValueError(f"{setting} names {', '.join(sorted(unknown))}, but the manifest has {there}")
    return rows.filter(pa.array([s in wanted for s in splits], pa.bool_()))
