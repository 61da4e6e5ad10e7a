"""Whether the checkpoints that a job asks for can do what is asked of them, looked at before it starts."""

from __future__ import annotations

from collections.abc import Sequence

from halfiqa_ray import storage
from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.models.checkpoints import WEIGHTS, CheckpointError, load_checkpoint
from halfiqa_ray.models.triq import Triq, token_map_size
from halfiqa_ray.pipelines.plan import Plan


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
