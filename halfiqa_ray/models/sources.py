"""What a stage is given to load a model from: a checkpoint, or the settings of a model that is not ours."""

from __future__ import annotations

import torch

from halfiqa_ray.config import ModelSettings
from halfiqa_ray.models.base import QualityModel
from halfiqa_ray.models.checkpoints import CheckpointRecord, load_checkpoint
from halfiqa_ray.models.outside import PREFIX, load_outside

Source = str | ModelSettings  # checkpoint folder or shipped name; or settings with ``model.outside``


def uri_of(source: Source) -> str:
    """How stored files and messages name it: its folder, or ``outside:NAME``."""
    return source if isinstance(source, str) else f"{PREFIX}{source.outside.name}"


def load(
    source: Source, device: str | torch.device = "cpu", planned_sha256: str | None = None
) -> tuple[QualityModel, CheckpointRecord]:
    """The model on ``device`` as it scores (BatchNorms of ours folded), and its record.

    Raises what both ways of loading raise.
    """
    if isinstance(source, str):
        return load_checkpoint(source, device, planned_sha256, fold=True)
    return load_outside(source, device, planned_sha256)
