"""From settings to a quality model."""

from __future__ import annotations

import math

from halfiqa_ray.config import ModelSettings
from halfiqa_ray.models.backbones import STRIDE, create_backbone
from halfiqa_ray.models.base import MosScale, Preprocessing, QualityModel
from halfiqa_ray.models.triq import POOL_FROM_ROWS, Triq


def token_map_size(settings: ModelSettings) -> tuple[int, int]:
    """Rows and columns of the token map at the input size: 24 x 32 at 768 x 1024, halved where pooled."""
    rows, columns = math.ceil(settings.height / STRIDE), math.ceil(settings.width / STRIDE)
    if settings.triq.pooled and rows >= POOL_FROM_ROWS:
        return rows // 2, columns // 2
    return rows, columns


def build_model(settings: ModelSettings, mos_scale: MosScale) -> QualityModel:
    """Build the model that ``settings`` describe, on the CPU, in training mode.

    The weights that no file gives are drawn from torch's global generator: seed it before for a repeatable model.
    Raises ValueError for settings that fit no model, and WeightsError when backbone weights cannot be had.
    """
    rows, columns = token_map_size(settings)
    if 0 < settings.triq.positions < rows * columns + 1:
        raise ValueError(
            f"model.triq.positions is {settings.triq.positions}, but {settings.height} x {settings.width} pixels "
            f"give {rows * columns + 1} tokens; raise it, or set it to 0"
        )
    backbone = create_backbone(settings.backbone)
    return Triq(
        backbone.module,
        backbone.channels,
        settings.triq,
        positions=settings.triq.positions or rows * columns + 1,
        preprocessing=Preprocessing(settings.height, settings.width, backbone.mean, backbone.std),
        mos_scale=mos_scale,
        levels=settings.output == "levels",
    )
