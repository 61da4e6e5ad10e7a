"""The checkpoints that a job asks for, and whether they can do what is asked of them: looked at before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from halfiqa_ray import schema, storage
from halfiqa_ray.config import ModelSettings
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.models import shipped
from halfiqa_ray.models.checkpoints import (
    RECORD,
    WEIGHTS,
    CheckpointError,
    CheckpointRecord,
    checkpoint_uri,
    load_checkpoint,
    read_record,
)
from halfiqa_ray.models.outside import NAME, OutsideError, find_outside, outside_record
from halfiqa_ray.models.sources import Source, uri_of
from halfiqa_ray.models.triq import Triq, token_map_size
from halfiqa_ray.pipelines.plans.run import Plan
from halfiqa_ray.stages.decode import Size


@dataclass(frozen=True)
class Checkpoint:
    """A model that predicts zeroed photos, or whose scores are explained."""

    uri: str
    record: CheckpointRecord
    outside: ModelSettings | None = None  # of a model that is not ours, in place of a folder

    @property
    def source(self) -> Source:
        """What a stage loads it from."""
        return self.outside or self.uri

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that can explain its scores: Grad-CAM needs a map."""
        mapless = self.outside is not None and self.outside.outside.layer is None
        return tuple(method for method in schema.EXPLANATIONS if not (mapless and method == "grad_cam"))

    @property
    def about(self) -> dict[str, Any]:
        """What stands in the files of an outside model's scores, in place of what only a checkpoint knows."""
        if self.outside is None:
            return {}
        outside = self.outside.outside
        return {"backbone": None, "trained_on": outside.dataset, "outside": outside.model_dump(mode="json")}

    @property
    def size(self) -> Size:
        """Input height and width."""
        return self.record.preprocessing.height, self.record.preprocessing.width


def find_checkpoints(plan: Plan, named: Sequence[str] = ()) -> tuple[Checkpoint, ...]:
    """The models that a setting like ``zero.models`` names, in order of name.

    Where none is named, one of each name: the one that ranks stands for its own; and the outside model of the settings.
    Raises CheckpointError for a missing one, and OutsideError for an outside one that cannot be used.
    """
    settings = plan.settings
    dataset, run = settings.data.dataset, settings.train.run
    models: dict[tuple[str, str], Checkpoint] = {}
    for model in named:
        if outside := find_outside(model, settings.model):
            _add_outside(models, outside)
            continue
        uri = model if "/" in model else checkpoint_uri(settings.output, dataset, model, run)
        record = read_record(uri)
        models[record.model.name, record.weights_sha256] = Checkpoint(shipped.absolute(uri), record)
    if not named:
        models[plan.record.model.name, ""] = Checkpoint(plan.checkpoint, plan.record)
        folder = storage.join(settings.output, "checkpoints", dataset)
        for file in storage.list_files(folder, RECORD, recursive=True):
            uri = file.removesuffix(f"/{RECORD}")
            if uri.endswith(f"/{run}"):
                record = read_record(uri)
                models.setdefault((record.model.name, ""), Checkpoint(shipped.absolute(uri), record))
        if settings.model.name == NAME:
            _add_outside(models, settings.model)
    return tuple(models[each] for each in sorted(models))


def folders_of(models: Sequence[Checkpoint]) -> list[str]:
    """The folders of those that have one."""
    return [model.uri for model in models if model.outside is None]


def _add_outside(models: dict[tuple[str, str], Checkpoint], settings: ModelSettings) -> None:
    checkpoint = Checkpoint(uri_of(settings), outside_record(settings), settings)
    name, sha256 = checkpoint.record.model.name, checkpoint.record.weights_sha256
    if any(other == name and models[other, key] != checkpoint for other, key in models):
        raise OutsideError(f"two models are called {name}: give each its own model.outside.name")
    models[name, sha256] = checkpoint


def check_models(plan: Plan, others: Sequence[str] = (), ranks: bool = True) -> None:
    """Raise CheckpointError when a checkpoint has no weights, or the ranking one is damaged, no TRIQ or too coarse.

    ``others`` are checkpoint folders of models that predict zeroed photos.
    """
    for uri in others:
        if not storage.exists(file := storage.join(shipped.resolve(uri), WEIGHTS)):
            raise CheckpointError(f"{file} is missing, though its record is there; copy both files")
    if not ranks:
        return
    model, record = load_checkpoint(plan.checkpoint)
    if not isinstance(model, Triq):
        raise CheckpointError(
            f"{plan.checkpoint} holds {record.model.name}; block subsets are scored with triq: set rank.checkpoint or "
            f"model.name"
        )
    rank = plan.settings.rank
    grid, (rows, columns) = Grid(rank.grid.rows, rank.grid.columns), token_map_size(record.model)
    if not rank.native and (rows < grid.rows or columns < grid.columns):
        raise CheckpointError(
            f"{plan.checkpoint} sees {record.model.height} x {record.model.width} pixels as {rows} x {columns} tokens, "
            f"which cannot be cut into {grid.rows} x {grid.columns} blocks: use a smaller rank.grid, or train with a "
            f"larger input"
        )
