"""The checkpoints that a job asks for, and whether they can do what is asked of them: looked at before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from halfiqa_ray import storage
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
from halfiqa_ray.models.triq import Triq, token_map_size
from halfiqa_ray.pipelines.plans.run import Plan
from halfiqa_ray.stages.decode import Size


@dataclass(frozen=True)
class Checkpoint:
    """A model that predicts zeroed photos, or whose scores are explained."""

    uri: str
    record: CheckpointRecord

    @property
    def size(self) -> Size:
        """Input height and width."""
        return self.record.preprocessing.height, self.record.preprocessing.width


def find_checkpoints(plan: Plan, named: Sequence[str] = ()) -> tuple[Checkpoint, ...]:
    """The models that a setting like ``zero.models`` names, in order of name. Raises CheckpointError for a missing one.

    Where none is named, one of each name: the one that ranks stands for its own.
    """
    settings = plan.settings
    dataset, run = settings.data.dataset, settings.train.run
    models: dict[tuple[str, str], Checkpoint] = {}
    for model in named:
        uri = shipped.resolve(model) if "/" in model else checkpoint_uri(settings.output, dataset, model, run)
        record = read_record(uri)
        models[record.model.name, record.weights_sha256] = Checkpoint(storage.absolute(uri), record)
    if not named:
        models[plan.record.model.name, ""] = Checkpoint(plan.checkpoint, plan.record)
        folder = storage.join(settings.output, "checkpoints", dataset)
        for file in storage.list_files(folder, RECORD, recursive=True):
            uri = file.removesuffix(f"/{RECORD}")
            if uri.endswith(f"/{run}"):
                record = read_record(uri)
                models.setdefault((record.model.name, ""), Checkpoint(storage.absolute(uri), record))
    return tuple(models[each] for each in sorted(models))


def check_models(plan: Plan, others: Sequence[str] = (), ranks: bool = True) -> None:
    """Raise CheckpointError when a checkpoint has no weights, or the ranking one is damaged, no TRIQ or too coarse.

    ``others`` are checkpoint folders of models that predict zeroed photos.
    """
    for uri in others:
        if not storage.exists(file := storage.join(uri, WEIGHTS)):
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
